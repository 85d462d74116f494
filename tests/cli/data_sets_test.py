"""Training on the official layouts of GTSRB and Tiny ImageNet, unpacked and packed."""

import json

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
