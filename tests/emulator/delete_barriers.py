#!/usr/bin/env python3
"""Runs the kernels without each of their barriers and fences in turn and reports those that no test needs.

delete_barriers.py [--tests build/emulated/bin/kernels_tests] [--jobs N] [--markdown FILE] [FILE[:LINE] ...]

FILE[:LINE]: .cu and .h files below kernels/; default: all files with barriers. Nothing is rebuilt: the
emulator skips a barrier at run time ($CNPD_EMULATOR_LEAVE_OUT), in every kernel that reaches it. Several
blocks run at a time ($CNPD_EMULATOR_BLOCKS), because the fences only matter then. First
each test case runs once with all barriers, to record the barriers that it passes and its time. Then,
for each barrier, these test cases run without it, the fastest first, until one fails. The exit status is
1 if no test fails without a barrier: it is redundant, or a test is missing. Not for builds with
AddressSanitizer, which do not check for races.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BARRIER = re.compile(r"__sync(threads|warp)\(|hopper::cluster_barrier\(|__threadfence\(")
HANGS_AFTER_S = 900

Barrier = collections.namedtuple("Barrier", "file line")
TestCase = collections.namedtuple("TestCase", "name seconds")


def barriers_in(file):
    """The barriers of the kernels in a file, without those in the emulator's own functions."""
    lines = (ROOT / file).read_text().splitlines()
    return [Barrier(str(file), number) for number, line in enumerate(lines, 1) if BARRIER.search(line)]


def all_barriers():
    files = [path.relative_to(ROOT) for ending in ("cu", "h")
             for path in (ROOT / "kernels").rglob(f"*.{ending}") if "emulator" not in path.parts]
    return [barrier for file in sorted(files) for barrier in barriers_in(file)]


def chosen_barriers(names):
    if not names:
        return all_barriers()
    chosen = []
    for name in names:
        file, _, line = name.partition(":")
        found = barriers_in(pathlib.Path(file).resolve().relative_to(ROOT))
        chosen += [each for each in found if not line or each.line == int(line)]
    return chosen


def test_cases(program):
    listed = subprocess.run([program, "--list-test-cases"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if line and line[0] not in "[="]


def run_case(program, name, **environment):
    """Output and status of one test case; None for both if it does not end."""
    command = [program, "--abort-after=1", "--test-case=" + name.replace(",", "\\,")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS_AFTER_S,
                              env={**os.environ, "CNPD_EMULATOR_BLOCKS": "4", **environment})
    except subprocess.TimeoutExpired:
        return None, None
    return done.stdout, done.returncode


def passes(program, name):
    """(test case, {barrier: kernels}) of a run with all barriers."""
    with tempfile.NamedTemporaryFile("r", suffix=".txt") as notes:
        start = time.monotonic()
        output, status = run_case(program, name, CNPD_EMULATOR_BARRIERS=notes.name)
        seconds = time.monotonic() - start
        if status != 0:
            sys.exit(f"fails with all barriers: {name}\n{output}")
        passed = collections.defaultdict(set)
        for line in notes:
            path, number, kernel = line.rstrip("\n").rsplit(":", 2)
            inside = re.search(r"(?:^|/)(kernels/.*)", path)
            if inside and "tests/kernels" not in path:
                passed[Barrier(inside[1], int(number))].add(kernel)
    return TestCase(name, seconds), passed


def missed_by(program, barrier, cases):
    """The test case that fails without the barrier and its message, or None."""
    place = f"{barrier.file}:{barrier.line}"
    for case in sorted(cases, key=lambda case: case.seconds):
        output, status = run_case(program, case.name, CNPD_EMULATOR_LEAVE_OUT=place)
        if status != 0:
            said = re.search(r"kernel .*|ERROR:.*", output or "")
            return case.name, said[0] if said else "does not end" if status is None else "fails"
    return None


def table(results, kernels):
    """Markdown: a row for each file."""
    rows = ["| file | kernels | barriers | a test fails without it |", "|---|---|---|---|"]
    for file in sorted({barrier.file for barrier in results}):
        here = [barrier for barrier in results if barrier.file == file]
        users = sorted(set().union(*(kernels[barrier] for barrier in here)))
        shown = ", ".join(users) if len(users) < 6 else f"{len(users)} operations"
        missed = sum(results[barrier] is not None for barrier in here)
        rows.append(f"| {file.removeprefix('kernels/')} | {shown} | {len(here)} | {missed} |")
    missed = sum(found is not None for found in results.values())
    rows.append(f"| all | | {len(results)} | {missed} |")
    return "\n".join(rows) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="*", metavar="FILE[:LINE]")
    parser.add_argument("--tests", default=ROOT / "build/emulated/bin/kernels_tests")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--markdown", type=pathlib.Path, metavar="FILE", help="write the table to FILE")
    arguments = parser.parse_args()
    program = str(arguments.tests)
    barriers = chosen_barriers(arguments.places)
    cases_of, kernels = collections.defaultdict(list), collections.defaultdict(set)
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for case, passed in pool.map(lambda name: passes(program, name), test_cases(program)):
            for barrier, names in passed.items():
                cases_of[barrier].append(case)
                kernels[barrier] |= names
        results = {}
        runs = pool.map(lambda barrier: missed_by(program, barrier, cases_of[barrier]), barriers)
        for barrier, found in zip(barriers, runs):
            results[barrier] = found
            said = "{}: {}".format(*found) if found else \
                "NO TEST FAILS" if cases_of[barrier] else "NOT REACHED"
            print(f"{barrier.file}:{barrier.line}: {said}", flush=True)
    print(table(results, kernels), end="")
    if arguments.markdown:
        arguments.markdown.write_text(table(results, kernels))
    return any(found is None for found in results.values())


if __name__ == "__main__":
    sys.exit(main())
