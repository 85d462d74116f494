// Reads the few kinds of Python pickle that CIFAR-10's batches are, without ever running what they
// say.
//
// A pickle is a program for a stack machine. Of its opcodes this reader knows those that protocol 2
// uses for numbers, strings, lists, tuples, dictionaries and memory of earlier values; of its
// callables only the three that make numpy's arrays and the one that makes Python 3's bytes, and it
// does itself what they would do. Everything else is an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace cnpd::datasets::cifar10 {

class Pickle {
  public:
    // Values refer to each other by their place in the pickle, so that a loop among them is
    // harmless.
    using Ref = std::int32_t;

    struct None {};
    struct List {
        std::vector<Ref> items;
    };
    struct Tuple {
        std::vector<Ref> items;
    };
    struct Dict {
        std::vector<std::pair<Ref, Ref>> items;
    };
    enum class Callable { reconstruct, ndarray, dtype, encode };
    // dtype('u1')
    struct ByteType {};
    // An array of uint8 in row-major order.
    struct Array {
        std::vector<std::int64_t> shape;
        std::string_view bytes;
        bool built = false;
    };
    // Strings, of Python's bytes or text, point into the file or into the pickle.
    using Value = std::variant<None, bool, std::int64_t, std::string_view, List, Tuple, Dict,
                               Callable, ByteType, Array>;

    // Parses all of `file`, which has to outlive the pickle. Throws FileError, with `path` in its
    // message, for what it does not know, for trailing bytes and for more than 200,000 values.
    Pickle(std::span<const std::byte> file, std::string_view path);
    Pickle(Pickle&&) = default;

    const Value& root() const { return at(root_); }
    const Value& at(Ref ref) const { return values_[ref]; }
    // The value of a key of the root, which has to be a dictionary; null where there is none.
    const Value* find(std::string_view key) const;

  private:
    friend class PickleMachine;
    std::vector<Value> values_;
    std::deque<std::string> decoded_;  // strings that the file holds in another encoding
    Ref root_ = 0;
};

}  // namespace cnpd::datasets::cifar10
