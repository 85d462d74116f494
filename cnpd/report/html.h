// The report of a run: one page that tells what the attack did and what the defense undid.
#pragma once

#include <string>

namespace cnpd::report {

struct ReportData;

// The whole page, UTF-8. It is self-contained: styles, drawings and images are inline, nothing is
// loaded from elsewhere and no script runs. It is well-formed XML too. Parts of `data` that are
// empty, or whose sizes contradict each other, are left out.
std::string render_html(const ReportData& data);

// One sentence from the first victim's row and the highlighted row, as plain text: "The trigger
// worked on 99.1 % of the images before and on 0.8 % after; ...". Empty where nothing was measured.
std::string verdict(const ReportData& data);

}  // namespace cnpd::report
