"""Training on the official layouts of GTSRB and Tiny ImageNet, unpacked and packed."""

import json
import os
import zipfile

import pictures
import support


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

    def test_what_systems_leave_in_folders_is_skipped(self):
        data = pictures.write_image_folder(self.folder / "signs")
        plain = self.train("folder", data, "plain")
        for name in ("Thumbs.db", "train/desktop.ini", "train/red/._0.png", "test/.DS_Store",
                     "__MACOSX/train/red/._0.png", "train/.ipynb_checkpoints/0.png"):
            (data / name).parent.mkdir(parents=True, exist_ok=True)
            (data / name).write_bytes(b"x")
        packed = pictures.pack(self.folder / "signs.zip", pictures.files_of(data))
        self.check_same_models(plain, self.train("folder", data, "littered"),
                               self.train("folder", packed, "packed"))

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


support.main()
