#!/usr/bin/env python3
"""Deletes each barrier of the kernels in turn and reports the ones that no test misses.

delete_barriers.py [FILE ...]     .cu and .h files below kernels/; none: all that have barriers

Works on a copy of the sources in build/barriers, so that the tree stays as it is; builds and runs the
kernel tests of the emulated backend there, once for each barrier: minutes. Exit status 1 when a
barrier can go without a test failing: it is redundant, or a test is missing.
"""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPY = ROOT / "build" / "barriers" / "source"
BUILD = ROOT / "build" / "barriers" / "build"
BARRIER = re.compile(r"__sync(threads|warp)\([^)]*\);")
PARTS = ["CMakeLists.txt", "CMakePresets.json", "cmake", "kernels", "engine", "models", "datasets",
         "cnpd", "tests", "bench"]


def copy_sources():
    COPY.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source, target = ROOT / part, COPY / part
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)


def run(*command):
    return subprocess.run([str(part) for part in command], cwd=COPY, capture_output=True, text=True)


def build_and_test():
    """Returns None when all tests pass, else what went wrong."""
    built = run("cmake", "--build", BUILD, "--target", "kernels_tests", "emulator_tests")
    if built.returncode != 0:
        sys.exit(f"does not build:\n{built.stdout[-3000:]}")
    for program in ("kernels_tests", "emulator_tests"):
        tested = run(BUILD / "bin" / program, "--abort-after=1")
        if tested.returncode != 0:
            found = re.search(r"kernel .*|ERROR.*", tested.stdout)
            return found.group(0) if found else "failed"
    return None


def barriers(path):
    """(start, end, line number) of each barrier; those of the emulator itself are not kernels'."""
    text = path.read_text()
    for match in BARRIER.finditer(text):
        yield match.start(), match.end(), text.count("\n", 0, match.start()) + 1


def main():
    files = [pathlib.Path(name).resolve().relative_to(ROOT) for name in sys.argv[1:]]
    if not files:
        files = [path.relative_to(ROOT) for ending in ("cu", "h")
                 for path in sorted((ROOT / "kernels").rglob(f"*.{ending}"))
                 if "emulator" not in path.parts]
    copy_sources()
    run("cmake", "-S", COPY, "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
        "-DCNPD_CUDA=EMULATE", "-DCNPD_BUILD_BENCH=OFF")
    failure = build_and_test()
    if failure:
        sys.exit(f"tests fail before any barrier is deleted: {failure}")
    missed = 0
    for file in files:
        original = (COPY / file).read_text()
        for start, end, line in barriers(ROOT / file):
            (COPY / file).write_text(original[:start] + ";" + original[end:])
            failure = build_and_test()
            missed += failure is None
            print(f"{file}:{line}: {failure or 'NOT MISSED'}", flush=True)
        (COPY / file).write_text(original)
    print(f"{missed} barriers can go without a test failing")
    return missed > 0


if __name__ == "__main__":
    sys.exit(main())
