// From a run directory to what its report shows.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cnpd/report/report_data.h"
#include "cnpd/training/precision.h"

namespace cnpd::report {

struct CollectOptions {
    std::string data_override;  // data directory, if it is not where it was
    // Runs that get a row of their own in the table: other defenses of the same victim.
    std::vector<std::filesystem::path> compare;
    std::int64_t examples = 6;
};

// Reads the run's files, loads its models and its data set, and computes pictures, predictions and
// feature maps for some poisoned test images. Throws FileError for damaged or missing files.
ReportData collect(const std::filesystem::path& run, const CollectOptions& options,
                   const training::Compute& compute);

}  // namespace cnpd::report
