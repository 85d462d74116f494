"""PreAct-ResNet-18 for 32x32 images, with the state-dict names of the backdoor benchmarks.

The stem is a bare 3x3 convolution, a block's convolution shortcut starts after its first batch norm
and ReLU while its identity shortcut starts before them, and nothing normalises the last block's
output before it is averaged.
"""

import torch
from torch import nn
from torch.nn import functional as F

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.247, 0.243, 0.261)


class PreActBlock(nn.Module):
    def __init__(self, in_planes, planes, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_planes)
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        if stride != 1 or in_planes != planes:
            self.shortcut = nn.Sequential(nn.Conv2d(in_planes, planes, 1, stride, bias=False))

    def activate(self, x):
        return F.relu(self.bn1(x))

    def tail(self, z, residual):
        """The block's output, from conv1's input and the shortcut's value."""
        return self.conv2(F.relu(self.bn2(self.conv1(z)))) + residual

    def forward(self, x):
        z = self.activate(x)
        return self.tail(z, self.shortcut(z) if hasattr(self, "shortcut") else x)


class PreActResNet18(nn.Module):
    def __init__(self, width=64, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        planes = width
        for stage in range(4):
            out = width << stage
            first = PreActBlock(planes, out, 1 if stage == 0 else 2)
            setattr(self, f"layer{stage + 1}", nn.Sequential(first, PreActBlock(out, out, 1)))
            planes = out
        self.linear = nn.Linear(planes, classes)

    def prefix(self, x):
        """The input of layer4.1; the insertion point is after its bn1 and ReLU."""
        return self.layer4[0](self.layer3(self.layer2(self.layer1(self.conv1(x)))))

    def suffix(self, z, residual):
        """Logits from the insertion point: z is the input of layer4.1.conv1."""
        return self.linear(self.layer4[1].tail(z, residual).mean((2, 3)))

    def forward(self, x):
        residual = self.prefix(x)
        return self.suffix(self.layer4[1].activate(residual), residual)


def normalise(pixels):
    """Pixels in [0,1], [N,3,H,W], to the network's input."""
    mean = torch.tensor(CIFAR10_MEAN, dtype=pixels.dtype).view(1, 3, 1, 1)
    std = torch.tensor(CIFAR10_STD, dtype=pixels.dtype).view(1, 3, 1, 1)
    return (pixels - mean) / std
