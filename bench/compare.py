#!/usr/bin/env python3
"""Alternates one of our benchmark programs with PyTorch on the same work, and compares them.

    bench/compare.py train --ours build/cpu/bin/bench_train_step --width 64
    bench/compare.py defense --ours build/cpu/bin/bench_defense_epoch --width 16
    bench/compare.py defense --ours build/cuda/bin/bench_defense_epoch --device cuda --epochs 50 --repeats 1
    bench/compare.py inference --ours build/cpu/bin/bench_inference --python .venv/bin/python
    bench/compare.py pgd --ours build/cuda/bin/bench_pgd_step --device cuda --batch 8192

The programs stay loaded and alternate, so that other load on the machine affects all of them; see
bench/pytorch/interactive.py for the protocol. A turn is a step, an epoch, or with --epochs a whole
defense; the setup is not timed. Without --ours only PyTorch is measured. Needs only Python's standard
library; --python names the interpreter with PyTorch.
"""

import argparse
import csv
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile

import compare_inference

HERE = pathlib.Path(__file__).resolve().parent
YARDSTICK = HERE / "pytorch"
SCRIPTS = {"train": "train_step.py", "defense": "defense_epoch.py", "pgd": "pgd_step.py"}

# A spinning barrier would occupy the core on which the other program is timed.
ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", **os.environ}


class Program:
    """A child process that answers "step" with a line of JSON."""

    def __init__(self, name, command):
        self.name, self.command, self.results = name, command, []
        self.convolution_share = None
        self.process = subprocess.Popen([str(part) for part in command], text=True, bufsize=1,
                                        env=ENVIRONMENT, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def step(self):
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        for line in self.process.stdout:  # anything before the answer, such as "ready", is skipped
            if line.startswith("{"):
                return json.loads(line)
        sys.exit(f"{self.name} ended without an answer (status {self.process.wait()})")

    def turn(self, steps):
        """Runs several steps and adds up their seconds and gradients to one result."""
        answers = [self.step() for _ in range(steps)]
        sums = {key: sum(answer[key] for answer in answers)
                for key in ("seconds", "cpu_seconds", "batches", "pgd_gradients") if key in answers[0]}
        self.results.append({**answers[-1], **sums})

    def quit(self):
        self.process.stdin.write("quit\n")
        self.process.stdin.close()
        self.process.wait()

    def summary(self):
        seconds = sorted(result["seconds"] for result in self.results)
        quarter = len(seconds) // 4
        return {"program": self.name, "median_s": statistics.median(seconds),
                "fastest_s": seconds[0], "slowest_s": seconds[-1],
                "quartile1_s": seconds[quarter], "quartile3_s": seconds[-1 - quarter],
                "peak_rss_bytes": max(result["peak_rss_bytes"] for result in self.results),
                "peak_device_bytes": max(result.get("peak_device_bytes", 0)
                                         for result in self.results),
                "convolution_share": self.convolution_share}


def cpu_model():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", text, re.MULTILINE)
    known = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
             if flags and name in flags.group(1).split()]
    return f"{match.group(1) if match else platform.machine()} ({' '.join(known)})"


def output_of(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False,
                          env=ENVIRONMENT)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def circumstances(arguments):
    facts = {
        "date": datetime.date.today().isoformat(),
        "commit": output_of("git", "-C", HERE, "describe", "--always", "--dirty"),
        "pytorch": output_of(arguments.python, "-c", "import torch; print(torch.__version__)"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "load_before": f"{os.getloadavg()[0]:.2f}",
    }
    if arguments.device == "cuda":
        facts["gpu"] = output_of("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    return facts


def commands(arguments, folder):
    """Name and command line of each program."""
    common = ["--interactive", "--batch", arguments.batch, "--threads", arguments.threads]
    torch_device = arguments.device if arguments.device == "cuda" else "cpu"
    if arguments.work == "defense":
        files = ["--weights", folder / "victim.safetensors", "--images", folder / "images.safetensors"]
        subprocess.run([arguments.python, YARDSTICK / "make_victim.py", *files, "--width",
                        str(arguments.width), "--threads", str(arguments.threads), "--device",
                        torch_device, "--count", str(arguments.images)], check=True)
        common += files + ["--all-steps"] * arguments.all_steps
    elif arguments.work == "train":
        common += ["--width", arguments.width]
    precision = ["--precision", arguments.precision]
    theirs = [arguments.python, YARDSTICK / SCRIPTS[arguments.work], *common, *precision, "--device",
              torch_device, *arguments.pytorch_option]
    chosen = [("pytorch", theirs)]
    if arguments.compiled:
        chosen.append(("pytorch-compile", [*theirs, "--compile"]))
    if arguments.ours:
        if "--precision" not in output_of(arguments.ours, "--help"):
            precision = []  # supports float32 only
        if arguments.alone:
            chosen.clear()
        chosen.insert(0, ("cnpd", [arguments.ours, *common, *precision, "--device",
                                   arguments.device]))
    return chosen


def measure(arguments):
    with tempfile.TemporaryDirectory() as folder:
        programs = [Program(*pair) for pair in commands(arguments, pathlib.Path(folder))]
        for _ in range(arguments.warm_up):
            for program in programs:
                program.step()
        for _ in range(arguments.repeats):
            for program in programs:
                program.turn(arguments.epochs)
        for program in programs:
            program.quit()
        if arguments.share:
            for program in programs:
                program.convolution_share = share_of(arguments, program)
    return programs


def share_of(arguments, program):
    """The share of convolutions in a step, from a separate run: PyTorch's by its profiler; ours, on the
    CPU, by timing a training step's convolutions alone. None if it cannot be measured."""
    command = [part for part in map(str, program.command) if part != "--interactive"]
    if program.name == "pytorch":
        command += ["--convolution-share", "--warm-up", "1"]
    elif program.name == "cnpd" and (arguments.work, arguments.device) == ("train", "cpu"):
        command += ["--share"]
    else:
        return None
    answer = json.loads(output_of(*command).splitlines()[-1])
    return answer.get("convolution_share", answer.get("share"))


def show(arguments, programs):
    work = f"{arguments.work} of {arguments.epochs} epochs" if arguments.epochs > 1 else arguments.work
    print(f"{work}, width {arguments.width}, batch {arguments.batch}, {arguments.device}, "
          f"{arguments.precision}, {arguments.threads} threads, {arguments.repeats} alternating repeats")
    print(f"{'':16}{'median':>11}{'fastest':>11}{'quartiles':>20}{'slowest':>11}{'host, device memory':>24}")
    rows = [program.summary() for program in programs]
    for row in rows:
        quartiles = f"{row['quartile1_s']:.4f} - {row['quartile3_s']:.4f}"
        memory = f"{row['peak_rss_bytes'] / 2**20:.0f}, {row['peak_device_bytes'] / 2**20:.0f} MiB"
        print(f"{row['program']:16}{row['median_s']:10.4f}s{row['fastest_s']:10.4f}s{quartiles:>20}"
              f"{row['slowest_s']:10.4f}s{memory:>24}")
    known = ("seconds", "peak_rss_bytes", "peak_device_bytes")
    for program in programs:
        extra = {k: v for k, v in program.results[-1].items() if k not in known}
        if extra:
            print(f"{program.name} in its last repeat: {json.dumps(extra)}")
        if program.convolution_share is not None:
            print(f"{program.name}: {program.convolution_share:.0%} of a step is convolution")
    if programs[0].name == "cnpd":
        for row, program in zip(rows[1:], programs[1:]):
            pairs = [theirs["seconds"] / ours["seconds"]
                     for ours, theirs in zip(programs[0].results, program.results)]
            row["times_ours"] = row["median_s"] / rows[0]["median_s"]
            print(f"{program.name}'s time / ours: {row['times_ours']:.2f} of medians, "
                  f"{statistics.median(pairs):.2f} median of turns")
    return rows


def save(arguments, rows, facts):
    folder = pathlib.Path(arguments.out or HERE / "results" / arguments.device)
    folder.mkdir(parents=True, exist_ok=True)
    precision = "" if arguments.precision == "fp32" else f"_{arguments.precision}"
    work = f"{arguments.work}{arguments.epochs}" if arguments.epochs > 1 else arguments.work
    path = folder / f"{work}_w{arguments.width}{precision}_vs_pytorch.csv"
    with path.open("w", newline="") as file:
        settings = {"work": arguments.work, "epochs": arguments.epochs, "width": arguments.width, "batch": arguments.batch,
                    "device": arguments.device, "precision": arguments.precision,
                    "threads": arguments.threads, "repeats": arguments.repeats,
                    "pytorch_options": " ".join(arguments.pytorch_option)}
        writer = csv.DictWriter(file, [*settings, *rows[-1], *facts])
        writer.writeheader()
        for row in rows:
            formatted = {k: f"{v:.6f}" if isinstance(v, float) else v for k, v in row.items()}
            writer.writerow({**settings, **formatted, **facts})
    print(f"wrote {os.path.relpath(path)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=[*SCRIPTS, "inference"])
    parser.add_argument("--ours", help="our program; without it PyTorch is measured alone")
    parser.add_argument("--python", default=sys.executable, help="interpreter with PyTorch")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 64], help="inference")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 256], help="inference")
    parser.add_argument("--seconds", type=float, default=0.1, help="inference: length of a turn")
    parser.add_argument("--all-steps", action="store_true", help="defense: no early stop")
    parser.add_argument("--pytorch-option", action="append", default=[], metavar="OPTION",
                        help="passed to the PyTorch script, for example --pytorch-option=--compile")
    parser.add_argument("--images", type=int, default=2500, help="defense: size of the clean subset")
    parser.add_argument("--epochs", type=int, default=1, help="defense: epochs per turn; 50 are a whole defense")
    parser.add_argument("--share", action="store_true",
                        help="measure the share of convolutions in a step, if possible")
    parser.add_argument("--compiled", action="store_true", help="measure torch.compile as well")
    parser.add_argument("--alone", action="store_true", help="measure only our program, without PyTorch")
    parser.add_argument("--device", default="cpu",
                        help="cpu, cuda or emulated (PyTorch then runs on the CPU)")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32")
    parser.add_argument("--out", help="folder for the CSV (default: bench/results/DEVICE)")
    parser.add_argument("--no-save", action="store_true", help="write no CSV")
    arguments = parser.parse_args()
    if arguments.epochs != 1 and arguments.work != "defense":
        parser.error("--epochs needs the work defense")
    facts = circumstances(arguments)
    if arguments.work == "inference":
        print(", ".join(f"{name} {value}" for name, value in facts.items() if name != "commit"))
        compare_inference.compare(arguments, Program)
        return
    rows = show(arguments, measure(arguments))
    if not arguments.no_save:
        save(arguments, rows, facts)


if __name__ == "__main__":
    main()
