// The options of `cnpd train`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "cnpd/training/settings.h"

namespace cnpd::cli {

class TrainOptions {
  public:
    void add_to(CLI::App& app);
    // Throws InputError for values that make no sense.
    training::VictimSettings settings() const;

  private:
    void add_data_options(CLI::App& app);
    void add_attack_options(CLI::App& app);
    void add_recipe_options(CLI::App& app);

    training::VictimSettings settings_;
    std::string recipe_ = "fast", attack_mode_ = "all-to-one";
    std::optional<std::int64_t> epochs_, batch_size_;
    std::optional<double> learning_rate_;
    bool no_augment_ = false;
};

}  // namespace cnpd::cli
