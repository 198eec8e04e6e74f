# SPDX-License-Identifier: Apache-2.0
"""Patience as a person sees it, over five days of a clock that the test owns (Debian's faketime; only the calendar is moved,
time-outs stay real): the tries, the warning, the bounce."""
import datetime
import email
import email.policy
import pathlib
import shutil
import tempfile

import pytest

from peers import Sink
from station import BUILD, TRUSTED, until

LIBRARY = next(iter(sorted(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


class Clock:
    """The wall clock of the queue that runs with `environment` and this spool; the locks keep all other roles from reading it.

    Who asks for a clock asks for it before the station: what was made last ends first, and the spool is the clock's."""

    def __init__(self):
        if not LIBRARY:
            pytest.skip("no faketime")
        if "sanitize" in BUILD.name:
            pytest.skip("a sanitizer wants to be the first library, and so does faketime")
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-clock."))
        self.directory.chmod(0o755)
        self.spool = self.directory / "spool"
        self.file = self.spool / "fate" / "offset"  # the queue may open files there, and nowhere else
        self.file.parent.mkdir(parents=True)
        self.minutes = 0
        self.file.write_text("+0")
        self.environment = {"LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                            "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def advance(self, minutes):
        self.minutes += minutes
        part = self.file.with_name("next")
        part.write_text(f"+{self.minutes * 60}")
        part.rename(self.file)

    def clean_up(self):
        shutil.rmtree(self.directory)
        forget_the_dead()


def forget_the_dead():
    """faketime keeps a file a process in /dev/shm. Roles may not remove theirs, and a later process of that id may stumble over it."""
    for file in pathlib.Path("/dev/shm").glob("*faketime_s*_*"):
        if not pathlib.Path("/proc", file.name.rpartition("_")[2]).exists():
            file.unlink(missing_ok=True)


@pytest.fixture
def clock():
    forget_the_dead()
    clock = Clock()
    yield clock
    clock.clean_up()


def look(station):
    """A reload makes the queue look at the clock."""
    reloads = station.log_text().count("station: reloaded")
    station.reload()
    until(lambda: station.log_text().count("station: reloaded") > reloads, "the reload")


def is_due(entry, clock):
    """`entry` of the queue should have been tried by now, or is being tried."""
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=clock.minutes)
    return not entry["next"] or datetime.datetime.fromisoformat(entry["next"].replace("Z", "+00:00")) < now


def test_a_clock_set_back_stops_no_retry(clock, make_station):
    """By an hour: what waits is tried after its own pause and not an hour later, and so is what fails from then on."""
    is_up = False
    clock.advance(120)
    with Sink(answer=lambda recipient: None if is_up else "450 4.2.2 the mailbox is full for now") as sink:
        station = make_station(routes=f'route "dst.test" {{ via = "smtp://127.0.0.1:{sink.port}" }}',
                               queue='retry-first = "1s" retry-most = "1s"', environment=clock.environment, spool=clock.spool)
        talk = station.hello(source=TRUSTED)
        talk.mail("alice@example.org", "before@dst.test", b"Subject: before\r\n\r\ntext\r\n")
        tries = lambda to: next((e["tries"] for e in station.queue() if e["to"] == to), 0)  # noqa: E731
        until(lambda: tries("before@dst.test") > 1, "a second try")
        clock.advance(-60)
        talk.mail("alice@example.org", "after@dst.test", b"Subject: after\r\n\r\ntext\r\n")
        until(lambda: tries("after@dst.test") > 1, "another second try")
        is_up = True
        assert {m[1][0] for m in sink.wait_mails(2)} == {"before@dst.test", "after@dst.test"}


def test_tries_then_a_warning_then_a_bounce(clock, make_station):
    asked = []

    def later(recipient):
        asked.append(clock.minutes)
        return "450 4.2.2 the mailbox is full for now"

    with Sink(answer=later) as sink:
        station = make_station(routes=f'route "dst.test" {{ via = "smtp://127.0.0.1:{sink.port}" }}', environment=clock.environment, spool=clock.spool)
        station.add_user("alice", "wonderland")
        station.hello(source=TRUSTED).mail("alice@example.org", "box@dst.test", b"Subject: patience\r\n\r\ntext\r\n")
        until(lambda: len(asked) == 1, "the first try")
        tries = 1
        while clock.minutes < 5 * 24 * 60 + 300 and station.queue():
            clock.advance(5 if clock.minutes < 60 else 60)
            look(station)
            until(lambda: not any(is_due(e, clock) for e in station.queue()), "what is due to be tried")
            entries = [e for e in station.queue() if e["to"] == "box@dst.test"]
            if entries and entries[0]["tries"] > tries:
                tries = entries[0]["tries"]
            if clock.minutes == 3 * 60:
                assert station.mailbox("alice") == []
            if clock.minutes == 6 * 60:
                [warning] = station.wait_mails("alice", 1)
        warning, bounce = [email.message_from_bytes(m, policy=email.policy.default)
                           for m in sorted(station.wait_mails("alice", 2), key=lambda m: b"Action: failed" in m)]
    pauses = [b - a for a, b in zip(asked, asked[1:])]
    assert pauses[0] <= 10, "the second try comes after 5 min"
    assert max(pauses) <= 5 * 60 + 60, "4 h is the longest pause, a fifth more, and the test's step"
    assert 5 * 24 / 5.8 <= len(asked) <= 5 * 24 / 2.5 + 12
    for mail, action in (warning, "delayed"), (bounce, "failed"):
        status = next(p for p in mail.walk() if p.get_content_type() == "message/delivery-status")
        per_mail, per_recipient = status.get_payload()
        assert per_recipient["Action"] == action
        assert per_recipient["Final-Recipient"] == "rfc822; box@dst.test"
        assert "mailbox is full for now" in per_recipient["Diagnostic-Code"]
        assert ("Will-Retry-Until" in per_recipient) == (action == "delayed")
    assert "try again later" not in bounce.get_body().get_content()
