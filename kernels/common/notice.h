// Messages for the user during a run, for example that a library failed and a slower path is used.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace cnpd {

// Receives one line without its newline, on any thread. It must not call notice() itself.
using NoticeReceiver = std::function<void(std::string_view line)>;

// Sets the receiver and returns the previous one. Without a receiver (the initial state) notices
// are dropped.
NoticeReceiver set_notice_receiver(NoticeReceiver receiver);

// Passes the line to the receiver, unless the receiver has had the same line before.
void notice(const std::string& line);

}  // namespace cnpd
