// The parts of the report that need the run's models and data set.
#pragma once

#include "cnpd/report/collect.h"
#include "cnpd/report/report_data.h"
#include "cnpd/runs/runs.h"

namespace cnpd::report {

// Facts on the poisoning that need the data set.
struct Poisoning {
    std::int64_t images = 0;  // of the training set
    std::int64_t poisoned = 0;
    std::int64_t candidates = 0;  // images that the attack could choose from; for a clean-label
                                  // attack the images of the target class
    bool clean_label = false;
    bool all_to_one = true;
    std::int64_t target = 0;
};

// Fills in examples, features, predictions and whether the victim is benign. Measures scores that
// are missing in the run's files. Throws InputError and FileError if the data set is not the run's.
Poisoning add_pictures(ReportData& data, const runs::LoadedRun& run, const CollectOptions& options,
                       engine::Device device);

}  // namespace cnpd::report
