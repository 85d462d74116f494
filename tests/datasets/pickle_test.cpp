#include "datasets/cifar10/pickle.h"

#include "datasets/cifar10/cifar10.h"
#include "kernels/common/error.h"
#include "tests/support/cifar10_files.h"
#include "tests/support/files.h"

namespace cnpd::datasets::cifar10 {
namespace {

using tests::bytes_of;
using tests::message_of;
using tests::PickleWriter;

std::string refusal(const std::string& pickle) {
    return message_of([&] { Pickle(bytes_of(pickle), "p"); });
}

std::string batch_refusal(const std::string& pickle, std::int64_t count) {
    return message_of([&] {
        Images images;
        read_python_batch(bytes_of(pickle), "p", count, images);
    });
}

bool contains(const std::string& message, std::string_view part) {
    CAPTURE(message);
    CAPTURE(part);
    const bool found = message.find(part) != std::string::npos;
    CHECK(found);
    CHECK(message.starts_with("p: "));
    CHECK(message.find('\n') == std::string::npos);
    return found;
}

// A batch with the given pickled labels and data.
std::string batch_with(const std::string& labels, const std::string& data) {
    return PickleWriter()
        .raw("}(")
        .string("labels")
        .raw(labels)
        .string("data")
        .raw(data)
        .raw("u.")
        .text;
}

std::string array(std::int64_t rows, std::int64_t columns, std::size_t bytes) {
    return PickleWriter().array(rows, columns, std::string(bytes, 'x')).text.substr(2);
}

TEST_CASE("only the callables of numpy arrays are accepted") {
    contains(refusal("\x80\x02"
                     "cos\nsystem\n(U\x02idtR."),
             "a call of \"os\" \"system\"; expected only calls that build numpy arrays");
    contains(refusal("\x80\x02"
                     "c__builtin__\neval\n."),
             "\"eval\"");
    contains(refusal("\x80\x02"
                     "cnumpy\nload\n."),
             "\"load\"");
    contains(refusal("\x80\x02"
                     "c\x1b[2J\nx\n."),
             "\"\\x1b[2J\"");
    contains(refusal("\x80\x02"
                     "cnumpy\nndarray\n)R."),
             "a call of ndarray");
    // INST, OBJ, NEWOBJ, persistent ids, extensions and newer protocols
    for (const char opcode : {'i', 'o', '\x81', 'P', 'Q', '\x82', '\x93', '\x8c', 'I', 'S', 'V'})
        contains(refusal(fmt::format("\x80\x02{}.", opcode)), "opcode 0x");
    contains(refusal("\x80\x04N."), "protocol 4");
}

TEST_CASE("damaged pickles are refused") {
    contains(refusal(""), "is empty");
    contains(refusal("\x80"), "ends after 1 bytes");
    contains(refusal("\x80\x02N"), "ends after");
    contains(refusal("\x80\x02."), "0 values are left over");
    contains(refusal("\x80\x02NN."), "2 values are left over");
    contains(refusal("\x80\x02N.N"), "its pickle ends after 4");
    contains(refusal("\x80\x02(N."), "left over");
    contains(refusal("\x80\x02t."), "a mark is missing");
    contains(refusal("\x80\x02\x85."), "values are missing");
    // Values below a mark cannot be popped.
    contains(refusal("\x80\x02N(\x85."), "values are missing");
    contains(refusal("\x80\x02q\x01."), "a value is missing");
    contains(refusal("\x80\x02h\x01."), "memo entry 1 is empty");
    contains(refusal("\x80\x02Nr\xff\xff\xff\xff."), "memo entry 4294967295");
    contains(refusal("\x80\x02NNa."), "a list to append to");
    contains(refusal("\x80\x02}(NNNu."), "a key without a value");
    contains(refusal("\x80\x02NNb."), "a state");
    contains(refusal("\x80\x02NNR."), "a call's arguments");
    contains(refusal("\x80\x02U\xff"
                     "abc."),
             "ends after");
    contains(refusal("\x80\x02T\xff\xff\xff\xff"
                     "abc."),
             "ends after");
    contains(refusal("\x80\x02"
                     "cnumpy"),
             "ends after");
}

TEST_CASE("a pickle cannot use much more memory than its size") {
    contains(refusal("\x80\x02" + std::string(300'000, 'N') + "."), "too many values");
    contains(refusal("\x80\x02" + std::string(300'000, '(') + "."), "too many marks");
    std::string recalled = "\x80\x02Nq";
    recalled += '\0';
    for (int i = 0; i < 300'000; ++i) recalled += std::string("h\0", 2);
    contains(refusal(recalled + "."), "too many values");
    // The same long text decoded many times.
    PickleWriter writer;
    writer.raw("X").number(1000, 4).raw(std::string(1000, 'x')).raw("q").number(0, 1).raw("0");
    for (int i = 0; i < 100; ++i)
        writer.raw("c_codecs\nencode\nh").number(0, 1).raw("U\x06latin1\x86R0");
    contains(refusal(writer.raw("N.").text), "text decoded twice");
}

TEST_CASE("a list may contain itself") {
    CHECK_NOTHROW(Pickle(bytes_of(std::string("\x80\x02]q\0h\0a.", 9)), "p"));
}

TEST_CASE("arrays have to be uint8, row-major and as long as their shape requires") {
    const std::string labels = "](K\1K\2e";
    CHECK(batch_refusal(batch_with(labels, array(2, 3072, 6144)), 2) == "no InputError");
    contains(batch_refusal(batch_with(labels, array(2, 3072, 6143)), 2), "array of 6143 bytes");
    contains(batch_refusal(batch_with(labels, array(2, 3072, 6145)), 2), "array of 6145 bytes");
    contains(batch_refusal(batch_with(labels, array(3072, 2, 6144)), 2), "the wrong shape");
    contains(batch_refusal(batch_with(labels, array(0, 3072, 0)), 2), "row-major numpy array");
    contains(batch_refusal(batch_with(labels, array(-1, 3072, 6144)), 2), "row-major numpy array");
    contains(batch_refusal(batch_with(labels, array(0x7fffffff, 0x7fffffff, 6144)), 2), "p: at");
    const auto changed = [&](std::string_view from, std::string_view to) {
        std::string data = array(2, 3072, 6144);
        data.replace(data.find(from), from.size(), to);
        return batch_refusal(batch_with(labels, data), 2);
    };
    contains(changed("U\x02u1",
                     "U\x02"
                     "f4"),
             "dtype 'u1'");
    contains(changed("U\x01|", "U\x01>"), "dtype 'u1'");
    contains(changed("\x89T", "\x88T"), "row-major");
    // Reconstructed, but not built.
    const std::string data = array(2, 3072, 6144);
    const std::string unbuilt = data.substr(0, data.find('R') + 1);
    contains(batch_refusal(batch_with(labels, unbuilt), 2), "the wrong shape");
}

TEST_CASE("there has to be one label from 0 to 9 for each image") {
    const std::string data = array(2, 3072, 6144);
    contains(batch_refusal(batch_with("](K\1K\2K\3e", data), 2), "holds 3 labels");
    contains(batch_refusal(batch_with("](K\1K\12e", data), 2), "image 1 has label 10");
    contains(batch_refusal(batch_with("](K\1J\xff\xff\xff\xff"
                                      "e",
                                      data),
                           2),
             "image 1 has label -1");
    contains(batch_refusal(batch_with("](NK\1e", data), 2), "label of image 0 is not a number");
    contains(batch_refusal(batch_with("N", data), 2), "'labels' is of the wrong type");
    contains(batch_refusal("\x80\x02}.", 2), "'labels' is missing");
    contains(batch_refusal("\x80\x02N.", 2), "'labels' is missing");
    contains(batch_refusal(batch_with("](K\1K\2e", "N"), 2), "'data' is of the wrong type");
    contains(batch_refusal(batch_with("](K\1K\2e", data), 3), "holds 2 labels");
}

TEST_CASE("the class names have to be the official ones") {
    const std::string file = tests::python_names();
    CHECK(read_python_names(bytes_of(file), "p").back() == "truck");
    std::string other = file;
    other.replace(other.find("frog"), 4, "toad");
    contains(message_of([&] { read_python_names(bytes_of(other), "p"); }),
             "names class 6 \"toad\"; expected frog");
}

TEST_CASE("a batch truncated at any length is refused") {
    const std::string file = tests::python_batch(tests::random_images({4, 7}));
    CHECK(batch_refusal(file, 2) == "no InputError");
    for (std::size_t size = 0; size < file.size(); size += size < 700 ? 1 : 97)
        CHECK(batch_refusal(file.substr(0, size), 2) != "no InputError");
    contains(batch_refusal(file + "x", 2), "nothing after the pickle");
}

}  // namespace
}  // namespace cnpd::datasets::cifar10
