# SPDX-License-Identifier: Apache-2.0
"""A full disk answers 452 before the edge, loses nothing, and is over without a restart. The disk is a small tmpfs: needs root."""
import os
import pathlib
import subprocess
import tempfile

import pytest

from peers import Sink
from station import TRUSTED, free_ports, until


@pytest.fixture
def small_disk(as_root):
    place = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-disk."))  # not pytest's tmp_path, which the queue's user may not enter
    place.chmod(0o755)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128M,mode=755", "tmpfs", place], capture_output=True)
    if done.returncode != 0:
        pytest.skip("no mounts here: " + done.stderr.decode().strip())
    yield place
    subprocess.run(["umount", "-l", place], check=True)
    place.rmdir()


def room(talk, message=b"Subject: x\r\n\r\nb\r\n"):
    """The first code that is not 25x on the way to a kept mail, or 250."""
    for line in "RSET", "MAIL FROM:<a@src.test>", "RCPT TO:<bob@example.org>":
        reply = talk.say(line).reply()
        if reply[:2] != "25":
            return reply[:3]
    talk.say("DATA")
    reply = talk.reply()
    if reply[:3] != "354":
        return reply[:3]
    talk.raw(message + b".\r\n")
    return talk.reply()[:3]


def test_others_fill_the_disk(make_station, small_disk):
    station = make_station(spool=small_disk / "spool", limits='free-space = "16M" message = "1M"')
    station.add_user("bob", "builder")
    talk = station.hello()
    assert room(talk) == "250"
    ballast = small_disk / "ballast"
    disk = os.statvfs(small_disk)
    ballast.write_bytes(b"\0" * (disk.f_bavail * disk.f_frsize - (12 << 20)))
    until(lambda: room(talk) == "452", "452 on a disk that is nearly full")
    assert talk.say("NOOP").reply()[:3] == "250"
    ballast.unlink()
    until(lambda: room(talk) == "250", "250 when there is room again")


def test_waiting_mail_fills_the_disk(make_station, small_disk):
    """The next host is down; mail is taken until 452; then the host comes back, and each mail that got its 250 arrives."""
    port = free_ports(1)[0]
    station = make_station(spool=small_disk / "spool", limits='free-space = "16M" message = "1M"',
                           queue='retry-first = "1s" retry-most = "2s"', routes=f'route "dst.test" {{ via = "smtp://127.0.0.1:{port}" }}')
    talk, kept = station.hello(source=TRUSTED), set()
    for i in range(1000):
        talk.say("RSET").expect(250)
        reply = talk.say("MAIL FROM:<a@src.test>").reply()
        if reply[:3] == "250":
            reply = talk.say(f"RCPT TO:<b{i}@dst.test>").reply()
        if reply[:3] == "250":
            talk.say("DATA").expect(354)
            talk.raw(b"Subject: filler\r\n\r\n" + (b"x" * 70 + b"\r\n") * 3000 + b".\r\n")
            reply = talk.reply()
        if reply[:3] == "250":
            kept.add(f"b{i}@dst.test")
        elif reply[:3] == "452":
            break
        else:
            pytest.fail(reply)
    assert kept and reply[:3] == "452"
    with Sink(port) as sink:
        sink.wait_mails(len(kept))
        station.wait_drained()
        assert sorted(r for _, recipients, _ in sink.mails for r in recipients) == sorted(kept)
        until(lambda: talk.say("MAIL FROM:<a@src.test>").reply()[:3] in ("250", "503"), "250 when the mail has left")
