"""Data sets and images that the program refuses."""

import os
import pathlib
import pickle
import shutil
import struct

import pictures
import support

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"


def broken_images():
    """Names and contents of image files that are damaged, truncated, too large or of another format."""
    png = pictures.png(pictures.pixels_of((200, 60, 60), 0))
    ppm = pictures.ppm(pictures.pixels_of((200, 60, 60), 0))
    jpeg = (FIXTURES / "images" / "baseline.jpg").read_bytes()
    huge = struct.pack(">II", 60000, 60000)
    return {
        "empty.png": b"",
        "text.png": b"not an image\n",
        "half.png": png[:len(png) // 2],
        "header.png": png[:33],
        "half.ppm": ppm[:len(ppm) // 2],
        "half.jpg": jpeg[:len(jpeg) // 2],
        "huge.png": png[:16] + huge + png[24:],
        "huge.ppm": b"P6\n60000 60000\n255\n" + bytes(100),
        "huge.jpg": with_jpeg_size(jpeg, 60000, 60000),
        "large.png": png[:16] + struct.pack(">II", 16000, 16000) + png[24:],
        "flat.ppm": b"P6\n0 16\n255\n",
        "negative.ppm": b"P6\n-16 -16\n255\n" + bytes(768),
        "overflow.ppm": b"P6\n99999999999999999999 1\n255\n" + bytes(3),
        "deep.ppm": b"P6\n16 16\n65535\n" + bytes(1536),
        "gif.png": b"GIF89a" + bytes(100),
        "bmp.png": b"BM" + bytes(100),
    }


def with_jpeg_size(jpeg, width, height):
    """Changes the size in a JPEG's frame header."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4:]


class RefusedImages(support.RunsTest):
    def test_predict(self):
        for name, contents in broken_images().items():
            with self.subTest(name):
                (self.folder / name).write_bytes(contents)
                self.refuse(["predict", "--run", self.defense, name], name, cwd=self.folder)

    def test_predict_missing_and_special_files(self):
        os.mkfifo(self.folder / "pipe.png")
        for name in ("missing.png", "victim", "/dev/null", "/dev/zero", "pipe.png", ""):
            with self.subTest(name):
                self.refuse_only(["predict", "--run", self.victim, name], cwd=self.folder)

    def test_predict_a_huge_file(self):
        with (self.folder / "sparse.png").open("wb") as file:
            file.truncate(1 << 40)
        self.refuse_only(["predict", "--run", self.victim, self.folder / "sparse.png"],
                         "sparse.png", "at most")

    def test_patterns(self):
        for name, contents in broken_images().items():
            with self.subTest(name):
                (self.folder / name).write_bytes(contents)
                self.refuse(support.train("out", "--attack", "blended", "--blend-pattern", name),
                            name, cwd=self.folder)

    def test_a_line_break_in_a_name(self):
        self.refuse(["predict", "--run", self.victim, "two\nlines.png"])
        self.refuse(["evaluate", "--run", "two\nlines\x1b[2J"])


class RefusedFolders(support.ProgramTest):
    def setUp(self):
        super().setUp()
        self.data = pictures.write_image_folder(self.folder / "data")

    def refuse_data(self, *expected):
        self.refuse(["train", "--dataset", "folder", "--data", self.data, "--out",
                     self.folder / "out"], *expected)

    def test_images(self):
        for name, contents in broken_images().items():
            path = self.data / "train" / "red" / name
            with self.subTest(name):
                path.write_bytes(contents)
                self.refuse_data(name)
            path.unlink(missing_ok=True)

    def test_missing_parts(self):
        for part in ("train", "test", "train/red", "test/red"):
            with self.subTest(part):
                shutil.rmtree(self.data / part)
                self.refuse_data(str(self.data))
                shutil.rmtree(self.data)
                pictures.write_image_folder(self.data)

    def test_empty_class(self):
        for split in ("train", "test"):
            for path in (self.data / split / "red").iterdir():
                path.unlink()
            with self.subTest(split):
                self.refuse_data(f"{split}/red", "is empty")
            shutil.rmtree(self.data)
            pictures.write_image_folder(self.data)

    def test_unexpected_files(self):
        for name in ("train/notes.txt", "train/red/notes.txt", "test/red/1.gif",
                     "train/red/\n.png"):
            with self.subTest(name):
                (self.data / name).write_bytes(b"notes")
                self.refuse_data(str(self.data))
                (self.data / name).unlink()
        (self.data / "train" / "red" / "folder.png").mkdir()
        self.refuse_data("folder.png")

    def test_a_class_in_train_only(self):
        (self.data / "train" / "yellow").mkdir()
        shutil.copy(self.data / "train" / "red" / "0.png", self.data / "train" / "yellow")
        self.refuse_data("yellow", "train only")

    def test_one_class(self):
        for split in ("train", "test"):
            for name in ("blue", "green"):
                shutil.rmtree(self.data / split / name)
        self.refuse_data("class")

    def test_links_out_of_the_data(self):
        secret = self.folder / "secret.png"
        secret.write_bytes(pictures.png(pictures.pixels_of((1, 2, 3), 0)))
        outside = pictures.write_image_folder(self.folder / "outside")
        for name, target in (("train/red/secret.png", secret),
                             ("train/red/up.png", "../../../secret.png"),
                             ("train/red/loop.png", "loop.png"),
                             ("train/red/gone.png", "gone"),
                             ("train/pink", outside / "train" / "red")):
            with self.subTest(name):
                link = self.data / name
                link.symlink_to(target)
                self.refuse_data(link.name, "link")
                link.unlink()
        shutil.rmtree(self.data / "train")
        (self.data / "train").symlink_to(outside / "train")
        self.refuse_data("train", "link")

    def test_options_that_do_not_match_the_classes(self):
        self.refuse(["train", "--dataset", "folder", "--data", self.data, "--out",
                     self.folder / "out", "--target", "3"], "--target: class 3: classes are 0 to 2")
        self.refuse(["train", "--dataset", "cifar10", "--data", self.data, "--out",
                     self.folder / "out"], "3 classes")


class RefusedCifar10(support.ProgramTest):
    def setUp(self):
        super().setUp()
        self.data = self.folder / "cifar10"
        self.data.mkdir()

    def refuse_data(self, *expected):
        self.refuse_only(["train", "--dataset", "cifar10", "--data", self.data, "--out",
                          self.folder / "out"], *expected)
        self.assertFalse((self.folder / "out").exists())

    def test_binary(self):
        batch = pictures.cifar10_batch()
        path = self.data / "data_batch_1.bin"
        path.write_bytes(batch)
        self.refuse_data("data_batch_2.bin")
        for what, contents in (("empty", b""), ("half", batch[:len(batch) // 2]),
                               ("one short", batch[:-1]), ("one more", batch + b"\0"),
                               ("label", b"\12" + batch[1:])):
            with self.subTest(what):
                path.write_bytes(contents)
                self.refuse_data(path.name)
        os.truncate(path, 1 << 40)
        self.refuse_data(path.name, "at most")

    def test_python(self):
        path = self.data / "data_batch_1"
        whole = (FIXTURES / "cifar10" / "python3_bytes_keys.pickle").read_bytes()
        for what, contents in (("two images", whole), ("half", whole[:len(whole) // 2]),
                               ("one short", whole[:-1]), ("empty", b""),
                               ("other object", pickle.dumps([1, 2, 3], protocol=2)),
                               ("other protocol", pickle.dumps({}, protocol=4))):
            with self.subTest(what):
                path.write_bytes(contents)
                self.refuse_data(path.name)

    def test_pickled_code_is_not_run(self):
        marker = self.folder / "was here"

        class Attack:
            def __reduce__(self):
                return os.mkdir, (str(marker),)

        (self.data / "data_batch_1").write_bytes(pickle.dumps({b"data": Attack()}, protocol=2))
        self.refuse_data("data_batch_1")
        self.assertFalse(marker.exists())

    def test_wrong_class_names(self):
        pictures.write_cifar10(self.data / "cifar-10-batches-bin")
        (self.data / "cifar-10-batches-bin" / "batches.meta.txt").write_text("airplane\ncar\n")
        self.refuse_data("batches.meta.txt", "car")

    def test_links_out_of_the_data(self):
        (self.folder / "batch").write_bytes(pictures.cifar10_batch())
        (self.data / "data_batch_1.bin").symlink_to(self.folder / "batch")
        self.refuse_data("data_batch_1.bin", "link")


support.main()
