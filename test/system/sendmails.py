# SPDX-License-Identifier: Apache-2.0
"""A person of this host with a home of their own, who calls sendmail, mailq and newaliases by these names."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from station import PATIENCE, POSTHOUSE, alive, command_line, until

NAMES = ("sendmail", "mailq", "newaliases")


class Person:
    """Mail goes to `station`, which need not run. home=False: there is none."""

    def __init__(self, station, home=True):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-person."))
        self.directory.chmod(0o755)
        self.home = self.directory / "home"
        (self.directory / "bin").mkdir()
        if home:
            self.home.mkdir(mode=0o700)
        for name in NAMES:
            (self.directory / "bin" / name).symlink_to(POSTHOUSE)
        self.sendmail_path = self.directory / "bin/sendmail"
        self.outbox = self.home / ".local/state/posthouse/outbox"
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")}
        self.environment.update(HOME=str(self.home), POSTHOUSE_CONFIG=str(station.config))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.tenders():
            with contextlib.suppress(ProcessLookupError):  # it has sent what there was, and gone
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def call(self, name, *arguments, text=b"", code=0, **more):
        """Waits until nobody holds its output any more, as cron does."""
        done = subprocess.run([self.directory / "bin" / name, *arguments], input=text, capture_output=True, timeout=PATIENCE,
                              env=self.environment, **more)
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == code, f"{name} {arguments} ended with {done.returncode}: {said}"
        return said

    def sendmail(self, *arguments, text=b"Subject: hello\n\na body\n", code=0):
        return self.call("sendmail", *arguments, text=text, code=code)

    def waiting(self):
        return [f for f in self.outbox.glob("?" * 32) if f.is_file()] if self.outbox.is_dir() else []

    def tenders(self):
        """Processes that were left behind: they have this home, and no terminal."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or not any(f"bin/{name}" in command_line(entry.name) for name in NAMES):
                continue
            try:
                home = f"HOME={self.home}".encode() in (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if home and alive(int(entry.name)):
                found.append(int(entry.name))
        return found

    def wait_sent(self):
        until(lambda: not self.waiting(), "the outbox to be empty")
        until(lambda: not self.tenders(), "the process that was left behind to be gone")
