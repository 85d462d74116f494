#!/usr/bin/env python3
"""Installs a build and uses the library from another project.

install_test.py BUILD CMAKE COMPILER
"""

import pathlib
import subprocess
import sys
import tempfile

CONSUMER = pathlib.Path(__file__).resolve().parent / "consumer"


def run(*command):
    done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nended with status {done.returncode}:\n{done.stdout}")
    return done.stdout


def main():
    build, cmake, compiler = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        prefix, consumer = pathlib.Path(folder) / "prefix", pathlib.Path(folder) / "consumer"
        run(cmake, "--install", build, "--prefix", prefix)
        print(run(prefix / "bin" / "cnpd", "--help").splitlines()[0])

        # The headers for programs; those of kernels are for the other libraries, and partly for nvcc.
        include = prefix / "include" / "cnpd"
        headers = [path.relative_to(include) for room in ("engine", "models", "datasets", "cnpd")
                   for path in sorted((include / room).rglob("*.h"))]
        assert len(headers) > 60, f"only {len(headers)} headers were installed"
        run(cmake, "-S", CONSUMER, "-B", consumer, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}",
            f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_CXX_FLAGS=-Wall",
            f"-DHEADERS={';'.join(map(str, headers))}")
        words = run(cmake, "--build", consumer)
        # The consumer's unused variable, which our flags make an error, is only a warning there.
        assert "unused variable" in words, words
        print(run(consumer / "consumer").strip())


main()
