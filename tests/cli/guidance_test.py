"""Guidance: help fitted to the terminal, suggestions, the next command, benign victims; and closed or full
standard streams."""

import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import time
import fcntl
import termios

import support

COMMANDS = ["demo", "train", "defend", "evaluate", "predict", "report", "info"]
METHODS = ["r-cnpd", "ensemble", "a-cnpd", "e-cnpd", "npd", "ft"]
HELPS = [["--help"]] + [[command, "--help"] for command in COMMANDS] + \
        [["defend", "--method", method, "--help"] for method in METHODS] + \
        [["train", "--attack", attack, "--help"] for attack in ("none", "badnets", "blended", "sig")]


def on_a_terminal(columns, *arguments):
    """The program's output on a terminal of this width."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(support.command(*arguments), stdin=other, stdout=other, stderr=other,
                          env={**os.environ, "TERM": "xterm"}) as process:
        os.close(other)
        text = b""
        while True:
            try:
                piece = os.read(main, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            text += piece
        os.close(main)
        assert process.wait() == 0, text
    return text.decode().replace("\r\n", "\n")


class Help(support.ProgramTest):
    def assert_fits(self, text, columns, arguments):
        for line in text.splitlines():
            # A word longer than the line cannot be broken.
            if len(line) > columns:
                self.assertLessEqual(len(line.split()), 2, f"{arguments}: {line!r}")

    def test_lines_fit_into_80_columns(self):
        for arguments in HELPS:
            text = self.succeed(*arguments).stdout
            self.assert_fits(text, 80, arguments)
            self.assertGreater(len(text.splitlines()), 5)

    def test_lines_fit_the_terminal_and_words_stay_whole(self):
        wide = self.succeed("defend", "--help").stdout.split()
        for columns in (60, 100):
            text = on_a_terminal(columns, "defend", "--help")
            self.assert_fits(text, columns, columns)
            self.assertGreater(max(map(len, text.splitlines())), columns - 15)
            self.assertEqual(text.split(), wide)

    def test_help_of_a_command(self):
        for command in COMMANDS:
            self.assertEqual(self.succeed("help", command).stdout,
                             self.succeed(command, "--help").stdout)
        self.assertEqual(self.succeed("help").stdout, self.succeed("--help").stdout)

    def test_version(self):
        self.assertEqual(self.succeed("-v").stdout, self.succeed("--version").stdout)
        self.assertRegex(self.succeed("-v").stdout, r"\Acnpd \d+\.\d+\.\d+\n\Z")


class Suggestions(support.RunsTest):
    def test_the_nearest_name_is_suggested(self):
        for arguments, said in (
                (["tran"], "did you mean 'train'?"),
                (["train", "--epoch", "3"], "did you mean '--epochs'?"),
                (["train", "--epochs=1", "--widht=3"], "did you mean '--width'?"),
                (["train", "--dataset", "cifar"], "did you mean 'cifar10'?"),
                (["train", "--attack", "badnet"], "did you mean 'badnets'?"),
                (["train", "--model", "preact-resnet8"], "did you mean 'preact-resnet18'"),
                (["defend", "--run", "victim", "--method", "rcnpd"], "did you mean 'r-cnpd'?")):
            with self.subTest(arguments):
                self.refuse(arguments, said, cwd=self.folder)

    def test_a_data_set_of_files_needs_data(self):
        for name in ("cifar10", "gtsrb", "tiny-imagenet", "folder"):
            self.refuse(["train", "--dataset", name, "--out", self.folder / "out"], "--data")

    def test_a_folder_of_runs_lists_them(self):
        for arguments in (["defend", "--method", "ft"], ["evaluate"], ["report"]):
            self.refuse([arguments[0], "--run", self.folder, *arguments[1:]], "victim")

    def test_directory_and_next_command(self):
        arguments = [word for word in support.train(self.folder / "new", "--epochs", "1")
                     if word != "--quiet"]
        said = self.succeed(*arguments).stderr
        self.assertIn(f"wrote {self.folder}/new\n", said)
        self.assertIn(f"next:  cnpd defend --run {self.folder}/new", said)
        arguments = [word for word in support.defend(self.victim, self.folder / "ft", "--method",
                                                     "ft", "--epochs", "1") if word != "--quiet"]
        said = self.succeed(*arguments).stderr
        self.assertIn(f"wrote {self.folder}/ft\n", said)
        self.assertIn("next:  cnpd report", said)

    def test_weak_victims_get_a_warning(self):
        done = self.succeed(*support.train(self.folder / "weak", "--epochs", "1", "--lr", "0"))
        self.assertIn("warning: the victim is close to chance", done.stderr)

    def test_moved_data_need_the_option(self):
        """The message names config.json, which has the directory, and --data, which replaces it."""
        images = self.folder / "ten"
        for part, count in (("train", 20), ("test", 4)):
            for name in ("cat", "dog"):
                (images / part / name).mkdir(parents=True)
                for i in range(count):
                    (images / part / name / f"{i}.ppm").write_bytes(
                        b"P6 8 8 255\n" + bytes([i * 9 % 256, 80 if name == "cat" else 200, i] * 64))
        victim = self.folder / "on-images"
        self.succeed(*support.train(victim, "--dataset", "folder", "--data", "ten", "--epochs",
                                    "1", "--batch-size", "8"), cwd=self.folder)
        self.assertEqual(json.loads((victim / "config.json").read_text())["dataset"]["data"],
                         str(images))
        self.succeed("evaluate", "--run", victim, cwd="/")
        images.rename(self.folder / "elsewhere")
        for arguments in (["evaluate", "--run", victim],
                          support.defend(victim, self.folder / "out", "--method", "ft")):
            self.refuse(arguments, str(images), "config.json", "--data")
        self.succeed("evaluate", "--run", victim, "--data", self.folder / "elsewhere")


class Interrupted(support.RunsTest):
    def interrupted(self):
        out = self.folder / "stopped"
        arguments = support.train(out, "--epochs", "500", "--train-limit", "2000")
        with subprocess.Popen(support.command(*arguments), stderr=subprocess.PIPE,
                              text=True) as process:
            for _ in range(600):
                if (out / "metrics.jsonl").exists():
                    break
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=120)[1]
            self.assertEqual(process.returncode, 130, said)
        return out, said

    def test_every_message_names_resume(self):
        out, said = self.interrupted()
        self.assertRegex(said, r"cnpd: [^\n]+: stopped in epoch \d+; repeat the command with --resume")
        self.refuse(support.train(out), "was interrupted", "--resume")
        for command in (["evaluate"], ["report"], ["defend", "--method", "ft"]):
            self.refuse([command[0], "--run", out, *command[1:]], "is an unfinished run", "--resume")


class Benign(support.ProgramTest):
    def test_evaluate_and_predict(self):
        for name, attack in (("none", ["--attack", "none"]), ("ratio", ["--poison-ratio", "0"])):
            with self.subTest(name):
                victim, defense = self.folder / name, self.folder / f"{name}-defended"
                said = self.succeed(*support.train(victim, *attack)).stdout
                self.assertIn("Benign", said)
                self.succeed(*support.defend(victim, defense))
                self.assertTrue(json.loads((defense / "result.json").read_text())["benign"])
                said = self.succeed("evaluate", "--run", defense).stdout
                self.assertIn("There was no backdoor to remove; the defense changed ACC by", said)
                self.assertRegex(said, r"False alarms: [^\n]* on \d+\.\d\d % of the clean images")
                self.assertNotIn("ASR", said)

    def test_a_disagreement_is_a_false_alarm(self):
        victim, defense = self.folder / "victim", self.folder / "defense"
        self.succeed(*support.train(victim, "--attack", "none"))
        # This learning rate changes most of the predictions.
        self.succeed(*support.defend(victim, defense, "--lr", "1", "--warmup-lr", "1"))
        pictures = []
        for i in range(40):
            picture = self.folder / f"{i}.ppm"
            picture.write_bytes(b"P6 32 32 255\n" + bytes([(i * 37 + k * k) % 256 for k in range(3072)]))
            pictures.append(picture)
        said = self.succeed("predict", "--run", defense, *pictures).stdout
        self.assertIn("They disagree: a false alarm, the victim is benign", said)
        self.assertNotIn("may carry a trigger", said)


class BrokenStreams(support.RunsTest):
    """Standard streams that are closed or full."""

    def status(self, arguments, redirection):
        shell = "exec " + " ".join(["\"$@\""]) + " " + redirection
        return subprocess.run(["sh", "-c", shell, "sh", *support.command(*arguments)],
                              stdin=subprocess.DEVNULL, check=False, timeout=300).returncode

    def test_stderr_closed_or_full(self):
        for redirection in ("2>&-", "2>/dev/full"):
            with self.subTest(redirection):
                self.assertEqual(self.status(["train", "--epochs", "-3"], redirection), 2)
                self.assertEqual(self.status(["tran"], redirection), 2)
                self.assertEqual(self.status(["evaluate", "--run", self.folder], redirection), 2)

    def test_a_run_with_closed_streams_is_the_same_run(self):
        """No message is written into a file of the run that got the stream's descriptor."""
        for name, redirection in (("err", "2>&-"), ("all", "<&- 2>&-"), ("full", "2>/dev/full")):
            with self.subTest(redirection):
                out = self.folder / name
                arguments = [word for word in support.train(out) if word != "--quiet"]
                self.assertEqual(self.status(arguments, redirection + " >/dev/null"), 0)
                self.assert_same_run(out, self.victim, ["model.safetensors"])
                shutil.rmtree(out)

    def test_stdout_closed(self):
        self.assertEqual(self.status(["info"], ">&- 2>/dev/null"), 2)
        self.assertEqual(self.status(["--help"], ">&- 2>/dev/null"), 2)


support.main()
