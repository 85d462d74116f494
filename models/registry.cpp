#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernels/common/error.h"
#include "models/classifier.h"
#include "models/preact_resnet.h"
#include "models/resnet.h"
#include "models/vgg.h"

namespace cnpd::models {
namespace {

struct Entry {
    ModelInfo info;
    std::unique_ptr<Classifier> (*make)(const ModelOptions&, engine::Generator&, engine::Device);
};

// A Model whose stages have so many blocks, or convolutions.
template <class Model, int... Counts>
std::unique_ptr<Classifier> make(const ModelOptions& options, engine::Generator& generator,
                                 engine::Device device) {
    return std::make_unique<Model>(options, std::array{Counts...}, generator, device);
}

// BackdoorBench uses torchvision's VGGs.
constexpr std::string_view kVggHeads[] = {"torchvision", "cifar"};

constexpr Entry kEntries[] = {
    {{"preact-resnet18", "pre-activation ResNet, 2-2-2-2 basic blocks"},
     make<PreActResNet, 2, 2, 2, 2>},
    {{"preact-resnet34", "pre-activation ResNet, 3-4-6-3 basic blocks"},
     make<PreActResNet, 3, 4, 6, 3>},
    {{"resnet18", "ResNet with a 3x3 stem, 2-2-2-2 basic blocks"}, make<ResNet, 2, 2, 2, 2>},
    {{"resnet34", "ResNet with a 3x3 stem, 3-4-6-3 basic blocks"}, make<ResNet, 3, 4, 6, 3>},
    {{"vgg16-bn", "VGG with batch norm, 13 convolutions", kVggHeads}, make<Vgg, 2, 2, 3, 3, 3>},
    {{"vgg19-bn", "VGG with batch norm, 16 convolutions", kVggHeads}, make<Vgg, 2, 2, 4, 4, 4>},
};

const Entry& entry_of(std::string_view name) {
    for (const Entry& entry : kEntries)
        if (entry.info.name == name) return entry;
    std::vector<std::string_view> known;
    for (const Entry& entry : kEntries) known.push_back(entry.info.name);
    throw InputError(fmt::format("unknown model '{}'; known: {}", name, fmt::join(known, ", ")));
}

}  // namespace

const std::vector<ModelInfo>& registry() {
    static const std::vector<ModelInfo> infos = [] {
        std::vector<ModelInfo> all;
        for (const Entry& entry : kEntries) all.push_back(entry.info);
        return all;
    }();
    return infos;
}

std::string head_of(std::string_view model, std::string_view head) {
    const auto heads = entry_of(model).info.heads;
    if (heads.empty() && !head.empty())
        throw InputError(fmt::format(
            "head '{}' is not possible for {}; --head is for vgg16-bn and vgg19-bn", head, model));
    if (head.empty()) return std::string(heads.empty() ? "" : heads.front());
    if (std::find(heads.begin(), heads.end(), head) == heads.end())
        throw InputError(
            fmt::format("unknown head '{}' of {}; known: {}", head, model, fmt::join(heads, ", ")));
    return std::string(head);
}

std::unique_ptr<Classifier> make_model(const ModelOptions& options, engine::Generator& generator,
                                       engine::Device device) {
    if (options.width < 1 || options.width > 1024)
        throw InputError(fmt::format("--width {} is out of range: 1 to 1024", options.width));
    if (options.classes < 2 || options.classes > 100'000)
        throw InputError(fmt::format("{} classes; a model needs 2 to 100000", options.classes));
    if (options.channels < 1 || options.channels > 16)
        throw InputError(fmt::format("{} image channels; a model needs 1 to 16", options.channels));
    const Entry& entry = entry_of(options.name);
    ModelOptions complete = options;
    complete.head = head_of(options.name, options.head);
    return entry.make(complete, generator, device);
}

}  // namespace cnpd::models
