// Collects the content of a report from a run directory.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cnpd/report/report_data.h"
#include "cnpd/training/precision.h"

namespace cnpd::report {

struct CollectOptions {
    std::string data_override;  // data directory, if it has moved
    // Runs of other defenses to add to the results table; those of other victims are listed below
    // their victim.
    std::vector<std::filesystem::path> compare;
    std::int64_t examples = 6;
};

// Reads the run's files, loads its models and its data set, and computes the predictions of all
// test images, and pictures and feature maps of some. Throws FileError for damaged or missing
// files.
ReportData collect(const std::filesystem::path& run, const CollectOptions& options,
                   const training::Compute& compute);

}  // namespace cnpd::report
