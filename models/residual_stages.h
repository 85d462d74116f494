// The part of residual networks between stem and head.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "models/classifier.h"
#include "models/parts.h"

namespace cnpd::models {

struct BlockSettings {
    std::int64_t in, out, stride;

    // Whether the shortcut needs layers of its own.
    bool changes_shape() const { return stride != 1 || in != out; }
};

// Four stages of blocks with w, 2w, 4w, 8w channels; every stage except the first halves the image.
// A Block is a Module with enter(x), which computes the input of its "conv1"; leave(cut), which
// computes the block's output from there; leave_pooled(cut), the mean of that output over the
// image; fold() and unfold(). Insertion points are the inputs of the blocks' conv1.
template <class Block>
class ResidualStages {
  public:
    ResidualStages(std::int64_t width, const std::array<int, 4>& blocks,
                   engine::Generator& generator, engine::Device device) {
        std::int64_t in = width;
        for (std::size_t stage = 0; stage < blocks.size(); ++stage) {
            modules_[stage] = std::make_unique<Group>();
            const std::int64_t out = width << stage;
            for (int i = 0; i < blocks[stage]; ++i) {
                const std::int64_t stride = stage > 0 && i == 0 ? 2 : 1;
                blocks_.push_back(std::make_unique<Block>(
                    BlockSettings{.in = in, .out = out, .stride = stride}, generator, device));
                modules_[stage]->add(std::to_string(i), *blocks_.back());
                points_.push_back(fmt::format("layer{}.{}.conv1", stage + 1, i));
                in = out;
            }
        }
    }

    // "layer1" to "layer4"
    const std::array<std::unique_ptr<Group>, 4>& modules() const { return modules_; }
    const std::vector<std::string>& points() const { return points_; }

    // From the stem's output to the insertion point, and from there to the last block's output
    // averaged over the image, float32 [N,8w].
    Cut prefix(Tensor x, std::string_view point) const {
        const std::size_t last = position_of(point, points_);
        for (std::size_t i = 0; i < last; ++i) x = through(i, x);
        return blocks_[last]->enter(x);
    }
    Tensor pooled_suffix(Cut cut, std::string_view point) const {
        for (std::size_t i = position_of(point, points_); i + 1 < blocks_.size(); ++i)
            cut = blocks_[i + 1]->enter(blocks_[i]->leave(cut));
        return blocks_.back()->leave_pooled(cut);
    }

    void fold() {
        for (const auto& block : blocks_) block->fold();
    }
    void unfold() {
        for (const auto& block : blocks_) block->unfold();
    }

  private:
    Tensor through(std::size_t block, const Tensor& x) const {
        return blocks_[block]->leave(blocks_[block]->enter(x));
    }

    std::array<std::unique_ptr<Group>, 4> modules_;
    std::vector<std::unique_ptr<Block>> blocks_;
    std::vector<std::string> points_;  // of each block
};

}  // namespace cnpd::models
