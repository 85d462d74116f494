"""Runs give the same bytes (weights, metrics, results) with any number of threads."""

import signal
import subprocess
import time

import support

THREADS = (1, 2, 3)
# An odd number of images, so that the last batch is smaller, and no number of threads divides it.
SMALL = ["--train-limit", "203", "--test-limit", "101", "--epochs", "1", "--batch-size", "64"]
SMALL_DEFENSE = ["--epochs", "2", "--warmup-epochs", "1", "--batch-size", "32", "--clean-ratio", "0.3"]
METHODS = ("npd", "r-cnpd", "e-cnpd", "a-cnpd", "ensemble", "ft")


class ThreadsTest(support.ProgramTest):
    def train(self, name, threads, *options):
        folder = self.folder / f"{name}-{threads}"
        self.succeed("train", *support.without(SMALL, options), *options, "--threads", str(threads), "--out", folder,
                     "--quiet")
        return folder

    def assert_same_victims(self, name, *options):
        runs = [self.train(name, threads, *options) for threads in THREADS]
        for other in runs[1:]:
            self.assert_same_run(runs[0], other, ["model.safetensors"])
        return runs[0]

    def test_models(self):
        for model in ("preact-resnet18", "resnet18", "vgg16-bn"):
            for width in ("2", "16"):
                with self.subTest(model, width=width):
                    head = ["--head", "cifar"] if model.startswith("vgg") else []
                    self.assert_same_victims(f"{model}-{width}", "--model", model, "--width", width,
                                             *head)

    def test_model_with_hidden_layers_and_dropout(self):
        self.assert_same_victims("torchvision", "--model", "vgg16-bn", "--width", "4", "--head",
                                 "torchvision", "--train-limit", "67", "--attack", "blended")

    def test_defenses(self):
        victim = self.train("victim", 2, "--width", "8")
        for method in METHODS:
            with self.subTest(method):
                runs = [self.folder / f"{method}-{threads}" for threads in THREADS]
                for run, threads in zip(runs, THREADS):
                    options = support.without(SMALL_DEFENSE, self.refused_by(method))
                    self.succeed("defend", "--run", victim, "--method", method, *options,
                                 "--threads", str(threads), "--out", run, "--quiet")
                # Checkpoints contain times.
                weights = [path.name for path in runs[0].glob("*.safetensors")
                           if path.name != "checkpoint.safetensors"]
                self.assertIn("model.safetensors", weights)
                for other in runs[1:]:
                    self.assert_same_run(runs[0], other, weights)

    def refused_by(self, method):
        return ["--warmup-epochs"] if method == "ft" else []

    def test_resuming_on_other_threads(self):
        options = ["--width", "8", "--epochs", "12"]
        whole = self.train("whole", 1, *options)
        begun = self.folder / "begun"
        arguments = ["train", *support.without(SMALL, options), *options, "--out", begun, "--quiet"]
        process = subprocess.Popen(support.command(*arguments, "--threads", "2"),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while process.poll() is None and not (begun / "checkpoint.safetensors").exists():
            time.sleep(0.001)
        process.kill()
        errors = process.communicate()[1]
        self.assertEqual(process.returncode, -signal.SIGKILL, errors)
        self.succeed(*arguments, "--threads", "3", "--resume")
        self.assert_same_run(whole, begun, ["model.safetensors"])

support.main()
