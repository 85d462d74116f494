"""Ctrl-C and SIGTERM: the program saves, prints how to resume, and exits with status 130."""

import os
import shutil
import signal
import subprocess
import time

import support

EPOCHS = ["--epochs", "6"]
PATIENCE = 300  # seconds
ATTEMPTS = 10


def wait_for(process, path):
    """Waits until the file exists or the program has ended."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists() and process.poll() is None:
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.001)


class Interrupt(support.RunsTest):
    def interrupt(self, arguments, out, moment, number):
        """Sends the signal once the run has written this file. Returns stderr."""
        for _ in range(ATTEMPTS):
            process = subprocess.Popen(support.command(*arguments), stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
            wait_for(process, out / moment)
            process.send_signal(number)
            output, errors = process.communicate(timeout=PATIENCE)
            if process.returncode != 0:
                self.assertEqual((process.returncode, output), (130, ""), errors)
                return errors
            # On a busy machine the run may have ended before the signal.
            shutil.rmtree(out)
        return self.fail(f"{ATTEMPTS} runs ended by themselves")

    def check(self, make, weights):
        whole = self.folder / "whole"
        self.succeed(*make(whole))
        # In the first epoch, and between two others.
        for number, moment in ((signal.SIGINT, "indices.json"), (signal.SIGTERM, "metrics.jsonl")):
            with self.subTest(f"{number.name} after {moment}"):
                out = self.folder / number.name
                errors = self.interrupt(make(out), out, moment, number)
                self.assertRegex(errors, f"\ncnpd: {out}: stopped in epoch [1-6]; repeat the command "
                                         "with --resume to continue\n\\Z")
                self.assertTrue((out / "checkpoint.safetensors").exists())
                self.assertFalse((out / "result.json").exists())
                self.succeed(*make(out), "--resume")
                self.assert_same_run(out, whole, weights)

    def test_train(self):
        self.check(lambda out: support.train(out, *EPOCHS), ["model.safetensors"])

    def test_train_with_dropout(self):
        # The draws of dropout continue.
        self.check(lambda out: support.train(out, "--model", "vgg16-bn", "--head", "torchvision",
                                             "--train-limit", "160", *EPOCHS),
                   ["model.safetensors"])

    def test_defend(self):
        for method in ("r-cnpd", "e-cnpd", "a-cnpd"):
            with self.subTest(method):
                self.check(lambda out, method=method: support.defend(
                    self.victim, out, "--method", method, *EPOCHS),
                    ["model.safetensors", "polarizer.safetensors"])
                for out in ("whole", "SIGINT", "SIGTERM"):
                    shutil.rmtree(self.folder / out)

    def test_fine_tuning(self):
        self.check(lambda out: support.defend(self.victim, out, "--method", "ft", *EPOCHS),
                   ["model.safetensors"])


class Lock(support.RunsTest):
    def test_a_run_that_another_process_writes(self):
        out = self.folder / "out"
        # Too many epochs to finish.
        endless = support.train(out, "--epochs", "10000")
        process = subprocess.Popen(support.command(*endless), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            wait_for(process, out / "indices.json")
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            for more in ([], ["--resume"], ["--overwrite"]):
                with self.subTest(more):
                    self.refuse([*endless, *more], "is being written by another process")
        finally:
            process.kill()
            process.wait()
        # The lock ends with its process.
        self.succeed(*support.train(out, "--overwrite"))


support.main()
