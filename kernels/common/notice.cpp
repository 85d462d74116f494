#include "kernels/common/notice.h"

#include <mutex>
#include <set>
#include <utility>

namespace cnpd {
namespace {

struct State {
    std::mutex mutex;
    NoticeReceiver receiver;
    std::set<std::string> passed_on;  // to this receiver
};

// Never destroyed: threads may still compute while static objects are destroyed.
State& state() {
    static auto* const state = new State;
    return *state;
}

}  // namespace

NoticeReceiver set_notice_receiver(NoticeReceiver receiver) {
    const std::scoped_lock lock(state().mutex);
    state().passed_on.clear();
    return std::exchange(state().receiver, std::move(receiver));
}

void notice(const std::string& line) {
    const std::scoped_lock lock(state().mutex);
    if (state().receiver && state().passed_on.insert(line).second) state().receiver(line);
}

}  // namespace cnpd
