"""Shared by the tests of the program: running it, tiny settings, and reading its output files."""

import json
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = str(pathlib.Path(sys.argv[1]).resolve()) if len(sys.argv) > 1 else ""

TINY = ["--train-limit", "600", "--test-limit", "200", "--width", "2", "--epochs", "3",
        "--batch-size", "32"]
TINY_DEFENSE = ["--epochs", "3", "--warmup-epochs", "1", "--batch-size", "32", "--clean-ratio",
                "0.2"]


def command(*arguments):
    return [PROGRAM, *map(str, arguments)]


def run(*arguments, program=PROGRAM, **options):
    return subprocess.run([program, *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, errors="replace", timeout=300, **options)


def without_warnings(stderr):
    """Removes the warning of CUDA builds without a GPU (tested in device_test.py) and the one for
    weak victims, because tiny victims are close to chance."""
    stderr = re.sub(r"^warning: no GPU [^\n]+: running on the CPU\n", "", stderr, flags=re.M)
    return re.sub(r"^warning: the (victim is close to chance|attack failed)[^\n]+\n", "", stderr, flags=re.M)


def without(defaults, options):
    """The pairs of option and value in `defaults` that `options` does not set."""
    pairs = zip(defaults[::2], defaults[1::2])
    return [word for pair in pairs if pair[0] not in options for word in pair]


def train(out, *more):
    defaults = without([*TINY, "--threads", "1", "--out", out], more)
    return ["train", *defaults, "--quiet", *more]


def defend(victim, out, *more):
    # Fine-tuning has no warm-up.
    other = ("--warmup-epochs",) if "ft" in more else ()
    defaults = without(["--run", victim, *TINY_DEFENSE, "--threads", "1", "--out", out],
                       (*more, *other))
    return ["defend", *defaults, "--quiet", *more]


def snapshot(folder):
    """Every path below a folder with its contents; None for a directory."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
            for path in sorted(pathlib.Path(folder).rglob("*"))}


def metrics(run_directory):
    """The lines of metrics.jsonl without the times."""
    lines = [json.loads(line) for line in (run_directory / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def result(run_directory):
    """result.json without time and memory."""
    numbers = json.loads((run_directory / "result.json").read_text())
    return {key: value for key, value in numbers.items()
            if key not in ("seconds", "peak_memory_bytes")}


def read_safetensors(path):
    """Header and data. Fails if the file is incomplete."""
    contents = path.read_bytes()
    (length,) = struct.unpack_from("<Q", contents)
    header = json.loads(contents[8:8 + length])
    data = contents[8 + length:]
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    assert max(ends) == len(data), f"{path}: {len(data)} bytes of data, expected {max(ends)}"
    return header, data


def write_safetensors(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class ProgramTest(unittest.TestCase):
    """A test with its own empty directory."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="cnpd-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def succeed(self, *arguments, **options):
        done = run(*arguments, **options)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stderr}")
        return done

    def assert_same_run(self, one, other, weights):
        for name in weights:
            self.assertEqual((one / name).read_bytes(), (other / name).read_bytes(), name)
        self.assertEqual(metrics(one), metrics(other))
        self.assertEqual(result(one), result(other))

    def refuse_only(self, arguments, *expected, **options):
        """The program must refuse: status 2 and one line with the reason."""
        done = run(*arguments, **options)
        said = f"cnpd {' '.join(map(str, arguments))}: {done.returncode} {done.stderr!r}"
        self.assertEqual(done.returncode, 2, said)
        self.assertEqual(done.stdout, "", said)
        self.assertRegex(without_warnings(done.stderr), r"\Acnpd: [^\n]+\n\Z", said)
        self.assertNotIn("internal error", done.stderr)
        for text in expected:
            self.assertIn(text, done.stderr, said)
        return said

    def refuse(self, arguments, *expected, **options):
        """In addition, no file may be created or changed."""
        before = snapshot(self.folder)
        said = self.refuse_only(arguments, *expected, **options)
        after = snapshot(self.folder)
        self.assertEqual(sorted(after), sorted(before), said)
        self.assertEqual([name for name in after if after[name] != before[name]], [], said)


class RunsTest(ProgramTest):
    """A test that starts with copies of a victim's run and a defense's."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="cnpd-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.made = pathlib.Path(folder.name)
        for arguments in (train(cls.made / "victim"),
                          defend(cls.made / "victim", cls.made / "defense")):
            subprocess.run(command(*arguments), check=True, stdout=subprocess.DEVNULL)

    def setUp(self):
        super().setUp()
        self.victim, self.defense = self.folder / "victim", self.folder / "defense"
        for run_directory in (self.victim, self.defense):
            shutil.copytree(self.made / run_directory.name, run_directory)


def main():
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
