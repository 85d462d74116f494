#include "cnpd/training/pattern_file.h"

#include "cnpd/attacks/pattern.h"
#include "datasets/image.h"
#include "kernels/common/error.h"

namespace cnpd::training {

void store_pattern(const Experiment& experiment, RunDirectory& directory) {
    const auto picture = experiment.attack->picture();
    if (picture.empty()) return;
    const attacks::AttackedData& data = experiment.attack->data();
    const auto png = datasets::encode_png(picture, data.h, data.w, data.c);
    directory.write(run_files::pattern, {reinterpret_cast<const char*>(png.data()), png.size()});
}

VictimSettings with_stored_pattern(VictimSettings settings, const Experiment& experiment) {
    if (!experiment.attack->picture().empty())
        settings.attack_options.blend_pattern = run_files::pattern;
    return settings;
}

VictimSettings with_located_pattern(VictimSettings settings, const std::filesystem::path& run) {
    std::string& pattern = settings.attack_options.blend_pattern;
    if (settings.attack != "blended" || attacks::is_drawn(pattern)) return settings;
    if (pattern != run_files::pattern)
        throw FileError((run / run_files::config).string(),
                        "blends the file " + engine::in_quotes(pattern),
                        "noise, smooth or the run's own pattern.png");
    pattern = run_file(run, run_files::pattern).string();
    return settings;
}

}  // namespace cnpd::training
