#!/usr/bin/env python3
"""Trains victims and defends them, attack by attack and seed by seed, and writes the tables.

    bench/tables.py --dataset cifar10 --data DIR --width 16 OUT

Every run is a directory below OUT: the victim OUT/badnets-0, its defenses OUT/badnets-0/r-cnpd.
Finished runs are kept and interrupted ones are resumed, so the same command completes a table at any
time. OUT/results.csv has a line for each run, OUT/tables.md means and standard deviations over the
seeds: effect, detection and cost of the defenses.
"""

import argparse
import concurrent.futures
import csv
import json
import math
import pathlib
import shlex
import statistics
import subprocess
import sys
import time

DEFENSES = ["ft", "npd", "npd-random=npd --strategy random", "r-cnpd",
            "ensemble=ensemble --polarizers {victim}/r-cnpd", "e-cnpd", "a-cnpd"]
SCORES = ["acc", "asr", "r_acc", "der", "seconds", "parameters_trained", "asr_untriggered",
          "detection_tpr", "detection_tpr_successful", "detection_fpr", "detection_auroc",
          "detection_auroc_successful"]
EFFECT = [("acc", "ACC"), ("asr", "ASR"), ("r_acc", "R-ACC"), ("der", "DER"),
          ("seconds", "seconds"), ("parameters_trained", "parameters")]
DETECTION = [("detection_tpr", "flagged, all poisoned"),
             ("detection_tpr_successful", "flagged, successful"),
             ("detection_fpr", "flagged, clean"), ("detection_auroc", "AUROC, all"),
             ("detection_auroc_successful", "AUROC, successful")]
COST = [("of_training", "seconds, % of the victim's training"),
        ("of_fine_tuning", "% of fine-tuning"),
        ("of_parameters", "parameters trained, % of the victim's")]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--program", default="build/cpu/bin/cnpd")
    parser.add_argument("--dataset", default="synthetic")
    parser.add_argument("--data", default="")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--attacks", nargs="+", default=["badnets", "blended", "sig"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--targets", nargs="+", type=int, default=[0],
                        help="the attack's target class, one for each seed or one for all")
    parser.add_argument("--defenses", nargs="+", default=DEFENSES, metavar="NAME[=METHOD OPTIONS]",
                        help="{victim} in the options is the victim's directory; default: "
                             + " ".join(map(shlex.quote, DEFENSES)))
    parser.add_argument("--train-options", default="", help="additional options for every victim")
    parser.add_argument("--defend-options", default="", help="additional options for every defense")
    parser.add_argument("--jobs", type=int, default=1, help="number of parallel runs")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads per run (0: all)")
    chosen = parser.parse_args()
    if len(chosen.targets) == 1:
        chosen.targets *= len(chosen.seeds)
    if len(chosen.targets) != len(chosen.seeds):
        parser.error("--targets needs one value or one value for each seed")
    return chosen


def parsed_defense(text):
    """'npd-random=npd --strategy random' -> ('npd-random', ['npd', '--strategy', 'random'])"""
    name, _, rest = text.partition("=")
    return name, shlex.split(rest) or [name]


class Table:
    def __init__(self, chosen):
        self.chosen = chosen
        self.common = ["--eval-every", "0", "--quiet"]
        if chosen.threads:
            self.common += ["--threads", str(chosen.threads)]
        self.defenses = [parsed_defense(text) for text in chosen.defenses]
        self.done = self.failed = 0
        self.start = time.time()

    def run(self, folder, command):
        """Runs the command unless the run directory has a result. Returns whether it has one then."""
        if not (folder / "result.json").exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            # Without a config.json the run was interrupted before it began.
            resume = "--resume" if (folder / "config.json").exists() else "--overwrite"
            ran = subprocess.run([self.chosen.program, *command, "--out", folder, resume],
                                 capture_output=True, text=True, errors="replace", check=False)
            if ran.returncode != 0:
                self.failed += 1
                print(f"{folder}: {ran.stderr.strip() or ran.returncode}", file=sys.stderr)
                return False
        self.done += 1
        elapsed = time.time() - self.start
        print(f"{self.done}/{self.all_runs()}  {elapsed / 60:.0f} min  {folder}", flush=True)
        return True

    def all_runs(self):
        victims = len(self.chosen.attacks) * len(self.chosen.seeds)
        return victims * (1 + len(self.defenses))

    def column(self, attack, seed, target):
        """A victim and all its defenses."""
        chosen = self.chosen
        victim = chosen.out / f"{attack}-{seed}"
        where = ["--data", chosen.data] if chosen.data else []
        if not self.run(victim, [
                "train", "--dataset", chosen.dataset, *where, "--width", str(chosen.width),
                "--attack", attack, "--target", str(target), "--seed", str(seed), *self.common,
                *shlex.split(chosen.train_options)]):
            return
        for name, (method, *options) in self.defenses:
            options = [option.replace("{victim}", str(victim)) for option in options]
            self.run(victim / name, [
                "defend", "--run", victim, *where, "--method", method, "--seed", str(seed),
                *self.common, *shlex.split(chosen.defend_options), *options])

    def fill(self):
        with concurrent.futures.ThreadPoolExecutor(self.chosen.jobs) as pool:
            columns = [pool.submit(self.column, attack, seed, target)
                       for seed, target in zip(self.chosen.seeds, self.chosen.targets)
                       for attack in self.chosen.attacks]
            for column in columns:
                column.result()

    def results(self):
        """(attack, defense, seed) -> result.json, of the finished runs."""
        found = {}
        for attack in self.chosen.attacks:
            for seed in self.chosen.seeds:
                victim = self.chosen.out / f"{attack}-{seed}"
                for name in ["victim", *(name for name, _ in self.defenses)]:
                    path = (victim if name == "victim" else victim / name) / "result.json"
                    if path.exists():
                        found[attack, name, seed] = json.loads(path.read_text())
        return found

    @staticmethod
    def costs(results):
        """The same, in per cent of the cost of the victim and its fine-tuning; incomplete without these."""
        relative = {}
        for (attack, name, seed), result in results.items():
            victim, tuned = results.get((attack, "victim", seed)), results.get((attack, "ft", seed))
            costs = relative[attack, name, seed] = {}
            if victim:
                costs["of_training"] = 100 * result["seconds"] / victim["seconds"]
                costs["of_parameters"] = 100 * result["parameters_trained"] / victim["parameters_trained"]
            if tuned:
                costs["of_fine_tuning"] = 100 * result["seconds"] / tuned["seconds"]
        return relative

    def write(self):
        results = self.results()
        with open(self.chosen.out / "results.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["attack", "method", "seed", *SCORES])
            for (attack, name, seed), result in results.items():
                writer.writerow([attack, name, seed, *(result.get(key, "") for key in SCORES)])
        names = ["victim", *(name for name, _ in self.defenses)]
        detecting = [name for name, (method, *_) in self.defenses if method != "ft"]
        text = "\n".join([self.markdown(results, names, EFFECT),
                          self.markdown(results, detecting, DETECTION),
                          self.markdown(self.costs(results), names[1:], COST)])
        (self.chosen.out / "tables.md").write_text(text)
        return text

    def markdown(self, results, names, columns):
        lines = ["| attack | method | " + " | ".join(title for _, title in columns) + " |",
                 "|---" * (len(columns) + 2) + "|"]
        for attack in self.chosen.attacks:
            for name in names:
                runs = [results[key] for key in results if key[:2] == (attack, name)]
                if runs:
                    cells = [mean_and_spread([run.get(key) for run in runs]) for key, _ in columns]
                    lines.append(f"| {attack} | {name} | " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"


def mean_and_spread(values):
    """'82.51 ± 0.31'; a dash if a run has no such value."""
    if any(value is None or math.isnan(value) for value in values):
        return "-"
    mean = statistics.mean(values)
    if all(isinstance(value, int) for value in values) and len(set(values)) == 1:
        return f"{values[0]:,}"
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{mean:.2f}{spread}"


def main():
    table = Table(arguments())
    try:
        table.fill()
    finally:
        if table.chosen.out.exists():
            print(table.write())
    return 1 if table.failed else 0


if __name__ == "__main__":
    sys.exit(main())
