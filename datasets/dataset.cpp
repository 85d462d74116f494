#include "datasets/dataset.h"

#include <algorithm>

#include <fmt/format.h>

#include "datasets/synthetic/synthetic.h"
#include "kernels/common/error.h"

namespace cnpd::datasets {
namespace {

Dataset load_synthetic(const LoadOptions& options) {
    synthetic::Options sizes{.seed = options.seed};
    if (options.train_limit > 0) sizes.train = std::min(sizes.train, options.train_limit);
    if (options.test_limit > 0) sizes.test = std::min(sizes.test, options.test_limit);
    return synthetic::generate(sizes);
}

struct Entry {
    DatasetInfo info;
    Dataset (*load)(const LoadOptions&);
};

constexpr Entry kEntries[] = {
    {{"synthetic", "10 classes of drawn traffic signs, 32x32; needs no files"}, load_synthetic},
};

}  // namespace

std::vector<DatasetInfo> registry() {
    std::vector<DatasetInfo> infos;
    for (const Entry& entry : kEntries) infos.push_back(entry.info);
    return infos;
}

Dataset load(std::string_view name, const LoadOptions& options) {
    if (options.train_limit < 0 || options.test_limit < 0)
        throw InputError("a limit of images is negative; expected a count, 0 for all");
    std::string known;
    for (const Entry& entry : kEntries) {
        if (entry.info.name == name) return entry.load(options);
        known.append(known.empty() ? "" : ", ").append(entry.info.name);
    }
    throw InputError(fmt::format("unknown data set '{}'; expected one of: {}", name, known));
}

}  // namespace cnpd::datasets
