// Reads the Python pickles that CIFAR-10's batches consist of, without executing any Python code.
//
// A pickle is a program for a stack machine. This reader implements the opcodes of protocol 2 for
// numbers, strings, lists, tuples, dictionaries and the memo. It recognises four callables: the
// three that make numpy arrays and the one that makes Python 3's bytes. It implements them itself.
// Everything else is an error.
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
    // Values refer to each other by index, so that reference cycles are harmless.
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
    // Strings are Python's bytes or text. They point into the file or into decoded_.
    using Value = std::variant<None, bool, std::int64_t, std::string_view, List, Tuple, Dict,
                               Callable, ByteType, Array>;

    // Parses all of `file`, which has to outlive the pickle. Throws FileError, with `path` in its
    // message, for unknown opcodes and callables, for trailing bytes and for more than 200,000
    // values.
    Pickle(std::span<const std::byte> file, std::string_view path);
    Pickle(Pickle&&) = default;

    const Value& root() const { return at(root_); }
    const Value& at(Ref ref) const { return values_[ref]; }
    // The value of a key of the root; null if the root is not a dictionary or lacks the key.
    const Value* find(std::string_view key) const;

  private:
    friend class PickleMachine;
    std::vector<Value> values_;
    std::deque<std::string> decoded_;  // strings that had to be decoded
    Ref root_ = 0;
};

}  // namespace cnpd::datasets::cifar10
