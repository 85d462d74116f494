#!/usr/bin/env python3
"""Checks that no CUDA kernel spills registers or keeps arrays in local memory.

check_registers.py BUILD [--csv FILE] [--match TEXT]

BUILD is a configured build folder with the real CUDA backend. The device code of each .cu file in its
compile_commands.json is compiled again with ptxas's report, for the last real architecture of the
build. The exit status is 1 if a kernel that is not in ALLOWED has a stack frame or spills. --csv writes
the registers, shared memory and stack of every kernel; --match selects files whose path contains TEXT.
"""

import argparse
import csv
import pathlib
import sys

import compiled

# Part of a kernel's demangled name: the reason why it may use local memory.
ALLOWED = {}


def kernels_of(one):
    resources = one.resources()
    return [{"file": one.name, "kernel": name, **of_kernel}
            for name, of_kernel in zip(compiled.demangled(list(resources)), resources.values())]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--csv", type=pathlib.Path)
    parser.add_argument("--match", default="")
    arguments = parser.parse_args()
    kernels = [kernel for one in compiled.compile_build(arguments.build, arguments.match)
               for kernel in kernels_of(one)]
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
