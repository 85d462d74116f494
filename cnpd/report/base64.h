// Base64 (RFC 4648) with padding, for data URIs.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace cnpd::report {

std::string base64(std::span<const std::uint8_t> bytes);

}  // namespace cnpd::report
