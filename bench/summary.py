#!/usr/bin/env python3
"""Writes tables of the measurements of bench/gpu.sh.

summary.py OUT [--device cuda]      OUT/summary.md and OUT/facts.json from the files in OUT
summary.py --csv FILE.json...       FILE.csv next to each of Google Benchmark's results
"""

import argparse
import csv
import datetime
import json
import pathlib
import platform
import re
import subprocess
import sys
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[1]
STAGES = ("build", "test", "sanitize", "bench", "compare", "train")


def output_of(*command):
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def facts(arguments):
    cache = arguments.build / "CMakeCache.txt"
    cached = dict(re.findall(r"^(\w+):\w+=(.*)$", cache.read_text(), re.MULTILINE)) if cache.exists() \
        else {}
    gpu = output_of("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    name, driver, memory = (gpu.splitlines()[0].split(", ") + ["", "", ""])[:3] if gpu else [""] * 3
    cudnn = pathlib.Path(cached.get("CUDNN_INCLUDE_DIR", "")) / "cudnn_version.h"
    version = re.findall(r"#define CUDNN_(?:MAJOR|MINOR|PATCHLEVEL) (\d+)", cudnn.read_text()) \
        if cudnn.exists() else []
    cuda = re.search(r"release (\S+),", output_of("nvcc", "--version"))
    torch = output_of(arguments.python, "-c", "import torch; print(torch.__version__)")
    return {"device": arguments.device, "gpu": name or "none", "gpu_memory": memory, "driver": driver,
            "cuda": cuda[1] if cuda else "", "cudnn": ".".join(version), "pytorch": torch,
            "architectures": cached.get("CMAKE_CUDA_ARCHITECTURES", ""),
            "host": platform.processor() or platform.machine(),
            "commit": output_of("git", "-C", ROOT, "describe", "--always", "--dirty"),
            "date": datetime.date.today().isoformat()}


def benchmarks_of(path):
    """Rows of one program of Google Benchmark: name, time and counters."""
    try:
        found = json.loads(path.read_text())["benchmarks"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return []
    known = {"name", "family_index", "per_family_instance_index", "run_name", "run_type", "repetitions",
             "repetition_index", "threads", "iterations", "cpu_time", "time_unit", "real_time"}
    return [{"name": row["name"].removesuffix("/manual_time"), "time": row["real_time"],
             "unit": row["time_unit"], **{k: v for k, v in row.items() if k not in known}}
            for row in found if "real_time" in row]


def write_csv(path):
    rows = benchmarks_of(path)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def shown(value):
    try:
        return f"{float(value):.4g}"
    except (TypeError, ValueError):
        return str(value).replace("|", "/")


def table(rows, columns=None):
    if not rows:
        return []
    columns = columns or list(dict.fromkeys(column for row in rows for column in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(shown(row.get(c, "")) for c in columns) + " |" for row in rows]


def tests_of(path):
    suite = xml.etree.ElementTree.parse(path).getroot()
    count = {key: int(suite.get(key, 0)) for key in ("tests", "failures", "skipped", "disabled")}
    return {"tests": path.stem.removeprefix("ctest_"),
            "passed": count["tests"] - count["failures"] - count["skipped"] - count["disabled"],
            "failed": count["failures"], "skipped": count["skipped"] + count["disabled"]}


def stages_in(out):
    for stage in STAGES:
        path = out / f"stage_{stage}.csv"
        if path.exists():
            name, status, seconds, device = path.read_text().strip().split(",")
            yield {"stage": name, "status": status, "seconds": seconds, "device": device}


def summary(arguments):
    out = arguments.out
    known = facts(arguments)
    (out / "facts.json").write_text(json.dumps(known, indent=2) + "\n")
    lines = ["# Measurements on a GPU", "", *table([{"": k, " ": v} for k, v in known.items()])]

    def section(title, content):
        if content:
            lines.extend(["", f"## {title}", "", *content])

    section("Stages", table(list(stages_in(out))))
    section("Tests", table([tests_of(path) for path in sorted(out.glob("ctest_*.xml"))]))
    for path in sorted(out.glob("*_vs_pytorch.csv")):
        with path.open() as file:
            section(path.stem, table(list(csv.DictReader(file)), [
                "program", "batch", "precision", "median_s", "fastest_s", "slowest_s",
                "peak_device_bytes", "convolution_share", "times_ours"]))
    for name in ("inference", "class_scaling"):
        if (path := out / f"{name}.csv").exists():
            section(name, table(list(csv.DictReader(path.read_text().splitlines()))))
    if (path := out / "ladder.md").exists():
        section("Ladders", path.read_text().strip().splitlines())
    for path in sorted(out.glob("bench_*.json")):
        section(path.stem, table(benchmarks_of(path)))
    results = [{"run": name, **{k: v for k, v in json.loads((out / f"{name}.json").read_text()).items()
                                if k in ("acc", "asr", "r_acc", "der", "seconds")}}
               for name in ("train", "defend") if (out / f"{name}.json").exists()]
    section("Train and defend", table(results))
    (out / "summary.md").write_text("\n".join(lines) + "\n")
    print(f"wrote {out / 'summary.md'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=pathlib.Path)
    parser.add_argument("--csv", nargs="+", type=pathlib.Path, metavar="FILE.json")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--python", default=sys.executable, help="interpreter with PyTorch")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "gpu")
    arguments = parser.parse_args()
    for path in arguments.csv or []:
        write_csv(path)
    if arguments.out:
        summary(arguments)


if __name__ == "__main__":
    main()
