"""Every room uses only the rooms that CMake says it may: its DEPENDS, and theirs.

    rooms_test.py build/cpu/tests/rooms.txt

Each line of the file is a room: its library, its folder, and the libraries it depends on. Libraries alone do
not show a forbidden #include: a header without a source file needs no linking, and an executable links all
rooms anyway.
"""
import pathlib
import re
import sys
import unittest

SOURCES = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
# Headers of no room: constants that any room of cnpd/ may use.
SHARED = {"cnpd/streams.h", "cnpd/version.h"}


class Rooms:
    def __init__(self, lines):
        self.folder, self.depends = {}, {}
        for line in lines:
            name, folder, *depends = line.split()
            self.folder[name], self.depends[name] = folder, depends

    def reachable(self, name):
        """The room and all rooms that it may use."""
        found, left = set(), [name]
        while left:
            room = left.pop()
            if room not in found:
                found.add(room)
                left += self.depends[room]
        return found

    def of(self, path):
        """The room with the longest folder that holds this path; None if there is none."""
        holders = [name for name, folder in self.folder.items() if path.startswith(folder + "/")]
        return max(holders, key=lambda name: len(self.folder[name]), default=None)

    def violations(self, name, path, text):
        allowed = self.reachable(name)
        for included in INCLUDE.findall(text):
            if included in SHARED and self.folder[name].startswith("cnpd/"):
                continue
            room = self.of(included)
            if (SOURCES / included).exists() and room not in allowed:
                yield f"{path} includes {included}: {name} does not depend on {room or 'its folder'}"


class RoomsTest(unittest.TestCase):
    def setUp(self):
        self.rooms = Rooms(TABLE.read_text().splitlines())

    def test_all_includes_follow_the_dependencies(self):
        found, files = [], 0
        for name, folder in self.rooms.folder.items():
            for path in sorted((SOURCES / folder).rglob("*")):
                if path.suffix in (".h", ".cpp", ".cu"):
                    files += 1
                    found += self.rooms.violations(name, path.relative_to(SOURCES), path.read_text())
        self.assertGreater(files, 200)
        self.assertEqual(found, [])

    def test_a_forbidden_include_is_found(self):
        for text in ('#include "cnpd/report/html.h"', '#include "cnpd/cli/command.h"'):
            self.assertEqual(len(list(self.rooms.violations("cnpd_settings", "x.cpp", text))), 1)
        allowed = '#include "engine/tensor.h"\n#include "cnpd/version.h"'
        self.assertEqual(list(self.rooms.violations("cnpd_settings", "x.cpp", allowed)), [])

    def test_no_room_depends_on_itself(self):
        for name in self.rooms.folder:
            for used in self.rooms.depends[name]:
                self.assertNotIn(name, self.rooms.reachable(used))


if __name__ == "__main__":
    TABLE = pathlib.Path(sys.argv.pop(1))
    unittest.main()
