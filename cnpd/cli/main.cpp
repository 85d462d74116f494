// The program: parses, runs one subcommand, and turns every error into one line and an exit status.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>
#include <system_error>

#include <fmt/format.h>

#include "cnpd/cli/command.h"
#include "cnpd/training/interrupt.h"
#include "cnpd/version.h"
#include "engine/passive_waiting.h"
#include "kernels/common/error.h"

namespace {

enum ExitStatus { kSuccess = 0, kInternalError = 1, kInputError = 2, kInterrupted = 130 };

// One line, whatever names and values the message quotes.
int complain(const std::string& message, int status) {
    std::string line;
    for (const char c : message) {
        const auto code = static_cast<unsigned char>(c);
        if (code < 0x20 || code == 0x7f)
            line += fmt::format("\\x{:02x}", code);
        else
            line += c;
    }
    fmt::print(stderr, "cnpd: {}\n", line);
    return status;
}

// What has been printed may still wait in a buffer, and a full disk be noticed only now.
int succeed() {
    if (std::fflush(stdout) != 0) throw std::system_error(errno, std::generic_category());
    return kSuccess;
}

struct Subcommand {
    std::unique_ptr<cnpd::cli::Command> command;
    CLI::App* app;
};

int run(int argc, char** argv) {
    CLI::App program(
        "Plants backdoors in image classifiers and removes them with class-conditional neural "
        "polarizers.");
    program.set_version_flag("--version", std::string("cnpd ") + cnpd::kVersion);
    program.require_subcommand(1);
    program.get_formatter()->column_width(34);
    program.footer(
        "Start with: cnpd demo\n"
        "Every subcommand explains itself: cnpd train --help");

    std::vector<Subcommand> subcommands;
    for (const auto add :
         {cnpd::cli::add_demo, cnpd::cli::add_train, cnpd::cli::add_defend, cnpd::cli::add_evaluate,
          cnpd::cli::add_predict, cnpd::cli::add_report, cnpd::cli::add_info}) {
        auto command = add(program);
        subcommands.push_back({std::move(command), program.get_subcommands({}).back()});
    }
    const auto is_called = [&](const Subcommand& known) {
        return known.app->get_name() == argv[1];
    };
    // CLI11 would only say that a subcommand is missing.
    if (argc > 1 && argv[1][0] != '-' &&
        std::none_of(subcommands.begin(), subcommands.end(), is_called))
        return complain(fmt::format("unknown subcommand '{}' (see --help)", argv[1]), kInputError);
    try {
        program.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() != 0)
            return complain(fmt::format("{} (see --help)", error.what()), kInputError);
        program.exit(error);
        return succeed();
    }
    for (const Subcommand& subcommand : subcommands) {
        if (!subcommand.app->parsed()) continue;
        cnpd::cli::apply_config(*subcommand.app, subcommand.command->common.config);
        subcommand.command->run();
    }
    return succeed();
}

}  // namespace

int main(int argc, char** argv) {
    cnpd::engine::wait_passively(argv);
    try {
        cnpd::install_interrupt_handler();
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
        // Printing is what is left that throws these.
        return complain(fmt::format("the output cannot be written: {}", error.code().message()),
                        kInputError);
    } catch (const std::bad_alloc&) {
        return complain("out of memory; try a smaller --batch-size, --width or --train-limit",
                        kInputError);
    } catch (const std::exception& error) {
        return complain(fmt::format("internal error: {}", error.what()), kInternalError);
    }
}
