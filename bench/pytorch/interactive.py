"""The protocol between bench/compare.py and a benchmark program, and the stand-alone mode.

Interactive: the program prints "ready" after its setup, then for each line "step" on stdin one line of
JSON, {"seconds": ..., "peak_rss_bytes": ...} and its other counters; "quit" or the end of the input
ends it. `cpu_seconds`, summed over threads, distinguishes a slow program from a busy machine if
barriers do not spin (OMP_WAIT_POLICY=passive).
"""

import json
import statistics
import sys
import time

import torch
from torch.profiler import ProfilerActivity, profile


def add_options(parser, warm_up, repeats):
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32",
                        help="bf16: automatic mixed precision")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warm-up", type=int, default=warm_up)
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--interactive", action="store_true", help="read commands from stdin, see interactive.py")
    parser.add_argument("--convolution-share", action="store_true",
                        help="print only the share of convolutions, from the profiler's times")


def prepare(arguments):
    """New tensors are on the device; float32 does not become TF32 unless requested."""
    torch.set_num_threads(arguments.threads)
    torch.set_default_device(arguments.device)
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = arguments.precision != "fp32"
    torch.backends.cudnn.allow_tf32 = arguments.precision != "fp32"
    torch.backends.cudnn.benchmark = True


def mixed_precision(arguments):
    device = torch.device(arguments.device).type
    return torch.autocast(device, torch.bfloat16, enabled=arguments.precision == "bf16")


def peak_rss_bytes():
    """High-water mark of this process alone (getrusage would inherit the parent's across exec)."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def timed(work):
    start, cpu = time.perf_counter(), time.process_time()
    extra = work() or {}
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
        extra = {"peak_device_bytes": torch.cuda.max_memory_allocated(), **extra}
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"seconds": seconds, "cpu_seconds": cpu, "peak_rss_bytes": peak_rss_bytes(), **extra}


def profiled(work):
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_initialized()
    with profile(activities=activities) as profiler:
        work()
    return profiler.key_averages()


def convolution_share(work):
    """Share of convolutions, forward and backward, in the operations' own time; device time if there is
    a device."""
    on_gpu = torch.cuda.is_initialized()

    def time_of(event, kind):
        names = [f"{kind}device_time_total", f"{kind}cuda_time_total"] if on_gpu else \
            [f"{kind}cpu_time_total"]
        return next(getattr(event, name) for name in names if hasattr(event, name))

    events = profiled(work)
    convolution = sum(time_of(event, "") for event in events
                      if event.key in ("aten::convolution", "aten::convolution_backward"))
    return convolution / sum(time_of(event, "self_") for event in events)


def serve(work):
    print("ready", flush=True)
    for line in sys.stdin:
        command = line.strip()
        if command == "quit":
            return
        if command != "step":
            sys.exit(f"unknown command {command!r}; expected step or quit")
        print(json.dumps(timed(work)), flush=True)


def run(work, arguments):
    if arguments.interactive:
        serve(work)
        return
    for _ in range(arguments.warm_up):
        work()
    if arguments.convolution_share:
        print(json.dumps({"convolution_share": convolution_share(work)}))
        return
    results = [timed(work) for _ in range(arguments.repeats)]
    seconds = sorted(result["seconds"] for result in results)
    summary = dict(results[-1], seconds=statistics.median(seconds), fastest=seconds[0],
                   slowest=seconds[-1], repeats=arguments.repeats,
                   cpu_seconds=min(result["cpu_seconds"] for result in results))
    print(json.dumps(summary))
