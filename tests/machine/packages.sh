#!/usr/bin/env bash
# Builds and tests the Debian packages, on a bare Debian (bare.sh).
#     packages.sh make DIR   builds the packages and copies them to DIR
#     packages.sh try DIR    installs them from DIR, runs the program, and builds a program with the library
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: $0 make|try DIR" >&2; exit 2; }
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
packages=$(realpath "$2")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

install() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }

apt-get update -qq
case "$1" in
    make)
        "$project/run" packages
        install dpkg-dev file # cpack uses them to find the program's dependencies
        cd "$project"
        # cpack must refuse a build for the processor of this machine.
        cmake -S . -B "$out/native" -G Ninja -DCNPD_BUILD_TESTS=OFF -DCNPD_BUILD_BENCH=OFF >/dev/null
        if (cd "$out/native" && cpack >/dev/null 2>"$out/words"); then
            echo "cpack did not refuse a build with CNPD_ARCH=native" >&2
            exit 1
        fi
        tr -s ' \n' ' ' <"$out/words" | grep -q "cmake --preset package"
        cmake --preset package >/dev/null
        cmake --build --preset package
        cd build/package
        cpack
        cp ./*.deb "$packages"
        ;;
    try)
        install "$packages"/cnpd_*.deb
        cd "$out" # outside of the checkout
        cnpd demo --quiet --train-limit 500 --epochs 1 --width 4 --out demo
        test -s demo/r-cnpd/report.html
        install "$packages"/cnpd-dev_*.deb cmake make
        cmake -S "$project/tests/install/consumer" -B consumer >/dev/null
        cmake --build consumer
        consumer/consumer
        ;;
    *) echo "$0: unknown command $1; use make or try" >&2; exit 2 ;;
esac
