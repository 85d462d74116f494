#include "bench/model/machine_code.h"

#include <fstream>
#include <vector>

#include <fmt/format.h>

#include "kernels/common/error.h"

namespace cnpd::bench {
namespace {

// Quotes enclose cells that contain commas.
std::vector<std::string> cells_of(const std::string& line) {
    std::vector<std::string> cells(1);
    bool quoted = false;
    for (const char c : line) {
        if (c == '"')
            quoted = !quoted;
        else if (c == ',' && !quoted)
            cells.emplace_back();
        else
            cells.back() += c;
    }
    return cells;
}

}  // namespace

std::map<std::pair<std::string, std::string>, MachineCode> read_machine_code(
    const std::filesystem::path& table) {
    std::ifstream in(table);
    std::string line;
    std::getline(in, line);  // the compiler
    std::getline(in, line);
    const std::vector<std::string> head = cells_of(line);
    if (!in) throw Error(fmt::format("cannot read {}", table.string()));
    std::map<std::pair<std::string, std::string>, MachineCode> kernels;
    while (std::getline(in, line)) {
        std::map<std::string, std::string> row;
        const std::vector<std::string> cells = cells_of(line);
        for (std::size_t i = 0; i < std::min(head.size(), cells.size()); ++i)
            row[head[i]] = cells[i];
        const auto number = [&](const char* column) { return std::stoi(row.at(column)); };
        kernels[{row.at("file"), row.at("kernel")}] = {
            .registers = number("registers"),
            .static_shared = number("static_shared_bytes"),
            .loop = number("loop"),
            .loop_bytes = number("loop_global_bytes"),
            .loop_multiply_adds = number("loop_ffma"),
            .tensor = number("HMMA") + number("HGMMA")};
    }
    return kernels;
}

}  // namespace cnpd::bench
