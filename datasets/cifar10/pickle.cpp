#include "datasets/cifar10/pickle.h"

#include <fmt/format.h>

#include "engine/files.h"
#include "kernels/common/error.h"

namespace cnpd::datasets::cifar10 {

namespace {

// Ten times the number in a batch of 10,000 images.
constexpr std::size_t kMaxValues = 200'000;

// Named as in Python's pickletools.
enum Opcode : unsigned char {
    kMark = '(',
    kStop = '.',
    kPop = '0',
    kBinInt = 'J',
    kBinInt1 = 'K',
    kBinInt2 = 'M',
    kNone = 'N',
    kReduce = 'R',
    kBinString = 'T',
    kShortBinString = 'U',
    kBinUnicode = 'X',
    kAppend = 'a',
    kBuild = 'b',
    kGlobal = 'c',
    kAppends = 'e',
    kBinGet = 'h',
    kLongBinGet = 'j',
    kBinPut = 'q',
    kLongBinPut = 'r',
    kSetItem = 's',
    kTuple = 't',
    kSetItems = 'u',
    kEmptyTuple = ')',
    kEmptyList = ']',
    kEmptyDict = '}',
    kProto = 0x80,
    kTuple1 = 0x85,
    kTuple2 = 0x86,
    kTuple3 = 0x87,
    kNewTrue = 0x88,
    kNewFalse = 0x89,
};

}  // namespace

class PickleMachine {
  public:
    PickleMachine(std::span<const std::byte> file, std::string_view path, Pickle& pickle)
        : file_(reinterpret_cast<const char*>(file.data()), file.size()),
          path_(path),
          pickle_(pickle) {}

    void run() {
        if (file_.empty()) fail("is empty", "a Python pickle");
        while (true) {
            opcode_at_ = position_;
            const auto opcode = static_cast<Opcode>(take(1)[0]);
            if (opcode == kStop) break;
            execute(opcode);
        }
        if (stack_.size() != 1 || !marks_.empty())
            fail_here(fmt::format("{} values are left over", stack_.size()), "one");
        if (position_ != file_.size())
            fail(fmt::format("holds {} bytes, but its pickle ends after {}", file_.size(),
                             position_),
                 "nothing after the pickle");
        pickle_.root_ = pop();
    }

  private:
    using Ref = Pickle::Ref;
    using Value = Pickle::Value;

    [[noreturn]] void fail(std::string_view found, std::string_view expected) const {
        throw FileError(path_, found, expected);
    }
    [[noreturn]] void fail_here(std::string_view found, std::string_view expected) const {
        fail(fmt::format("at byte {}, {}", opcode_at_, found), expected);
    }
    void require(bool condition, std::string_view expected) const {
        if (!condition) fail_here("a value of the wrong type", expected);
    }

    // The file's next bytes.
    std::string_view take(std::size_t count) {
        if (count > file_.size() - position_)
            fail(fmt::format("ends after {} bytes", file_.size()),
                 fmt::format("{} more", count - (file_.size() - position_)));
        const std::string_view bytes = file_.substr(position_, count);
        position_ += count;
        return bytes;
    }
    std::uint32_t take_number(int bytes) {
        std::uint32_t number = 0;
        const std::string_view digits = take(bytes);
        for (int i = bytes - 1; i >= 0; --i)
            number = number << 8 | static_cast<unsigned char>(digits[i]);
        return number;
    }
    std::string_view take_line() {
        const std::size_t end = file_.find('\n', position_);
        if (end == std::string_view::npos)
            fail(fmt::format("ends after {} bytes", file_.size()), "");
        const std::string_view line = take(end - position_);
        take(1);
        return line;
    }

    void push_ref(Ref ref) {
        // Each push has its own opcode. Limiting pushes also limits the total size of lists, tuples
        // and dictionaries.
        if (++pushes_ > kMaxValues)
            fail_here("too many values", fmt::format("at most {}", kMaxValues));
        stack_.push_back(ref);
    }
    void push(Value value) {
        pickle_.values_.push_back(std::move(value));
        push_ref(static_cast<Ref>(pickle_.values_.size() - 1));
    }
    // Values below the last mark cannot be popped.
    std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
    Ref top() const {
        if (stack_.size() <= floor()) fail_here("a value is missing", "one on the stack");
        return stack_.back();
    }
    Ref pop() {
        const Ref ref = top();
        stack_.pop_back();
        return ref;
    }
    std::vector<Ref> pop_some(std::size_t count) {
        if (stack_.size() - floor() < count)
            fail_here("values are missing", fmt::format("{} on the stack", count));
        std::vector<Ref> refs(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
        stack_.resize(stack_.size() - count);
        return refs;
    }
    std::vector<Ref> pop_to_mark() {
        if (marks_.empty()) fail_here("a mark is missing", "one on the stack");
        std::vector<Ref> refs = pop_some(stack_.size() - marks_.back());
        marks_.pop_back();
        return refs;
    }

    template <class T>
    T& get(Ref ref, std::string_view expected) const {
        T* value = std::get_if<T>(&pickle_.values_[ref]);
        require(value != nullptr, expected);
        return *value;
    }
    bool is_text(Ref ref, std::string_view text) const {
        const auto* value = std::get_if<std::string_view>(&pickle_.values_[ref]);
        return value && *value == text;
    }

    void execute(Opcode opcode);
    void execute_value(Opcode opcode);
    void memoize(std::uint32_t index);
    void recall(std::uint32_t index);
    void append(const std::vector<Ref>& items);
    void set_items(const std::vector<Ref>& items);
    void push_global();
    void reduce();
    void push_latin1(std::string_view utf8);
    void build();
    void build_array(Pickle::Array& array, const std::vector<Ref>& state);

    std::string_view file_, path_;
    Pickle& pickle_;
    std::size_t position_ = 0, opcode_at_ = 0, pushes_ = 0, decoded_bytes_ = 0;
    std::vector<Ref> stack_;
    std::vector<std::size_t> marks_;  // stack sizes
    std::vector<Ref> memo_;           // -1: empty
};

void PickleMachine::execute(Opcode opcode) {
    switch (opcode) {
        case kProto: {
            const std::uint32_t protocol = take_number(1);
            if (protocol != 2) fail_here(fmt::format("protocol {}", protocol), "protocol 2");
            return;
        }
        case kMark:
            if (marks_.size() >= kMaxValues)
                fail_here("too many marks", fmt::format("at most {}", kMaxValues));
            return marks_.push_back(stack_.size());
        case kPop:
            pop();
            return;
        case kBinPut:
            return memoize(take_number(1));
        case kLongBinPut:
            return memoize(take_number(4));
        case kBinGet:
            return recall(take_number(1));
        case kLongBinGet:
            return recall(take_number(4));
        case kAppend:
            return append(pop_some(1));
        case kAppends:
            return append(pop_to_mark());
        case kSetItem:
            return set_items(pop_some(2));
        case kSetItems:
            return set_items(pop_to_mark());
        case kGlobal:
            return push_global();
        case kReduce:
            return reduce();
        case kBuild:
            return build();
        default:
            return execute_value(opcode);
    }
}

void PickleMachine::execute_value(Opcode opcode) {
    switch (opcode) {
        case kNone:
            return push(Pickle::None{});
        case kNewTrue:
            return push(true);
        case kNewFalse:
            return push(false);
        case kBinInt1:
            return push(std::int64_t{take_number(1)});
        case kBinInt2:
            return push(std::int64_t{take_number(2)});
        case kBinInt:
            return push(std::int64_t{static_cast<std::int32_t>(take_number(4))});
        case kShortBinString:
            return push(take(take_number(1)));
        case kBinString:
        case kBinUnicode:
            return push(take(take_number(4)));
        case kEmptyTuple:
            return push(Pickle::Tuple{});
        case kEmptyList:
            return push(Pickle::List{});
        case kEmptyDict:
            return push(Pickle::Dict{});
        case kTuple:
            return push(Pickle::Tuple{pop_to_mark()});
        case kTuple1:
            return push(Pickle::Tuple{pop_some(1)});
        case kTuple2:
            return push(Pickle::Tuple{pop_some(2)});
        case kTuple3:
            return push(Pickle::Tuple{pop_some(3)});
        default:
            fail_here(fmt::format("opcode 0x{:02x}", static_cast<int>(opcode)),
                      "an opcode that CIFAR-10's batches use (pickle protocol 2)");
    }
}

void PickleMachine::memoize(std::uint32_t index) {
    if (index >= kMaxValues)
        fail_here(fmt::format("memo entry {}", index), fmt::format("below {}", kMaxValues));
    if (index >= memo_.size()) memo_.resize(index + 1, -1);
    memo_[index] = top();
}

void PickleMachine::recall(std::uint32_t index) {
    if (index >= memo_.size() || memo_[index] < 0)
        fail_here(fmt::format("memo entry {} is empty", index), "a value in it");
    push_ref(memo_[index]);
}

void PickleMachine::append(const std::vector<Ref>& items) {
    auto& list = get<Pickle::List>(top(), "a list to append to").items;
    list.insert(list.end(), items.begin(), items.end());
}

void PickleMachine::set_items(const std::vector<Ref>& items) {
    if (items.size() % 2 != 0) fail_here("a key without a value", "pairs of keys and values");
    auto& dict = get<Pickle::Dict>(top(), "a dictionary").items;
    for (std::size_t i = 0; i < items.size(); i += 2) dict.emplace_back(items[i], items[i + 1]);
}

void PickleMachine::push_global() {
    const std::string_view module = take_line(), name = take_line();
    // numpy 2 moved its core; pickles made by either version are common.
    if ((module == "numpy.core.multiarray" || module == "numpy._core.multiarray") &&
        name == "_reconstruct")
        return push(Pickle::Callable::reconstruct);
    if (module == "numpy" && name == "ndarray") return push(Pickle::Callable::ndarray);
    if (module == "numpy" && name == "dtype") return push(Pickle::Callable::dtype);
    if (module == "_codecs" && name == "encode") return push(Pickle::Callable::encode);
    fail_here(fmt::format("a call of {} {}", engine::in_quotes(module), engine::in_quotes(name)),
              "only calls that build numpy arrays; it was not executed");
}

void PickleMachine::reduce() {
    const auto& arguments = get<Pickle::Tuple>(pop(), "a call's arguments").items;
    const auto callable = get<Pickle::Callable>(pop(), "a callable");
    switch (callable) {
        case Pickle::Callable::reconstruct: {  // (ndarray, (0,), 'b'): an array for BUILD to fill
            constexpr std::string_view kExpected = "a new numpy array";
            require(arguments.size() == 3, kExpected);
            require(get<Pickle::Callable>(arguments[0], kExpected) == Pickle::Callable::ndarray,
                    kExpected);
            return push(Pickle::Array{});
        }
        case Pickle::Callable::dtype:  // ('u1', ...)
            require(!arguments.empty() && arguments.size() <= 3 && is_text(arguments[0], "u1"),
                    "dtype 'u1' (uint8)");
            return push(Pickle::ByteType{});
        case Pickle::Callable::encode: {  // (text, 'latin1')
            constexpr std::string_view kExpected = "text in latin1";
            require(arguments.size() == 2 && is_text(arguments[1], "latin1"), kExpected);
            return push_latin1(get<std::string_view>(arguments[0], kExpected));
        }
        case Pickle::Callable::ndarray:
            break;
    }
    fail_here("a call of ndarray", "ndarray only as an argument");
}

// Python 3 writes bytes as text in UTF-8, with one code point for each byte.
void PickleMachine::push_latin1(std::string_view utf8) {
    // The memo could be used to decode the same text many times.
    decoded_bytes_ += utf8.size();
    if (decoded_bytes_ > file_.size()) fail_here("text decoded twice", "each text once");
    std::string bytes;
    bytes.reserve(utf8.size());
    for (std::size_t i = 0; i < utf8.size(); ++i) {
        const auto c = static_cast<unsigned char>(utf8[i]);
        if (c < 0x80) {
            bytes.push_back(utf8[i]);
            continue;
        }
        const bool two_bytes = (c == 0xc2 || c == 0xc3) && i + 1 < utf8.size() &&
                               (static_cast<unsigned char>(utf8[i + 1]) & 0xc0) == 0x80;
        require(two_bytes, "text in latin1");
        ++i;
        bytes.push_back(static_cast<char>((c & 3) << 6 | (utf8[i] & 0x3f)));
    }
    pickle_.decoded_.push_back(std::move(bytes));
    push(std::string_view(pickle_.decoded_.back()));
}

void PickleMachine::build() {
    const auto& state = get<Pickle::Tuple>(pop(), "a state tuple").items;
    const Ref target = top();
    if (std::holds_alternative<Pickle::ByteType>(pickle_.values_[target])) {
        // (3, '|', None, None, None, -1, -1, 0): '|' is the byte order of one-byte types.
        require(state.size() >= 2 && is_text(state[1], "|"), "the state of dtype 'u1'");
        return;
    }
    build_array(get<Pickle::Array>(target, "an array or its dtype"), state);
}

void PickleMachine::build_array(Pickle::Array& array, const std::vector<Ref>& state) {
    // (1, (10000, 3072), dtype('u1'), False, bytes): version, shape, type, column-major, data
    constexpr std::string_view kExpected = "the state of a row-major numpy array of uint8";
    require(!array.built && state.size() == 5, kExpected);
    require(get<std::int64_t>(state[0], kExpected) == 1, kExpected);
    get<Pickle::ByteType>(state[2], "dtype 'u1' (uint8)");
    require(!get<bool>(state[3], kExpected), kExpected);
    const auto bytes = get<std::string_view>(state[4], kExpected);
    std::int64_t count = 1;
    for (const Ref ref : get<Pickle::Tuple>(state[1], kExpected).items) {
        const std::int64_t extent = get<std::int64_t>(ref, kExpected);
        // Extents and `count` have at most 31 and 32 bits, so the product fits into 63.
        require(extent > 0 && array.shape.size() < 8 &&
                    count <= static_cast<std::int64_t>(bytes.size()),
                kExpected);
        count *= extent;
        array.shape.push_back(extent);
    }
    if (count != static_cast<std::int64_t>(bytes.size()))
        fail_here(fmt::format("an array of {} bytes", bytes.size()), fmt::format("{}", count));
    array.bytes = bytes;
    array.built = true;
}

Pickle::Pickle(std::span<const std::byte> file, std::string_view path) {
    PickleMachine(file, path, *this).run();
}

const Pickle::Value* Pickle::find(std::string_view key) const {
    const auto* dict = std::get_if<Dict>(&root());
    if (!dict) return nullptr;
    for (const auto& [name, value] : dict->items) {
        const auto* text = std::get_if<std::string_view>(&at(name));
        if (text && *text == key) return &at(value);
    }
    return nullptr;
}

}  // namespace cnpd::datasets::cifar10
