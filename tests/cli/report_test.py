"""The report of every kind of run."""

import html
import json
import re
import shutil

import support

SMALL = ["--train-limit", "200", "--test-limit", "50", "--width", "2", "--epochs", "1"]


def small(out, *more):
    return support.train(out, *support.without(SMALL, more), *more)


class Page(support.RunsTest):
    def page(self, run, *more):
        self.succeed("report", "--run", run, *more)
        return html.unescape((run / "report.html").read_text()).replace("\u00a0", " ")

    @staticmethod
    def facts(page):
        return dict(re.findall("<dt>([^<]*)</dt><dd>([^<]*)</dd>", page))

    @staticmethod
    def rows(page):
        """The names of the table's rows, in its order."""
        return re.findall('<tr class="[a-z]*"><th scope="row">([^<]*)</th>', page)

    def test_no_examples(self):
        for run in (self.victim, self.defense):
            self.assertNotIn('id="examples"', self.page(run, "--examples", "0"))

    def test_no_poisoned_test_image(self):
        # The only test image is of one of the classes; as the target it cannot be poisoned.
        for target in range(10):
            victim, defense = self.folder / f"v{target}", self.folder / f"d{target}"
            self.succeed(*small(victim, "--test-limit", "1", "--target", target))
            if support.result(victim)["n_poisoned"] == 0:
                break
        self.assertEqual(support.result(victim)["n_poisoned"], 0)
        self.succeed(*support.defend(victim, defense, "--epochs", "1"))
        for run in (victim, defense):
            self.assertNotIn('id="examples"', self.page(run))

    def test_benign(self):
        for name, attack in (("none", ["--attack", "none"]), ("ratio", ["--poison-ratio", "0"])):
            with self.subTest(name):
                victim, defense = self.folder / name, self.folder / f"{name}-defended"
                self.succeed(*small(victim, *attack))
                self.succeed(*support.defend(victim, defense, "--epochs", "1"))
                for run in (victim, defense):
                    page = self.page(run)
                    self.assertIn("Benign", page)
                    run_part = page[page.index('id="run"'):page.index('id="glossary"')]
                    self.assertFalse({"Poison ratio", "Poisoned training images", "Target class"}
                                     & set(self.facts(run_part)))
                    shown = page[:page.index('id="run"')]
                    for word in ("removed", "With trigger", "ASR,"):
                        self.assertNotIn(word, shown)
                self.assertIn("of the clean images are flagged, all of them false alarms", page)
                self.assertRegex(page, "cost no accuracy|points of accuracy for nothing")

    def test_poisoned_images_are_counted(self):
        sig = self.folder / "sig"
        self.succeed(*small(sig, "--attack", "sig", "--poison-ratio", "0.5"))
        self.assertEqual(self.facts(self.page(sig))["Poisoned training images"],
                         "20 of 200 (50 % requested, class 0 has 20)")
        self.assertEqual(self.facts(self.page(self.victim))["Poisoned training images"],
                         "60 of 600 (10 %)")

    def test_other_victims_have_their_own_rows(self):
        other, others, again = (self.folder / name for name in ("other", "others", "again"))
        self.succeed(*small(other, "--seed", "2"))
        self.succeed(*support.defend(other, others, "--epochs", "1"))
        self.succeed(*support.defend(self.victim, again, "--epochs", "1"))
        tuned = self.folder / "tuned"
        self.succeed(*support.defend(self.victim, tuned, "--method", "ft", "--epochs", "1"))
        page = self.page(self.defense, "--compare", others, again, tuned, self.defense)
        self.assertEqual(self.rows(page),
                         ["victim", "r-cnpd (epochs 1)", "fine-tuning", "r-cnpd (epochs 3)",
                          f"victim of {self.folder.name}/others", "r-cnpd"])

    def test_runs_with_equal_settings_are_named_by_directory(self):
        twin = self.folder / "twin"
        shutil.copytree(self.defense, twin)
        page = self.page(self.defense, "--compare", twin)
        self.assertEqual(self.rows(page), ["victim", "r-cnpd (twin)", "r-cnpd (defense)"])

    def test_fine_tuning_has_an_after_side(self):
        tuned = self.folder / "tuned"
        self.succeed(*support.defend(self.victim, tuned, "--method", "ft", "--epochs", "1"))
        page = self.page(tuned)
        self.assertEqual(self.rows(page), ["victim", "fine-tuning"])
        self.assertIn("<h4>Defended model</h4>", page)
        self.assertIn(">Images with the trigger, defended model<", page)

    def test_detection_has_an_roc_curve(self):
        curve = support.result(self.defense)["detection_roc"]
        for rates in curve.values():
            self.assertEqual(rates, sorted(rates))
            self.assertEqual((rates[0], rates[-1]), (0, 100))
            self.assertLessEqual(len(rates), 101)
        self.assertIn(">True positive rate, area", self.page(self.defense))

    def test_curves_begin_with_the_victim(self):
        result = support.result(self.defense)
        self.assertIn(f"ASR, epoch 0: {result['asr_before']:.1f} %", self.page(self.defense))
        lines = (self.defense / "metrics.jsonl").read_text()
        first = json.dumps({"epoch": 0, "acc": 12.5, "asr": 34.5, "r_acc": 56.5})
        (self.defense / "metrics.jsonl").write_text(first + "\n" + lines)
        page = self.page(self.defense)
        self.assertIn("ASR, epoch 0: 34.5 %", page)
        self.assertIn(">Terms of the loss, unweighted<", page)

    def test_environment(self):
        path = self.victim / "config.json"
        config = json.loads(path.read_text())
        config["environment"] = {"date": "2026-01-02T03:04:05Z", "cpu": "<b>fast</b>",
                                 "threads": 3, "commit": "abc", "news": [1], "some_new_key": "x"}
        path.write_text(json.dumps(config))
        page = self.page(self.victim)
        self.assertNotIn("<b>fast", (self.victim / "report.html").read_text())
        for text in ("<dt>Date</dt><dd>2026-01-02T03:04:05Z</dd>", "<dd><b>fast</b></dd>",
                     "<dt>Threads</dt><dd>3</dd>", "<dt>Commit</dt><dd>abc</dd>",
                     "<dt>some_new_key</dt><dd>x</dd>"):
            self.assertIn(text, page)
        self.assertEqual(page.count("<dt>Threads</dt>"), 1)

    def test_entries_that_are_missing(self):
        for name in ("asr", "acc_before", "asr_before", "detection_roc", "detection_fpr",
                     "n_poisoned", "seconds"):
            with self.subTest(name):
                path = self.defense / "result.json"
                shutil.copy(self.made / "defense" / "result.json", path)
                result = json.loads(path.read_text())
                del result[name]
                result["new"] = {"unknown": ["entry"]}
                path.write_text(json.dumps(result))
                self.page(self.defense)


support.main()
