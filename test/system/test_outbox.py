# SPDX-License-Identifier: Apache-2.0
"""The outbox: mail of a person while the station is away. Nothing is lost, nothing goes twice, nobody is left behind."""
import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import time

import pytest

from peers import Scripted, Sink
from sendmails import Person
from station import POSTHOUSE, alive, free_ports, until

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


@pytest.fixture
def small_disk(as_root):
    place = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-disk."))
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", place], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("no mounts here: " + done.stderr.decode().strip())
    yield place
    subprocess.run(["umount", "-l", place], check=True)
    place.rmdir()


def go_by(person, port, more=""):
    """The person's mail is handed in at this port."""
    place = person.home / ".config/posthouse"
    place.mkdir(parents=True, exist_ok=True)
    (place / "profiles").write_text(f'default = "p"\nprofile "p" {{\n via = "smtp://127.0.0.1:{port}"\n {more}\n}}\n')
    (place / "profiles").chmod(0o600)


def crc32c(octets):
    crc = 0xffffffff
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def make_older(file, seconds, recipients=1):
    """As if the mail had come so much earlier."""
    octets = bytearray(file.read_bytes())
    letter = octets.index(b"\n") + 1 + 4 + 1024
    since, = struct.unpack_from("<Q", octets, letter)
    struct.pack_into("<Q", octets, letter, since - seconds)
    struct.pack_into("<I", octets, letter - 4 - 1024, crc32c(octets[letter:-recipients]))
    file.write_bytes(octets)


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
    said = person.sendmail("-q", code=69)
    assert "damaged" in said or "given up" in said  # the sender in the background may have met it first
    away.wait_drained()
    assert b"it waits" in away.wait_mails("bob", 1)[0]
    assert person.call("mailq").count("damaged") == 2
    assert sorted(f.read_bytes() for f in (person.outbox / "refused").glob("?" * 32)) == sorted(
        [octets.replace(b"it waits", b"it wait$"), octets[:-5]])


def test_what_the_station_refuses_is_kept_with_its_reason(away, person):
    person.sendmail("bob", "nobody@example.org", text=TEXT)
    away.start()
    assert "will not go" in person.sendmail("-q", code=69)
    away.wait_mails("bob", 1)
    away.wait_drained()
    assert not person.waiting()
    said = person.call("mailq")
    assert "mails that will not go" in said and "mails that wait" not in said
    assert "<nobody@example.org>" in said and "<bob@" not in said
    refused, = (person.outbox / "refused").iterdir()
    assert f"in {refused}\n" in said
    person.sendmail("-q")


def test_what_was_refused_goes_once_more(away, person):
    person.sendmail("bob", "late@example.org", text=TEXT)
    away.start()
    person.wait_sent()
    away.wait_mails("bob", 1)
    refused, = (person.outbox / "refused").iterdir()
    shown = refused.name[:12]
    assert shown in person.call("mailq")
    assert "will not go" in person.sendmail("-qI" + shown, code=69)  # nothing has changed
    assert "no such mailbox" in person.call("mailq")
    away.add_user("late", "comer")
    person.sendmail("-qI" + shown)
    assert b"it waits" in away.wait_mails("late", 1)[0]
    assert "Your outbox is empty." in person.call("mailq")
    away.wait_drained()
    assert len(away.wait_mails("bob", 1)) == 1  # to whom it went before


def test_nothing_is_sent_again_that_is_not_named(away, person):
    person.sendmail("nobody@example.org", text=TEXT)
    away.start()
    person.wait_sent()
    one = next((person.outbox / "refused").iterdir())
    twin = one.name[:-1] + ("0" if one.name[-1] != "0" else "1")
    shutil.copy(one, one.with_name(twin))
    before = {f.name: f.read_bytes() for f in one.parent.iterdir()}
    assert "the id that mailq shows" in person.sendmail("-qI", code=64)
    assert "no id in your outbox" in person.sendmail("-qIz", code=65)
    assert "several ids" in person.sendmail("-qI" + twin[:12], code=65)
    assert {f.name: f.read_bytes() for f in one.parent.iterdir()} == before


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


# ── when it comes to nothing ──

def test_what_was_perhaps_taken_goes_no_second_time(away, person):
    host = Scripted("220 h", "250 h", "250 ok", "250 ok", "354 go", "")  # bound, and nobody listens yet
    go_by(person, host.port)
    person.sendmail("bob@dst.test", text=TEXT)
    with host:
        person.wait_sent()
        person.sendmail("-q")
        assert host.heard.count("it waits") == 1
        said = person.call("mailq")
        assert "<bob@dst.test>" in said and "will not go: bob@dst.test: perhaps it was taken: the answer got lost" in said


def test_who_says_later_is_left_in_peace_for_a_minute(away, person):
    host = Scripted("220 h", "250 h", "250 ok", "451 4.3.0 so busy", "250 ok")
    go_by(person, host.port)
    person.sendmail("bob@dst.test", text=TEXT)
    with host:
        until(lambda: "waits: so busy" in person.call("mailq"), "mailq to say why it waits")
        before = host.sessions
        time.sleep(7)  # the process that was left behind has looked at it two times
        assert host.sessions == before == 1 and len(person.tenders()) == 1
        person.sendmail("-q", code=75)
        assert host.sessions == 2 and len(person.waiting()) == 1


def test_a_full_disk_makes_no_second_copy(away, person, small_disk):
    port = free_ports(1)[0]
    go_by(person, port)
    person.environment["XDG_STATE_HOME"] = str(small_disk)
    person.sendmail("ok@dst.test", "no@dst.test", "later@dst.test", text=TEXT)
    with contextlib.suppress(OSError), open(small_disk / "ballast", "wb", buffering=0) as ballast:
        while True:
            ballast.write(b"0" * 512)
    answers = {"later@dst.test": "451 4.3.0 later", "no@dst.test": "550 5.1.1 nobody"}
    with Sink(port=port, answer=answers.get) as sink:
        for _ in range(3):
            person.sendmail("-q", code=75)
        assert [recipients for _, recipients, _ in sink.mails] == [["ok@dst.test"]]
        said = person.call("mailq")
        assert "<no@dst.test>" in said and "will not go: no@dst.test: nobody" in said
        assert "<later@dst.test>" in said and "waits: later" in said and "ok@dst.test" not in said
        answers.clear()
        person.sendmail("-q", code=69)
        assert [recipients for _, recipients, _ in sink.mails] == [["ok@dst.test"], ["later@dst.test"]]
    said = person.call("mailq")
    assert "<no@dst.test>" in said and "later@dst.test" not in said


def test_the_way_is_gone(away, person):
    port = free_ports(1)[0]
    go_by(person, port)
    person.sendmail("bob@dst.test", text=TEXT)
    profiles = person.home / ".config/posthouse/profiles"
    text = profiles.read_text()
    profiles.write_text("")
    away.config.unlink()
    assert "waits still" in person.sendmail("-q", code=75)
    assert f"waits: {away.config}" in person.call("mailq")
    profiles.write_text(text)
    with Sink(port=port) as sink:
        person.sendmail("-q")
        assert len(sink.wait_mails(1)) == 1 and not person.waiting()


def test_a_secret_is_not_asked_for_again_and_again(away, person):
    """Neither when it cannot be had, nor while nobody answers."""
    asked = person.home / "asked"
    go_by(person, free_ports(1)[0], f'password = "cmd:echo >>{asked}; echo secret"')
    profiles = person.home / ".config/posthouse/profiles"
    profiles.write_text(profiles.read_text().replace("smtp://", "smtp://wei@"))
    person.sendmail("bob@dst.test", text=TEXT)
    time.sleep(8)
    assert len(asked.read_text().splitlines()) == 2, "once for the call, once for the process that was left behind"
    profiles.write_text(profiles.read_text().replace("echo secret", "exit 1"))
    asked.write_text("")
    person.sendmail("-q", code=75)
    assert asked.read_text() == "\n" and "waits: " in person.call("mailq")


@pytest.mark.parametrize("reply", [None, "451 4.3.0 so busy"])
def test_it_is_given_up_after_five_days(away, person, reply):
    host = Scripted("220 h", "250 h", "250 ok", reply or "")
    go_by(person, host.port)
    person.sendmail("bob@dst.test", text=TEXT)
    for pid in person.tenders():
        os.kill(pid, signal.SIGKILL)
    make_older(person.waiting()[0], 5 * 24 * 3600 - 60)
    with host if reply else contextlib.nullcontext():
        person.sendmail("-q", code=75)
        make_older(person.waiting()[0], 120)
        person.sendmail("-q", code=69)
    said = person.call("mailq")
    assert "will not go: bob@dst.test: " in said and "given up after five days" in said
    assert ("so busy" if reply else "refused") in said


@pytest.mark.parametrize("replies", [["554 no service here", ""], ["220 h", "550 5.7.1 not from you", "550 5.7.1 no", ""]])
def test_a_way_that_refuses_is_for_a_person_to_mend(away, person, replies):
    """It said nothing of the mail: that waits."""
    host = Scripted(*replies)
    go_by(person, host.port)
    person.sendmail("bob@dst.test", text=TEXT)
    with host:
        person.sendmail("-q", code=75)
    assert len(person.waiting()) == 1 and "will not go" not in person.call("mailq")


@pytest.mark.parametrize("fault", ["config", "profiles", "command"])
def test_what_is_wrong_here_keeps_the_mail(away, person, fault):
    """Whoever calls can mend nothing, and cron would lose what it has to say."""
    port = free_ports(1)[0]
    go_by(person, port, 'password = "cmd:exit 1"' if fault == "command" else "")
    profiles = person.home / ".config/posthouse/profiles"
    if fault == "command":
        profiles.write_text(profiles.read_text().replace("smtp://", "smtp://wei@"))
    else:
        profiles.write_text("nonsense" if fault == "profiles" else "")
    if fault == "config":
        config = away.config.read_text()
        away.config.write_text("nonsense {")
    assert "is kept in your outbox" in person.sendmail("bob@dst.test", text=TEXT)
    assert len(person.waiting()) == 1
    if fault == "config":
        said = person.sendmail("--config", str(away.config), "bob@dst.test", text=TEXT, code=78)
        assert str(away.config) in said and len(person.waiting()) == 1
        away.config.write_text(config)
    go_by(person, port)
    with Sink(port=port) as sink:
        person.sendmail("-q")
        assert len(sink.wait_mails(1)) == 1


def test_the_next_place_has_room(away, person, small_disk):
    """Where the first is full nothing is left of what was tried."""
    person.environment["XDG_STATE_HOME"] = str(small_disk)
    person.sendmail("bob", text=TEXT + b"x" * 100000)
    assert len(person.waiting()) == 1
    assert [f.name for f in (small_disk / "posthouse/outbox").iterdir()] == ["refused"]
    assert len(person.call("mailq").split("<bob@example.org>")) == 2


def test_nothing_is_made_in_what_is_another_persons(away, person, as_root):
    other = person.directory / "other"
    other.mkdir()
    for link in person.home / ".local", person.directory / "state":
        link.symlink_to(other)
    os.chown(other, 54321, 54321)
    person.environment["XDG_STATE_HOME"] = str(person.directory / "state")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as temporary:
        # a /var/tmp of its own, in which somebody else was first
        os.mkdir(temporary + "/posthouse-0")
        os.chown(temporary + "/posthouse-0", 54321, 54321)
        in_it = ["unshare", "-m", "sh", "-c", f'mount --bind {temporary} /var/tmp && exec "$@"', "sh"]
        subprocess.run([*in_it, person.sendmail_path, "bob"], input=TEXT, env=person.environment, check=True, timeout=60)
        place, = pathlib.Path(temporary).glob("posthouse-0.*")
        assert not list(other.iterdir()) and not os.listdir(temporary + "/posthouse-0")
        assert len(list(place.glob("?" * 32))) == 1 and place.stat().st_mode & 0o777 == 0o700
        said = subprocess.run([*in_it, person.sendmail_path, "-bp"], env=person.environment, check=True, timeout=60, capture_output=True).stdout
        assert b"<bob@example.org>" in said


def test_a_service_whose_temporary_directory_goes_with_it(away, as_root):
    """systemd's PrivateTmp; it has no home."""
    with Person(away, home=False) as person, tempfile.TemporaryDirectory(prefix="systemd-private-") as private:
        person.environment["HOME"] = "/nonexistent"
        os.chmod(private, 0o755)
        os.mkdir(private + "/tmp"), os.mkdir(private + "/spool")
        os.chmod(private + "/tmp", 0o1777)
        script = f"""mount --bind {private}/tmp /var/tmp && mount --bind {private}/spool /var/spool &&
            exec setpriv --reuid=54321 --regid=54321 --clear-groups "$@" """

        def send():
            return subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", person.sendmail_path, "-f", "alice@example.org", "bob"], input=TEXT,
                                  env=person.environment, capture_output=True, timeout=60)
        done = send()
        assert done.returncode == 75 and b"posthouse-outbox" in done.stderr, done.stderr
        os.mkdir(private + "/spool/posthouse-outbox")
        os.chmod(private + "/spool/posthouse-outbox", 0o1733)
        assert send().returncode == 0
        kept, = pathlib.Path(private, "spool/posthouse-outbox/54321").glob("?" * 32)
        assert b"it waits" in kept.read_bytes() and not os.listdir(private + "/tmp")
        for pid in [int(p) for p in os.listdir("/proc") if p.isdigit()]:
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{pid}").st_uid == 54321 and str(person.directory).encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)


def test_bs_keeps_a_mail_for_whom_there_was_no_yes(away, person, small_disk):
    """Of two that want different reports, with no room left behind the first word."""
    with Sink(answer={"alice@dst.test": "451 4.3.0 later"}.get) as sink:
        go_by(person, sink.port)
        said = person.sendmail("-bs", text=b"EHLO x\r\nMAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@dst.test> NOTIFY=NEVER\r\n"
                               b"RCPT TO:<bob2@dst.test>\r\nRCPT TO:<alice@dst.test>\r\nDATA\r\nSubject: s\r\n\r\nx\r\n.\r\nQUIT\r\n")
        assert said.splitlines()[-2].startswith("250")
        assert sorted(recipients[0] for _, recipients, _ in sink.mails) == ["bob2@dst.test", "bob@dst.test"]
    said = person.call("mailq")
    assert len(person.waiting()) == 1 and "<alice@dst.test>" in said and "bob" not in said


def test_q_does_not_wait_for_another_for_ever(away, person):
    person.sendmail("bob", text=TEXT)
    with open(person.outbox / "sending", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "is being sent by another process" in person.sendmail("-q", code=75)


def test_an_envelope_id_is_said_as_it_was_given(away, person):
    host = Scripted("220 h", "250-h\r\n250 DSN", "250 ok", "250 ok", "354 go", "250 ok")
    go_by(person, host.port)
    subprocess.run([POSTHOUSE, "send", "bob@dst.test", "-m", "x", "--envelope-id", "a+b=c"], env=person.environment, check=True, timeout=60)
    for pid in person.tenders():
        os.kill(pid, signal.SIGKILL)
    with host:
        person.sendmail("-q")
        assert [line for line in host.heard if line.startswith("MAIL")][0].endswith("ENVID=a+2Bb+3Dc")


def test_nobody_stays_behind_without_an_outbox(away, person):
    person.sendmail("bob", text=TEXT)
    assert len(person.tenders()) == 1
    shutil.rmtree(person.outbox)
    until(lambda: not person.tenders(), "the process that was left behind to be gone")


def test_half_a_file_of_a_killed_writer_goes(away, person):
    person.sendmail("bob", text=TEXT)
    old, fresh, other = (person.outbox / (name + ".new") for name in ("0" * 32, "1" * 32, "note"))
    for file in old, fresh, other:
        file.write_bytes(b"half")
    for file in old, other:
        os.utime(file, (time.time() - 7200,) * 2)
    person.sendmail("-q", code=75)
    assert not old.exists() and fresh.exists() and other.exists()
