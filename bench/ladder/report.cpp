#ifdef CNPD_EMULATED
#include "bench/ladder/report.h"

#include <optional>

#include <fmt/format.h>

#include "bench/model/machine_code.h"
#include "kernels/common/gpu.h"
#include "kernels/emulator/trace.h"

namespace cnpd::bench {
namespace {

// Counts of a traced call, for each unit of work.
struct Counts {
    double sectors = 0, wavefronts = 0, conflicts = 0, barriers = 0;
};

Counts trace(const Call& call) {
    const kernels::emulator::Trace trace;
    call.launch();
    kernels::gpu::synchronize();
    Counts all;
    for (const auto& [kernel, counts] : trace.counts()) {
        all.sectors += static_cast<double>(counts.load_sectors + counts.store_sectors);
        all.wavefronts += static_cast<double>(counts.shared_wavefronts);
        all.conflicts += static_cast<double>(counts.bank_conflicts());
        all.barriers += static_cast<double>(counts.barriers);
    }
    all.sectors /= call.units;
    all.wavefronts /= call.units;
    all.conflicts /= call.units;
    all.barriers /= call.units;
    return all;
}

std::optional<MachineCode> machine_code_of(const Rung& rung) {
    static const auto table = read_machine_code(CNPD_MACHINE_CODE);
    const auto found = table.find({rung.file, rung.kernel});
    return found == table.end() ? std::nullopt : std::optional(found->second);
}

// A thread's instructions for a unit of work: those of the main loop for each multiply-add, or for
// each word of device memory. Nothing for tensor cores, and if the main loop has neither.
std::optional<double> instructions(const Ladder& ladder, const Rung& rung,
                                   const MachineCode& code) {
    if (code.tensor > 0) return std::nullopt;
    const bool products = ladder.unit == "multiply-add";
    const int steps = products ? code.loop_multiply_adds : code.loop_bytes / 4;
    if (steps == 0) return std::nullopt;
    return rung.steps_of_unit * code.loop / steps;
}

Work work_of(const Ladder& ladder, const Rung& rung, const Counts& counts,
             std::optional<double> instructions_of_unit) {
    constexpr double kLanes = 32, kSector = 32, kWavefront = 128;
    Work work = rung.work;
    work.l1_bytes += ladder.units * counts.sectors * kSector;
    if (!rung.fragments) work.l1_bytes += ladder.units * counts.wavefronts * kWavefront;
    work.instructions = ladder.units * instructions_of_unit.value_or(0) / kLanes;
    return work;
}

std::string number(std::optional<double> value) {
    return value ? fmt::format("{:.1f}", *value) : "-";
}

}  // namespace

void print(const Ladder& ladder, const Times& measured) {
    fmt::print("{}, {}. Counts are for 1024 {}s.\n\n", ladder.operation, ladder.size, ladder.unit);
    for (const Rung& rung : ladder.rungs) fmt::print("    {:<12} {}\n", rung.version, rung.idea);
    fmt::print(
        "\n| {:<12} | sectors | conflicts | barriers | shared memory | registers "
        "| instructions | {:>7} | {:>7} | {:<22} | {:<30} | measured |\n",
        "version", "H100", "H200", "limit", "next limit");
    fmt::print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---|---|---:|\n");
    for (const Rung& rung : ladder.rungs) {
        const Counts counts = trace(rung.prepare(false));
        const std::optional<MachineCode> code = machine_code_of(rung);
        const auto of_unit = code ? instructions(ladder, rung, *code) : std::nullopt;
        const Work work = work_of(ladder, rung, counts, of_unit);
        const Prediction h100 = predict(modelled_gpus()[0], work);
        const Prediction h200 = predict(modelled_gpus()[1], work);
        const double shared = rung.dynamic_shared + (code ? code->static_shared : 0);
        const auto time = measured.find({ladder.operation, rung.version});
        fmt::print(
            "| {:<12} | {:>7.1f} | {:>9} | {:>8.3f} | {:>10.1f} KB | {:>9} | {:>12} "
            "| {:>7} | {:>7} | {:<22} | {:<30} | {:>8} |\n",
            rung.version, 1024 * counts.sectors,
            number(rung.fragments ? std::nullopt : std::optional(1024 * counts.conflicts)),
            1024 * counts.barriers, shared / 1024, code ? std::to_string(code->registers) : "-",
            number(of_unit), duration(h100.seconds), duration(h200.seconds), h100.limit,
            fmt::format("{} {}", duration(h100.next_seconds), h100.next),
            time == measured.end() ? "-" : duration(time->second));
    }
    fmt::print("\n");
}

}  // namespace cnpd::bench
#endif
