// cnpd predict: classifies image files with the victim and the purified model.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/cli/command.h"
#include "cnpd/runs/explain.h"
#include "datasets/batches.h"
#include "datasets/image.h"
#include "engine/ops.h"

namespace cnpd::cli {
namespace {

using runs::Guess;

std::string in_words(const std::vector<Guess>& guesses) {
    std::string text;
    for (const Guess& guess : guesses)
        text += fmt::format("{}{} {:.1f} %", text.empty() ? "" : ", ", guess.class_name,
                            100 * guess.probability);
    return text;
}

nlohmann::ordered_json in_json(const std::vector<Guess>& guesses) {
    auto list = nlohmann::ordered_json::array();
    for (const Guess& guess : guesses)
        list.push_back({{"class", guess.class_name}, {"probability", guess.probability}});
    return list;
}

class Predict : public Command {
  public:
    void add_to(CLI::App& app) {
        app.add_option("--run", run_, "Run directory of a defense, or of a victim")->required();
        app.add_option("images", images_, "JPEG, PNG or PPM files")->required();
        app.add_option("--top", top_, "Classes to show for each image")
            ->capture_default_str()
            ->check(CLI::Range(1, 1000));
        common.add_to(app);
        app.footer(
            "An image is flagged if victim and purified model predict different classes. Its score "
            "is the drop in the probability of the victim's class, from -1 to 1; a threshold on "
            "the score sets the rate of false alarms.\n"
            "The EXIF orientation of JPEGs is applied if the run was made with --exif.");
    }

    void run() override {
        const training::Compute compute = common.apply();
        const auto loaded = runs::load_run(run_, compute);
        // Classify all files before printing, so that an unreadable file leaves no partial output.
        std::vector<runs::Explanation> said;
        for (const std::string& path : images_)
            said.push_back(explain_file(*loaded, path, compute.device));
        auto all = nlohmann::ordered_json::array();
        for (std::size_t i = 0; i < images_.size(); ++i) {
            if (common.json)
                all.push_back(to_json(images_[i], said[i]));
            else
                print(images_[i], said[i], loaded->is_benign());
        }
        if (common.json) fmt::print("{}\n", all.dump(2));
    }

  private:
    runs::Explanation explain_file(const runs::LoadedRun& loaded, const std::string& path,
                                   engine::Device device) const {
        const data::InputInfo& input = loaded.input;
        const datasets::Image image = datasets::resize(
            datasets::load_image(path, loaded.victim_settings.data.exif), input.h, input.w);
        datasets::Images one{.n = 1,
                             .h = image.h,
                             .w = image.w,
                             .c = image.c,
                             .pixels = image.pixels,
                             .labels = {0}};
        const datasets::BatchSource source(one, input.mean, input.std, device);
        const std::int32_t first[] = {0};
        return runs::explain(loaded, source.input(first), top_).front();
    }

    static void print(const std::string& path, const runs::Explanation& said, bool benign) {
        fmt::print("{}\n  victim    {}\n", path, in_words(said.victim));
        if (said.purified.empty()) return;
        fmt::print("  purified  {}\n  {} (score {:.2f})\n", in_words(said.purified),
                   !said.flagged ? "They agree"
                   : benign      ? "They disagree: a false alarm, the victim is benign"
                                 : "They disagree: this image may carry a trigger",
                   said.score);
    }

    static nlohmann::ordered_json to_json(const std::string& path, const runs::Explanation& said) {
        nlohmann::ordered_json json{{"image", path}, {"victim", in_json(said.victim)}};
        if (said.purified.empty()) return json;
        json["purified"] = in_json(said.purified);
        json["flagged"] = said.flagged;
        json["score"] = said.score;
        return json;
    }

    std::string run_;
    std::vector<std::string> images_;
    std::int64_t top_ = 3;
};

}  // namespace

std::unique_ptr<Command> add_predict(CLI::App& program, const Words&) {
    auto command = std::make_unique<Predict>();
    command->add_to(*program.add_subcommand(
        "predict", "Classify image files with the victim and with the purified model"));
    return command;
}

}  // namespace cnpd::cli
