// The interface of polarizers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cnpd/ops/polarizer.h"
#include "cnpd/settings/names.h"
#include "engine/nn/module.h"
#include "engine/optimizer.h"

namespace cnpd::polarizers {

using engine::Tensor;

// Statistics of batch norm while a polarizer is trained.
enum class BatchNormMode {
    frozen,  // the calibrated running statistics, unchanged
    train,   // the batch's; they also update the running statistics
};

// Layers of a map, for the papers' ablation. The default is Conv1x1 + BN.
enum class Structure { conv_bn, conv, bn, double_conv_bn };

// Statistics of the features of clean images at the insertion point, for the calibration of
// polarizers.
struct FeatureStatistics {
    std::int64_t classes = 0, channels = 0;
    std::vector<float> mean, variance;  // [classes,channels]: of the images predicted as each class
    std::vector<float> global_mean, global_variance;  // [channels]
    std::vector<std::int64_t> count;                  // [classes] images

    // The same with the global moments for all classes.
    FeatureStatistics shared() const;
};

// Size and device of a polarizer.
struct PolarizerPlace {
    std::int64_t classes = 0, channels = 0;
    engine::Device device;
    engine::DType activations = engine::DType::float32;  // type of the features
};

// A family of affine maps of the features at the insertion point, one for each class (or one for
// all). All variants reduce to this at inference; they differ in their trained parameters.
class Polarizer : public engine::nn::Module {
  public:
    // "r-cnpd"
    virtual std::string_view name() const = 0;

    // Starts at the exact identity, batch norm calibrated to the features: W = I, running mean =
    // mu, running variance = v = sigma^2 + 1e-4, gamma = sqrt(v + eps), beta = mu; for each class
    // if there is a polarizer for each.
    virtual void calibrate(const FeatureStatistics& statistics) = 0;

    // Type of the features, float32 at first. Call refresh() afterwards.
    void compute_in(engine::DType activations) { activations_ = activations; }
    engine::DType activations() const { return activations_; }

    // The folded maps of the current parameters, one for each class or a single one. Call refresh()
    // after changes of the parameters, and before apply() if the tape of the last refresh() has
    // been used. Undefined for Structure::double_conv_bn, which consists of two maps in sequence.
    const ops::AffineMaps& maps() const { return maps_; }
    virtual void refresh() = 0;

    // For inference: z [N,H,W,C] through the maps; not recorded.
    virtual Tensor infer(const Tensor& z, const ops::Routes& routes) const;

    // z [N,H,W,C] through the polarizer of each sample's class; recorded. In BatchNormMode::train
    // this changes the running statistics.
    virtual Tensor apply(const Tensor& z, const ops::Routes& routes) const = 0;
    // Frozen unless a BatchNormScope says otherwise.
    BatchNormMode batch_norm_mode() const { return batch_norm_mode_; }

    // What the optimizer updates.
    virtual std::vector<engine::ParameterGroup> parameter_groups(double weight_decay) = 0;
    // Call between backward() and the optimizer's step: transfers the gradients to the parameters
    // of parameter_groups() and clips them to this norm (0: no clipping).
    virtual void prepare_gradients(double clip_norm) = 0;

  protected:
    ops::AffineMaps maps_;

  private:
    friend class BatchNormScope;
    BatchNormMode batch_norm_mode_ = BatchNormMode::frozen;
    engine::DType activations_ = engine::DType::float32;
};

// Throws NumericError for a gradient of `owner` that is not finite.
[[noreturn]] void throw_diverged(const std::string& owner);

// Parameters whose gradients are clipped by their joint norm.
class ClippedTogether {
  public:
    ClippedTogether() = default;
    // `owner` is used in the message for a gradient that is not finite.
    ClippedTogether(std::string owner, std::vector<Tensor> parameters);
    // 0: no clipping. On the CPU throws NumericError for a gradient that is not finite. Other
    // devices do not wait for the norm; there the next loss shows it.
    void clip(double norm);

  private:
    std::string owner_;
    std::vector<Tensor> parameters_;
    Tensor factor_;  // [1]
};

// Sets the mode of a polarizer's batch norm for the lifetime of this object.
class BatchNormScope {
  public:
    BatchNormScope(Polarizer& polarizer, BatchNormMode mode)
        : polarizer_(polarizer), before_(polarizer.batch_norm_mode_) {
        polarizer.batch_norm_mode_ = mode;
    }
    ~BatchNormScope() { polarizer_.batch_norm_mode_ = before_; }
    BatchNormScope(const BatchNormScope&) = delete;
    BatchNormScope& operator=(const BatchNormScope&) = delete;

  private:
    Polarizer& polarizer_;
    BatchNormMode before_;
};

// Statistics of z [N,H,W,C], samples grouped by the victim's predictions (int32 [N]). Accumulates
// over calls in double, so that not all features need to be in memory.
class FeatureStatisticsCollector {
  public:
    FeatureStatisticsCollector(std::int64_t classes, std::int64_t channels);
    void add(const Tensor& z, const Tensor& predictions);
    // Classes without a prediction get the global statistics.
    FeatureStatistics finish() const;

  private:
    std::int64_t classes_, channels_;
    std::vector<double> sum_, sum_of_squares_;  // [classes,channels]
    std::vector<std::int64_t> images_, positions_;
};

// Mean, variance and scale of a batch norm that is the identity on these features.
struct Calibration {
    std::vector<float> mean, variance, gamma;
};
Calibration calibration(const FeatureStatistics& statistics, float eps);           // [channels]
Calibration calibration_by_class(const FeatureStatistics& statistics, float eps);  // [classes,...]

// Copies the values to a batch norm's tensors, of any shape with as many elements.
struct BatchNormTensors {
    Tensor gamma, beta, mean, variance;
};
void set(const Calibration& start, BatchNormTensors norm);

// [maps,channels,channels]
Tensor identity_maps(std::int64_t maps, std::int64_t channels, engine::Device device);

}  // namespace cnpd::polarizers

template <>
struct cnpd::settings::Names<cnpd::polarizers::BatchNormMode> {
    using Value = polarizers::BatchNormMode;
    static constexpr std::pair<Value, const char*> all[] = {
        {Value::frozen, "frozen"}, {Value::frozen, "eval"}, {Value::train, "train"}};
};

template <>
struct cnpd::settings::Names<cnpd::polarizers::Structure> {
    using Value = polarizers::Structure;
    static constexpr std::pair<Value, const char*> all[] = {
        {Value::conv_bn, "conv-bn"},
        {Value::conv, "conv"},
        {Value::bn, "bn"},
        {Value::double_conv_bn, "conv-bn-conv-bn"}};
};
