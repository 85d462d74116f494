// Notices to the user (kernels/common/notice.h) in tests.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kernels/common/notice.h"

namespace cnpd::tests {

// Collects notices during its lifetime.
class Notices {
  public:
    Notices() : before_(set_notice_receiver([this](auto line) { lines_.emplace_back(line); })) {}
    ~Notices() { set_notice_receiver(std::move(before_)); }
    Notices(const Notices&) = delete;
    Notices& operator=(const Notices&) = delete;

    const std::vector<std::string>& lines() const { return lines_; }

  private:
    std::vector<std::string> lines_;
    NoticeReceiver before_;
};

}  // namespace cnpd::tests
