#include "cnpd/settings/config_file.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/files.h"
#include "tests/support/files.h"

using namespace cnpd;
using namespace cnpd::tests;

namespace {

// "table.key=value,value@line ..."
std::string summary(const std::vector<ConfigEntry>& entries) {
    std::string text;
    for (const ConfigEntry& entry : entries)
        text += fmt::format("{}{}{}={}@{} ", entry.table, entry.table.empty() ? "" : ".", entry.key,
                            fmt::join(entry.values, ","), entry.line);
    return text;
}

std::string toml(std::string_view text) {
    return summary(parse_config(text, ConfigFormat::toml, "x").entries);
}

std::string json(std::string_view text) {
    return summary(parse_config(text, ConfigFormat::json, "x").entries);
}

std::string toml_complaint(std::string_view text) {
    const std::string message = message_of([&] { toml(text); });
    CHECK(message.find('\n') == std::string::npos);
    return message;
}

std::string json_complaint(std::string_view text) {
    const std::string message = message_of([&] { json(text); });
    CHECK(message.find('\n') == std::string::npos);
    return message;
}

}  // namespace

TEST_CASE("settings are read from TOML") {
    CHECK(toml("") == "");
    CHECK(toml("# a run\npoison-ratio = 0.1\nmodel = \"preact-resnet18\"\nseeds = [1, 2,\n 3]\n"
               "\n[train]\nepochs = 100\ncuda_graph = false\n[defend]\nlr = 1e-3\nnone = []\n") ==
          "poison-ratio=0.1@2 model=preact-resnet18@3 seeds=1,2,3@4 train.epochs=100@8 "
          "train.cuda-graph=false@9 defend.lr=1e-3@11 defend.none=@12 ");
    CHECK(toml("train.epochs = -3\r\ntrain.note = 'a \"b\" = [[[[[[[[[[['\r\n") ==
          "train.epochs=-3@1 train.note=a \"b\" = [[[[[[[[[[[@2 ");
    CHECK(toml("a = \"\\\"\\t\\u00e9\\U0001F600\"\nb = 9223372036854775807") ==
          "a=\"\t\xc3\xa9\xf0\x9f\x98\x80@1 b=9223372036854775807@2 ");
    CHECK(
        toml("\xef\xbb\xbf\"a\" = +1_000\n'b' . c = -1_0.5e-1_0\n[ d ] # e\nf = [ 'g' , # h\n ]") ==
        "a=1000@1 b.c=-10.5e-10@2 d.f=g@4 ");
}

TEST_CASE("settings are read from JSON") {
    CHECK(json("{}") == "");
    CHECK(
        json("{\n  \"poison_ratio\": 0.1,\n  \"model\": \"preact-resnet18\",\n"
             "  \"seeds\": [1, 2,\n 3],\n  \"train\": {\"epochs\": 100,\n\"cuda-graph\": false},\n"
             "  \"defend\": {\"lr\": 1e-3, \"none\": []}\n}\n") ==
        "poison-ratio=0.1@2 model=preact-resnet18@3 seeds=1,2,3@4 train.epochs=100@6 "
        "train.cuda-graph=false@7 defend.lr=1e-3@8 defend.none=@8 ");
}

TEST_CASE("a subcommand's table overrides the settings for all subcommands") {
    const Config config = parse_config(
        "epochs = 1\nseed = 5\n[train]\nepochs = 2\n[defend]\nlr = 3", ConfigFormat::toml, "x");
    CHECK(summary(config.entries_for("train")) == "train.epochs=2@4 seed=5@2 ");
    CHECK(summary(config.entries_for("defend")) == "defend.lr=3@6 epochs=1@1 seed=5@2 ");
    CHECK(summary(config.entries_for("")) == "epochs=1@1 seed=5@2 ");
}

TEST_CASE("files that are not lists of settings are refused") {
    CHECK(toml_complaint("a = 1\na = \n") ==
          "x: line 2: the end of the line; expected a string in quotes, a number, "
          "true or false");
    CHECK(toml_complaint("a = 1\n\na_b = 1\na-b = 2") ==
          "x: line 4: \"a-b\" again, after line 3; expected each setting once");
    CHECK(toml_complaint("--epochs = 1") ==
          "x: line 1: key \"--epochs\"; expected the name of an option without its dashes");
    CHECK(toml_complaint("[train]\n[train.inner]\na = 1") == "x: line 2: \".\"; expected \"]\"");
    for (const std::string_view text : {"a = 2020-01-01",
                                        "a = 10:00:00",
                                        "a = nan",
                                        "a = -inf",
                                        "a = [[1]]",
                                        "a = [{}]",
                                        "[[train]]\na = 1",
                                        "a.b.c = 1",
                                        "\"\" = 1",
                                        "\"a b\" = 1",
                                        "[\"\"]\na = 1",
                                        "a",
                                        "= 1",
                                        "a = \"\xff\"",
                                        "a = 1 b = 2",
                                        "a = 9223372036854775808",
                                        "a = 01",
                                        "a = 1__0",
                                        "a = 1_",
                                        "a = _1",
                                        "a = 1.",
                                        "a = .5",
                                        "a = 1e",
                                        "a = 1e999",
                                        "a = -",
                                        "a = 1.5.5",
                                        "a = True",
                                        "a = \"",
                                        "a = \"\\q\"",
                                        "a = \"\\ud800\"",
                                        "a = \"\\u12\"",
                                        "a = \"\\U00110000\"",
                                        "a = \"\\u0000\"",
                                        "a = '",
                                        "a = \"\"\"b\"\"\"",
                                        "a = [1",
                                        "a = [1 2]",
                                        "a = [,]",
                                        "[a]\n[a]",
                                        "[a",
                                        "a = {b = 1}",
                                        "a = 1\rb = 2",
                                        "# \x01",
                                        "a = '\xc0\x80'",
                                        "a = '\xed\xa0\x80'",
                                        "a = '\xf4\x90\x80\x80'",
                                        "a = '\xc3",
                                        "[a]\nb.c = 1",
                                        "a.\"\" = 1",
                                        "\"\".a = 1"}) {
        CAPTURE(text);
        CHECK_THROWS_AS(toml(text), FileError);
    }
    CHECK(json_complaint("{\n\"a\": 1,\n}") ==
          "x: line 3: invalid JSON at byte 11; expected JSON settings");
    CHECK(json_complaint("{\"a\": 1, \"a\": 2}") ==
          "x: line 1: \"a\" again, after line 1; expected each setting once");
    for (const std::string_view text :
         {"", "1", "[]", "null", "\"a\"", "{\"a\": null}", "{\"a\": [[1]]}", "{\"a\": [{}]}",
          "{\"a\": {\"b\": {}}}", "{\"\": {}}", "{\"\": 1}", "{\"-a\": 1}", "{\"a\": 1e999}",
          "{} {}", "{\"a\": \"\xff\"}", "{\"a\": 01}", "{'a': 1}", "{\"a\\n\": 1}",
          "{\"a\": \"\\u0000\"}"}) {
        CAPTURE(text);
        CHECK_THROWS_AS(json(text), FileError);
    }
    CHECK_THROWS_AS(json(std::string_view("{}\0", 3)), FileError);
    CHECK_THROWS_AS(toml(std::string_view("a = 1\0", 6)), FileError);
}

TEST_CASE("deeply nested and large files are refused") {
    const auto repeated = [](std::string_view text, int times) {
        std::string result;
        for (int i = 0; i < times; ++i) result += text;
        return result;
    };
    const std::string dots = repeated("a.", 400000);
    for (const std::string& text :
         {fmt::format("a = {}", repeated("[", 500000)),
          fmt::format("a = {}", repeated("{a=", 300000)), fmt::format("{}a = 1", dots),
          fmt::format("[{}a]", dots), fmt::format("{}a = 1", repeated("\"a\".", 200000)),
          fmt::format("b = {{c = '''x''''',{}a=1}}", dots),
          fmt::format("b = {{c = \"\"\"x\"\"\"\",{}a=1}}", dots),
          fmt::format("b = \"\"\"\\\n\"\"\"\n{}a=1", dots), repeated("[", 500000)}) {
        CAPTURE(text.substr(0, 40));
        CHECK_THROWS_AS(toml(text), FileError);
    }
    CHECK_THROWS_AS(json(repeated("{\"a\":", 200000)), FileError);
    CHECK_THROWS_AS(json(fmt::format("{{\"a\":{}", repeated("[", 500000))), FileError);
    CHECK(toml_complaint(std::string((1 << 20) + 1, '\n')) ==
          "x: holds 1048577 bytes; expected at most 1048576");
}

TEST_CASE("the file's extension determines the format") {
    const TemporaryDirectory directory;
    engine::write_file_atomically(directory / "run.toml", "epochs = 3\n");
    engine::write_file_atomically(directory / "run.json", "{\"epochs\": 4}\n");
    engine::write_file_atomically(directory / "run.yaml", "epochs: 5\n");
    CHECK(summary(read_config(directory / "run.toml").entries) == "epochs=3@1 ");
    CHECK(summary(read_config(directory / "run.json").entries) == "epochs=4@1 ");
    CHECK(message_of([&] { read_config(directory / "run.yaml"); }) ==
          (directory / "run.yaml").string() +
              ": has the extension \".yaml\"; expected .toml or .json");
    CHECK_THROWS_AS(read_config(directory / "none.toml"), FileError);
    CHECK_THROWS_AS(read_config("/"), FileError);
}
