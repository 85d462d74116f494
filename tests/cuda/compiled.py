"""Compiles the device code of a build's .cu files again, for the checks in this folder.

The cubins and ptxas's reports are kept in BUILD/cubins and reused until a file of kernels/ or the
command changes, so that several checks compile once.
"""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

KERNEL = re.compile(
    r"Compiling entry function '(?P<name>\S+)' for '(?P<architecture>\S+)'"
    r".*?(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads"
    r".*?Used (?P<registers>\d+) registers(?P<more>[^\n]*)", re.DOTALL)


@dataclasses.dataclass
class Compiled:
    source: pathlib.Path
    cubin: pathlib.Path
    report: str  # of ptxas -v

    @property
    def name(self):
        """For example polarizer/polarizer.cu."""
        return f"{self.source.parent.name}/{self.source.name}"

    def resources(self):
        """Registers and memory of each kernel, by mangled name."""
        def of(match):
            shared = re.search(r"(\d+) bytes smem", match["more"])
            return {"architecture": match["architecture"], "registers": int(match["registers"]),
                    "static_shared_bytes": int(shared[1]) if shared else 0,
                    "stack_bytes": int(match["stack"]),
                    "spilled_bytes": int(match["stores"]) + int(match["loads"])}
        return {match["name"]: of(match) for match in KERNEL.finditer(self.report)}


def command_of(entry):
    """The compiler's command for the last real architecture of the build, without output."""
    command = shlex.split(entry["command"])
    command = command[next(i for i, part in enumerate(command) if part.endswith("nvcc")):]
    for flag in ("-o", "-MF", "-MT"):
        if flag in command:
            del command[command.index(flag):command.index(flag) + 2]
    command = [part for part in command if part not in ("-c", "-dc", "-MD", "-x", "cu")]
    real = re.findall(r"sm_(\w+)", " ".join(command))
    if not real:
        sys.exit(f"the build names no architecture: {entry['command']}")
    command = [part for part in command if "compute_" not in part]
    return [*command, f"-gencode=arch=compute_{real[-1]},code=sm_{real[-1]}", "-cubin", "-Xptxas=-v"]


def compile_file(entry, folder, newest):
    source = pathlib.Path(entry["file"])
    cubin = folder / f"{source.parent.name}_{source.stem}.cubin"
    log = cubin.with_suffix(".txt")  # the command in its first line, then the report
    command = command_of(entry)
    if cubin.exists() and log.exists() and log.stat().st_mtime > newest:
        first, _, report = log.read_text().partition("\n")
        if first == shlex.join(command):
            return Compiled(source, cubin, report)
    done = subprocess.run([*command, "-o", str(cubin.resolve())], text=True,
                          cwd=entry["directory"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.exit(f"{source} does not compile:\n{done.stdout}")
    log.write_text(f"{shlex.join(command)}\n{done.stdout}")
    return Compiled(source, cubin, done.stdout)


def compile_build(build, match=""):
    """All .cu files of the configured folder `build` whose path contains `match`, by name."""
    entries = json.loads((build / "compile_commands.json").read_text())
    entries = [entry for entry in entries
               if entry["file"].endswith(".cu") and match in entry["file"]]
    folder = build / "cubins"
    folder.mkdir(exist_ok=True)
    kernels = pathlib.Path(__file__).resolve().parents[2] / "kernels"
    newest = max(file.stat().st_mtime for file in kernels.rglob("*") if file.is_file())
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(lambda entry: compile_file(entry, folder, newest), entries)
        return sorted(done, key=lambda one: one.name)


def compiler_of(build):
    """The path of the build's nvcc."""
    entries = json.loads((build / "compile_commands.json").read_text())
    return next(command_of(entry)[0] for entry in entries if entry["file"].endswith(".cu"))


def nvcc_of(build):
    """The release of the build's compiler, for example 13.0."""
    text = subprocess.run([compiler_of(build), "--version"], capture_output=True, text=True,
                          check=True).stdout
    return re.search(r"release ([\d.]+)", text)[1]


def demangled(names):
    """Without return type, namespaces and parameters."""
    try:
        done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True,
                              check=True)
    except (OSError, subprocess.CalledProcessError):
        return names
    short = [re.sub(r"\(anonymous namespace\)::|cnpd::kernels::|cuda::|^void ", "", name)
             for name in done.stdout.splitlines()]
    return [re.sub(r"\((?!.*>\().*$", "", name) for name in short]
