// cnpd report: writes a run's HTML report.
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/cli/command.h"
#include "cnpd/report/collect.h"
#include "cnpd/report/html.h"
#include "cnpd/store/run_directory.h"
#include "engine/files.h"

namespace cnpd::cli {
namespace {

class Report : public Command {
  public:
    void add_to(CLI::App& app) {
        app.add_option("--run", run_, "Run directory of a defense, or of a victim")->required();
        app.add_option("--data", options_.data_override,
                       "Directory of the data set, if it has moved");
        app.add_option("--compare", compare_,
                       "Run directories of other defenses to add to the results table");
        app.add_option("--examples", options_.examples, "Number of example images")
            ->capture_default_str()
            ->check(CLI::Range(0, 100));
        app.add_option("--out", out_, "File to write (default: report.html in the run directory)");
        common.add_to(app);
    }

    void run() override {
        const training::Compute compute = common.apply();
        for (const std::string& path : compare_) options_.compare.emplace_back(path);
        const std::filesystem::path out =
            out_.empty() ? std::filesystem::path(run_) / store::run_files::report
                         : std::filesystem::path(out_);
        const report::ReportData data = report::collect(run_, options_, compute);
        engine::write_file_atomically(out, report::render_html(data));
        if (common.json)
            fmt::print("{}\n", nlohmann::ordered_json{{"report", out.string()}}.dump(2));
        else
            fmt::print("{}\n{}\n", report::verdict(data), out.string());
    }

  private:
    std::string run_, out_;
    std::vector<std::string> compare_;
    report::CollectOptions options_;
};

}  // namespace

std::unique_ptr<Command> add_report(CLI::App& program, const Words&) {
    auto command = std::make_unique<Report>();
    command->add_to(*program.add_subcommand(
        "report",
        "Write a run's report as an HTML page: table, curves, images, predictions, feature maps"));
    return command;
}

}  // namespace cnpd::cli
