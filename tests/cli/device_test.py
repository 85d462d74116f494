"""Devices: the list of `cnpd info`, training on each, and messages for unavailable ones."""

import json

import support


class DeviceTest(support.ProgramTest):
    def setUp(self):
        super().setUp()
        self.info = json.loads(self.succeed("info", "--json").stdout)

    def test_every_listed_device_trains(self):
        for device in self.info["devices"]:
            out = self.folder / device
            sizes = ["--train-limit", "40", "--test-limit", "20", "--epochs", "1", "--batch-size", "8"]
            done = self.succeed(*support.train(out, "--device", device, *sizes))
            self.assertEqual(support.without_warnings(done.stderr), "")
            self.assertEqual(json.loads((out / "config.json").read_text())["device"], device)

    def test_bf16_trains_and_defends_except_on_the_cpu(self):
        sizes = ["--train-limit", "40", "--test-limit", "20", "--epochs", "1", "--batch-size", "8"]
        refusal = "bf16 needs a GPU or the emulated device"
        for device in self.info["devices"]:
            options = ["--device", device, "--precision", "bf16"]
            victim, defense = self.folder / device, self.folder / f"{device}-defense"
            if device == "cpu":
                self.refuse(support.train(victim, *options, *sizes), refusal)
                continue
            self.succeed(*support.train(victim, *options, *sizes))
            self.succeed(*support.defend(victim, defense, *options, "--epochs", "1",
                                           "--warmup-epochs", "0", "--clean-ratio", "0.5"))
            for run in (victim, defense):
                self.assertEqual(json.loads((run / "config.json").read_text())["precision"], "bf16")
            self.succeed("evaluate", "--run", defense, *options, "--quiet")
            self.refuse(["evaluate", "--run", defense, "--device", "cpu", "--precision", "bf16"],
                        refusal)

    def test_on_the_cpu_tf32_is_fp32(self):
        runs = {}
        for precision in ("fp32", "tf32"):
            out = self.folder / precision
            options = ["--device", "cpu", "--precision", precision, "--epochs", "1"]
            self.succeed(*support.train(out, *options))
            runs[precision] = (out / "model.safetensors").read_bytes()
            self.assertEqual(json.loads((out / "config.json").read_text())["precision"], precision)
        self.assertEqual(runs["fp32"], runs["tf32"])

    def test_a_checkpoint_of_another_precision_is_refused(self):
        out = self.folder / "run"
        options = ["--device", "cpu", "--epochs", "1"]
        self.succeed(*support.train(out, *options))
        self.refuse(support.train(out, *options, "--precision", "tf32", "--resume"),
                    "other settings")

    def test_an_unavailable_device_is_refused_with_a_remedy(self):
        for device in ("cuda", "cuda:7", "emulated"):
            if device not in self.info["devices"]:
                self.refuse(support.train(self.folder / "run", "--device", device), device, "use")

    def test_a_cuda_build_without_a_gpu_warns_once_and_uses_the_cpu(self):
        if "cuda" not in self.info["backends"] or "cuda" in self.info["devices"]:
            self.skipTest("built without CUDA, or there is a GPU")
        self.assertIn("none", self.info["gpu"])
        sizes = ["--train-limit", "40", "--test-limit", "20", "--epochs", "1"]
        done = self.succeed(*support.train(self.folder / "run", *sizes))
        said = [line for line in done.stderr.splitlines() if "no GPU" in line]
        self.assertEqual(len(said), 1, done.stderr)
        self.assertRegex(said[0], r"\Awarning: no GPU \(.+\): running on the CPU\Z")


if __name__ == "__main__":
    support.main()
