"""Inference of PreAct-ResNet-18: our engine, ONNX Runtime, OpenVINO and PyTorch; for compare.py."""

import json
import pathlib
import statistics
import subprocess

SCRIPT = pathlib.Path(__file__).resolve().parent / "runtimes" / "inference.py"
# Name in the table and the packages that it needs.
RUNTIMES = {"onnxruntime": ("onnxruntime", "onnx", "numpy"), "openvino": ("openvino", "onnx", "numpy"),
            "pytorch": ("torch", "numpy")}


def missing_packages(python, packages):
    test = "import importlib.util, sys; print(' '.join(n for n in sys.argv[1:] if not importlib.util.find_spec(n)))"
    done = subprocess.run([python, "-c", test, *packages], capture_output=True, text=True, check=True)
    return done.stdout.split()


def usable_runtimes(python):
    usable = []
    for runtime, packages in RUNTIMES.items():
        missing = missing_packages(python, packages)
        if missing:
            print(f"without {runtime}: {python} has no {' and no '.join(missing)} (pip install)")
        else:
            usable.append(runtime)
    return usable


def measure(arguments, runtimes, width, batch, make_program):
    """The results of alternating turns, by name of the program."""
    sizes = ["--width", width, "--batch", batch, "--threads", arguments.threads, "--seconds",
             arguments.seconds]
    programs = [make_program("cnpd", [arguments.ours, "--interactive", *sizes])] if arguments.ours else []
    programs += [make_program(runtime, [arguments.python, SCRIPT, runtime, *sizes]) for runtime in runtimes]
    for turn in range(arguments.warm_up + arguments.repeats):
        for program in programs:
            answer = program.step()
            if turn >= arguments.warm_up:
                program.results.append(answer)
    for program in programs:
        program.quit()
    return {program.name: program.results for program in programs}


def fastest(results, key="fastest"):
    return 1e3 * min(result[key] for result in results)


def median(results, key="seconds"):
    return 1e3 * statistics.median(result[key] for result in results)


def row(width, batch, results):
    cells = [f"{width}, {batch}"]
    cells += [f"{fastest(each):.3g} ({median(each):.3g})" for each in results.values()]
    if "cnpd" in results:
        ours = results["cnpd"]
        others = [fastest(each) for name, each in results.items() if name in ("onnxruntime", "openvino")]
        cells.append(f"{min(others) / fastest(ours):.2f}" if others else "")
        share = statistics.median(r["purified"] / r["seconds"] for r in ours) - 1
        cells.append(f"{fastest(ours, 'purified_fastest') / fastest(ours) - 1:+.0%} ({share:+.0%})")
    return cells


def compare(arguments, make_program):
    """Prints a Markdown table: milliseconds of the fastest call, and in brackets the median."""
    runtimes = usable_runtimes(arguments.python)
    names = ["cnpd"] * bool(arguments.ours) + runtimes
    headers = ["width, batch", *names]
    if arguments.ours:
        headers += ["fastest other / cnpd", "r-cnpd"]
    print("| " + " | ".join(headers) + " |")
    print("|" + "---|" * len(headers))
    table = []
    for width in arguments.widths:
        for batch in arguments.batches:
            results = measure(arguments, runtimes, width, batch, make_program)
            print("| " + " | ".join(row(width, batch, results)) + " |", flush=True)
            table.append({"width": width, "batch": batch, "turns": results})
    if arguments.out:
        path = pathlib.Path(arguments.out)
        path.mkdir(parents=True, exist_ok=True)
        (path / "inference.json").write_text(json.dumps(table, indent=1) + "\n")
