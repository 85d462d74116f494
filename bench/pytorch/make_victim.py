"""Writes a small trained victim and synthetic images for the defense benchmark.

How many inner steps a defense takes depends on how easily the victim is fooled, so both sides of the
comparison must load the same weights (state-dict names, float32) and the same images
(`images` uint8 [N,3,32,32], `labels` int32 [N]).
"""

import argparse

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from preact_resnet import PreActResNet18, normalise

CLASSES = 10


def synthetic_images(count):
    """A smooth pattern for each class, mixed with a smooth pattern for each image."""
    labels = torch.arange(count) % CLASSES
    smooth = {"size": 32, "mode": "bicubic", "align_corners": False}
    of_class = F.interpolate(torch.randn(CLASSES, 3, 6, 6), **smooth)[labels]
    of_image = F.interpolate(torch.randn(count, 3, 8, 8), **smooth)
    images = 120 + 28 * of_class + 40 * of_image + 10 * torch.randn(count, 3, 32, 32)
    return images.round().clamp(0, 255).to(torch.uint8), labels


def train(width, images, labels, epochs):
    model = PreActResNet18(width, CLASSES).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    for epoch in range(epochs):
        correct = 0
        for batch in torch.randperm(len(images)).split(128):
            logits = model(normalise(images[batch].float() / 255))
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(logits, labels[batch]).backward()
            optimizer.step()
            correct += (logits.argmax(1) == labels[batch]).sum().item()
        print(f"epoch {epoch + 1}: training accuracy {correct / len(images):.3f}", flush=True)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--count", type=int, default=2500)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--weights", required=True, help="file to write")
    parser.add_argument("--images", required=True, help="file to write")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_default_device(arguments.device)
    torch.manual_seed(0)
    images, labels = synthetic_images(arguments.count)
    save_file({"images": images, "labels": labels.int()}, arguments.images)
    model = train(arguments.width, images, labels, arguments.epochs)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()},
              arguments.weights)


if __name__ == "__main__":
    main()
