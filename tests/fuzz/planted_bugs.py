#!/usr/bin/env python3
"""Tests the fuzzers: plants one bug in each reader, in a copy of the sources, and checks that it is found.

usage: tests/fuzz/planted_bugs.py [--seconds 120] [NAME ...]

The copy and its build stay in build/planted. Needs the same packages as run.sh. The exit status is 1 if a
fuzzer does not find its bug.
"""
import argparse
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPY = ROOT / "build/planted"

# fuzzer: file, original text, text with the bug
BUGS = {
    "safetensors": ("engine/safetensors.cpp", "if (length > longest)", "if (length > 2 * longest)"),
    "cifar10_binary": ("datasets/cifar10/binary.cpp", "record[0] >= kClassNames", "record[0] >= 10 * kClassNames"),
    "cifar10_python": ("datasets/cifar10/pickle.cpp", "if (count > file_.size() - position_)",
                       "if (count > file_.size() - position_ + 1)"),
    "config": ("cnpd/settings/toml_entries.cpp", "if (at_end() || at_line_end()) fail_here(\"a closing quote\")",
               "if (at_line_end()) fail_here(\"a closing quote\")"),
    "annotations": ("datasets/annotations.cpp", " || label >= classes)", ")"),
    "archive": ("datasets/files/archive_reader.cpp",
                "if (result.clutter.empty() && !is_printable(path)) refuse(kPrintable);", ""),
    "image": ("datasets/image.cpp", "if (codes > kMostCodes)", "if (codes > 8 * kMostCodes)"),
}


def run(*command, **options):
    return subprocess.run([str(part) for part in command], cwd=COPY, **options)


def copy_sources():
    """Updates the copy; writes only files that differ, so that builds are short."""
    COPY.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    names = set(listed.decode().split("\0")) - {""}
    for old in COPY.rglob("*"):
        name = old.relative_to(COPY)
        if old.is_file() and name.parts[0] != "build" and str(name) not in names:
            old.unlink()
    for name in sorted(names):
        source, target = ROOT / name, COPY / name
        if not source.is_file() or (target.is_file() and target.read_bytes() == source.read_bytes()):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())


def finds(fuzzer, seconds):
    """Returns whether the bug was found, and after how many seconds."""
    path, before, after = BUGS[fuzzer]
    source = COPY / path
    text = source.read_text()
    if text.count(before) != 1:
        sys.exit(f"{path}: '{before}' does not occur exactly once; choose another bug for {fuzzer}")
    source.write_text(text.replace(before, after))
    try:
        run("cmake", "--build", "--preset", "fuzz", "--target", f"{fuzzer}_fuzz", check=True,
            stdout=subprocess.DEVNULL)
        corpus = COPY / "build/fuzz/planted" / fuzzer
        corpus.mkdir(parents=True, exist_ok=True)
        for old in corpus.iterdir():
            old.unlink()
        dictionary = COPY / f"tests/fuzz/{fuzzer}.dict"
        started = time.monotonic()
        result = run(f"build/fuzz/bin/{fuzzer}_fuzz", f"-max_total_time={seconds}", "-max_len=20000",
                     f"-artifact_prefix={corpus}-", *([f"-dict={dictionary}"] if dictionary.exists() else []),
                     corpus, f"build/fuzz/seeds/{fuzzer}", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return result.returncode != 0, time.monotonic() - started
    finally:
        source.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=120, help="limit for each fuzzer (default 120)")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BUGS)}; default: all")
    arguments = parser.parse_args()
    copy_sources()
    run("cmake", "--preset", "fuzz", check=True, stdout=subprocess.DEVNULL)
    run("cmake", "--build", "--preset", "fuzz", "--target", "fuzz_seeds", check=True, stdout=subprocess.DEVNULL)
    run("build/fuzz/bin/fuzz_seeds", "build/fuzz/seeds", check=True, stdout=subprocess.DEVNULL)
    missed = []
    for fuzzer in arguments.names or BUGS:
        found, seconds = finds(fuzzer, arguments.seconds)
        print(f"{fuzzer}: {'found' if found else 'MISSED'} after {seconds:.1f} s", flush=True)
        if not found:
            missed.append(fuzzer)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
