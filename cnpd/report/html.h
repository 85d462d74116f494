// The report of a run: one page with the effect of the attack and of the defense.
#pragma once

#include <string>

namespace cnpd::report {

struct ReportData;

// The whole page, UTF-8. It is self-contained: styles, drawings and images are inline, nothing is
// loaded from elsewhere and no script runs. It is well-formed XML too. Parts of `data` that are
// empty, or whose sizes contradict each other, are left out.
std::string render_html(const ReportData& data);

// Headline and subtitle of outcome() as plain text: "The backdoor is removed. The attacker's class
// was predicted for ...". Empty where nothing was measured.
std::string verdict(const ReportData& data);

}  // namespace cnpd::report
