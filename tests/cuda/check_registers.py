#!/usr/bin/env python3
"""Checks that no CUDA kernel spills registers or keeps arrays in local memory.

check_registers.py BUILD [--csv FILE] [--match TEXT]

BUILD is a configured build folder with the real CUDA backend. The device code of each .cu file in its
compile_commands.json is compiled again with ptxas's report, for the last real architecture of the
build. The exit status is 1 if a kernel that is not in ALLOWED has a stack frame or spills. --csv writes
the registers, shared memory and stack of every kernel; --match selects files whose path contains TEXT.
"""

import argparse
import concurrent.futures
import csv
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

# Part of a kernel's demangled name: the reason why it may use local memory.
ALLOWED = {}

KERNEL = re.compile(
    r"Compiling entry function '(?P<name>\S+)' for '(?P<architecture>\S+)'"
    r".*?(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads"
    r".*?Used (?P<registers>\d+) registers(?P<more>[^\n]*)", re.DOTALL)


def report_of(entry):
    """ptxas's report on one file."""
    command = shlex.split(entry["command"])
    command = command[next(i for i, part in enumerate(command) if part.endswith("nvcc")):]
    for flag in ("-o", "-MF", "-MT"):
        if flag in command:
            del command[command.index(flag):command.index(flag) + 2]
    command = [part for part in command if part not in ("-c", "-dc", "-MD", "-x", "cu")]
    real = re.findall(r"sm_(\w+)", " ".join(command))
    if not real:
        sys.exit(f"the build names no architecture: {entry['command']}")
    command = [part for part in command if "compute_" not in part]
    command.append(f"-gencode=arch=compute_{real[-1]},code=sm_{real[-1]}")
    done = subprocess.run([*command, "-cubin", "-Xptxas=-v", "-o", os.devnull], text=True,
                          cwd=entry["directory"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.exit(f"{entry['file']} does not compile:\n{done.stdout}")
    return done.stdout


def demangled(names):
    try:
        done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True,
                              check=True)
    except (OSError, subprocess.CalledProcessError):
        return names
    # Without return type, namespaces and parameters.
    short = [re.sub(r"\(anonymous namespace\)::|cnpd::kernels::|cuda::|^void ", "", name)
             for name in done.stdout.splitlines()]
    return [re.sub(r"\((?!.*>\().*$", "", name) for name in short]


def kernels_of(entry):
    text = report_of(entry)
    found = list(KERNEL.finditer(text))
    folder = pathlib.Path(entry["file"])
    shared = [re.search(r"(\d+) bytes smem", match["more"]) for match in found]
    return [{"file": f"{folder.parent.name}/{folder.name}", "kernel": name,
             "architecture": match["architecture"], "registers": int(match["registers"]),
             "static_shared_bytes": int(smem[1]) if smem else 0, "stack_bytes": int(match["stack"]),
             "spilled_bytes": int(match["stores"]) + int(match["loads"])}
            for match, name, smem in zip(found, demangled([m["name"] for m in found]), shared)]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--csv", type=pathlib.Path)
    parser.add_argument("--match", default="")
    arguments = parser.parse_args()
    entries = json.loads((arguments.build / "compile_commands.json").read_text())
    entries = [entry for entry in entries
               if entry["file"].endswith(".cu") and arguments.match in entry["file"]]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        kernels = [kernel for found in pool.map(kernels_of, entries) for kernel in found]
    if not kernels:
        sys.exit("no kernels found")
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, kernels[0])
            writer.writeheader()
            writer.writerows(kernels)
    bad = 0
    for kernel in kernels:
        if not kernel["stack_bytes"] and not kernel["spilled_bytes"]:
            continue
        reason = next((why for part, why in ALLOWED.items() if part in kernel["kernel"]), None)
        bad += reason is None
        print(f"{kernel['file']}: {kernel['kernel']}: {kernel['stack_bytes']} bytes of stack, "
              f"{kernel['spilled_bytes']} spilled{': allowed, ' + reason if reason else ''}")
    most = max(kernels, key=lambda kernel: kernel["registers"])
    print(f"{len(kernels)} kernels for {most['architecture']}, {bad} with spills or local memory; "
          f"at most {most['registers']} registers ({most['kernel']})")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
