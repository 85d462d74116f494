"""Times PyTorch on epochs of the r-CNPD defense, for comparison with bench_defense_epoch.

The victim (make_victim.py) is frozen and in evaluation mode, bn2 of every block folded into conv1.
One epoch: crop and flip, up to two PGD steps against the victim towards a random class with an early
stop, then one step of the ten polarizers at layer4.1. The suffix runs once on the clean and the
adversarial half together, and an early stop's forward pass is not repeated.
"""

import argparse

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from interactive import add_options, mixed_precision, prepare, run
from preact_resnet import CIFAR10_MEAN, CIFAR10_STD, PreActBlock, PreActResNet18

CLASSES, EPS = 10, 1e-5
STEP, RADIUS, PGD_STEPS, ENOUGH_FOOLED = 0.1, 3.0, 2, 0.6
WEIGHTS = (1.0, 0.2, 0.2, 0.2)  # clean, undo, strongest, target


def fold_second_norms(model):
    """Folds the frozen bn2 into conv1, whose output no other layer reads."""
    for block in [module for module in model.modules() if isinstance(module, PreActBlock)]:
        scale = block.bn2.weight / (block.bn2.running_var + block.bn2.eps).sqrt()
        block.conv1.weight.mul_(scale.view(-1, 1, 1, 1))
        block.conv1.bias = nn.Parameter(block.bn2.bias - block.bn2.running_mean * scale)
        block.bn2 = nn.Identity()


@torch.no_grad()
def load_victim(path, device):
    state = load_file(path, device)
    model = PreActResNet18(state["conv1.weight"].shape[0], CLASSES)
    model.load_state_dict(state)
    model.eval().requires_grad_(False)
    fold_second_norms(model)
    return model.requires_grad_(False).to(memory_format=torch.channels_last)


def augment(images):
    """Crop with padding 4 and flip: uint8 [N,H,W,3] -> float pixels in [0,1], channels-last [N,3,H,W]."""
    count, size = images.shape[:2]
    padded = F.pad(images, (0, 0, 4, 4, 4, 4))
    rows = torch.randint(0, 9, (count, 1)) + torch.arange(size)
    columns = torch.randint(0, 9, (count, 1)) + torch.arange(size)
    columns = torch.where(torch.rand(count, 1) < 0.5, columns.flip(1), columns)
    cropped = padded[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2).float().div_(255)


class Polarizers(nn.Module):
    """One Conv1x1 and frozen batch norm for each class, stacked: all of them in a few operations."""

    def __init__(self, features, predicted, route):
        super().__init__()
        self.route = route
        flat = features.permute(0, 2, 3, 1).flatten(1, 2)
        chosen = [flat[predicted == label] for label in range(CLASSES)]
        chosen = [(own if len(own) else flat).flatten(0, 1) for own in chosen]
        self.mean = torch.stack([own.mean(0) for own in chosen])
        self.variance = torch.stack([own.var(0) for own in chosen]) + 1e-4
        self.weight = nn.Parameter(torch.eye(flat.shape[-1]).repeat(CLASSES, 1, 1))
        self.gamma = nn.Parameter((self.variance + EPS).sqrt())
        self.beta = nn.Parameter(self.mean.clone())

    def maps(self):
        scale = self.gamma * (self.variance + EPS).rsqrt()
        return self.weight * scale.unsqueeze(2), self.beta - self.mean * scale

    def forward(self, z, labels):
        """z [N,C,H,W] channels-last; each sample uses the map of its label."""
        count, channels, height, width = z.shape
        rows = z.permute(0, 2, 3, 1).reshape(count, height * width, channels)
        a, b = self.maps()
        if self.route == "bmm":
            out = torch.baddbmm(b[labels].unsqueeze(1), rows, a[labels].transpose(1, 2))
        else:
            order = labels.argsort(stable=True)
            parts = rows[order].split(torch.bincount(labels, minlength=CLASSES).tolist())
            out = torch.cat([F.linear(part, a[k], b[k]) for k, part in enumerate(parts)])
            out = out[order.argsort()]
        return out.reshape(count, height, width, channels).permute(0, 3, 1, 2)


def defense_loss(clean, adversarial, label, restored, target):
    kept = (target != label) & (target != restored)
    count = kept.sum().clamp(min=1)
    p = adversarial.softmax(1)
    strongest = adversarial.detach().scatter(1, label[:, None], -torch.inf).argmax(1)
    undo = F.cross_entropy(adversarial, restored, reduction="none")
    suppressed = [-(1.0001 - p.gather(1, which[:, None])[:, 0]).log() for which in
                  (strongest, target)]
    w = WEIGHTS
    rows = w[1] * undo + w[2] * suppressed[0] + w[3] * suppressed[1]
    return w[0] * F.cross_entropy(clean, label) + (rows * kept).sum() / count


class ClassWiseSgd:
    """SGD with momentum and decay on stacked parameters [classes,...]. Gradients are multiplied by the
    number of classes and clipped to norm 1 for each class; a class without samples is not updated.
    Does not wait for the device."""

    def __init__(self, parameters, rate=0.01, momentum=0.9, decay=5e-4):
        self.parameters, self.rate, self.momentum, self.decay = parameters, rate, momentum, decay
        self.velocity = [torch.zeros_like(parameter) for parameter in parameters]

    @torch.no_grad()
    def step(self, used):
        gradients = [parameter.grad * CLASSES for parameter in self.parameters]
        norm = sum(gradient.flatten(1).square().sum(1) for gradient in gradients).sqrt()
        clip = (1 / (norm + 1e-6)).clamp(max=1)
        for parameter, gradient, velocity in zip(self.parameters, gradients, self.velocity):
            shape = (-1,) + (1,) * (parameter.dim() - 1)
            keep = used.view(shape)
            change = gradient * clip.view(shape) + self.decay * parameter
            velocity.copy_(torch.where(keep, self.momentum * velocity + change, velocity))
            parameter.sub_(torch.where(keep, self.rate * velocity, 0))
            parameter.grad = None


class Defense:
    def __init__(self, arguments):
        self.arguments = arguments
        self.model = load_victim(arguments.weights, arguments.device)
        data = load_file(arguments.images, arguments.device)
        self.images = data["images"].permute(0, 2, 3, 1).contiguous()
        self.labels = data["labels"].long()
        self.batch, self.early_stop = arguments.batch, not arguments.all_steps
        self.mean = torch.tensor(CIFAR10_MEAN).view(1, 3, 1, 1)
        self.std = torch.tensor(CIFAR10_STD).view(1, 3, 1, 1)
        with torch.inference_mode():
            pixels = self.images.permute(0, 3, 1, 2).float() / 255
            parts = [self.prefix(part) for part in pixels.split(500)]
            z = torch.cat([part[0] for part in parts])
            predicted = torch.cat([self.model.suffix(*part).argmax(1) for part in parts])
            self.victim_accuracy = (predicted == self.labels).float().mean().item()
        self.polarizers = Polarizers(z.clone(), predicted.clone(), arguments.route)
        self.optimizer = ClassWiseSgd(list(self.polarizers.parameters()))
        if arguments.compile:
            self.prefix = torch.compile(self.prefix)
            self.model.suffix = torch.compile(self.model.suffix)

    def prefix(self, pixels):
        residual = self.model.prefix((pixels - self.mean) / self.std)
        return self.model.layer4[1].activate(residual), residual

    def attack(self, pixels, label):
        """Returns clean (z, residual), adversarial (z, residual), the victim's prediction, the target
        and the number of gradients taken."""
        target = (label + torch.randint(1, CLASSES, label.shape)) % CLASSES
        adversarial = pixels
        for step in range(PGD_STEPS):
            leaf = adversarial.detach().requires_grad_()
            z, residual = self.prefix(leaf)
            logits = self.model.suffix(z, residual)
            answer = logits.detach().argmax(1)
            if step == 0:
                predicted, clean = answer, (z.detach(), residual.detach())
                kept = (target != label) & (target != predicted)
            fooled = (answer == target)[kept].float().mean().item()
            if self.early_stop and fooled > ENOUGH_FOOLED:
                return clean, (z.detach(), residual.detach()), predicted, target, step
            loss = F.cross_entropy(logits, target, reduction="sum")
            gradient, = torch.autograd.grad(loss, leaf)
            with torch.no_grad():
                delta = adversarial - pixels - STEP * gradient.sign()
                length = delta.flatten(1).norm(dim=1).clamp(min=1e-12)
                delta *= (RADIUS / length).clamp(max=1).view(-1, 1, 1, 1)
                adversarial = (pixels + delta).clamp(0, 1)
        with torch.no_grad():
            attacked = self.prefix(adversarial)
        return clean, attacked, predicted, target, PGD_STEPS

    def learn(self, pixels, label):
        with mixed_precision(self.arguments):
            clean, attacked, predicted, target, gradients = self.attack(pixels, label)
            routes = torch.cat([predicted, target])
            z = self.polarizers(torch.cat([clean[0], attacked[0]]), routes)
            logits = self.model.suffix(z, torch.cat([clean[1], attacked[1]])).float()
            loss = defense_loss(*logits.chunk(2), label, predicted, target)
        loss.backward()
        self.optimizer.step(torch.bincount(routes, minlength=CLASSES) > 0)
        return gradients, loss.detach()

    def epoch(self):
        order = torch.randperm(len(self.images))
        batches = len(order) // self.batch
        gradients = total = 0
        for chosen in order[:batches * self.batch].split(self.batch):
            pixels = augment(self.images[chosen])
            taken, loss = self.learn(pixels, self.labels[chosen])
            gradients, total = gradients + taken, total + loss
        return {"batches": batches, "pgd_gradients": gradients, "loss": float(total) / batches}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True, help="file written by make_victim.py")
    parser.add_argument("--images", required=True, help="file written by make_victim.py")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--route", choices=("bmm", "grouped"), default="grouped")
    parser.add_argument("--all-steps", action="store_true",
                        help="no early stop, so that the work is the same for any weights")
    add_options(parser, warm_up=1, repeats=5)
    arguments = parser.parse_args()
    prepare(arguments)
    defense = Defense(arguments)
    run(defense.epoch, arguments)


if __name__ == "__main__":
    main()
