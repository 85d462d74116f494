// The program: parses, runs one subcommand, and turns every error into one line and an exit status.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>
#include <system_error>

#include <fmt/format.h>

#include "cnpd/cli/command.h"
#include "cnpd/cli/help_formatter.h"
#include "cnpd/settings/suggest.h"
#include "cnpd/terminal/interrupt.h"
#include "cnpd/terminal/log.h"
#include "cnpd/version.h"
#include "engine/passive_waiting.h"
#include "kernels/common/cpu_info.h"
#include "kernels/common/error.h"
#include "kernels/common/notice.h"

namespace {

enum ExitStatus { kSuccess = 0, kInternalError = 1, kInputError = 2, kInterrupted = 130 };

// Prints one line; control characters in quoted names and values are replaced.
int complain(const std::string& message, int status) {
    std::string line;
    for (const char c : message) {
        const auto code = static_cast<unsigned char>(c);
        if (code < 0x20 || code == 0x7f)
            line += fmt::format("\\x{:02x}", code);
        else
            line += c;
    }
    // Errors on stderr are ignored; the exit status reports the failure.
    line = "cnpd: " + line + "\n";
    std::fwrite(line.data(), 1, line.size(), stderr);
    return status;
}

// Flushes the output, so that a full disk is reported.
int succeed() {
    if (std::fflush(stdout) != 0) throw std::system_error(errno, std::generic_category());
    return kSuccess;
}

using cnpd::cli::Words;

struct Subcommand {
    std::unique_ptr<cnpd::cli::Command> command;
    CLI::App* app;
};

// "help" and "help train" mean --help.
void understand_help(Words& words) {
    std::vector<std::string>& all = words.all();
    if (all.empty() || all.front() != "help") return;
    all.erase(all.begin());
    all.resize(std::min<std::size_t>(all.size(), 1));
    all.emplace_back("--help");
}

// The message for an unknown option or argument.
std::string unexpected_word(const CLI::App& program, const Words& words) {
    const CLI::App* app = &program;
    if (!program.get_subcommands().empty()) app = program.get_subcommands().front();
    std::vector<std::string> known;
    for (const CLI::Option* option : app->get_options())
        for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    for (const std::string& word : app->remaining()) {
        if (!word.starts_with("--")) continue;
        const std::string name = word.substr(0, word.find('='));
        return fmt::format("unknown option {}{} (cnpd {} --help lists all)", name,
                           cnpd::settings::did_you_mean(name, known), app->get_name());
    }
    const std::vector<std::string> rest = app->remaining();
    return fmt::format("unexpected argument '{}' (see cnpd {} --help)",
                       rest.empty() ? words.all().back() : rest.back(), app->get_name());
}

int run(int argc, char** argv) {
    CLI::App program(
        "Plants backdoors in image classifiers and removes them with class-conditional neural "
        "polarizers.",
        "cnpd");
    program.set_version_flag("--version,-v", std::string("cnpd ") + cnpd::kVersion);
    program.require_subcommand(1);
    program.formatter(std::make_shared<cnpd::cli::HelpFormatter>());
    program.footer(
        "Start with: cnpd demo\n"
        "Help for a subcommand: cnpd train --help");

    Words words(argc, argv);
    understand_help(words);
    std::vector<Subcommand> subcommands;
    for (const auto add :
         {cnpd::cli::add_demo, cnpd::cli::add_train, cnpd::cli::add_defend, cnpd::cli::add_evaluate,
          cnpd::cli::add_predict, cnpd::cli::add_report, cnpd::cli::add_info}) {
        auto command = add(program, words);
        // Of an option that is repeated, the last value counts.
        for (CLI::Option* option : program.get_subcommands({}).back()->get_options({}))
            if (option->get_items_expected_max() == 1) option->take_last();
        subcommands.push_back({std::move(command), program.get_subcommands({}).back()});
    }
    std::vector<std::string> names;
    for (const Subcommand& known : subcommands) names.push_back(known.app->get_name());
    // CLI11's message would only be that a subcommand is missing.
    if (!words.all().empty()) {
        const std::string& name = words.all().front();
        if (!name.starts_with('-') && std::find(names.begin(), names.end(), name) == names.end())
            return complain(fmt::format("unknown subcommand '{}'{} (cnpd --help lists them)", name,
                                        cnpd::settings::did_you_mean(name, names)),
                            kInputError);
    }
    try {
        // CLI11 expects the arguments in reverse order.
        std::vector<std::string> reversed(words.all().rbegin(), words.all().rend());
        program.parse(reversed);
    } catch (const CLI::ExtrasError&) {
        return complain(unexpected_word(program, words), kInputError);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() != 0)
            return complain(fmt::format("{} (see --help)", error.what()), kInputError);
        program.exit(error);
        return succeed();
    }
    for (const Subcommand& subcommand : subcommands) {
        if (!subcommand.app->parsed()) continue;
        cnpd::cli::apply_config(program, *subcommand.app, *subcommand.command);
        subcommand.command->run();
    }
    return succeed();
}

// If one of the three standard streams is closed, the next file opened would get its descriptor,
// and messages would be written into that file. The replacements opened here reject the operation
// (stdin is write-only, stdout and stderr are read-only), so that printing fails as on a closed
// stream.
void keep_standard_streams_apart() {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (::fcntl(stream, F_GETFD) == -1) [[maybe_unused]]
            const int opened = ::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

}  // namespace

int main(int argc, char** argv) {
    keep_standard_streams_apart();
    if (!cnpd::kernels::cpu_supports_compiled_isa())
        return complain(
            fmt::format("this program was built for {}, which this processor does not support: "
                        "build it on this machine, or with -DCNPD_ARCH=x86-64-v3",
                        cnpd::kernels::compiled_isa()),
            kInputError);
    cnpd::engine::wait_passively(argv);
    try {
        cnpd::install_interrupt_handler();
        cnpd::set_notice_receiver(cnpd::log_warning);
        return run(argc, argv);
    } catch (const cnpd::InputError& error) {
        return complain(error.what(), kInputError);
    } catch (const cnpd::NumericError& error) {
        return complain(error.what(), kInputError);
    } catch (const cnpd::Interrupted& error) {
        return complain(error.what(), kInterrupted);
    } catch (const cnpd::Error& error) {
        return complain(fmt::format("internal error at {}:{}: {}", error.where().file_name(),
                                    error.where().line(), error.what()),
                        kInternalError);
    } catch (const std::filesystem::filesystem_error& error) {
        return complain(fmt::format("{}: {}", error.path1().string(), error.code().message()),
                        kInputError);
    } catch (const std::system_error& error) {
        // Only printing still throws these here.
        return complain(fmt::format("the output cannot be written: {}", error.code().message()),
                        kInputError);
    } catch (const std::bad_alloc&) {
        return complain("out of memory; try a smaller --batch-size, --width or --train-limit",
                        kInputError);
    } catch (const std::exception& error) {
        return complain(fmt::format("internal error: {}", error.what()), kInternalError);
    }
}
