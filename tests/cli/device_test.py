"""Devices: what `cnpd info` lists, what runs, and what is refused by name."""

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
            self.assertEqual(done.stderr, "")
            self.assertEqual(json.loads((out / "config.json").read_text())["device"], device)

    def test_a_device_that_is_not_there_is_refused_with_what_to_do(self):
        for device in ("cuda", "cuda:7", "emulated"):
            if device not in self.info["devices"]:
                self.refuse(support.train(self.folder / "run", "--device", device), device, "use")

    def test_without_a_gpu_a_program_for_cuda_says_once_that_it_uses_the_cpu(self):
        if "cuda" not in self.info["backends"] or "cuda" in self.info["devices"]:
            self.skipTest("built without CUDA, or there is a GPU")
        self.assertIn("none", self.info["gpu"])
        sizes = ["--train-limit", "40", "--test-limit", "20", "--epochs", "1"]
        done = self.succeed(*support.train(self.folder / "run", *sizes))
        self.assertRegex(done.stderr, r"\Awarning: no GPU [^\n]+: running on the CPU\n\Z")


if __name__ == "__main__":
    support.main()
