"""Image files and data sets for the tests, written without libraries."""

import os
import struct
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
