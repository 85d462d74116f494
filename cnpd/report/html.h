// The HTML report of a run.
#pragma once

#include <string>

namespace cnpd::report {

struct ReportData;

// The whole page in UTF-8. It is self-contained (inline styles, drawings and images, no scripts)
// and also well-formed XML. Parts of `data` that are empty or have inconsistent sizes are omitted.
std::string render_html(const ReportData& data);

// Headline and subtitle of outcome() as plain text: "The backdoor is removed. The attacker's class
// was predicted for ...". Empty if nothing was measured.
std::string verdict(const ReportData& data);

}  // namespace cnpd::report
