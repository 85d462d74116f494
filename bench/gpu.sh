#!/usr/bin/env bash
# Builds, tests and measures on a GPU; see --help.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
    cat <<'TEXT'
bench/gpu.sh [--stage STAGE]... [--device cuda|emulated] [options] [OUT]

Builds for this machine's GPU, tests, measures, and writes CSV, JSON and summary.md to OUT
(default: gpu-day). Every stage can be run separately and takes at most ten minutes:

  build     configure and build program, tests and benchmarks
  test      all tests, those of kernels on the GPU first
  sanitize  compute-sanitizer's memcheck, racecheck and initcheck on the kernel tests; emulated: a
            separate build with AddressSanitizer and UBSan, and its tests
  bench     every benchmark program (bench_*): Google Benchmark's JSON and CSV; the ladders of kernel
            versions, predicted and measured (ladder.md)
  compare   training step, PGD step and a whole r-CNPD defense (2,500 images, 50 epochs) against
            PyTorch, eager and compiled
  train     train on CIFAR-10 (or drawn images) with a backdoor, defend, report
  summary   write summary.md from the other stages' files in OUT; runs after every call

  --device emulated   the same without a GPU, with small sizes, as a test of the script
  --prefix DIR        folder with include/ and lib/ of dependencies (can be repeated)
  --debs DIR          folder of .deb packages with the dependencies; unpacked in the build folder
  --data DIR|FILE     CIFAR-10: its folder, or cifar-10-*.tar.gz
  --python PYTHON     interpreter with PyTorch, for compare; its packages also supply cuDNN and
                      cuBLASLt if the toolkit has none (default: python3)
  --jobs N            parallel jobs (default: all cores)

Uses no network. The exit status is 1 if a stage fails; later stages still run.
TEXT
}

fail() {
    echo "gpu.sh: $*" >&2
    exit 2
}

device=cuda python=python3 data="" debs="" jobs=$(nproc) out=gpu-day
stages=() prefixes=()
while [ $# -gt 0 ]; do
    case "$1" in
        -h | --help) usage && exit ;;
        --stage) stages+=("${2:?}") && shift ;;
        --device) device=${2:?} && shift ;;
        --prefix) prefixes+=("$(realpath "${2:?}")") && shift ;;
        --debs) debs=$(realpath "${2:?}") && shift ;;
        --data) data=$(realpath "${2:?}") && shift ;;
        --python) python=${2:?} && shift ;;
        --jobs) jobs=${2:?} && shift ;;
        -*) fail "unknown option $1 (see --help)" ;;
        *) out=$1 ;;
    esac
    shift
done
[ ${#stages[@]} -gt 0 ] || stages=(build test sanitize bench compare train)
case "$device" in
    cuda) build=$root/build/gpu ;;
    emulated) build=$root/build/gpu-emulated ;;
    *) fail "--device must be cuda or emulated" ;;
esac
mkdir -p "$out"
out=$(realpath "$out")
PATH=$PATH:/usr/local/cuda/bin
unpacked=$root/build/gpu-packages
emulated() { [ "$device" = emulated ]; }

# Makes a prefix known when configuring, compiling, linking and running.
use_prefix() {
    local libraries
    export CMAKE_PREFIX_PATH="$1${CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH}"
    export CPATH="$1/include${CPATH:+:$CPATH}"
    for libraries in "$1/lib" "$1/lib64" "$1/lib/$(uname -m)-linux-gnu"; do
        [ -d "$libraries" ] || continue
        export LIBRARY_PATH="$libraries${LIBRARY_PATH:+:$LIBRARY_PATH}"
        export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    done
}

use_packages() {
    local prefix
    if [ -n "$debs" ] && [ ! -d "$unpacked" ]; then
        for package in "$debs"/*.deb; do dpkg -x "$package" "$unpacked"; done
    fi
    for prefix in ${prefixes[@]+"${prefixes[@]}"} "$unpacked/usr"; do
        [ ! -d "$prefix" ] || use_prefix "$prefix"
    done
}

# Folders of Python's packages with include/ and lib/ of NVIDIA's libraries, separated by semicolons.
python_cuda_roots() {
    "$python" - <<'PYTHON' || true
import glob, site, sys
folders = [*site.getsitepackages(), site.getusersitepackages(), *sys.path]
found = dict.fromkeys(root[:-len("/include")] for folder in folders if folder
                      for root in glob.glob(f"{folder}/nvidia/*/include"))
print(";".join(found))
PYTHON
}

stage_build() {
    local options=(-DCMAKE_BUILD_TYPE=Release -DCNPD_BUILD_BENCH=ON)
    if emulated; then
        options+=(-DCNPD_CUDA=EMULATE)
    else
        command -v nvcc >/dev/null || fail "nvcc not found; add CUDA's bin folder to PATH"
        local major_minor
        major_minor=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)
        [ "$major_minor" != 90 ] || major_minor=90a
        options+=(-DCNPD_CUDA=ON "-DCMAKE_CUDA_ARCHITECTURES=$major_minor"
            "-DCNPD_CUDA_ROOTS=$(python_cuda_roots)")
    fi
    cmake -S "$root" -B "$build" -G Ninja "${options[@]}"
    cmake --build "$build" --parallel "$jobs"
    cmake --build "$build" --parallel "$jobs" --target ladder
    emulated && return
    "$root/tests/cuda/check_registers.py" "$build" --csv "$out/registers.csv"
    # Counts and predictions are the emulator's.
    cmake -S "$root" -B "$build-ladder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCNPD_CUDA=EMULATE \
        -DCNPD_BUILD_BENCH=OFF
    cmake --build "$build-ladder" --parallel "$jobs" --target ladder
}

# Kernels first, because all other tests depend on them.
stage_test() {
    local status=0 first='^cuda/'
    emulated && first='^(emulator|kernels)/|every device'
    run_ctest() {
        ctest --test-dir "$build" --output-on-failure --output-junit "$out/ctest_$1.xml" "${@:2}"
    }
    run_ctest gpu --parallel "$(emulated && echo "$jobs" || echo 1)" -R "$first" || status=1
    run_ctest rest --parallel "$jobs" -E "$first" || status=1
    return $status
}

# Without the convolutions: checking every access of all their shapes takes more than ten minutes.
stage_sanitize() {
    if emulated; then
        echo "compute-sanitizer needs a GPU; running the emulated kernels' tests with AddressSanitizer and UBSan"
        sanitize_emulated
        return
    fi
    command -v compute-sanitizer >/dev/null || fail "compute-sanitizer not found; add CUDA's bin folder to PATH"
    local tool status=0
    for tool in memcheck racecheck initcheck; do
        echo "== $tool"
        CNPD_TEST_CUDA=1 timeout 180 compute-sanitizer --tool "$tool" --error-exitcode 9 \
            "$build/bin/kernels_tests" --test-case-exclude='*convolution*' \
            >"$out/sanitizer_$tool.txt" 2>&1 || status=1
        tail -3 "$out/sanitizer_$tool.txt"
    done
    return $status
}

# Stage test finds races and uninitialised shared memory; this finds accesses outside of allocations.
sanitize_emulated() {
    cmake -S "$root" -B "$build-asan" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCNPD_CUDA=EMULATE \
        -DCNPD_SANITIZE=address,undefined -DCNPD_BUILD_BENCH=OFF
    cmake --build "$build-asan" --parallel "$jobs" --target emulator_tests kernels_tests
    ctest --test-dir "$build-asan" --output-on-failure --output-junit "$out/ctest_asan.xml" \
        --parallel "$jobs" -R '^(emulator|kernels)/'
}

# Runs a program of the bench stage within the stage's remaining time.
in_time_left() {
    timeout "$((bench_end > SECONDS ? bench_end - SECONDS : 1))" "$@"
}

# The cost of the methods: at inference, and by number of classes.
bench_methods() {
    local status=0 header=--header common=(--device "$device")
    local inference=(--width 64 --batch 1 256 4096 --precision bf16)
    local scaling=(--width 64) classes=(10 50 100 200 1000)
    if emulated; then
        inference=(--width 2 --batch 1 --repeats 1 --warm-up 0)
        scaling=(--width 2 --size 8 --batch 2 --repeats 1 --warm-up 1) classes=(10)
    fi
    echo "== bench_inference"
    in_time_left "$build/bin/bench_inference" "${common[@]}" "${inference[@]}" \
        >"$out/inference.csv" || status=1
    echo "== bench_class_scaling"
    : >"$out/class_scaling.csv"
    for count in "${classes[@]}"; do
        for method in r-cnpd a-cnpd; do
            in_time_left "$build/bin/bench_class_scaling" "${common[@]}" "${scaling[@]}" $header \
                --classes "$count" --method "$method" >>"$out/class_scaling.csv" || status=1
            header=""
        done
    done
    return $status
}

# Every version of an operation: predicted, and on a GPU measured.
bench_ladder() {
    local status=0 times=()
    if ! emulated; then
        times=(--times "$out/ladder.txt")
        in_time_left "$build/bin/ladder" "${times[@]}" || status=1
        build=$build-ladder
    fi
    in_time_left "$build/bin/ladder" ${times[@]+"${times[@]}"} | tee "$out/ladder.md" || status=1
    return $status
}

# All bench_* except those that compare.py runs.
stage_bench() {
    local program name status=0 sizes=() bench_end=$((SECONDS + 570))
    emulated && sizes=(--batch 1)
    for program in "$build"/bin/bench_*; do
        name=$(basename "$program")
        case "$name" in
            bench_train_step | bench_defense_epoch | bench_pgd_step) continue ;;  # see stage_compare
            bench_inference | bench_class_scaling) continue ;;                    # below
        esac
        echo "== $name"
        in_time_left "$program" --device "$device" ${sizes[@]+"${sizes[@]}"} \
            --benchmark_min_time=0.05 --benchmark_out="$out/$name.json" --benchmark_out_format=json || status=1
        "$root/bench/summary.py" --csv "$out/$name.json" || status=1
    done
    bench_methods || status=1
    (bench_ladder) || status=1
    return $status
}

stage_compare() {
    local status=0 batch=512 pgd=8192 width=64 repeats=10 flags=(--compiled)
    local images=2500 defense_batch=128 epochs=50 threads=$jobs
    if emulated; then
        # On a CPU PyTorch 2.15 crashes in convolutions of fewer than 8 channels.
        batch=2 pgd=4 width=8 repeats=1 threads=1 flags=(--warm-up 1)
        images=4 defense_batch=2 epochs=2
    fi
    if ! "$python" -c 'import torch, safetensors' 2>/dev/null; then
        echo "$python has no torch or no safetensors; measuring only our programs"
        flags+=(--alone)
    fi
    compare() { # work, program, options...
        "$root/bench/compare.py" "$1" --ours "$build/bin/$2" --python "$python" --device "$device" \
            --out "$out" --repeats "$repeats" --threads "$threads" ${flags[@]+"${flags[@]}"} "${@:3}" ||
            status=1
    }
    compare pgd bench_pgd_step --batch "$pgd"
    local precision
    for precision in fp32 $(emulated || echo tf32 bf16); do
        compare train bench_train_step --batch "$batch" --width "$width" --precision "$precision" --share
        # PyTorch makes the victim and its images.
        [[ " ${flags[*]} " == *" --alone "* ]] || compare defense bench_defense_epoch --share \
            --images "$images" --batch "$defense_batch" --width "$width" --precision "$precision" \
            --all-steps --epochs "$epochs" --repeats 1 --warm-up 1
    done
    return $status
}

stage_train() {
    local source=(--dataset synthetic) sizes=(--width 64 --epochs 10 --batch-size 512)
    local defense=(--epochs 50)
    if [ -f "$data" ]; then
        mkdir -p "$build/data"
        tar -xf "$data" -C "$build/data"
        data=$build/data
    fi
    [ -z "$data" ] || source=(--dataset cifar10 --data "$data")
    if emulated; then
        sizes=(--width 1 --epochs 1 --batch-size 4 --train-limit 20 --test-limit 20)
        defense=(--epochs 1 --warmup-epochs 1 --batch-size 4 --clean-ratio 0.5)
    fi
    local run=$out/run
    "$build/bin/cnpd" train "${source[@]}" "${sizes[@]}" --attack badnets --device "$device" \
        --out "$run" --overwrite
    "$build/bin/cnpd" defend --run "$run" --method r-cnpd "${defense[@]}" --device "$device" \
        --out "$run/r-cnpd" --overwrite
    "$build/bin/cnpd" report --run "$run/r-cnpd"
    cp "$run/result.json" "$out/train.json"
    cp "$run/r-cnpd/result.json" "$out/defend.json"
    cp "$run/r-cnpd/report.html" "$out/report.html"
    rm -rf "$run"
}

stage_summary() {
    "$root/bench/summary.py" "$out" --device "$device" --python "$python" --build "$build"
}

use_packages
failed=0
for stage in "${stages[@]}"; do
    declare -F "stage_$stage" >/dev/null || fail "unknown stage $stage (see --help)"
    [ "$stage" = summary ] && continue
    echo "=== $stage ($(date +%T))"
    start=$SECONDS
    status=ok
    # In a subshell, so that an error ends only this stage.
    set +e
    (set -e; "stage_$stage") 2>&1 | tee "$out/$stage.log"
    [ "${PIPESTATUS[0]}" -eq 0 ] || { status=failed failed=1; }
    set -e
    echo "$stage,$status,$((SECONDS - start)),$device" >"$out/stage_$stage.csv"
    echo "=== $stage: $status after $((SECONDS - start)) s"
done
stage_summary
exit "$failed"
