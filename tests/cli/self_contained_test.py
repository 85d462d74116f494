"""A run needs nothing but its directory and, for measuring, the data set."""

import json
import shutil

import pictures
import support

FEW = ["--test-limit", "100"]


class Relocation(support.RunsTest):
    def test_moved_runs(self):
        picture = self.folder / "image.png"
        picture.write_bytes(pictures.png(pictures.pixels_of((40, 60, 220), 0)))
        expected = support.run("predict", "--run", self.defense, picture, "--json").stdout
        self.victim.rename(self.folder / "elsewhere")
        self.defense.rename(self.folder / "elsewhere" / "there")
        victim, defense = self.folder / "elsewhere", self.folder / "elsewhere" / "there"
        self.assertEqual(self.succeed("predict", "--run", defense, picture, "--json").stdout,
                         expected)
        for run in (victim, defense):
            scores = json.loads(self.succeed("evaluate", "--run", run, "--json").stdout)
            self.assertEqual(scores["asr"], support.result(run)["asr"])
            self.succeed("report", "--run", run)
        self.succeed(*support.defend(victim, defense, "--resume"))
        self.succeed(*support.defend(victim, self.folder / "again"))
        self.assert_same_run(self.folder / "again", self.made / "defense",
                             ["polarizer.safetensors"])

    def test_a_defense_without_its_victim(self):
        shutil.rmtree(self.victim)
        done = self.succeed("evaluate", "--run", self.defense, "--json")
        self.assertEqual(json.loads(done.stdout)["acc"], support.result(self.defense)["acc"])
        self.succeed("report", "--run", self.defense)

    def test_the_current_directory(self):
        self.succeed("evaluate", "--run", ".", cwd=self.victim)
        self.succeed("report", "--run", ".", cwd=self.victim)
        self.assertTrue((self.victim / "report.html").exists())
        self.succeed(*support.defend(".", "r-cnpd"), cwd=self.victim)
        self.succeed("evaluate", "--run", "r-cnpd", cwd=self.victim)


class Pattern(support.ProgramTest):
    """The blended attack's picture is a part of the run."""

    def setUp(self):
        super().setUp()
        self.picture, self.victim = self.folder / "pattern.ppm", self.folder / "victim"
        self.draw((220, 50, 40))
        self.arguments = support.train(self.victim, "--attack", "blended", "--blend-pattern",
                                       self.picture)

    def draw(self, colour):
        self.picture.write_bytes(pictures.ppm(pictures.pixels_of(colour, 0)))

    def test_a_moved_run_without_the_original_picture(self):
        self.succeed(*self.arguments)
        expected = support.result(self.victim)
        moved, defense = self.folder / "moved", self.folder / "defense"
        self.victim.rename(moved)
        self.picture.unlink()
        self.assertNotIn(str(self.folder), (moved / "config.json").read_text())

        self.succeed(*support.defend(moved, defense))
        self.assertEqual(support.result(defense)["asr_before"], expected["asr"])
        defense.rename(self.folder / "lone")
        shutil.rmtree(moved)
        done = self.succeed("evaluate", "--run", self.folder / "lone", "--json")
        self.assertEqual(json.loads(done.stdout)["asr_before"], expected["asr"])
        self.succeed("report", "--run", self.folder / "lone")

    def test_the_stored_picture_is_blended(self):
        """Replacing the stored picture changes the trigger."""
        self.succeed(*self.arguments)
        (self.victim / "pattern.png").write_bytes(pictures.png(pictures.pixels_of((0, 0, 0), 0)))
        done = self.succeed("evaluate", "--run", self.victim, "--json")
        self.assertNotEqual(json.loads(done.stdout)["asr"], support.result(self.victim)["asr"])

    def test_resume(self):
        self.succeed(*self.arguments)
        self.succeed(*self.arguments, "--resume")
        self.draw((40, 60, 220))
        self.refuse([*self.arguments, "--resume"], "other settings")

    def test_another_run_s_picture(self):
        self.succeed(*self.arguments)
        self.succeed(*support.train(self.victim, "--overwrite"))
        self.assertFalse((self.victim / "pattern.png").exists())

    def test_refused(self):
        self.succeed(*self.arguments)
        whole = (self.victim / "config.json").read_text()
        for name in (str(self.picture), "../pattern.ppm", "model.safetensors", ""):
            with self.subTest(name):
                config = json.loads(whole)
                config["attack"]["blend_pattern"] = name
                (self.victim / "config.json").write_text(json.dumps(config))
                for arguments in (["evaluate"], ["report"],
                                  ["defend", "--out", self.folder / "out"]):
                    self.refuse([*arguments, "--run", self.victim], "blends the file", name)
        (self.victim / "config.json").write_text(whole)
        stored = self.victim / "pattern.png"
        stored.write_bytes(stored.read_bytes()[:100])
        self.refuse(["evaluate", "--run", self.victim], "pattern.png")
        stored.unlink()
        self.refuse(["evaluate", "--run", self.victim], "pattern.png")
        stored.symlink_to(self.picture)
        self.refuse(["evaluate", "--run", self.victim], "pattern.png", "link")


class RealLayouts(support.ProgramTest):
    """The official files, small or of one colour."""

    def check(self, data, *options):
        """The data set may move as well, and --data says where to."""
        victim, defense = self.folder / "victim", self.folder / "defense"
        self.succeed(*support.train(victim, "--data", data, *options))
        moved = data.rename(self.folder / "moved")
        self.refuse(["evaluate", "--run", victim], str(data))
        self.succeed(*support.defend(victim, defense, "--data", moved))
        for run in (victim, defense):
            done = self.succeed("evaluate", "--run", run, "--data", moved, "--json")
            self.assertEqual(json.loads(done.stdout)["acc"], support.result(run)["acc"])
            self.succeed("report", "--run", run, "--data", moved)
        return json.loads((victim / "config.json").read_text()), support.result(victim)

    def test_cifar10(self):
        data = pictures.write_cifar10(self.folder / "cifar" / "cifar-10-batches-bin")
        config, result = self.check(data.parent, "--dataset", "cifar10", *FEW)
        self.assertEqual(config["input"]["class_names"][::9], ["airplane", "truck"])
        self.assertEqual((result["n_train"], result["n_clean"]), (600, 100))
        # The classes differ only in their shade of grey. Chance is 10 %; with 200 images 20 % is very unlikely.
        self.assertGreater(result["acc"], 20)

    def test_image_folder(self):
        data = pictures.write_image_folder(self.folder / "signs", per_class=20)
        config, result = self.check(data, "--dataset", "folder", "--batch-size", "8", "--epochs",
                                    "10")
        self.assertEqual(config["input"]["class_names"], sorted(pictures.COLOURS))
        self.assertEqual(config["input"]["height"], pictures.SIDE)
        self.assertEqual((result["n_train"], result["n_clean"]), (60, 60))
        self.assertGreater(result["acc"], 60)

    def test_a_run_and_other_data(self):
        data = pictures.write_image_folder(self.folder / "signs")
        victim = self.folder / "victim"
        self.succeed(*support.train(victim, "--dataset", "folder", "--data", data,
                                    "--batch-size", "8"))
        for name, value in (("red", "crimson"), ("red", "vermilion")):
            other = self.folder / value
            shutil.copytree(data, other)
            for split in ("train", "test"):
                (other / split / name).rename(other / split / value)
            for arguments in (["evaluate"], ["report"], ["defend"]):
                with self.subTest(f"{arguments[0]} {value}"):
                    self.refuse([*arguments, "--run", victim, "--data", other], "class")

    def test_image_size(self):
        data = pictures.write_image_folder(self.folder / "signs")
        self.succeed(*support.train(self.folder / "victim", "--dataset", "folder", "--data", data,
                                    "--batch-size", "8", "--image-size", "24"))
        config = json.loads((self.folder / "victim" / "config.json").read_text())
        self.assertEqual(config["input"]["height"], 24)


support.main()
