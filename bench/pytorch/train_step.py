"""Times PyTorch on training steps of PreAct-ResNet-18, for comparison with bench_train_step.

A step is forward, cross-entropy, backward and SGD with Nesterov momentum on a batch that is already
normalised; `--forward` times the evaluation-mode forward pass instead.
"""

import argparse

import torch
from torch.nn import functional as F

from interactive import add_options, mixed_precision, prepare, profiled, run
from preact_resnet import PreActResNet18

LAYOUTS = {"nhwc": torch.channels_last, "nchw": torch.contiguous_format}


def make_step(arguments):
    layout = LAYOUTS[arguments.layout]
    model = PreActResNet18(arguments.width).to(memory_format=layout)
    images = torch.randn(arguments.batch, 3, 32, 32).contiguous(memory_format=layout)
    labels = torch.randint(0, 10, (arguments.batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4,
                                nesterov=True, fused=arguments.fused)
    forward = torch.compile(model) if arguments.compile else model

    def train_step():
        optimizer.zero_grad(set_to_none=True)
        with mixed_precision(arguments):
            loss = F.cross_entropy(forward(images), labels)
        loss.backward()
        optimizer.step()

    def forward_only():
        with torch.inference_mode(), mixed_precision(arguments):
            forward(images)

    if arguments.forward:
        model.eval()
        return forward_only
    return train_step


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--layout", choices=LAYOUTS, default="nhwc")
    parser.add_argument("--fused", action="store_true", help="use the fused SGD kernel")
    parser.add_argument("--forward", action="store_true", help="evaluation-mode forward only")
    parser.add_argument("--profile", action="store_true", help="print the time by operation")
    add_options(parser, warm_up=3, repeats=10)
    arguments = parser.parse_args()
    prepare(arguments)
    step = make_step(arguments)
    if arguments.profile:
        step()
        print(profiled(step).table(sort_by="self_cpu_time_total", row_limit=25,
                                   max_name_column_width=40))
    else:
        run(step, arguments)


if __name__ == "__main__":
    main()
