// cnpd evaluate: measures a stored run again.
#include <nlohmann/json.hpp>

#include "cnpd/cli/command.h"

namespace cnpd::cli {
namespace {

class Evaluate : public Command {
  public:
    void add_to(CLI::App& app) {
        app.add_option("--run", run_, "Run directory of a victim or a defense")->required();
        app.add_option("--data", data_, "Directory of the data set, if it has moved");
        common.add_to(app);
    }
    void run() override {
        const training::Compute compute = common.apply();
        const nlohmann::ordered_json result = runs::evaluate(run_, data_, compute);
        print_result({run_, result}, common.json);
    }

  private:
    std::string run_, data_;
};

}  // namespace

std::unique_ptr<Command> add_evaluate(CLI::App& program, const Words&) {
    auto command = std::make_unique<Evaluate>();
    command->add_to(*program.add_subcommand("evaluate",
                                            "Measure a run again: accuracy (ACC), attack success "
                                            "rate (ASR) and robust accuracy (R-ACC)"));
    return command;
}

}  // namespace cnpd::cli
