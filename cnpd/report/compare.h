// Result rows of other defenses.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cnpd/report/report_data.h"
#include "cnpd/report/run_json.h"

namespace cnpd::report {

// The rows of the results table: the run's victim, other defenses of this victim, the run itself;
// then each other victim with its defenses below it. Two runs have the same victim if their model
// files have the same bytes, or if they record the same training and scores of the victim. Equal
// names are extended by the settings in which the runs differ, or by the name of the run's
// directory. `victim` is the run's victim. Throws FileError.
std::vector<ResultRow> compared(const RunJson& run, const ResultRow& victim,
                                const std::vector<std::filesystem::path>& others);

// Unique names for runs: equal `names` are followed by the settings in which the runs differ.
// Public for its tests.
std::vector<std::string> distinct_names(const std::vector<std::string>& names,
                                        const std::vector<RunJson>& runs);

}  // namespace cnpd::report
