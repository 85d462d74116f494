#!/usr/bin/env python3
"""Times inference of PreAct-ResNet-18 with ONNX Runtime, OpenVINO or PyTorch.

For comparison with bench_inference through `bench/compare.py inference`. Weights are random: speed
does not depend on them. Prints "ready" after the setup; for each line "step" on stdin calls the
network for --seconds and prints one line of JSON with the median call.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent


def with_onnxruntime(arguments, images):
    import onnxruntime
    from onnx_model import preact_resnet18
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    model = preact_resnet18(arguments.width, arguments.batch).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"images": images})


def with_openvino(arguments, images):
    import openvino
    from onnx_model import preact_resnet18
    core = openvino.Core()
    model = preact_resnet18(arguments.width, arguments.batch).SerializeToString()
    compiled = core.compile_model(core.read_model(model, b""), "CPU", {
        "INFERENCE_NUM_THREADS": arguments.threads, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    return lambda: request.infer([images])


def with_pytorch(arguments, images):
    import torch
    sys.path.insert(0, str(HERE.parent / "pytorch"))
    from preact_resnet import PreActResNet18
    torch.set_num_threads(arguments.threads)
    layout = torch.channels_last
    model = PreActResNet18(arguments.width).eval().to(memory_format=layout)
    tensor = torch.from_numpy(images).contiguous(memory_format=layout)

    def forward():
        with torch.inference_mode():
            model(tensor)
    return forward


RUNTIMES = {"onnxruntime": with_onnxruntime, "openvino": with_openvino, "pytorch": with_pytorch}


def timed(forward, seconds):
    calls, end = [], time.perf_counter() + seconds
    while not calls or time.perf_counter() < end:
        start = time.perf_counter()
        forward()
        calls.append(time.perf_counter() - start)
    return {"seconds": statistics.median(calls), "fastest": min(calls), "calls": len(calls)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runtime", choices=RUNTIMES)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.1)
    arguments = parser.parse_args()
    import numpy
    images = numpy.random.default_rng(1).standard_normal(
        (arguments.batch, 3, 32, 32)).astype(numpy.float32)
    forward = RUNTIMES[arguments.runtime](arguments, images)
    forward()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "quit":
            return
        print(json.dumps(timed(forward, arguments.seconds)), flush=True)


if __name__ == "__main__":
    main()
