#!/usr/bin/env python3
"""Checks the machine code of the CUDA kernels against tests/cuda/machine_code.csv.

check_machine_code.py BUILD [--update] [--match TEXT]

BUILD is a configured build folder with the real CUDA backend; its last real architecture is checked.
Needs nvdisasm. The exit status is 1 if
- a loop contains an integer division or a memory barrier (MEMBAR) and DIVISIONS or BARRIERS has no
  reason for it, or a reason is no longer needed;
- a kernel lacks the instructions that REQUIRED claims for it;
- the main loop of a kernel is longer than in the table by more than a tenth and 8 instructions. The
  main loop is the smallest one with half of the tensor-core instructions; without these the innermost
  loop with the most multiply-adds and words of global memory. Only with the compiler that wrote the
  table.
--update writes the table. Exit status 3: no disassembler.
"""

import argparse
import concurrent.futures
import csv
import os
import pathlib
import re
import sys

import compiled
import machine_code

TABLE = pathlib.Path(__file__).with_name("machine_code.csv")
ROOT = pathlib.Path(__file__).resolve().parents[2]

# Regular expressions for "file kernel": why a loop may divide.
GENERAL_CONVOLUTION = ("the plain convolution, for builds without cuDNN, takes positions and taps apart "
                       "for every tile")
DIVISIONS = {
    r"batch_norm/batch_norm.cu (merge_slabs|slab_moments)":
        "the number of rows of a thread or slab, once for many rows",
    r"convolution/convolution.cu multiply": GENERAL_CONVOLUTION,
    r"augmentation/augmentation.cu augment_images": "once for several rows of a thread's columns",
    r"embedding/embedding.cu sum_by_index": "once for 32 columns of a row",
    r"polarizer/batch_statistics.cu": "rows of a class are looked up in the sorted list: sample and position",
    r"polarizer/mixture.cu mix_maps": "rows of a class are looked up in the sorted list: sample and position",
    r"pooling/adaptive.cu adaptive_(forward|backward)": "windows of adaptive pooling begin at quotients",
    r"pooling/pooling.cu (average|max)_(forward|backward)":
        "every output, or input backward, takes its position apart",
    r"stamping/stamping.cu": "integer arithmetic of the trigger's definition",
    r"versions/(polarizer|convolution)_v1.cu one_output": "the naive version: once for an output",
    r"versions/pgd_v1.cu (move|clip_and_normalise)": "the naive version: for every element",
    r"versions/polarizer_v(9|10).cu": "once for a tile of 128 rows",
    r"wgrad_versions/wgrad_v1.cu one_element": "the naive version: once for an element",
    r"wgrad_versions/wgrad_v2.cu shared_tiles": "a row is looked up in the sorted list, once for 32 multiply-adds",
    r"wgrad_versions/wgrad_v[3567].cu (add_partial_sums|sum_over_rows|copy_and_multiply|sum_boxes)":
        "a class's first row is looked up in the sorted list: sample and position; parts of tiles",
}
BARRIERS = {}
# "file kernel": instructions that the documentation claims.
REQUIRED = {
    r"versions/polarizer_v4.cu": ["HMMA"],
    r"versions/polarizer_v5.cu": ["HMMA", "LDGSTS"],
    r"versions/polarizer_v6.cu": ["HMMA", "LDGSTS", "LDSM"],
    r"versions/polarizer_v7.cu": ["HMMA", "LDSM", "UTMALDG"],
    r"versions/polarizer_v(8|9|10).cu": ["HGMMA", "UTMALDG"],
    r"wgrad_versions/wgrad_v5.cu sum_over_rows": ["HMMA"],
    r"wgrad_versions/wgrad_v6.cu copy_and_multiply": ["HMMA", "LDGSTS", "LDSM"],
    r"wgrad_versions/wgrad_v7.cu sum_boxes": ["HGMMA", "UTMALDG"],
}

FAMILIES = ("HMMA", "HGMMA", "LDGSTS", "LDSM", "UTMALDG", "UBLKCP")
COLUMNS = ("file", "kernel", "registers", "static_shared_bytes", "instructions", "loop", "loop_global_bytes", "loop_ffma", *FAMILIES)


def divides(text):
    # The reciprocal of an integer, rounded up, begins every inlined division.
    return re.match(r"I2F\S*\.RP", text) or re.search(r"CALL.*cuda_sm20_(div|rem)_[su]", text)


def bytes_of(text):
    """That a thread accesses in global memory."""
    match = re.match(r"(?:LDG|STG)\.E(\S*)", text)
    if not match:
        return 0
    bits = re.search(r"\.[SU]?(8|16|64|128)\b", match[1])
    return int(bits[1]) // 8 if bits else 4


def count(code, name):
    return sum(each.name.startswith(name) for each in code)


def tensor_products(code):
    return count(code, "HMMA") + count(code, "HGMMA")


def main_loop(kernel, loops):
    bodies = [[kernel.code[i] for i in sorted(loop)] for loop in loops]
    total = max(map(tensor_products, bodies), default=0)
    if total:
        return min((body for body in bodies if 2 * tensor_products(body) >= total), key=len)
    # A division has multiply-adds too, but is not what the loop is for.
    innermost = [body for body, loop in zip(bodies, loops) if not any(other < loop for other in loops)]
    simple = [body for body in innermost if not any(divides(each.text) for each in body)]

    def work(body):
        return count(body, "FFMA") + sum(bytes_of(each.text) for each in body) // 4, len(body)
    return max(simple or innermost, key=work, default=[])


def describe(file, name, kernel, resources):
    """A row of the table, and what its loops contain."""
    loops = machine_code.loops_of(kernel)
    inside = [kernel.code[i] for i in sorted(set().union(*loops))]
    main = main_loop(kernel, loops)
    row = {"file": file, "kernel": name, "registers": resources["registers"],
           "static_shared_bytes": resources["static_shared_bytes"], "instructions": len(kernel.code), "loop": len(main),
           "loop_global_bytes": sum(bytes_of(each.text) for each in main),
           "loop_ffma": count(main, "FFMA")}
    row.update({family: count(kernel.code, family) for family in FAMILIES})
    return row, {"division": any(divides(each.text) for each in inside),
                 "barrier": count(inside, "MEMBAR") > 0}


def kernels_of(nvdisasm, one):
    kernels = machine_code.disassemble(nvdisasm, one.cubin)
    names = compiled.demangled([kernel.name for kernel in kernels])
    resources = one.resources()
    found = [describe(one.name, name, kernel, resources[kernel.name])
             for name, kernel in zip(names, kernels)]
    return sorted(found, key=lambda each: each[0]["kernel"])


def reasoned(found, what, reasons):
    """Complaints about loops with `what` that have no reason, and about reasons without a loop."""
    needed, bad = set(), []
    for row, inside in found:
        if not inside[what]:
            continue
        name = f"{row['file']} {row['kernel']}"
        matching = [pattern for pattern in reasons if re.match(pattern, name)]
        needed.update(matching)
        if not matching:
            bad.append(f"{name}: a loop contains a {what}")
    return bad + [f"no loop has a {what} any more: {pattern}" for pattern in reasons.keys() - needed]


def lacking(found):
    bad = []
    for pattern, families in REQUIRED.items():
        rows = [row for row, _ in found if re.match(pattern, f"{row['file']} {row['kernel']}")]
        bad += [f"{row['file']} {row['kernel']}: no {family}" for row in rows for family in families
                if not row[family]]
        bad += [f"no kernel: {pattern}"] if not rows else []
    return bad


def over_budget(found, table):
    rows = {(row["file"], row["kernel"]): row for row, _ in found}
    bad = [f"{file} {name}: not in {TABLE.name}" for file, name in rows.keys() - table.keys()]
    bad += [f"{file} {name}: in {TABLE.name}, not in the build" for file, name in table.keys() - rows.keys()]
    for key in rows.keys() & table.keys():
        now, before = rows[key]["loop"], int(table[key]["loop"])
        if now > 1.1 * before + 8:
            bad.append(f"{' '.join(key)}: {now} instructions in the main loop, {before} in the table")
    return sorted(bad)


def read_table():
    with TABLE.open(newline="") as file:
        compiler = file.readline().removeprefix("# nvcc ").strip()
        return compiler, {(row["file"], row["kernel"]): row for row in csv.DictReader(file)}


def write_table(found, compiler):
    with TABLE.open("w", newline="") as file:
        file.write(f"# nvcc {compiler}\n")
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row, _ in found)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--match", default="")
    arguments = parser.parse_args()
    nvdisasm = machine_code.find_disassembler(compiled.compiler_of(arguments.build))
    if not nvdisasm:
        print(machine_code.INSTALL, file=sys.stderr)
        return 3
    files = [one for one in compiled.compile_build(arguments.build, arguments.match)
             if one.source.is_relative_to(ROOT / "kernels")]
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        found = [each for kernels in pool.map(kernels_of, [nvdisasm] * len(files), files)
                 for each in kernels]
    compiler = compiled.nvcc_of(arguments.build)
    if arguments.update:
        write_table(found, compiler)
    written_by, table = read_table()
    if arguments.match:  # the rest is not there
        seen = {(row["file"], row["kernel"]) for row, _ in found}
        bad = over_budget(found, {key: row for key, row in table.items() if key in seen})
    else:
        bad = reasoned(found, "division", DIVISIONS) + reasoned(found, "barrier", BARRIERS)
        bad += lacking(found)
        if compiler == written_by:
            bad += over_budget(found, table)
        else:
            print(f"lengths of loops are not compared: nvcc is {compiler}, not {written_by}")
    print(*bad, sep="\n", end="\n" if bad else "")
    print(f"{len(found)} kernels disassembled, {len(bad)} complaints")
    return len(bad) > 0


if __name__ == "__main__":
    sys.exit(main())
