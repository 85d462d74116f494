"""extract.py PAGE DIRECTORY: writes the code blocks of a page of documentation to files, for compiling them.
The first line of a block names its file in a comment: "// kernels/op/op.h"."""
import pathlib
import re
import sys

page, directory = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
blocks = re.findall(r"^```cpp\n// (\S+\.\w+)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
if not blocks:
    sys.exit(f"{page}: no code blocks that name a file")
for name, code in blocks:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != code:
        path.write_text(code)
