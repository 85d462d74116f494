#include <array>

#include <fmt/format.h>

#include "kernels/common/error.h"
#include "models/classifier.h"
#include "models/preact_resnet.h"

namespace cnpd::models {
namespace {

struct Entry {
    ModelInfo info;
    std::unique_ptr<Classifier> (*make)(const ModelOptions&, engine::Generator&, engine::Device);
};

template <int A, int B, int C, int D>
std::unique_ptr<Classifier> make_preact_resnet(const ModelOptions& options,
                                               engine::Generator& generator,
                                               engine::Device device) {
    return std::make_unique<PreActResNet>(options, std::array{A, B, C, D}, generator, device);
}

constexpr Entry kEntries[] = {
    {{"preact-resnet18", "pre-activation ResNet, 2-2-2-2 basic blocks"},
     make_preact_resnet<2, 2, 2, 2>},
};

}  // namespace

const std::vector<ModelInfo>& registry() {
    static const std::vector<ModelInfo> infos = [] {
        std::vector<ModelInfo> all;
        for (const Entry& entry : kEntries) all.push_back(entry.info);
        return all;
    }();
    return infos;
}

std::unique_ptr<Classifier> make_model(const ModelOptions& options, engine::Generator& generator,
                                       engine::Device device) {
    if (options.width < 1 || options.width > 1024)
        throw InputError(fmt::format("width {} is out of range 1..1024", options.width));
    if (options.classes < 2 || options.classes > 100'000)
        throw InputError(fmt::format("{} classes; expected 2..100000", options.classes));
    if (options.channels < 1 || options.channels > 16)
        throw InputError(fmt::format("{} image channels; expected 1..16", options.channels));
    std::string known;
    for (const Entry& entry : kEntries) {
        if (entry.info.name == options.name) return entry.make(options, generator, device);
        known += fmt::format("{}{}", known.empty() ? "" : ", ", entry.info.name);
    }
    throw InputError(fmt::format("unknown model '{}'; known: {}", options.name, known));
}

}  // namespace cnpd::models
