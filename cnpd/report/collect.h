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
    // Runs of other defenses, for rows in the table; those of other victims stand below their own.
    std::vector<std::filesystem::path> compare;
    std::int64_t examples = 6;
};

// Reads the run's files, loads its models and its data set, and computes predictions of all test
// images, and pictures and feature maps of some. Throws FileError for damaged or missing files.
ReportData collect(const std::filesystem::path& run, const CollectOptions& options,
                   const training::Compute& compute);

}  // namespace cnpd::report
