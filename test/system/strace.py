# SPDX-License-Identifier: Apache-2.0
"""strace on a role: makes its system calls fail, or shows their order."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from station import until

SYNCS = "fdatasync,fsync,sync_file_range,msync"


class Strace:
    """strace -f on one process from enter to exit; `trace` is what it wrote."""

    def __init__(self, pid, *options):
        if not shutil.which("strace"):
            pytest.skip("no strace")
        self.pid, self.options = pid, options
        self.trace = ""

    def __enter__(self):
        handle, name = tempfile.mkstemp(prefix="posthouse-strace.")
        os.close(handle)
        self.output = pathlib.Path(name)
        self.process = subprocess.Popen(["strace", "-f", "-qq", "-o", self.output, *self.options, "-p", str(self.pid)],
                                        stderr=subprocess.PIPE, text=True)

        def attached():
            if self.process.poll() is not None:
                why = self.process.stderr.read()
                if why:
                    pytest.skip("no ptrace here: " + why)
                return True  # what we are here to do to it has ended it already
            try:
                return all(f"TracerPid:\t{self.process.pid}\n" in (task / "status").read_text()
                           for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir())
            except OSError:
                return False  # a thread ended while we looked
        until(attached, "strace to be attached")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate()
        self.trace = self.output.read_text(errors="replace")
        self.output.unlink()
