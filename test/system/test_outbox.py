# SPDX-License-Identifier: Apache-2.0
"""The outbox: mail of a person while the station is away. Nothing is lost, nothing goes twice, nobody is left behind."""
import os
import signal
import subprocess
import tempfile

import pytest

from sendmails import Person
from station import alive, until

TEXT = b"Subject: patience\n\nit waits\n"


@pytest.fixture
def away(station):
    """The station, not running."""
    station.stop()
    return station


@pytest.fixture
def person(away):
    with Person(away) as person:
        yield person


def test_it_goes_when_the_station_is_back(away, person):
    assert person.sendmail("bob", text=TEXT) == ""
    assert len(person.waiting()) == 1 and len(person.tenders()) == 1
    assert person.outbox.stat().st_mode & 0o777 == 0o700 and person.waiting()[0].stat().st_mode & 0o777 == 0o600
    assert "<bob@example.org>" in person.call("mailq")
    away.start()
    assert b"it waits" in away.wait_mails("bob", 1)[0]
    person.wait_sent()
    assert "is empty" in person.call("mailq")


def test_many_callers_leave_one_process(away, person):
    calls = [subprocess.Popen([person.sendmail_path, "bob"], stdin=subprocess.PIPE, env=person.environment) for _ in range(8)]
    for i, call in enumerate(calls):
        call.communicate(b"Subject: %d\n\nx\n" % i, timeout=60)
        assert call.returncode == 0
    assert len(person.waiting()) == 8
    until(lambda: len(person.tenders()) == 1, "one process to be left")
    away.start()
    flushes = [subprocess.Popen([person.sendmail_path, "-q"], env=person.environment) for _ in range(3)]
    assert [f.wait(60) for f in flushes] == [0, 0, 0]
    person.wait_sent()
    away.wait_drained()
    mails = away.wait_mails("bob", 8)
    assert len({mail.partition(b"\r\nSubject: ")[2][:1] for mail in mails}) == 8


def test_the_next_call_takes_up_after_a_killed_process(away, person):
    person.sendmail("bob", text=TEXT)
    os.kill(person.tenders()[0], signal.SIGKILL)
    until(lambda: not person.tenders(), "the killed process to be gone")
    away.start()
    person.sendmail("alice", text=TEXT)
    away.wait_mails("bob", 1), away.wait_mails("alice", 1)
    person.wait_sent()


def test_q_sends_now(away, person):
    person.sendmail("bob", text=TEXT)
    assert "waits still" in person.sendmail("-q", code=75)
    away.start()
    person.sendmail("-q")
    assert not person.waiting()
    away.wait_mails("bob", 1)


def test_half_a_file_and_a_damaged_one_are_never_sent(away, person):
    person.sendmail("bob", text=TEXT)
    person.sendmail("bob", text=TEXT)
    whole, damaged = person.waiting()
    octets = damaged.read_bytes()
    damaged.write_bytes(octets.replace(b"it waits", b"it wait$"))
    (person.outbox / ("0" * 32 + ".new")).write_bytes(octets[:-5])
    (person.outbox / ("1" * 32)).write_bytes(octets[:-5])
    away.start()
    assert "damaged" in person.sendmail("-q")
    away.wait_drained()
    assert b"it waits" in away.wait_mails("bob", 1)[0]
    assert person.call("mailq").count("damaged") == 2
    assert sorted(f.read_bytes() for f in (person.outbox / "refused").glob("?" * 32)) == sorted(
        [octets.replace(b"it waits", b"it wait$"), octets[:-5]])


def test_what_the_station_refuses_is_kept_with_its_reason(away, person):
    person.sendmail("bob", "nobody@example.org", text=TEXT)
    away.start()
    person.sendmail("-q")
    away.wait_mails("bob", 1)
    assert not person.waiting()
    said = person.call("mailq")
    assert "<nobody@example.org>" in said and "will not go" in said and "<bob@" not in said


def test_a_station_that_is_busy_is_no_reason_to_fail(make_station):
    station = make_station(limits="rate = 2")
    station.add_user("bob", "builder")
    with Person(station) as person:
        for _ in range(3):
            person.sendmail("bob", text=TEXT)
        assert len(station.wait_mails("bob", 2)) == 2 and len(person.waiting()) == 1


@pytest.mark.parametrize("code", [75])
def test_nowhere_to_keep_it(away, code):
    with Person(away) as person:
        person.outbox.mkdir(parents=True, mode=0o700)
        person.outbox.chmod(0o755)
        for place in "XDG_STATE_HOME", "HOME":
            person.environment[place] = str(person.home)
        blocked = f"/var/tmp/posthouse-{os.geteuid()}"
        if os.path.exists(blocked):
            pytest.skip(f"{blocked} is there already")
        with open(blocked, "w"):
            pass
        try:
            (person.home / "posthouse").write_text("no directory")
            assert "cannot be kept" in person.sendmail("bob", text=TEXT, code=code)
        finally:
            os.unlink(blocked)


def test_without_a_home(away, as_root):
    """As a user who has no name, no home and no rights."""
    with Person(away, home=False) as person:
        person.environment["HOME"] = "/nonexistent"
        place = "/var/tmp/posthouse-54321"
        try:
            person.call("sendmail", "-f", "alice@example.org", "bob", text=TEXT, user=54321, group=54321, extra_groups=[])
            names = [n for n in os.listdir(place) if len(n) == 32]
            assert len(names) == 1 and os.stat(place).st_uid == 54321 and os.stat(place).st_mode & 0o777 == 0o700
            away.start()
            assert b"it waits" in away.wait_mails("bob", 1)[0]
            until(lambda: not [n for n in os.listdir(place) if len(n) == 32], "the outbox to be empty")
        finally:
            person.home = "/nonexistent"
            for pid in person.tenders():
                if os.stat(f"/proc/{pid}").st_uid == 54321:
                    os.kill(pid, signal.SIGKILL)
            subprocess.run(["rm", "-r", "-f", place], check=False)


def test_another_persons_home_is_left_alone(away, as_root):
    """sudo with the caller's HOME: root's mail does not lie in it."""
    with Person(away) as person:
        os.chown(person.home, 54321, 54321)
        with tempfile.TemporaryDirectory() as state:
            person.environment["XDG_STATE_HOME"] = state
            person.sendmail("bob", text=TEXT)
            assert not person.outbox.exists() and os.path.isdir(state + "/posthouse/outbox")
            for pid in person.tenders():
                os.kill(pid, signal.SIGKILL)
                until(lambda: not alive(pid), "the process to be gone")
