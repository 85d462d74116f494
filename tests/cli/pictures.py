"""Image files and data sets for the tests, written without libraries."""

import io
import os
import pathlib
import struct
import tarfile
import zipfile
import zlib

SIDE = 16
COLOURS = {"blue": (40, 60, 220), "green": (50, 200, 60), "red": (220, 50, 40)}

CIFAR10_SIDE, CIFAR10_BATCH = 32, 10000


def pixels_of(colour, shade, side=SIDE):
    """A square of one colour with a gradient, [H,W,3]."""
    return b"".join(bytes(min(255, value + shade + x + y) for value in colour)
                    for y in range(side) for x in range(side))


def ppm(pixels, width=SIDE, height=SIDE):
    return b"P6\n%d %d\n255\n" % (width, height) + pixels


def png(pixels, width=SIDE, height=SIDE):
    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    rows = b"".join(b"\0" + pixels[3 * width * y:3 * width * (y + 1)] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) +
            chunk(b"IEND", b""))


def write_image_folder(folder, per_class=6):
    """train/<colour>/* and test/<colour>/*, every other image a PNG, the others PPMs."""
    for split in ("train", "test"):
        for name, colour in COLOURS.items():
            (folder / split / name).mkdir(parents=True)
            for i in range(per_class):
                pixels = pixels_of(colour, i)
                path = folder / split / name / f"{i}{'.ppm' if i % 2 else '.png'}"
                path.write_bytes(ppm(pixels) if i % 2 else png(pixels))
    return folder


def cifar10_batch():
    """The bytes of a binary batch: each class has its own shade of grey."""
    record = [bytes([label]) + bytes([25 * label]) * (3 * CIFAR10_SIDE**2) for label in range(10)]
    return b"".join(record) * (CIFAR10_BATCH // 10)


def write_cifar10(folder):
    """The official binary layout; all batches are one file."""
    folder.mkdir(parents=True)
    (folder / "test_batch.bin").write_bytes(cifar10_batch())
    for batch in range(1, 6):
        os.link(folder / "test_batch.bin", folder / f"data_batch_{batch}.bin")
    return folder


GTSRB_CLASSES = 43
GTSRB_HEADER = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\r\n"


def gtsrb_row(name, label):
    return f"{name};29;30;5;6;24;25;{label}\r\n"


def write_gtsrb(folder, per_class=4):
    """The official layout; each class has its own shade, the images have different sizes."""
    def image(label, i):
        return ppm(bytes([6 * label, 255 - 6 * label, 4 * i]) * (20 * (15 + i)), 20, 15 + i)

    test = folder / "GTSRB" / "Final_Test"
    (test / "Images").mkdir(parents=True)
    test_table = GTSRB_HEADER
    for label in range(GTSRB_CLASSES):
        images = folder / "GTSRB" / "Final_Training" / "Images" / f"{label:05}"
        images.mkdir(parents=True)
        table = GTSRB_HEADER
        for i in range(per_class):
            (images / f"00000_{i:05}.ppm").write_bytes(image(label, i))
            table += gtsrb_row(f"00000_{i:05}.ppm", label)
        (images / f"GT-{label:05}.csv").write_text(table)
        (test / "Images" / f"{label:05}.ppm").write_bytes(image(label, per_class))
        test_table += gtsrb_row(f"{label:05}.ppm", label)
    (test / "GT-final_test.csv").write_text(test_table)
    return folder


def kaggle_gtsrb(gtsrb):
    """The files written by write_gtsrb(), named as in Kaggle's archive."""
    columns = "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path\r\n"
    files, tables = {"Meta.csv": b"Path,ClassId\r\n"}, {"Train": columns, "Test": columns}
    for path, contents in files_of(gtsrb).items():
        if not path.endswith(".ppm"):
            continue
        width, height = map(int, contents.split(b"\n")[1].split())
        name, label = pathlib.Path(path).stem, int(pathlib.Path(path).parent.name if "Training" in path
                                                   else pathlib.Path(path).stem)
        place = f"Train/{label}/{name}.png" if "Training" in path else f"Test/{name}.png"
        picture = png(contents[-3 * width * height:], width, height)
        files[place] = files[place.replace("T", "t", 1)] = picture
        tables[place.split("/")[0]] += f"{width},{height},5,6,24,25,{label},{place}\r\n"
    return files | {f"{name}.csv": table.encode() for name, table in tables.items()}


def jpeg_with_orientation(jpeg, orientation):
    """Adds an EXIF block with this orientation, 1 to 8."""
    tiff = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    block = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


def write_tiny_imagenet(folder, classes=3, per_class=4):
    """The official layout with fewer classes; images are PNGs regardless of their names."""
    ids = [f"n{label:08}" for label in range(classes)]
    (folder / "val" / "images").mkdir(parents=True)
    annotations = ""
    for label, wnid in enumerate(ids):
        images = folder / "train" / wnid / "images"
        images.mkdir(parents=True)
        for i in range(per_class + 1):
            contents = png(pixels_of((80 * label, 200 - 80 * label, 60), i, 64), 64, 64)
            if i < per_class:
                (images / f"{wnid}_{i}.JPEG").write_bytes(contents)
            else:
                (folder / "val" / "images" / f"val_{label}.JPEG").write_bytes(contents)
        annotations += f"val_{label}.JPEG\t{wnid}\t0\t0\t62\t62\n"
    (folder / "val" / "val_annotations.txt").write_text(annotations)
    (folder / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in ids))
    (folder / "words.txt").write_text("".join(f"{wnid}\tthing {wnid[-1]}, it\n" for wnid in ids))
    return folder


def files_of(folder):
    """Names and contents of all files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(pathlib.Path(folder).rglob("*")) if path.is_file()}


def pack(path, files):
    """Makes a .zip or .tar.gz of names and contents."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, contents in files.items():
                archive.writestr(name, contents)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, contents in files.items():
                add_to_tar(archive, name, contents)
    return path


def add_to_tar(archive, name, contents=b"", **attributes):
    """Adds an entry; the attributes may make it something other than a file."""
    entry = tarfile.TarInfo(name)
    entry.size = len(contents)
    for key, value in attributes.items():
        setattr(entry, key, value)
    archive.addfile(entry, io.BytesIO(contents))
