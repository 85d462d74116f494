"""Archives and tables that the program refuses."""

import os
import shutil
import struct
import tarfile
import zipfile

import pictures
import support


class RefusedArchives(support.ProgramTest):
    def setUp(self):
        super().setUp()
        self.files = pictures.files_of(pictures.write_image_folder(self.folder / "data"))

    def refuse_data(self, path, *expected):
        self.refuse(support.train(self.folder / "out", "--dataset", "folder", "--data", path),
                    str(path), *expected)

    def test_files_that_are_not_archives(self):
        for what, contents in (("empty", b""), ("text", b"train/\n" * 100),
                               ("gzip", bytes([31, 139, 8]) + bytes(100)), ("zip", b"PK\3\4"),
                               ("zeros", bytes(10240))):
            with self.subTest(what):
                path = self.folder / "data.zip"
                path.write_bytes(contents)
                self.refuse_data(path)
        os.mkfifo(self.folder / "pipe.zip")
        self.refuse_only(["train", "--dataset", "folder", "--data", self.folder / "pipe.zip"])

    def test_truncated(self):
        for name in ("data.zip", "data.tar.gz"):
            path = pictures.pack(self.folder / name, self.files)
            whole = path.read_bytes()
            for share in (0.1, 0.5, 0.9, 0.99):
                with self.subTest(name, share=share):
                    path.write_bytes(whole[:int(share * len(whole))])
                    self.refuse_data(path)

    def test_names(self):
        for name in ("../outside.png", "train/red/../../../outside.png", "/tmp/outside.png",
                     "train/red/\n.png", "train/" + 300 * "x/" + "1.png"):
            for archive in ("data.zip", "data.tar.gz"):
                with self.subTest(name, archive=archive):
                    self.refuse_data(pictures.pack(self.folder / archive,
                                                   {**self.files, name: b""}), "holds the name")

    def test_names_that_occur_twice(self):
        with tarfile.open(self.folder / "data.tar.gz", "w:gz") as archive:
            for _ in range(2):
                pictures.add_to_tar(archive, "train/red/1.png", b"x")
        self.refuse_data(self.folder / "data.tar.gz", "twice")
        self.refuse_data(pictures.pack(self.folder / "data.zip", {**self.files, "train": b""}),
                         "as a file and as a folder")

    def test_links_and_devices(self):
        path = self.folder / "data.tar.gz"
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE,
                     tarfile.FIFOTYPE):
            with self.subTest(kind):
                with tarfile.open(path, "w:gz") as archive:
                    pictures.add_to_tar(archive, "train/red/1.png", type=kind,
                                        linkname="/etc/passwd")
                self.refuse_data(path, "expected an archive of files and folders only")
        link = zipfile.ZipInfo("train/red/x.png")
        link.external_attr = 0o120777 << 16
        pictures.pack(self.folder / "data.zip", self.files)
        with zipfile.ZipFile(self.folder / "data.zip", "a") as archive:
            archive.writestr(link, "/etc/passwd")
        self.refuse_data(self.folder / "data.zip", "is a link")

    def test_encrypted(self):
        path = pictures.pack(self.folder / "data.zip", self.files)
        contents = bytearray(path.read_bytes())
        for signature, flags in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
            at = contents.index(signature) + flags
            contents[at] |= 1
        path.write_bytes(contents)
        self.refuse_data(path, "encrypted")

    def test_other_compression(self):
        path = self.folder / "data.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
            for name, contents in self.files.items():
                archive.writestr(name, contents)
        self.refuse_data(path, "with an unsupported method")

    def test_bombs(self):
        for name in ("data.zip", "data.tar.gz"):
            with self.subTest(name):
                path = pictures.pack(self.folder / name, {
                    f"train/red/{i}.ppm": bytes(40_000_000) for i in range(7)})
                self.refuse_data(path, "unpacks to over")
        path = pictures.pack(self.folder / "data.zip", {**self.files,
                                                        "train/red/9.ppm": bytes(80_000_000)})
        self.refuse_data(path, "train/red/9.ppm", "at most 67108864")

    def test_wrong_declared_sizes(self):
        path = pictures.pack(self.folder / "data.zip", self.files)
        contents = bytearray(path.read_bytes())
        at = contents.index(b"PK\1\2") + 24
        for size in (0, 1, 0x7fffffff, 0xffffffff):
            with self.subTest(size):
                contents[at:at + 4] = struct.pack("<I", size)
                path.write_bytes(contents)
                self.refuse_data(path)

    def test_damaged_images(self):
        for name in ("data.zip", "data.tar.gz"):
            with self.subTest(name):
                path = pictures.pack(self.folder / name,
                                     {**self.files, "train/red/9.png": b"no image"})
                self.refuse_data(path, "train/red/9.png", "is not an image")


class RefusedTables(support.ProgramTest):
    def refuse_data(self, dataset, *expected):
        self.refuse(support.train(self.folder / "out", "--dataset", dataset, "--data", self.data),
                    *expected)

    def test_gtsrb(self):
        self.data = pictures.write_gtsrb(self.folder / "data", per_class=1)
        images = self.data / "GTSRB" / "Final_Training" / "Images" / "00005"
        table = images / "GT-00005.csv"
        sound = table.read_text()
        for what, rows, expected in (
                ("empty", "", "is empty"), ("no header", pictures.gtsrb_row("a.ppm", 5), "line 1"),
                ("missing row", pictures.GTSRB_HEADER, "has no annotation"),
                ("half a row", sound + "00000", "line 3 has 1 fields"),
                ("label", sound + pictures.gtsrb_row("a.ppm", 99), "0 to 42"),
                ("no image", sound + pictures.gtsrb_row("a.ppm", 5), "a.ppm"),
                ("twice", sound + sound.splitlines()[1], "again")):
            with self.subTest(what):
                table.write_text(rows)
                self.refuse_data("gtsrb", "00005", expected)
        table.write_text(sound)
        (images / "00000_00000.ppm").unlink()
        table.write_text(pictures.GTSRB_HEADER)
        self.refuse_data("gtsrb", "00005: is empty")
        shutil.rmtree(images)
        self.refuse_data("gtsrb", "00005: is missing")
        shutil.rmtree(self.data / "GTSRB" / "Final_Training")
        self.refuse_data("gtsrb", 'it holds "GTSRB"; expected GTSRB/Final_Training/Images/')

    def test_tiny_imagenet(self):
        self.data = pictures.write_tiny_imagenet(self.folder / "data")
        table = self.data / "val" / "val_annotations.txt"
        for what, rows in (("no class", "val_0.JPEG\n"), ("other", "val_0.JPEG\tn1\n"),
                           ("missing", "val_0.JPEG\tn00000000\n"), ("empty", "")):
            with self.subTest(what):
                table.write_text(rows)
                self.refuse_data("tiny-imagenet", "val_")
        (self.data / "wnids.txt").write_text("n00000000\n../../..\n")
        self.refuse_data("tiny-imagenet", "wnids.txt: line 2")
        (self.data / "wnids.txt").unlink()
        self.refuse_data("tiny-imagenet", "does not contain Tiny ImageNet")


support.main()
