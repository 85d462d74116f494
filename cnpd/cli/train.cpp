// cnpd train: plants a backdoor.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/cli/command.h"
#include "cnpd/cli/train_options.h"

namespace cnpd::cli {
namespace {

class Train : public Command {
  public:
    void add_to(CLI::App& app) {
        options_.add_to(app);
        output_.add_to(app, "runs/victim");
        common.add_to(app);
        app.footer(
            "Example:\n"
            "  cnpd train --dataset cifar10 --data DIR --width 16 --attack badnets --out "
            "runs/badnets");
    }
    void run() override {
        const training::Compute compute = common.apply();
        const auto result = runs::train(options_.settings(), output_.run_options(compute));
        print_results({{"victim", result}}, common.json);
    }

  private:
    TrainOptions options_;
    OutputOptions output_;
};

}  // namespace

std::unique_ptr<Command> add_train(CLI::App& program) {
    auto command = std::make_unique<Train>();
    command->add_to(*program.add_subcommand(
        "train",
        "Train a victim: a classifier on a data set in which some images carry a trigger"));
    return command;
}

}  // namespace cnpd::cli
