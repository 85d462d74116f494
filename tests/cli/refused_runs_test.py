"""Run directories that are damaged, forged or of the wrong kind."""

import json
import os
import shutil
import struct

import support

# Keys of config.json, a wrong value, and text that the message must contain.
CONFIG = [
    (("dataset",), 3, "config.json"),
    (("dataset", "dataset"), "mnist", "mnist"),
    (("dataset", "train_limit"), -1, "train_limit"),
    (("model", "model"), "lenet", "lenet"),
    (("model", "width"), 4, "model.safetensors"),
    (("model", "width"), "wide", "width"),
    (("model", "width"), 1e300, "width"),
    (("model", "head"), "cifar", "head 'cifar'"),
    (("model", "head"), 3, "head"),
    (("attack", "attack"), "wanet", "wanet"),
    (("attack", "attack"), None, "config.json"),
    (("attack", "attack_mode"), "all-to-none", "attack_mode"),
    (("attack", "target"), 10, "target"),
    (("attack", "target"), 1 << 40, "target"),
    (("attack", "poison_ratio"), -1, "poison_ratio"),
    (("training", "seed"), -1, "seed"),
    (("training", "seed"), 1.5, "seed"),
    (("training", "epochs"), 0, "epochs"),
    (("training", "momentum"), 7, "momentum"),
    (("input", "height"), 0, "height"),
    (("input", "channels"), 1, "channels"),
    (("input", "mean"), [0.5], "mean"),
    (("input", "std"), [0, 0, 0], "std"),
    (("input", "class_names"), ["one", "two"], "2"),
    (("input", "class_names"), [1, 2], "class_names"),
    (("input", "class_names"), "airplane", "class_names"),
]

DEFENSE_CONFIG = [
    (("defense",), None, "config.json"),
    (("defense", "method"), "magic", "magic"),
    (("polarizer", "epochs"), 0, "epochs"),
    (("polarizer", "insertion_point"), "layer9", "layer9"),
    (("polarizer", "insertion_point"), "layer1.0.conv1", "polarizer.safetensors"),
    (("polarizer", "insertion_point"), "", "insertion"),
    (("polarizer", "pgd_norm"), "l3", "pgd_norm"),
    (("polarizer", "polarizer_bn"), "thawed", "polarizer_bn"),
]

RESULTS = ["", "{", "[]", "3", "null", "{\"n_clean\": \"many\"}", "{\"n_poisoned\": []}",
           "{\"acc\": 1e999}", "[" * 10_000, "\0"]


def safetensors_header(**changes):
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


# Whole files in place of model.safetensors.
def broken_safetensors():
    def file(header, data=bytes(8)):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + data

    return {
        "empty": b"",
        "short length": b"\1\2\3",
        "huge length": struct.pack("<Q", (1 << 64) - 1) + b"{}",
        "length beyond the end": struct.pack("<Q", 1 << 20) + b"{}",
        "no JSON": file(b"{{{{"),
        "an array": file(b"[]"),
        "deep": file(b"{\"a\":" * 50_000),
        "no tensors": file({}, b""),
        "overlap": file({**safetensors_header(), "b": {"dtype": "F32", "shape": [2],
                                                       "data_offsets": [4, 12]}}, bytes(12)),
        "gap": file(safetensors_header(data_offsets=[4, 12]), bytes(12)),
        "beyond the end": file(safetensors_header(data_offsets=[0, 16], shape=[4])),
        "backwards": file(safetensors_header(data_offsets=[8, 0])),
        "negative": file(safetensors_header(data_offsets=[-8, 0])),
        "overflowing shape": file(safetensors_header(shape=[1 << 62, 4])),
        "negative shape": file(safetensors_header(shape=[-1, -2])),
        "unknown type": file(safetensors_header(dtype="Q7")),
        "name with a path": file({"../../a": safetensors_header()["a"]}),
        "name with a line break": file({"a\nb": safetensors_header()["a"]}),
    }


class RefusedRuns(support.RunsTest):
    def edit_config(self, run, keys, value):
        """Sets one value of config.json; None removes it."""
        path = run / "config.json"
        config = place = json.loads((self.made / run.name / "config.json").read_text())
        for key in keys[:-1]:
            place = place[key]
        if value is None:
            del place[keys[-1]]
        else:
            place[keys[-1]] = value
        path.write_text(json.dumps(config))

    def edit_tensors(self, path, change):
        header, data = support.read_safetensors(path)
        data = bytearray(data)
        header = change(header, data) or header
        support.write_safetensors(path, header, bytes(data))

    def refuse_evaluate(self, run, *expected):
        self.refuse(["evaluate", "--run", run], *expected)

    def test_no_run(self):
        (self.folder / "empty").mkdir()
        for name in ("missing", "empty"):
            for arguments in (["evaluate"], ["report"], ["predict", "image.png"], ["defend"]):
                with self.subTest(f"{arguments[0]} {name}"):
                    self.refuse([*arguments, "--run", self.folder / name], name, "config.json")
        self.refuse_evaluate(self.victim / "config.json", "config.json")

    def test_wrong_kind(self):
        self.refuse(support.defend(self.defense, "out"), "defense", "victim", cwd=self.folder)
        self.refuse(["report", "--run", self.defense, "--compare", self.victim], "victim",
                    "a defense")
        self.refuse(support.train(self.defense, "--resume"), "other settings")
        self.refuse(support.defend(self.victim, self.victim, "--resume"), "is or contains")
        self.refuse(support.defend(self.victim, self.victim, "--overwrite"), "is or contains")
        self.refuse(support.defend(self.victim, self.folder, "--overwrite"), "is or contains")
        (self.folder / "link").symlink_to(self.victim)
        self.refuse(support.defend(self.victim, self.folder / "link", "--overwrite"),
                    "is or contains")
        (self.folder / "link").unlink()

    def test_polarizers_that_cannot_be_reused(self):
        def taking(run, *more, victim=self.victim, method="ensemble"):
            return ["defend", "--run", victim, "--method", method, "--polarizers", run, "--out",
                    "out", "--quiet", *more]
        # The defense is r-cnpd's, of this victim.
        self.refuse(taking(self.victim), "victim", "defense", cwd=self.folder)
        self.refuse(taking(self.folder / "nowhere"), "config.json", cwd=self.folder)
        self.refuse(taking(self.defense, method="npd"), "ensemble", cwd=self.folder)
        for option in (["--epochs", "7"], ["--constant-lr"], ["--seed", "99"],
                       ["--pgd-radius", "1"]):
            self.refuse(taking(self.defense, *option), "--top-k", cwd=self.folder)
        other = self.folder / "other"
        shutil.copytree(self.defense, other)
        config = json.loads((other / "config.json").read_text())
        config["defense"]["method"] = "npd"
        (other / "config.json").write_text(json.dumps(config))
        self.refuse(taking(other), "npd", "r-cnpd", cwd=self.folder)
        config["defense"]["method"] = "r-cnpd"
        (other / "config.json").write_text(json.dumps(config))
        (other / "result.json").write_text("{}")
        self.refuse(taking(other), "seconds", cwd=self.folder)
        weights = bytearray((other / "model.safetensors").read_bytes())
        weights[-1] ^= 1
        (other / "model.safetensors").write_bytes(weights)
        self.refuse(taking(other), "a different victim", cwd=self.folder)

    def test_config(self):
        for keys, value, message in CONFIG:
            with self.subTest(f"{'.'.join(keys)} = {value}"):
                self.edit_config(self.victim, keys, value)
                self.refuse_evaluate(self.victim, message)
                self.refuse(["report", "--run", self.victim], message)
                self.refuse(support.defend(self.victim, "out"), message, cwd=self.folder)

    def test_config_of_a_defense(self):
        for keys, value, message in DEFENSE_CONFIG:
            with self.subTest(f"{'.'.join(keys)} = {value}"):
                self.edit_config(self.defense, keys, value)
                self.refuse_evaluate(self.defense, message)
                self.refuse(["report", "--run", self.defense], message)

    def test_config_that_does_not_fit_the_data(self):
        """Only class_names determines the number of classes."""
        run = self.folder / "few"
        self.succeed(*support.train(run))
        config = json.loads((run / "config.json").read_text())
        config["input"]["class_names"] = ["one", "two"]
        (run / "config.json").write_text(json.dumps(config))

        def cut(header, data):
            for name in ("linear.weight", "linear.bias"):
                begin, end = header[name]["data_offsets"]
                header[name]["shape"][0] = 2
                header[name]["data_offsets"] = [begin, begin + (end - begin) // 5]
            return self.pack(header, data)

        self.edit_tensors(run / "model.safetensors", cut)
        for arguments in (["evaluate"], ["report"]):
            with self.subTest(arguments[0]):
                self.refuse([*arguments, "--run", run], "10 classes", "2")

    @staticmethod
    def pack(header, data):
        """Recomputes the offsets after some tensors have shrunk."""
        packed = bytearray()
        for entry in sorted((value for name, value in header.items() if name != "__metadata__"),
                            key=lambda value: value["data_offsets"]):
            begin, end = entry["data_offsets"]
            entry["data_offsets"] = [len(packed), len(packed) + end - begin]
            packed += data[begin:end]
        data[:] = packed
        return header

    def test_broken_json(self):
        for text in ("", "{", "[]", "null", "\0", "\ufeff{}", "[" * 10_000,
                     "{\"kind\": \"victim\"}"):
            with self.subTest(text[:20]):
                (self.victim / "config.json").write_text(text)
                self.refuse_evaluate(self.victim, "config.json")

    def test_broken_result(self):
        for text in RESULTS:
            with self.subTest(text[:20]):
                (self.defense / "result.json").write_text(text)
                self.refuse(["report", "--run", self.defense], "result.json")

    def test_broken_metrics(self):
        for text in ("{}\n", "[]\n", "no JSON\n", "{\"epoch\": 1.5}\n"):
            with self.subTest(text):
                (self.defense / "metrics.jsonl").write_text(text)
                self.refuse(["report", "--run", self.defense], "metrics.jsonl", "line 1")
                self.refuse(support.defend(self.victim, self.defense, "--resume"),
                            "metrics.jsonl", "line 1")

    def test_broken_safetensors(self):
        for what, contents in broken_safetensors().items():
            with self.subTest(what):
                (self.victim / "model.safetensors").write_bytes(contents)
                self.refuse_evaluate(self.victim, "model.safetensors")
        for name in ("model", "polarizer"):
            path = self.defense / f"{name}.safetensors"
            whole = path.read_bytes()
            for size in (len(whole) // 2, len(whole) - 1):
                path.write_bytes(whole[:size])
                self.refuse_evaluate(self.defense, path.name)
            path.write_bytes(whole + b"\0")
            self.refuse_evaluate(self.defense, path.name)
            path.write_bytes(whole)

    def test_huge_safetensors(self):
        os.truncate(self.victim / "model.safetensors", 5 << 30)
        self.refuse_only(["evaluate", "--run", self.victim], "model.safetensors", "at most")

    def test_wrong_weights(self):
        def rename(header, _):
            header["conv2.weight"] = header.pop("conv1.weight")

        def other_type(header, _):
            header["linear.bias"]["dtype"] = "I32"

        def other_shape(header, _):
            header["conv1.weight"]["shape"].reverse()

        def nan(header, data):
            begin = header["linear.bias"]["data_offsets"][0]
            data[begin:begin + 4] = struct.pack("<f", float("nan"))

        def infinity(header, data):
            begin = header["conv1.weight"]["data_offsets"][0]
            data[begin:begin + 4] = struct.pack("<f", float("-inf"))

        path = self.victim / "model.safetensors"
        for change, message in ((rename, "conv"), (other_type, "linear.bias"),
                                (other_shape, "conv1.weight"), (nan, "linear.bias"),
                                (infinity, "conv1.weight")):
            with self.subTest(change.__name__):
                shutil.copy(self.made / "victim" / path.name, path)
                self.edit_tensors(path, change)
                self.refuse_evaluate(self.victim, path.name, message)
                self.refuse(support.defend(self.victim, "out"), path.name, message,
                            cwd=self.folder)

    def test_broken_checkpoint(self):
        path = self.victim / "checkpoint.safetensors"
        whole = path.read_bytes()
        for what, contents in {**broken_safetensors(), "half": whole[:len(whole) // 2]}.items():
            with self.subTest(what):
                path.write_bytes(contents)
                self.refuse(support.train(self.victim, "--resume"), path.name)

        def nan(header, data):
            begin = header["model.linear.bias"]["data_offsets"][0]
            data[begin:begin + 4] = struct.pack("<f", float("nan"))

        def no_counters(header, _):
            del header["loop.counters"]

        for change in (nan, no_counters):
            with self.subTest(change.__name__):
                path.write_bytes(whole)
                self.edit_tensors(path, change)
                self.refuse(support.train(self.victim, "--resume"), path.name)

    def test_checkpoint_at_an_impossible_position(self):
        def moment(epoch, batch):
            def change(header, data):
                begin = header["loop.counters"]["data_offsets"][0]
                data[begin:begin + 16] = struct.pack("<qq", epoch, batch)
            return change

        path = self.victim / "checkpoint.safetensors"
        for epoch, batch in ((-1, 0), (4, 0), (1, -1), (1, 1000), (3, 1)):
            with self.subTest(f"epoch {epoch}, batch {batch}"):
                shutil.copy(self.made / "victim" / path.name, path)
                self.edit_tensors(path, moment(epoch, batch))
                self.refuse(support.train(self.victim, "--resume"), path.name)

    def test_links_out_of_the_run(self):
        outside = self.folder / "outside"
        outside.mkdir()
        for run, arguments, name in (
                (self.victim, ["evaluate", "--run"], "config.json"),
                (self.victim, ["evaluate", "--run"], "model.safetensors"),
                (self.defense, ["evaluate", "--run"], "polarizer.safetensors"),
                (self.defense, ["report", "--run"], "result.json"),
                (self.defense, ["report", "--run"], "metrics.jsonl"),
                (self.defense, ["report", "--run"], "victim_metrics.jsonl"),
                (self.victim, ["defend", "--out", self.folder / "out", "--run"], "metrics.jsonl")):
            with self.subTest(f"{arguments[0]}: {name}"):
                (run / name).rename(outside / name)
                (run / name).symlink_to(outside / name)
                self.refuse([*arguments, run], name, "link")
                (run / name).unlink()
                (outside / name).rename(run / name)

    def test_links_in_a_run_to_resume(self):
        secret = self.folder / "secret"
        secret.write_text("mine\n")
        for name in ("metrics.jsonl", "checkpoint.safetensors", ".lock"):
            with self.subTest(name):
                shutil.rmtree(self.victim)
                shutil.copytree(self.made / "victim", self.victim)
                (self.victim / name).unlink(missing_ok=True)
                (self.victim / name).symlink_to(secret)
                self.refuse(support.train(self.victim, "--resume"), name)

    def test_special_files(self):
        (self.victim / "config.json").unlink()
        os.mkfifo(self.victim / "config.json")
        self.refuse_only(["evaluate", "--run", self.victim], "config.json", "is not a file")


support.main()
