"""What the tests of the program share: running it, tiny settings, and looking at what it leaves."""

import json
import pathlib
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
QUIET = ["--quiet", "--threads", "1"]


def command(*arguments):
    return [PROGRAM, *map(str, arguments)]


def run(*arguments, **options):
    return subprocess.run(command(*arguments), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="replace", timeout=300, **options)


def train(out, *more):
    return ["train", *TINY, *QUIET, "--out", out, *more]


def defend(victim, out, *more):
    return ["defend", "--run", victim, *TINY_DEFENSE, *QUIET, "--out", out, *more]


def snapshot(folder):
    """Every path below a folder with its contents; None for a directory."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
            for path in sorted(pathlib.Path(folder).rglob("*"))}


def metrics(run_directory):
    """The lines of metrics.jsonl without the times."""
    lines = [json.loads(line) for line in (run_directory / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def result(run_directory):
    """result.json without what depends on the machine's mood."""
    numbers = json.loads((run_directory / "result.json").read_text())
    return {key: value for key, value in numbers.items()
            if key not in ("seconds", "peak_memory_bytes")}


def read_safetensors(path):
    """Header and data. Fails when the file is not whole."""
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
    """A test with an empty directory of its own."""

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

    def refuse(self, arguments, *expected, before=None, **options):
        """The program must refuse: status 2, one line that says why, and nothing left behind."""
        before = snapshot(self.folder) if before is None else before
        done = run(*arguments, **options)
        said = f"cnpd {' '.join(map(str, arguments))}: {done.returncode} {done.stderr!r}"
        self.assertEqual(done.returncode, 2, said)
        self.assertEqual(done.stdout, "", said)
        self.assertRegex(done.stderr, r"\Acnpd: [^\n]+\n\Z", said)
        self.assertNotIn("internal error", done.stderr)
        for text in expected:
            self.assertIn(text, done.stderr, said)
        after = snapshot(self.folder)
        self.assertEqual(sorted(after), sorted(before), said)
        self.assertEqual([name for name in after if after[name] != before[name]], [], said)


def main():
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
