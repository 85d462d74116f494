"""bench/tables.py: computes a table, and only the missing parts when repeated."""

import csv
import json
import pathlib
import shutil
import subprocess
import sys

import support

TABLES = pathlib.Path(__file__).resolve().parents[2] / "bench" / "tables.py"


class Tables(support.RunsTest):
    def fill(self, out, *more):
        return subprocess.run(
            [sys.executable, TABLES, "--program", support.PROGRAM, "--width", "2", "--attacks",
             "badnets", "--seeds", "0", "1", "--targets", "0", "3", "--threads", "1",
             "--train-options", "--train-limit 300 --test-limit 100 --epochs 1",
             "--defend-options", "--epochs 1 --clean-ratio 0.2", "--defenses", "ft", "r-cnpd",
             "random=npd --strategy random", "both=ensemble --polarizers {victim}/r-cnpd", *more, "--", out],
            capture_output=True, text=True, timeout=600, check=False)

    def test_a_table(self):
        out = self.folder / "table"
        done = self.fill(out)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
        self.assertEqual([(row["method"], row["seed"]) for row in rows],
                         [(method, seed) for seed in "01"
                          for method in ("victim", "ft", "r-cnpd", "random", "both")])
        for row in rows:
            folder = out / f"badnets-{row['seed']}"
            result = support.result(folder if row["method"] == "victim" else folder / row["method"])
            self.assertEqual(float(row["acc"]), result["acc"])
        taken_over = json.loads((out / "badnets-1" / "both" / "config.json").read_text())
        self.assertEqual(pathlib.Path(taken_over["polarizer"]["polarizers"]),
                         out / "badnets-1" / "r-cnpd")
        text = (out / "tables.md").read_text()
        mean = sum(float(row["acc"]) for row in rows if row["method"] == "r-cnpd") / 2
        self.assertRegex(text, rf"\| badnets \| r-cnpd \| {mean:.2f} ± ")
        effect, detection, cost = text.split("\n\n")
        self.assertIn("| ft |", effect)
        self.assertNotIn("| ft |", detection)
        self.assertRegex(cost, r"\| badnets \| ft \| [0-9.]+ ± [0-9.]+ \| 100.00 ± 0.00 \| 100")
        # Again: only missing parts are computed.
        shutil.rmtree(out / "badnets-1" / "random")
        before = support.snapshot(out / "badnets-0")
        self.assertEqual(self.fill(out).returncode, 0)
        self.assertTrue((out / "badnets-1" / "random" / "result.json").exists())
        self.assertEqual(support.snapshot(out / "badnets-0"), before)

    def test_a_failed_run_is_reported(self):
        done = self.fill(self.folder / "failing", "wrong=no-such-method")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no-such-method", done.stderr)
        self.assertTrue((self.folder / "failing" / "badnets-1" / "r-cnpd" / "result.json").exists())


support.main()
