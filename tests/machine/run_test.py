#!/usr/bin/env python3
"""./run keeps the caller's directory, and builds only if something has changed.

It is copied to a project of empty folders, with a `cmake` that records its calls and creates a program that
prints its working directory.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

RUN = pathlib.Path(__file__).resolve().parents[2] / "run"
CMAKE = """#!/bin/sh
echo "$@" >>"$NOTES"
[ ! -e "$NOTES.fail" ] || exit 1
case "$*" in --build*)
    mkdir -p "$2/bin"
    cp "$PROGRAM" "$2/bin/cnpd"
    chmod +x "$2/bin/cnpd"
esac
"""
PROGRAM = """#!/bin/sh
pwd
printf '%s\\n' "$@"
"""


def write(path, text="", mode=0o644):
    path.write_text(text)
    path.chmod(mode)


class Run(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()
        self.project, self.elsewhere = self.folder / "project", self.folder / "else where"
        tools = self.folder / "tools"
        for made in (self.project, self.elsewhere, tools):
            made.mkdir()
        shutil.copy(RUN, self.project)
        for room in ("cmake", "kernels", "engine", "models", "datasets", "cnpd"):
            (self.project / room).mkdir()
            write(self.project / room / "a.cpp")
        for name in ("CMakeLists.txt", "CMakePresets.json"):
            write(self.project / name)
        write(tools / "cmake", CMAKE, 0o755)
        # Reports all packages as installed.
        write(tools / "dpkg-query", '#!/bin/sh\nshift 2\nprintf "%s install ok installed\\n" "$@"\n', 0o755)
        write(self.folder / "program", PROGRAM)
        self.notes = self.folder / "notes"
        self.environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}",
                            "NOTES": str(self.notes), "PROGRAM": str(self.folder / "program")}

    def run_it(self, *arguments, script=None):
        """Returns the program's output and whether CMake was called."""
        self.notes.unlink(missing_ok=True)
        done = subprocess.run([script or self.project / "run", *arguments], cwd=self.elsewhere, text=True,
                              env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.status = done.returncode
        return done.stdout.splitlines(), self.notes.exists()

    def test_the_program_sees_the_directory_and_arguments_of_the_caller(self):
        for _ in range(2):  # with and without a build
            lines, _built = self.run_it("predict", "a picture.png", "--run", "../r")
            self.assertEqual(lines, [str(self.elsewhere), "predict", "a picture.png", "--run", "../r"])
        link = self.folder / "link"
        link.symlink_to(self.project / "run")
        lines, built = self.run_it("info", script=link)
        self.assertEqual((lines, built), ([str(self.elsewhere), "info"], False))

    def test_builds_again_only_after_a_change(self):
        self.assertTrue(self.run_it("info")[1])
        self.assertFalse(self.run_it("info")[1])
        source = self.project / "cnpd" / "a.cpp"
        changes = {"changed": lambda: write(source, "// changed"),
                   "added": lambda: write(self.project / "engine" / "b.cpp"),
                   "deleted": source.unlink,
                   "options": lambda: write(self.project / "CMakePresets.json", "{}"),
                   "no program": (self.project / "build/cpu/bin/cnpd").unlink}
        for name, change in changes.items():
            with self.subTest(name):
                time.sleep(0.02)  # resolution of file times
                change()
                self.assertTrue(self.run_it("info")[1])
                self.assertFalse(self.run_it("info")[1])

    def test_a_build_that_failed_is_tried_again(self):
        self.run_it("info")
        time.sleep(0.02)
        write(self.project / "cnpd" / "a.cpp", "// wrong")
        fail = pathlib.Path(f"{self.notes}.fail")
        write(fail)
        for _ in range(2):
            self.assertEqual(self.run_it("info"), ([], True))
            self.assertNotEqual(self.status, 0)
        fail.unlink()
        self.assertTrue(self.run_it("info")[1])
        self.assertEqual(self.status, 0)

    def test_the_emulated_backend_has_a_build_of_its_own(self):
        lines, _ = self.run_it("--emulated", "info")
        self.assertEqual(lines, [str(self.elsewhere), "info"])
        self.assertTrue((self.project / "build/emulated/bin/cnpd").exists())
        self.assertTrue(self.run_it("info")[1])


if __name__ == "__main__":
    sys.exit(unittest.main())
