#!/usr/bin/env bash
# Runs the fuzzers and prints the coverage that they reached.
# usage: tests/fuzz/run.sh SECONDS [NAME ...]     SECONDS for each fuzzer; default: all fuzzers
# Needs clang, llvm and libomp-dev. Results are in build/fuzz/: corpus/NAME/, and crash-NAME-* for
# inputs that fail.
set -euo pipefail
seconds=${1:?usage: tests/fuzz/run.sh SECONDS [NAME ...]}
shift
cd "$(dirname "$0")/../.."
llvm_cov=$(command -v llvm-cov llvm-cov-{20,19,18,17,16,15,14} 2>/dev/null | head -1 || true)
llvm_profdata=$(command -v llvm-profdata llvm-profdata-{20,19,18,17,16,15,14} 2>/dev/null | head -1 || true)

cmake --preset fuzz >/dev/null
cmake --build --preset fuzz
export LLVM_PROFILE_FILE=/dev/null
build/fuzz/bin/fuzz_seeds build/fuzz/seeds

failed=0
for source in tests/fuzz/*_fuzz.cpp; do
  name=$(basename "$source" _fuzz.cpp)
  [[ $# -eq 0 || " $* " == *" $name "* ]] || continue
  program=build/fuzz/bin/${name}_fuzz
  corpus=build/fuzz/corpus/$name
  log=build/fuzz/$name.log
  mkdir -p "$corpus" "build/fuzz/seeds/$name"
  options=(-timeout=10 -rss_limit_mb=1024 -max_len=20000 "-artifact_prefix=build/fuzz/crash-$name-")
  [[ -f tests/fuzz/$name.dict ]] && options+=("-dict=tests/fuzz/$name.dict")

  "$program" -max_total_time="$seconds" -print_final_stats=1 "${options[@]}" \
    "$corpus" "build/fuzz/seeds/$name" >"$log" 2>&1 || { failed=1; echo "$name FAILED, see $log"; tail -20 "$log"; }
  echo "$name: $(grep -E '^#[0-9]+.*cov: ' "$log" | tail -1)"
  sed -n 's/^stat::number_of_executed_units: */  executed /p; s/^stat::peak_rss_mb: */  peak MB /p' "$log"

  # Coverage of the sources that the program's first lines name.
  [[ -n $llvm_cov && -n $llvm_profdata ]] || continue
  covered=$(sed -n 's|^// Reads: ||p' "$source" | tr '\n' ' ')
  LLVM_PROFILE_FILE=build/fuzz/$name.profraw "$program" -runs=0 "${options[@]}" "$corpus" \
    "build/fuzz/seeds/$name" >/dev/null 2>&1 || continue
  "$llvm_profdata" merge -sparse "build/fuzz/$name.profraw" -o "build/fuzz/$name.profdata"
  "$llvm_cov" report "$program" -instr-profile="build/fuzz/$name.profdata" |
    awk -v covered="$covered" '
      BEGIN { count = split(covered, sources) }
      { for (i = 1; i <= count; ++i)
          if (index($1, sources[i]) == 1)
            printf "  %s: functions %s, lines %s, branches %s\n", $1, $7, $10, $13 }'
done
exit $failed
