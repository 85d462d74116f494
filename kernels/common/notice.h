// Messages for the user while the work goes on: a library failed, and a slower path was taken.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace cnpd {

// Receives one line without its end, on any thread. It must not call notice() itself.
using NoticeReceiver = std::function<void(std::string_view line)>;

// Sets the receiver and returns the previous one. Without a receiver, which is how a program
// starts, notices are dropped.
NoticeReceiver set_notice_receiver(NoticeReceiver receiver);

// Passes the line to the receiver, unless it has had the same line before.
void notice(const std::string& line);

}  // namespace cnpd
