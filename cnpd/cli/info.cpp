// cnpd info: lists the build's features, the machine's devices, and a model's insertion points.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cnpd/cli/command.h"
#include "cnpd/version.h"
#include "engine/device.h"
#include "kernels/common/cpu_info.h"
#include "kernels/common/gpu.h"
#include "kernels/common/parallel.h"
#include "kernels/vendor/onednn.h"
#include "models/classifier.h"

namespace cnpd::cli {
namespace {

class Info : public Command {
  public:
    void add_to(CLI::App& app) {
        app.add_option("--model", model_.name,
                       "Print this model's insertion points and parameters instead");
        app.add_option("--width", model_.width, "Channels of the model's first stage")
            ->capture_default_str();
        app.add_option("--head", model_.head, "The model's head, as for train");
        app.add_option("--classes", model_.classes, "Number of classes")->capture_default_str();
        common.add_to(app);
    }

    void run() override {
        common.set_up();
        const nlohmann::ordered_json info = model_.name.empty() ? of_machine() : of_model();
        if (common.json) {
            fmt::print("{}\n", info.dump(2));
            return;
        }
        for (const auto& [key, value] : info.items()) {
            std::string text;
            if (value.is_array())
                for (const auto& item : value)
                    text += (text.empty() ? "" : ", ") + item.get<std::string>();
            else
                text = value.is_string() ? value.get<std::string>() : value.dump();
            fmt::print("{:<16} {}\n", key, text);
        }
    }

  private:
    nlohmann::ordered_json of_model() const {
        engine::Generator generator(0);
        const auto model = models::make_model(model_, generator, {});
        nlohmann::ordered_json info;
        info["model"] = model_.name;
        info["width"] = model_.width;
        const std::string head = models::head_of(model_.name, model_.head);
        if (!head.empty()) info["head"] = head;
        info["classes"] = model_.classes;
        info["parameters"] = model->parameter_count();
        info["insertion_point"] = model->insertion_point();
        info["insertion_points"] = model->insertion_points();
        return info;
    }

    nlohmann::ordered_json of_machine() const {
        if (!common.device.empty())
            engine::device_from_name(common.device);  // throws if it is not available
        nlohmann::ordered_json info;
        info["version"] = kVersion;
        for (const engine::Backend backend : engine::built_backends())
            info["backends"].push_back(engine::name_of(backend));
        for (const engine::Device device : engine::available_devices())
            info["devices"].push_back(device.str());
        add_gpu(info);
        info["threads"] = kernels::thread_count();
        info["cpu"] = kernels::cpu_name();
        info["kernels_isa"] = kernels::compiled_isa();
        info["onednn"] = kernels::onednn::version();
        info["onednn_isa"] = kernels::onednn::isa();
        return info;
    }

    static void add_gpu(nlohmann::ordered_json& info) {
        if (engine::gpu_backend() != engine::Backend::cuda) return;
        if (!engine::why_no_gpu().empty()) {
            info["gpu"] = fmt::format("none: {}", engine::why_no_gpu());
            return;
        }
        const auto gpu = kernels::gpu::properties();
        info["gpu"] = fmt::format("{}, compute capability {}.{}, {} multiprocessors, {} GiB",
                                  gpu.name, gpu.compute_major, gpu.compute_minor,
                                  gpu.multiprocessors, gpu.memory_bytes >> 30);
    }

    models::ModelOptions model_{.name = ""};
};

}  // namespace

std::unique_ptr<Command> add_info(CLI::App& program, const Words&) {
    auto command = std::make_unique<Info>();
    command->add_to(*program.add_subcommand(
        "info", "Print backends, devices and threads, or a model's insertion points"));
    return command;
}

}  // namespace cnpd::cli
