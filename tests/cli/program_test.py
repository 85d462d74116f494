"""Output of the program, sources of settings, and handling of existing runs."""

import json
import re
import subprocess

import support

SCORES = {"acc", "asr", "r_acc", "n_clean", "n_poisoned"}
COSTS = {"seconds", "parameters_trained", "peak_memory_bytes"}
COMPARISON = {"der", "acc_before", "asr_before", "r_acc_before"}
SUBCOMMANDS = ["demo", "train", "defend", "evaluate", "predict", "report", "info"]


class Printing(support.RunsTest):
    def json_of(self, *arguments):
        done = self.succeed(*arguments, "--json")
        return json.loads(done.stdout)

    def check_scores(self, result, keys):
        self.assertLessEqual(keys, result.keys())
        for key in ("acc", "asr", "r_acc"):
            self.assertTrue(0 <= result[key] <= 100, f"{key} {result[key]}")
        self.assertEqual((result["n_clean"], result["n_poisoned"]), (200, 180))

    def test_help(self):
        text = self.succeed("--help").stdout
        for name in SUBCOMMANDS:
            self.assertIn(name, text)
            own = self.succeed(name, "--help")
            self.assertIn("--json", own.stdout, name)
            self.assertEqual(own.stderr, "")

    def test_version(self):
        self.assertRegex(self.succeed("--version").stdout, r"\Acnpd \d+\.\d+\.\d+\n\Z")

    def test_no_arguments(self):
        done = support.run()
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("--help", done.stderr)

    def test_train(self):
        result = self.json_of(*support.train(self.folder / "out"))
        self.check_scores(result, SCORES | COSTS | {"n_train", "n_train_poisoned"})
        self.assertEqual((result["n_train"], result["n_train_poisoned"]), (600, 60))
        self.assertEqual(result, json.loads((self.folder / "out" / "result.json").read_text()))

    def test_defend(self):
        for method in ("r-cnpd", "ensemble", "ft"):
            with self.subTest(method):
                result = self.json_of(*support.defend(self.victim, self.folder / method,
                                                      "--method", method))
                self.check_scores(result, SCORES | COSTS | COMPARISON)
                victim = support.result(self.victim)
                for key in ("acc", "asr", "r_acc"):
                    self.assertEqual(result[f"{key}_before"], victim[key])
                again = self.json_of("evaluate", "--run", self.folder / method)
                for key in SCORES:
                    self.assertEqual(again[key], result[key], key)

    def test_an_ensemble_reuses_polarizers(self):
        trained = self.folder / "r-cnpd"
        self.succeed(*support.defend(self.victim, trained))
        taken = ["defend", "--run", self.victim, "--method", "ensemble", "--polarizers", trained,
                 "--quiet", "--json", "--threads", "1", "--out"]
        result = json.loads(self.succeed(*taken, self.folder / "taken").stdout)
        ours = json.loads(self.succeed(*support.defend(self.victim, self.folder / "own", "--method",
                                                       "ensemble", "--json")).stdout)
        for key in SCORES | COMPARISON:
            self.assertEqual(result[key], ours[key], key)
        training = json.loads((trained / "result.json").read_text())
        self.assertEqual(result["seconds"], training["seconds"])
        again = self.json_of("evaluate", "--run", self.folder / "taken")
        self.assertEqual(again["asr"], result["asr"])
        # With one class the ensemble is r-CNPD.
        one = json.loads(self.succeed(*taken, self.folder / "one", "--top-k", "1").stdout)
        self.assertEqual(one["asr"], support.result(trained)["asr"])

    def test_options_override_the_recipe(self):
        self.succeed(*support.defend(self.victim, self.folder / "published", "--recipe",
                                     "published", "--method", "npd", "--clip-norm", "1",
                                     "--lambda-undo", "0.3"))
        config = json.loads((self.folder / "published" / "config.json").read_text())
        self.assertEqual(config["defense"]["recipe"], "published")
        self.assertFalse(config["polarizer"]["augment"])
        polarizer = config["polarizer"]
        self.assertEqual({key: polarizer[key] for key in (
            "bn_start", "pgd_gradient", "pgd_through", "strategy", "clip_norm",
            "lambda_undo", "lambda_target", "epochs")}, {
                "bn_start": "published", "pgd_gradient": "sign",
                "pgd_through": "composite", "strategy": "second", "clip_norm": 1,
                "lambda_undo": 0.3, "lambda_target": 0.4, "epochs": 3})

    def test_examples_are_pushed_to_a_given_class(self):
        target = json.loads((self.victim / "config.json").read_text())["attack"]["target"]
        polarizers = {}
        for name, options in {"oracle": ["--strategy", "target"],
                              "suspect": ["--push-to", str(target)],
                              "innocent": ["--push-to", str(target + 1)]}.items():
            self.succeed(*support.defend(self.victim, self.folder / name, *options))
            polarizers[name] = (self.folder / name / "polarizer.safetensors").read_bytes()
        self.assertEqual(polarizers["suspect"], polarizers["oracle"])
        self.assertNotEqual(polarizers["innocent"], polarizers["oracle"])

    def test_detection(self):
        said = self.succeed("evaluate", "--run", self.defense).stdout
        result = support.result(self.defense)
        self.assertIn(f"{result['detection_tpr']:.2f} % of the images with the trigger", said)
        self.assertIn(f"{result['detection_fpr']:.2f} % of the clean ones", said)
        self.assertIn(f"AUROC of the score: {result['detection_auroc']:.2f} %", said)

    def test_evaluate_a_victim(self):
        again = self.json_of("evaluate", "--run", self.victim)
        self.assertEqual(again, {key: support.result(self.victim)[key] for key in again})
        self.check_scores(again, SCORES)

    def test_report(self):
        done = self.json_of("report", "--run", self.defense)
        self.assertEqual(done, {"report": str(self.defense / "report.html")})
        page = (self.defense / "report.html").read_text()
        self.assertNotRegex(page, r"(src|href)=\"?https?:", "the page needs the network")
        self.assertIn("</html>", page)

    def test_info(self):
        info = self.json_of("info")
        self.assertIn("cpu", info["backends"])
        self.assertIn("cpu", info["devices"])
        self.assertEqual(self.json_of("info", "--threads", "1")["threads"], 1)

    def test_info_of_a_model(self):
        info = self.json_of("info", "--model", "vgg16-bn", "--width", "2", "--head", "cifar")
        self.assertEqual((info["width"], info["head"], info["classes"]), (2, "cifar", 10))
        self.assertEqual(info["insertion_point"], "features.40")
        self.assertEqual(len(info["insertion_points"]), 12)
        self.assertEqual(self.json_of("info", "--model", "vgg16-bn", "--width", "2")["head"],
                         "torchvision")
        info = self.json_of("info", "--model", "preact-resnet18")
        self.assertEqual(info["parameters"], 11_171_146)
        self.assertEqual(info["insertion_point"], info["insertion_points"][-1])
        self.assertNotIn("head", info)
        self.assertIn("layer4.1.conv1", self.succeed("info", "--model", "resnet18").stdout)

    def test_a_table_on_stdout(self):
        text = self.succeed(*support.defend(self.victim, self.folder / "out")).stdout
        self.assertRegex(text, r"(?s)ACC %.*victim.*r-cnpd")
        self.assertNotIn("\x1b", text)

    def test_quiet(self):
        demo = ["demo", "--width", "2", "--epochs", "1", "--train-limit", "400", "--out",
                self.folder / "demo"]
        with subprocess.Popen(support.command(*demo), stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True) as loud:
            first = support.without_warnings(loud.stderr.readline())
            self.assertRegex(first or loud.stderr.readline(), "1/4")
            loud.kill()
        quiet = self.succeed(*demo, "--quiet", "--json")
        self.assertEqual(support.without_warnings(quiet.stderr), "")
        self.assertEqual(list(json.loads(quiet.stdout)), ["victim", "fine-tuning", "r-cnpd"])
        self.assertTrue((self.folder / "demo" / "r-cnpd" / "report.html").exists())


class OtherModels(support.ProgramTest):
    """Train, defend and evaluate models without a residual at the insertion point and with dropout."""

    def test_a_vgg_is_trained_defended_and_evaluated(self):
        victim, defense = self.folder / "victim", self.folder / "defense"
        self.succeed(*support.train(victim, "--model", "vgg16-bn", "--width", "1", "--epochs", "1",
                                    "--train-limit", "200"))
        config = json.loads((victim / "config.json").read_text())
        self.assertEqual(config["model"], {"model": "vgg16-bn", "width": 1, "head": "torchvision"})
        header, _ = support.read_safetensors(victim / "model.safetensors")
        self.assertEqual(header["classifier.0.weight"]["shape"], [64, 8 * 49])
        self.assertNotIn("classifier.2.draw", header)
        self.succeed(*support.defend(victim, defense, "--epochs", "1"))
        config = json.loads((defense / "config.json").read_text())
        self.assertEqual(config["polarizer"]["insertion_point"], "features.40")
        again = json.loads(self.succeed("evaluate", "--run", defense, "--json").stdout)
        self.assertEqual(again["acc"], support.result(defense)["acc"])
        self.succeed("report", "--run", defense)
        page = (defense / "report.html").read_text()
        self.assertIn("vgg16-bn, width 1, torchvision head", page)
        self.assertIn("--model vgg16-bn", page)

    def test_a_victim_without_a_head_in_its_configuration(self):
        victim = self.folder / "victim"
        self.succeed(*support.train(victim, "--epochs", "1"))
        path = victim / "config.json"
        config = json.loads(path.read_text())
        del config["model"]["head"]
        config["cnpd"] = "0.1.0"
        path.write_text(json.dumps(config))
        self.succeed("evaluate", "--run", victim)


class Configuration(support.ProgramTest):
    """Options override the file, the file overrides the defaults."""

    TOML = """
        # for every subcommand
        seed = 7
        threads = 1

        [train]
        width = 2
        epochs = 2
        batch-size = 32
        train_limit = 300
        test_limit = 100
        poison-ratio = 0.2
        no-augment = true

        [defend]
        epochs = 1
    """
    JSON = {"seed": 7, "threads": 1,
            "train": {"width": 2, "epochs": 2, "batch-size": 32, "train_limit": 300,
                      "test_limit": 100, "poison-ratio": 0.2, "no-augment": True},
            "defend": {"epochs": 1}}

    def config_of(self, out):
        return json.loads((out / "config.json").read_text())

    def check(self, path):
        victim, out = self.folder / "victim", self.folder / "out"
        self.succeed("train", "--quiet", "--config", path, "--epochs", "1", "--out", victim)
        config = self.config_of(victim)
        self.assertEqual(config["training"]["epochs"], 1)
        self.assertEqual(config["training"]["batch_size"], 32)
        self.assertEqual(config["training"]["seed"], 7)
        self.assertFalse(config["training"]["augment"])
        self.assertEqual(config["model"]["width"], 2)
        self.assertEqual(config["attack"]["poison_ratio"], 0.2)
        self.assertEqual(config["attack"]["target"], 0)
        self.succeed("defend", "--quiet", "--config", path, "--run", victim, "--clean-ratio",
                     "0.2", "--batch-size", "16", "--out", out)
        config = self.config_of(out)
        self.assertEqual(config["polarizer"]["epochs"], 1)
        self.assertEqual(config["polarizer"]["warmup_epochs"], 2)
        self.assertEqual(config["defense"]["seed"], 7)

    def test_toml(self):
        (self.folder / "settings.toml").write_text(self.TOML)
        self.check(self.folder / "settings.toml")

    def test_json(self):
        (self.folder / "settings.json").write_text(json.dumps(self.JSON))
        self.check(self.folder / "settings.json")


class Repeated(support.RunsTest):
    def test_config_json_of_a_run_makes_the_same_run(self):
        for method in ("npd", "r-cnpd", "e-cnpd", "a-cnpd", "ensemble", "ft"):
            with self.subTest(method):
                first, again = self.folder / method, self.folder / f"{method}-again"
                more = ("--push-to", "3") if method == "npd" else ()
                self.succeed(*support.defend(self.victim, first, "--method", method, *more))
                self.succeed("defend", "--config", first / "config.json", "--run", self.victim, "--out",
                             again, "--threads", "1", "--quiet")
                weights = "defended" if method == "ft" else "polarizer"
                self.assert_same_run(again, first, [f"{weights}.safetensors"])
        again = self.folder / "victim-again"
        self.succeed("train", "--config", self.victim / "config.json", "--out", again, "--threads", "1",
                     "--quiet")
        self.assert_same_run(again, self.victim, ["model.safetensors"])

    def test_the_last_of_repeated_options_counts(self):
        out = self.folder / "out"
        self.succeed(*support.train(out, "--seed", "5"), "--seed", "6", "--seed=7")
        self.assertEqual(json.loads((out / "config.json").read_text())["training"]["seed"], 7)


class OldRuns(support.RunsTest):
    def test_refused_resumed_or_replaced(self):
        self.refuse(support.train(self.victim), "already holds a run", "--overwrite")
        self.refuse(support.defend(self.victim, self.defense), "already holds a run")
        self.refuse(support.train(self.defense), "already holds a run")
        self.succeed("report", "--run", self.victim)
        self.succeed(*support.train(self.victim, "--resume"))
        self.assert_same_run(self.victim, self.made / "victim", ["model.safetensors"])
        self.succeed(*support.train(self.victim, "--overwrite", "--seed", "1"))
        self.assertNotEqual(support.metrics(self.victim), support.metrics(self.made / "victim"))
        # The former run's files have been deleted.
        self.assertFalse((self.victim / "report.html").exists())

    def test_overwriting_spares_other_files(self):
        (self.victim / "notes.txt").write_text("mine")
        self.succeed(*support.train(self.victim, "--overwrite"))
        self.assertEqual((self.victim / "notes.txt").read_text(), "mine")

    def test_resume_with_other_settings(self):
        for more in (["--seed", "1"], ["--lr", "0.05"], ["--epochs", "4"], ["--width", "4"],
                     ["--target", "1"], ["--poison-ratio", "0.2"], ["--no-augment"],
                     ["--attack", "blended"]):
            with self.subTest(more):
                self.refuse(support.train(self.victim, "--resume", *more), "other settings",
                            "--overwrite")
        for more in (["--seed", "1"], ["--pgd-steps", "1"], ["--method", "ft"],
                     ["--clean-ratio", "0.3"], ["--insertion-point", "layer3.0.conv1"]):
            with self.subTest(more):
                self.refuse(support.defend(self.victim, self.defense, "--resume", *more),
                            "other settings", "--overwrite")

    def test_resume_of_a_defense_whose_victim_changed(self):
        path = self.victim / "model.safetensors"
        header, data = support.read_safetensors(path)
        support.write_safetensors(path, header, bytes([data[0] ^ 1]) + data[1:])
        self.refuse(support.defend(self.victim, self.defense, "--resume"), "other settings")

    def test_resume_without_a_run(self):
        out = self.folder / "out"
        self.succeed(*support.train(out, "--resume"))
        self.assert_same_run(out, self.victim, ["model.safetensors"])

    def test_two_runs_are_the_same(self):
        out = self.folder / "out"
        self.succeed(*support.defend(self.victim, out))
        self.assert_same_run(out, self.defense, ["model.safetensors", "polarizer.safetensors"])


class Attacks(support.ProgramTest):
    def end_to_end(self, *options):
        """Trains, defends, evaluates and makes the report. Returns both results."""
        victim, defense = self.folder / "victim", self.folder / "defense"
        self.succeed(*support.train(victim, *options))
        self.succeed(*support.defend(victim, defense))
        for run in (victim, defense):
            done = self.succeed("evaluate", "--run", run, "--json")
            self.assertEqual(json.loads(done.stdout)["acc"], support.result(run)["acc"])
            self.succeed("evaluate", "--run", run)
            self.succeed("report", "--run", run)
        return support.result(victim), support.result(defense)

    def test_none(self):
        victim, defense = self.end_to_end("--attack", "none")
        for result in (victim, defense):
            self.assertEqual(result["n_poisoned"], 0)
            self.assertIsNone(result["asr"])
            self.assertIsNone(result["r_acc"])
        self.assertEqual(victim["n_train_poisoned"], 0)
        self.assertIsNone(defense["der"])

    def test_all_to_all(self):
        victim, defense = self.end_to_end("--attack-mode", "all-to-all")
        # Every test image has a backdoor label other than its own class.
        self.assertEqual(victim["n_poisoned"], 200)
        self.assertEqual(defense["n_poisoned"], 200)
        self.assertIsNotNone(defense["der"])

    def test_sig(self):
        victim, _ = self.end_to_end("--attack", "sig", "--poison-ratio", "0.05")
        self.assertEqual(victim["n_train_poisoned"], 30)

    def test_hold_out(self):
        self.succeed(*support.train(self.folder / "victim"))
        self.succeed(*support.defend(self.folder / "victim", self.folder / "defense", "--hold-out",
                                     "0.25"))
        last = support.metrics(self.folder / "defense")[-1]
        self.assertTrue(re.search("held_out_acc", " ".join(last)), last)


support.main()
