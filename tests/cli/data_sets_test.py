"""Data sets in their layouts, skipped files, changed images, indices.json and --exif."""

import json
import os
import pathlib
import re
import shutil
import zipfile

import pictures
import support

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"


def without_flag(arguments, flag):
    return [argument for argument in arguments if argument != flag]


class DataSets(support.ProgramTest):
    def train(self, dataset, data, out):
        arguments = support.train(self.folder / out, "--dataset", dataset, "--data", data,
                                  "--epochs", "1", "--batch-size", "8", "--attack", "none",
                                  "--train-limit", "40", "--test-limit", "3")
        self.succeed(*arguments)
        return self.folder / out

    def check_same_models(self, *runs):
        for run in runs[1:]:
            self.assert_same_run(runs[0], run, ["model.safetensors"])

    def test_names_beyond_ascii_are_read_in_any_locale(self):
        data = pictures.write_image_folder(self.folder / "signs")
        packed = self.folder / "signs.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, contents in pictures.files_of(data).items():
                archive.writestr(name.replace("red", "rouge-é"), contents)  # sets the UTF-8 flag
        out = self.folder / "out"
        self.succeed(*support.train(out, "--dataset", "folder", "--data", packed, "--epochs", "1",
                                    "--batch-size", "8", "--attack", "none"),
                     env={**os.environ, "LC_ALL": "C"})
        names = json.loads((out / "config.json").read_text())["input"]["class_names"]
        self.assertIn("rouge-é", names)

    def test_files_left_by_operating_systems_are_skipped(self):
        data = pictures.write_image_folder(self.folder / "signs")
        plain = self.train("folder", data, "plain")
        for name in ("Thumbs.db", "train/desktop.ini", "train/red/._0.png", "test/.DS_Store",
                     "__MACOSX/train/red/._0.png", "train/.ipynb_checkpoints/0.png"):
            (data / name).parent.mkdir(parents=True, exist_ok=True)
            (data / name).write_bytes(b"x")
        packed = pictures.pack(self.folder / "signs.zip", pictures.files_of(data))
        self.check_same_models(plain, self.train("folder", data, "littered"),
                               self.train("folder", packed, "packed"))

    def test_skipped_files_are_reported_once_by_train_and_defend(self):
        data = pictures.write_image_folder(self.folder / "signs")
        for name in ("train/red/._0.png", "train/red/.DS_Store", "test/blue/Thumbs.db"):
            (data / name).write_bytes(b"x")
        packed = pictures.pack(self.folder / "signs.zip", pictures.files_of(data))
        for source, out in ((data, "unpacked"), (packed, "packed")):
            victim = self.folder / out
            notice = (f"{source}: skipped 3 files, hidden or left by operating systems "
                      "(.DS_Store, ._*, Thumbs.db)\n")
            for arguments in (
                    support.train(victim, "--dataset", "folder", "--data", source, "--epochs", "1",
                                  "--batch-size", "8"),
                    support.defend(victim, victim / "ft", "--method", "ft", "--epochs", "1",
                                   "--batch-size", "8", "--clean-ratio", "0.5")):
                with self.subTest(f"{arguments[0]} {out}"):
                    said = self.succeed(*without_flag(arguments, "--quiet")).stderr
                    self.assertEqual(said.count(notice), 1, said)
                    self.assertEqual(said.count("skipped"), 1, said)
            shutil.rmtree(victim / "ft")
            quiet = self.succeed(*support.defend(victim, victim / "ft", "--method", "ft", "--epochs",
                                                 "1", "--batch-size", "8", "--clean-ratio", "0.5"))
            self.assertNotIn("skipped", quiet.stderr)

    def test_unexpected_files_are_listed_together(self):
        data = pictures.write_image_folder(self.folder / "signs")
        for i in range(4):
            (data / "train" / "red" / f"{i}.txt").write_text("x")
            (data / "test" / "blue" / f"{i}.gif").write_text("x")
        self.refuse(["train", "--dataset", "folder", "--data", data, "--out", self.folder / "out"],
                    "holds 8 unexpected files or folders", "train/red/0.txt",
                    "train/red/3.txt", "test/blue/0.gif", "and 3 more")

    def test_gtsrb(self):
        data = pictures.write_gtsrb(self.folder / "unpacked")
        files = pictures.files_of(data)
        whole = pictures.pack(self.folder / "gtsrb.tar.gz", files)
        official = self.folder / "official"
        official.mkdir()
        for name, part in (("GTSRB_Final_Training_Images", "GTSRB/Final_Training/"),
                           ("GTSRB_Final_Test_Images", "GTSRB/Final_Test/Images/")):
            pictures.pack(official / f"{name}.zip", {
                path: files[path] for path in files if path.startswith(part)})
        pictures.pack(official / "GTSRB_Final_Test_GT.zip", {
            "GT-final_test.csv": files["GTSRB/Final_Test/GT-final_test.csv"]})
        runs = [self.train("gtsrb", source, f"out{i}")
                for i, source in enumerate((data, whole, official))]
        self.check_same_models(*runs)
        config = json.loads((runs[0] / "config.json").read_text())["input"]
        self.assertEqual(config["class_names"][14], "stop")
        self.assertEqual(len(config["class_names"]), 43)
        self.assertEqual((config["height"], config["mean"], config["std"]),
                         (32, [0, 0, 0], [1, 1, 1]))

    def test_gtsrb_from_kaggle(self):
        official = pictures.write_gtsrb(self.folder / "official")
        files = pictures.kaggle_gtsrb(official)
        packed = pictures.pack(self.folder / "archive.zip", files)
        unpacked = self.folder / "kaggle"
        for name, contents in files.items():
            (unpacked / name).parent.mkdir(parents=True, exist_ok=True)
            (unpacked / name).write_bytes(contents)
        self.check_same_models(*(self.train("gtsrb", source, f"out{i}")
                                 for i, source in enumerate((official, packed, unpacked))))

    def test_gtsrb_from_torchvision(self):
        official = pictures.write_gtsrb(self.folder / "official")
        root = self.folder / "gtsrb" / "GTSRB"
        shutil.copytree(official / "GTSRB" / "Final_Training" / "Images", root / "Training")
        shutil.copytree(official / "GTSRB" / "Final_Test", root / "Final_Test")
        (root / "Final_Test" / "GT-final_test.csv").rename(root.parent / "GT-final_test.csv")
        for table in (root / "Training").glob("*/GT-*.csv"):
            table.unlink()
        self.check_same_models(self.train("gtsrb", official, "out0"),
                               self.train("gtsrb", self.folder, "out1"))

    def test_tiny_imagenet(self):
        data = pictures.write_tiny_imagenet(self.folder / "unpacked")
        packed = pictures.pack(self.folder / "tiny-imagenet-200.zip", {
            f"tiny-imagenet-200/{name}": contents
            for name, contents in pictures.files_of(data).items()})
        runs = [self.train("tiny-imagenet", source, f"out{i}")
                for i, source in enumerate((data, packed))]
        self.check_same_models(*runs)
        config = json.loads((runs[0] / "config.json").read_text())["input"]
        self.assertEqual(config["class_names"], ["thing 0", "thing 1", "thing 2"])
        self.assertEqual((config["height"], config["width"]), (64, 64))

    def test_cifar10_and_synthetic_are_resized(self):
        data = pictures.write_cifar10(self.folder / "cifar10")
        for name, source in (("cifar10", ["--data", data]), ("synthetic", [])):
            out = self.folder / f"{name}-run"
            self.succeed(*support.train(out, "--dataset", name, *source, "--image-size", "16",
                                        "--train-limit", "60", "--test-limit", "20", "--epochs", "1"))
            config = json.loads((out / "config.json").read_text())
            self.assertEqual((config["input"]["height"], config["input"]["width"]), (16, 16))
            self.succeed("evaluate", "--run", out, "--quiet")


class OtherImages(support.ProgramTest):
    """A run stores a fingerprint of its images' pixels, labels and names; other images are refused."""

    def setUp(self):
        super().setUp()
        self.data = pictures.write_image_folder(self.folder / "signs")
        self.victim = self.folder / "victim"
        self.options = ["--dataset", "folder", "--batch-size", "8"]
        self.succeed(*support.train(self.victim, *self.options, "--data", self.data))
        self.other = self.folder / "other"
        shutil.copytree(self.data, self.other)
        # Change one channel of one pixel by one.
        picture = self.other / "train" / "red" / "1.ppm"
        contents = bytearray(picture.read_bytes())
        contents[-1] ^= 1
        picture.write_bytes(contents)

    def defend(self, *more):
        return support.defend(self.victim, self.folder / "defense", "--method", "ft", "--epochs", "1",
                              "--batch-size", "8", "--clean-ratio", "0.5", *more)

    def test_defend_and_evaluate_refuse_other_images_with_the_same_names(self):
        stored = json.loads((self.victim / "config.json").read_text())["dataset"]["fingerprint"]
        self.refuse(self.defend("--data", self.other), f"the images are not those that {self.victim} "
                    "was trained on", stored, "give the original data set with --data")
        self.refuse(["evaluate", "--run", self.victim, "--data", self.other], stored)
        self.succeed(*self.defend("--data", self.data))

    def test_defend_refuses_images_that_have_changed_in_place(self):
        shutil.rmtree(self.data)
        self.other.rename(self.data)
        self.refuse(self.defend(), "the images are not those", "give the original data set with --data")

    def test_defend_refuses_images_moved_to_another_class(self):
        shutil.rmtree(self.other)
        shutil.copytree(self.data, self.other)
        (self.other / "train" / "red" / "9.png").write_bytes(
            (self.other / "train" / "blue" / "0.png").read_bytes())
        (self.other / "train" / "blue" / "0.png").unlink()
        self.refuse(self.defend("--data", self.other), "the images are not those")

    def test_resume_refuses_other_images_with_the_same_names(self):
        self.refuse(support.train(self.victim, *self.options, "--data", self.other, "--resume"),
                    "settings or images", "the same --data", "--overwrite")
        moved = self.folder / "moved"
        self.data.rename(moved)
        self.succeed(*support.train(self.victim, *self.options, "--data", moved, "--resume"))

    def test_resume_of_a_defense_refuses_other_images(self):
        self.succeed(*self.defend())
        self.refuse(self.defend("--data", self.other, "--resume"), "the images are not those")


class Indices(support.ProgramTest):
    """indices.json lists poisoned and clean images by their indices in the whole data set."""

    def make(self, data, *more):
        victim, defense = self.folder / "victim", self.folder / "defense"
        self.succeed(*support.train(victim, "--dataset", "folder", "--data", data, "--batch-size", "8",
                                    "--epochs", "1", "--poison-ratio", "0.3", *more))
        self.succeed(*support.defend(victim, defense, "--method", "ft", "--epochs", "1", "--batch-size",
                                     "8", "--clean-ratio", "0.6"))
        indices = json.loads((victim / "indices.json").read_text())
        self.assertEqual(sorted(indices), ["files", "original", "poisoned"])
        both = json.loads((defense / "indices.json").read_text())
        for kind in ("original", "files"):
            self.assertEqual(both[kind]["poisoned"], indices[kind]["poisoned"])
        return both

    def test_indices_under_a_limit_refer_to_the_whole_set(self):
        data = pictures.write_image_folder(self.folder / "signs", per_class=20)
        whole = [path.relative_to(data).as_posix() for colour in sorted(pictures.COLOURS)
                 for path in sorted((data / "train" / colour).iterdir())]
        both = self.make(data, "--train-limit", "25")
        for kind in ("poisoned", "clean_subset"):
            places = both["original"][kind]
            self.assertEqual(len(places), len(both[kind]))
            self.assertGreater(len(places), 0)
            self.assertEqual(places, sorted(set(places)))
            self.assertEqual(both["files"][kind], [whole[place] for place in places])
        self.assertEqual(both["overlap"], len(set(both["poisoned"]) & set(both["clean_subset"])))
        self.assertNotEqual(both["original"]["clean_subset"], both["clean_subset"])

    def test_without_a_limit_the_original_indices_are_the_same(self):
        both = self.make(pictures.write_image_folder(self.folder / "signs"))
        self.assertEqual(both["original"],
                         {kind: both[kind] for kind in ("poisoned", "clean_subset")})

    def test_data_sets_without_files_have_indices_only(self):
        out = self.folder / "out"
        self.succeed(*support.train(out, "--epochs", "1", "--train-limit", "100"))
        indices = json.loads((out / "indices.json").read_text())
        self.assertEqual(sorted(indices), ["original", "poisoned"])


class CleanRatio(support.ProgramTest):
    def test_a_subset_far_from_its_ratio_is_reported(self):
        data = pictures.write_image_folder(self.folder / "signs", per_class=3)
        victim = self.folder / "victim"
        self.succeed(*support.train(victim, "--dataset", "folder", "--data", data, "--batch-size", "3",
                                    "--epochs", "1"))
        said = self.succeed(*support.defend(victim, self.folder / "ft", "--method", "ft", "--epochs",
                                            "1", "--batch-size", "3", "--clean-ratio", "0.5")).stderr
        self.assertIn("--clean-ratio 0.5: took 3 of 9 images (33 %), because 1.5 images for each of 3 "
                      "classes are rounded down to 1\n", said)


class Exif(support.ProgramTest):
    """--exif turns JPEGs upright; predict uses the setting of the run."""

    def setUp(self):
        super().setUp()
        jpeg = (FIXTURES / "images" / "baseline.jpg").read_bytes()
        self.data = self.folder / "photos"
        # 16 x 12 pixels; 12 x 16 when turned upright.
        for split in ("train", "test"):
            for i, label in enumerate(("a", "b")):
                (self.data / split / label).mkdir(parents=True)
                for number in range(4):
                    (self.data / split / label / f"{number}.jpg").write_bytes(
                        pictures.jpeg_with_orientation(jpeg, 6 + 2 * i))
        self.plain, self.turned = self.folder / "plain.jpg", self.folder / "turned.jpg"
        self.plain.write_bytes(jpeg)
        self.turned.write_bytes(pictures.jpeg_with_orientation(jpeg, 6))

    def run_with(self, *options):
        out = self.folder / f"run{len(options)}"
        self.succeed(*support.train(out, "--dataset", "folder", "--data", self.data, "--batch-size",
                                    "4", "--epochs", "1", "--attack", "none", *options))
        config = json.loads((out / "config.json").read_text())
        said = json.loads(self.succeed("predict", "--run", out, "--json", "--quiet", self.plain,
                                       self.turned).stdout)
        return out, config, said[0]["victim"] == said[1]["victim"]

    def test_ignored_by_default(self):
        _, config, same = self.run_with()
        self.assertEqual((config["dataset"]["exif"], config["input"]["height"],
                          config["input"]["width"]), (False, 12, 16))
        self.assertTrue(same)

    def test_applied(self):
        out, config, same = self.run_with("--exif")
        self.assertEqual((config["dataset"]["exif"], config["input"]["height"],
                          config["input"]["width"]), (True, 16, 12))
        self.assertFalse(same)
        # evaluate loads the same images as the run.
        self.succeed("evaluate", "--run", out, "--quiet")

    def test_a_run_of_an_older_version(self):
        out, config, _ = self.run_with()
        del config["dataset"]["exif"]
        config["cnpd"] = "0.1.0"
        (out / "config.json").write_text(json.dumps(config))
        self.succeed("evaluate", "--run", out, "--quiet")

    def test_help(self):
        said = self.succeed("train", "--help").stdout
        self.assertRegex(re.sub(r"\s+", " ", said), "--exif,--no-exif Apply the EXIF orientation of JPEGs")


support.main()
