"""The machine code of kernels: instructions and loops, read from nvdisasm's output."""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys

INSTALL = ("nvdisasm not found: install the CUDA toolkit's, or `pip install nvidia-cuda-nvdisasm`, and put "
           "it on PATH, beside nvcc, or name it in NVDISASM")

TEXT = re.compile(r"\s*\.section\s+\.text\.(\S+?),")
LABEL = re.compile(r"(\.L_x_\d+|\$\S+):$")
INSTRUCTION = re.compile(r"\s*/\*([0-9a-f]{4,})\*/\s+(?:@(!?U?P\w+)\s+)?([^;]*)")
TARGET = re.compile(r"`\((\.L_x_\d+)\)")


def find_disassembler(nvcc=None):
    """The path of nvdisasm, or None."""
    beside = [str(pathlib.Path(nvcc).parent / "nvdisasm")] if nvcc else []
    packaged = pathlib.Path(sys.prefix).glob("lib/python*/site-packages/nvidia/*/bin/nvdisasm")
    for candidate in [os.environ.get("NVDISASM"), "nvdisasm", *beside, *map(str, packaged)]:
        found = shutil.which(candidate) if candidate else None
        if found:
            return found
    return None


@dataclasses.dataclass
class Instruction:
    address: int
    predicate: str  # empty: always executed
    text: str       # for example IMAD.WIDE R2, R3, 0x4, R4

    @property
    def name(self):
        return self.text.split()[0]


@dataclasses.dataclass
class Kernel:
    name: str           # mangled
    code: list          # Instructions; after the kernel's own, those of routines that it calls
    labels: dict        # name: index of the instruction

    def target(self, instruction):
        match = TARGET.search(instruction.text)
        return self.labels.get(match[1]) if match else None


def disassemble(nvdisasm, cubin):
    """The kernels of a cubin."""
    done = subprocess.run([nvdisasm, "-c", str(cubin)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{nvdisasm} {cubin}: {done.stderr}")
    kernels = []
    for line in done.stdout.splitlines():
        if match := TEXT.match(line):
            kernels.append(Kernel(match[1], [], {}))
        elif not kernels:
            continue
        elif match := LABEL.match(line):
            kernels[-1].labels[match[1]] = len(kernels[-1].code)
        elif match := INSTRUCTION.match(line):
            kernels[-1].code.append(Instruction(int(match[1], 16), match[2] or "", match[3].strip()))
    return kernels


def successors(kernel, i):
    """Indices of the instructions that may follow instruction i. A call returns behind it."""
    instruction = kernel.code[i]
    kind = instruction.name.split(".")[0]
    after = [i + 1] if i + 1 < len(kernel.code) else []
    always = not instruction.predicate
    if kind in ("EXIT", "RET"):
        return [] if always else after
    if kind == "BRA":
        target = kernel.target(instruction)
        # BRA.DIV and the like, and branches on a second predicate, may fall through.
        always = always and not re.match(r"BRA\.|BRA !?U?P", instruction.text)
        return [target] if always else [*after, target]
    return after


def blocks_of(kernel):
    """Basic blocks that the kernel's entry reaches: first index -> (last index, successors)."""
    starts, seen, stack = {0}, set(), [0]
    while stack:
        i = stack.pop()
        if i in seen:
            continue
        seen.add(i)
        following = successors(kernel, i)
        if following != [i + 1]:
            starts.update(following)
        stack.extend(following)
    blocks = {}
    for first in starts & seen:
        last = first
        while successors(kernel, last) == [last + 1] and last + 1 not in starts:
            last += 1
        blocks[first] = (last, successors(kernel, last))
    return blocks


def dominators_of(blocks):
    """Immediate dominators (Cooper, Harvey and Kennedy), for blocks in reverse postorder."""
    order, state, stack = [], {}, [0]
    while stack:
        at = stack[-1]
        waiting = [s for s in blocks[at][1] if s not in state]
        state[at] = True
        if waiting:
            stack.append(waiting[0])
            state[waiting[0]] = True
        else:
            order.append(stack.pop())
    order.reverse()
    number = {block: i for i, block in enumerate(order)}
    before = {block: [] for block in order}
    for block in order:
        for after in blocks[block][1]:
            before[after].append(block)
    above = {0: 0}
    changed = True
    while changed:
        changed = False
        for block in order[1:]:
            new = None
            for other in before[block]:
                if other not in above:
                    continue
                if new is None:
                    new = other
                    continue
                a, b = new, other
                while a != b:
                    while number[a] > number[b]:
                        a = above[a]
                    while number[b] > number[a]:
                        b = above[b]
                new = a
            if above.get(block) != new:
                above[block] = new
                changed = True
    return above, before


def loops_of(kernel):
    """The natural loops, each the set of its instructions' indices."""
    blocks = blocks_of(kernel)
    above, before = dominators_of(blocks)

    def dominates(a, b):
        while b != a and b != 0:
            b = above[b]
        return a == b

    bodies = {}
    for block, (_, following) in blocks.items():
        for head in following:
            if not dominates(head, block):
                continue
            body, stack = bodies.setdefault(head, {head}), [block]
            while stack:
                each = stack.pop()
                if each not in body:
                    body.add(each)
                    stack.extend(before[each])
    return [{i for first in body for i in range(first, blocks[first][0] + 1)}
            for body in bodies.values()]
