"""The protocol in which bench/compare.py drives a program, and its stand-alone form.

Interactive: a line "ready" on stdout once set up, then for each line "step" on stdin one line of JSON
on stdout, {"seconds": ..., "peak_rss_bytes": ...} and whatever else the program counts; "quit" or the
end of the input ends it. `cpu_seconds`, summed over threads, tells a slow program from a busy machine
where barriers do not spin (OMP_WAIT_POLICY=passive).
"""

import json
import statistics
import sys
import time


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
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"seconds": seconds, "cpu_seconds": cpu, "peak_rss_bytes": peak_rss_bytes(), **extra}


def serve(work):
    print("ready", flush=True)
    for line in sys.stdin:
        command = line.strip()
        if command == "quit":
            return
        if command != "step":
            sys.exit(f"unknown command {command!r}; expected step or quit")
        print(json.dumps(timed(work)), flush=True)


def run(work, interactive, warm_up, repeats):
    if interactive:
        serve(work)
        return
    for _ in range(warm_up):
        work()
    results = [timed(work) for _ in range(repeats)]
    seconds = sorted(result["seconds"] for result in results)
    summary = dict(results[-1], seconds=statistics.median(seconds), fastest=seconds[0],
                   slowest=seconds[-1], repeats=repeats,
                   cpu_seconds=min(result["cpu_seconds"] for result in results))
    print(json.dumps(summary))
