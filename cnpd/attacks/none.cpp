#include "cnpd/attacks/attack.h"

namespace cnpd::attacks {
namespace {

class None : public Attack {
  public:
    std::string_view name() const override { return "none"; }
    void fields(settings::Fields&) override {}
    bool plants_backdoor() const override { return false; }
    void stamp(const ToStamp&) const override {}

  protected:
    void make(const ReadKept&) override {}
};

}  // namespace

std::unique_ptr<Attack> make_none() {
    return std::make_unique<None>();
}

}  // namespace cnpd::attacks
