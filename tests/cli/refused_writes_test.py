"""Full disks and unwritable directories."""

import os
import resource
import shutil
import signal
import subprocess

import support

NOBODY = 65534


def file_size_limit(size):
    """Simulates a full disk: no file can grow beyond this size."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return limit


class FullDisk(support.RunsTest):
    def test_nothing_can_be_written(self):
        full = {"preexec_fn": file_size_limit(0), "cwd": self.folder}
        self.refuse(support.train("out"), "out/config.json", "cannot be written", **full)
        self.refuse(support.train("deep/out"), "config.json", "cannot be written", **full)
        self.refuse(support.defend(self.victim, "out"), "out/config.json", "cannot be written",
                    **full)
        self.refuse(["report", "--run", self.defense], "report.html", "cannot be written", **full)

    def test_an_existing_report_is_kept(self):
        self.succeed("report", "--run", self.defense)
        self.refuse(["report", "--run", self.defense], "report.html", "cannot be written",
                    preexec_fn=file_size_limit(4096))

    def test_a_run_that_did_not_fit_is_resumed(self):
        """All files on the full disk are complete, and the resumed run gives the same bytes."""
        checkpoint = (self.victim / "checkpoint.safetensors").stat().st_size
        for size in (100, 1500, checkpoint // 2, checkpoint - 1):
            with self.subTest(size):
                out = self.folder / "out"
                self.refuse_only(support.train(out), "cannot be written",
                                 preexec_fn=file_size_limit(size))
                self.assertEqual([path.name for path in self.folder.glob("out/.*")], [])
                for path in self.folder.glob("out/*.safetensors"):
                    support.read_safetensors(path)
                self.succeed(*support.train(out, "--resume"))
                self.assert_same_run(out, self.victim, ["model.safetensors"])
                shutil.rmtree(out)

    def test_a_checkpoint_is_kept_if_the_next_does_not_fit(self):
        out = self.folder / "out"
        self.succeed(*support.defend(self.victim, out))
        before = support.snapshot(out)
        self.refuse_only(support.defend(self.victim, out, "--resume"), "cannot be written",
                         preexec_fn=file_size_limit(1000))
        after = support.snapshot(out)
        self.assertEqual(before["checkpoint.safetensors"], after["checkpoint.safetensors"])

    def test_output(self):
        for arguments in (["--help"], ["info"], ["evaluate", "--run", self.victim, "--json"]):
            with self.subTest(arguments[0]), open("/dev/full", "w", encoding="utf-8") as full:
                done = subprocess.run(support.command(*arguments), stdout=full,
                                      stderr=subprocess.PIPE, text=True, check=False)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertRegex(support.without_warnings(done.stderr),
                                 r"\Acnpd: [^\n]*No space left on device\n\Z")


class UnwritablePlaces(support.RunsTest):
    def test_below_a_file(self):
        (self.folder / "file").write_text("mine")
        for out, blamed in (("file", "file"), ("file/out", "file"), ("file/deep/out", "file"),
                            ("/dev/null", "/dev/null"), ("/dev/null/out", "/dev/null"),
                            ("/proc/self/out", "/proc/self/out")):
            with self.subTest(out):
                self.refuse(support.train(out), blamed, cwd=self.folder)
        self.refuse(["report", "--run", self.defense, "--out", "file/report.html"],
                    "file/report.html", cwd=self.folder)
        self.refuse(["report", "--run", self.defense, "--out", self.folder], str(self.folder))

    def as_nobody(self):
        """Options that drop superuser rights for the program."""
        if os.geteuid() != 0:
            return {}
        for path in (self.folder, *self.folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        return {"user": NOBODY, "group": NOBODY, "extra_groups": []}

    def test_without_permission(self):
        # A copy, because the user `nobody` may have no access to the build directory.
        program = self.folder / "cnpd"
        shutil.copy(support.PROGRAM, program)
        options = {**self.as_nobody(), "cwd": self.folder}
        program.chmod(0o755)
        self.folder.chmod(0o555)
        for arguments in (support.train("out"), support.defend(self.victim, "out"),
                          ["report", "--run", "defense", "--out", "report.html"]):
            with self.subTest(arguments[0]):
                self.refuse(arguments, arguments[arguments.index("--out") + 1],
                            "Permission denied", program=program, **options)
        secret = self.victim / "model.safetensors"
        if options.get("user"):
            secret.chmod(0)
            self.refuse(["evaluate", "--run", "victim"], "model.safetensors",
                        "Permission denied", program=program, **options)
        self.folder.chmod(0o755)


support.main()
