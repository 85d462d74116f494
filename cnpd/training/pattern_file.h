// The picture that a trigger is made of, as a file of the run: so that a run needs nothing outside
// its directory.
#pragma once

#include <filesystem>

#include "cnpd/training/experiment.h"
#include "cnpd/training/run_directory.h"

namespace cnpd::training {

// Stores the picture of the experiment's attack, if it has one, at the size of the images.
void store_pattern(const Experiment& experiment, RunDirectory& directory);

// The settings as config.json holds them: with the name that store_pattern() gives the picture.
VictimSettings with_stored_pattern(VictimSettings settings, const Experiment& experiment);

// The reverse, for settings from the config.json of `run`: with the picture's path. Throws
// FileError when they name another file than that.
VictimSettings with_located_pattern(VictimSettings settings, const std::filesystem::path& run);

}  // namespace cnpd::training
