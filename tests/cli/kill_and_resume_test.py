"""A run that is killed and resumed ends with the same bytes as one that is not.

kill_and_resume_test.py PROGRAM [KILLS [SEED]]: that many kills of `cnpd train` and of `cnpd defend`
each, every third in the middle of writing a checkpoint, every third between a line of metrics and
its checkpoint, the others at a random moment.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

import support

KILLS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 1


class Moment:
    """When to kill; due() is polled while the program runs."""

    def __init__(self, kind, out, draw, seconds):
        self.kind, self.out = kind, out
        self.deadline = time.monotonic() + draw.uniform(0, seconds)
        self.lines = self.count_lines()

    def count_lines(self):
        try:
            return (self.out / "metrics.jsonl").read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0

    def due(self):
        if self.kind == "writing":
            return os.path.exists(self.out / ".checkpoint.safetensors.tmp")
        if self.kind == "between":
            lines, self.lines = self.lines, self.count_lines()
            return self.lines > lines
        return time.monotonic() >= self.deadline


def check_whole(out):
    """Only the last line being written may be incomplete."""
    for path in out.glob("*.safetensors"):
        support.read_safetensors(path)
    for path in out.glob("*.json"):
        json.loads(path.read_text())


def run_and_kill(arguments, out, weights, kills, draw, seconds):
    """Kills the program this many times and returns the number of kills at each kind of moment. A run that
    ends before is started again."""
    hit = {"random": 0, "writing": 0, "between": 0, "first epoch": 0}
    killed = 0
    while killed < kills:
        kind = ("random", "writing", "between")[killed % 3]
        process = subprocess.Popen(support.command(*arguments, "--resume"),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        moment = Moment(kind, out, draw, seconds)
        while process.poll() is None and not moment.due():
            time.sleep(0.0002)
        process.kill()
        errors = process.communicate()[1]
        if process.returncode == 0:
            compare(weights, out)
            shutil.rmtree(out)
            continue
        assert process.returncode == -9, errors
        killed += 1
        hit[kind] += 1
        hit["first epoch"] += not (out / "checkpoint.safetensors").exists()
        if out.exists():
            check_whole(out)
    return hit


EXPECTED = {}


def compare(weights, out):
    whole = EXPECTED[out]
    for name in weights:
        assert (whole / name).read_bytes() == (out / name).read_bytes(), f"{out}: {name} differs"
    assert support.metrics(whole) == support.metrics(out), f"{out}: metrics.jsonl differs"
    assert support.result(whole) == support.result(out), f"{out}: result.json differs"


def check(name, make, folder, weights, draw):
    whole, out = folder / f"{name}-whole", folder / f"{name}-killed"
    EXPECTED[out] = whole
    started = time.monotonic()
    subprocess.run(support.command(*make(whole)), check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    hit = run_and_kill(make(out), out, weights, KILLS, draw, seconds)
    subprocess.run(support.command(*make(out), "--resume"), check=True, stdout=subprocess.DEVNULL)
    compare(weights, out)
    left = [path.name for path in out.iterdir() if path.name.startswith(".")]
    assert not left, f"left behind: {left}"
    print(f"{name}: {KILLS} kills {hit}, the same bytes", flush=True)
    return whole


def main():
    draw = random.Random(SEED)
    with tempfile.TemporaryDirectory(prefix="cnpd-test-") as name:
        folder = pathlib.Path(name)
        victim = check("train", support.train, folder, ["model.safetensors"], draw)
        check("defend", lambda out: support.defend(victim, out), folder,
              ["model.safetensors", "polarizer.safetensors"], draw)
        check("defend-bn", lambda out: support.defend(victim, out, "--polarizer-bn", "train"), folder,
              ["polarizer.safetensors"], draw)
        check("fine-tuning", lambda out: support.defend(victim, out, "--method", "ft"), folder,
              ["model.safetensors"], draw)


main()
