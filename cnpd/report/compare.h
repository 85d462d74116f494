// Rows for other defenses than the one that a page is about.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cnpd/report/report_data.h"
#include "cnpd/report/run_json.h"

namespace cnpd::report {

// The rows of the table of results: the run's victim, the other defenses of this victim, the run
// itself; then every other victim, with its defenses below it. Two runs have the same victim if
// their model files hold the same bytes, or if they tell the same victim's training and scores.
// Rows that would bear the same name also bear the settings in which their runs differ, or the name
// of the run's directory. `victim` is the run's own. Throws FileError.
std::vector<ResultRow> compared(const RunJson& run, const ResultRow& victim,
                                const std::vector<std::filesystem::path>& others);

// Names for runs: `names` where they differ, else with what the configurations differ in behind
// them. Public for its tests.
std::vector<std::string> distinct_names(const std::vector<std::string>& names,
                                        const std::vector<RunJson>& runs);

}  // namespace cnpd::report
