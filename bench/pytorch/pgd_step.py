"""Times PyTorch on steps of the inner maximisation, for comparison with bench_pgd_step.

Sign of the gradient, projection on the L2 ball around the image, clip, and the network's normalised
input, on images of 32x32; the gradient is given.
"""

import argparse

import torch

from interactive import add_options, prepare, run
from preact_resnet import CIFAR10_MEAN, CIFAR10_STD

STEP, RADIUS = 0.1, 3.0


def pgd_step(images, adversarial, gradient, mean, std):
    delta = adversarial - images - STEP * gradient.sign()
    length = delta.flatten(1).norm(dim=1).clamp(min=1e-12)
    delta = delta * (RADIUS / length).clamp(max=1).view(-1, 1, 1, 1)
    adversarial = (images + delta).clamp(0, 1)
    return adversarial, (adversarial - mean) / std


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8192)
    parser.add_argument("--steps", type=int, default=20, help="steps per measurement")
    add_options(parser, warm_up=3, repeats=10)
    arguments = parser.parse_args()
    prepare(arguments)
    images = torch.full((arguments.batch, 3, 32, 32), 0.5).to(memory_format=torch.channels_last)
    gradient = torch.randn_like(images)
    mean = torch.tensor(CIFAR10_MEAN).view(1, 3, 1, 1)
    std = torch.tensor(CIFAR10_STD).view(1, 3, 1, 1)
    one_step = torch.compile(pgd_step) if arguments.compile else pgd_step

    def steps():
        adversarial = images
        with torch.inference_mode():
            for _ in range(arguments.steps):
                adversarial, _ = one_step(images, adversarial, gradient, mean, std)
        return {"steps": arguments.steps}

    run(steps, arguments)


if __name__ == "__main__":
    main()
