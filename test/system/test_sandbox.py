# SPDX-License-Identifier: Apache-2.0
"""Roles that were taken over: what each of them can still do, tried from inside its sandbox (evil_role.c) and in running stations.

As root each role has a user of its own; as an ordinary user (one test more when we are root) all are that user, and the sandboxes are the same.
"""
import ctypes
import json
import os
import pathlib
import re
import resource
import shutil
import socket
import struct
import subprocess
import tempfile

import pytest

from station import BUILD, PATIENCE, POSTHOUSE, ROLES, Station, until

EVIL = BUILD / "test/system/evil-role"
NOBODY = 65534
ORDER = ("receive", "queue", "send", "store", "vault", "resolve", "web")  # the numbers of users that are not there: 64800 and so on
IS_ROOT = os.geteuid() == 0
SOURCE = pathlib.Path(__file__).resolve().parents[2]


def sanitized():
    return b"__asan_init" in EVIL.read_bytes()


def lines(output, kind):
    return [line.split("\t")[1:] for line in output.splitlines() if line.startswith(kind + "\t")]


def try_evil(role, config, *user, before=()):
    done = subprocess.run([*before, EVIL, role, config, *user], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def judge(role, output):
    acts, layers = lines(output, "act"), [fact for fact, in lines(output, "layer")]
    lacks = [fact for fact in layers if fact.startswith("lacks")]
    print(f"{role}: {len(acts)} acts; here: {'; '.join(layers)}")
    assert [need for need in lines(output, "need") if need[0] != "works"] == []
    if sanitized():
        pytest.skip("the runtime of a sanitizer needs files and calls of its own")
    assert len(acts) >= 60
    worked = [act for act in acts if act[0] != "refused"]
    if not any("files" in fact or "calls" in fact for fact in lacks):
        assert worked == []
    assert lines(output, "victim") == [["lives"]]


def role_rows(station):
    rows = map(json.loads, station.run("status", "--json", check=False).stdout.splitlines())
    return [row for row in rows if "role" in row]


def furnish(station, owner):
    """Two people's mailboxes: a reader that goes bad has the one."""
    for name in ("one", "two"):
        mailbox = station.state / "mail/example.org" / name
        mailbox.mkdir(parents=True)
        (mailbox / "mail").write_text("for one person alone")
    if IS_ROOT:
        for path in (station.state / "mail").rglob("*"):
            os.chown(path, owner, owner)


@pytest.fixture(scope="module")
def house():
    """A station's directories, without the station."""
    station = Station()
    station.start()
    station.add_user("alice", "wonderland")
    station.stop()
    furnish(station, 64800 + ORDER.index("store"))
    yield station
    station.clean_up()


@pytest.mark.parametrize("role", (*ROLES, "web", "reader"))
def test_what_an_evil_role_can_do(house, role):
    user = [str(64800 + ORDER.index("store" if role == "reader" else role))] if IS_ROOT else []
    judge(role, try_evil(role, house.config, *user))


@pytest.fixture
def ordinary(as_root):
    """A station of an ordinary user: ("command prefix", directory)."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-test."))
    os.chown(directory, NOBODY, NOBODY)
    yield ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"], directory
    shutil.rmtree(directory, ignore_errors=True)


def ordinary_station(prefix, directory):
    station = Station()
    station.prefix = prefix
    shutil.rmtree(station.directory)
    station.directory = directory
    station.state, station.spool = directory / "state", directory / "spool"
    station.config, station.log = directory / "posthouse.conf", directory / "log"
    station.configure()
    return station


def test_an_ordinary_user_is_kept_in_as_well(ordinary):
    """From `posthouse serve` to a mail in a mailbox without root; and every role of it is locked in."""
    prefix, directory = ordinary
    station = ordinary_station(prefix, directory)
    try:
        station.start()
        subprocess.run([*prefix, POSTHOUSE, "user", "add", "bob@example.org", "--password-stdin", "--config", station.config],
                       input="builder\n", text=True, check=True, timeout=PATIENCE)
        with station.hello() as talk:
            talk.mail("a@src.test", "bob@example.org", b"Subject: s\r\n\r\nb\r\n")
        station.wait_mails("bob", 1)
        rows = role_rows(station)
        assert {row["uid"] for row in rows} == {NOBODY} and all(row["works"] for row in rows)
        furnish(station, NOBODY)
        for role in (*ROLES, "web", "reader"):
            judge(role, try_evil(role, station.config, before=prefix))
    finally:
        station.end()


# ── stations ──

def test_status(station):
    """Who, since when, and what holds: nothing that this kernel can forbid is missing, and nobody has two roles' user."""
    rows = {row["role"]: row for row in role_rows(station)}
    assert {role: row["pid"] for role, row in rows.items()} == station.pids()
    if IS_ROOT:
        assert len({row["uid"] for row in rows.values()}) == len(ROLES) and 0 not in {row["uid"] for row in rows.values()}
    for role, row in rows.items():
        assert row["works"] and row["restarts"] == 0
        assert any(fact.startswith("tried: ") for fact in row["holds"])
        status = pathlib.Path(f"/proc/{row['pid']}/status").read_text()
        assert "NoNewPrivs:\t1" in status and "CapEff:\t0000000000000000" in status and f"Uid:\t{row['uid']}\t" in status
        if any("seccomp" in fact for fact in row["holds"]):
            assert "Seccomp:\t2" in status
    shown = station.run("status").stdout
    assert "The station runs" in shown and all(f"\n{role} " in shown for role in ROLES)
    before = rows["send"]["pid"]
    station.kill("send")

    def again():
        row = [json.loads(line) for line in station.run("status", "--json", check=False).stdout.splitlines() if '"send"' in line][0]
        return row["works"] and row["pid"] != before and row["restarts"] == 1
    until(again, "status to show the new role")
    assert station.run("status").stdout.count("started again") == 1 and ", started again once after it had died" in station.run("status").stdout
    station.stop()
    done = station.run("status", check=False)
    assert done.returncode == 69 and "does not run" in done.stderr


def test_a_station_where_processes_are_hidden(as_root, make_station):
    """As under our own unit (ProtectProc=invisible, ProcSubset=pid): what is not there to be tried has not worked."""
    station = make_station(start=False)
    hide = 'mount -t proc -o hidepid=invisible,subset=pid proc /proc && exec "$0" "$@"'
    if subprocess.run(["unshare", "-m", "sh", "-c", hide, "true"], capture_output=True, timeout=PATIENCE).returncode:
        pytest.skip("this kernel does not hide processes")
    station.prefix = ["unshare", "-m", "sh", "-c", hide]
    station.start()
    assert all(row["works"] for row in role_rows(station))


# ── what a role that was taken over does with what it holds: we take its descriptors out of it, and use them ──

PIDFD_OPEN, PIDFD_GETFD = 434, 438
LIBC = ctypes.CDLL(None, use_errno=True)


def descriptor_of(pid, fd):
    """Our own copy of that descriptor of theirs."""
    held = LIBC.syscall(PIDFD_OPEN, pid, 0)
    ours = LIBC.syscall(PIDFD_GETFD, held, fd, 0)
    os.close(held)
    if ours < 0:
        pytest.skip("this kernel takes no descriptor out of another process")
    return ours


def message(kind, octets):
    """A packet to master: the place of its kind in the table, then its fields."""
    table = (SOURCE / "src/io/messages.def").read_text()
    kinds = re.findall(r"^MESSAGE\((\w+),", table, re.M)
    return struct.pack("<H", kinds.index(kind) + 1) + octets


def say_as(pid, *packets):
    with socket.socket(fileno=descriptor_of(pid, 3)) as channel:
        for packet in packets:
            channel.send(packet)


def test_a_role_begins_with_nothing_of_ours(as_root, make_station):
    """No terminal, no session of the operator, no descriptor that master was started with, no words of the service manager."""
    station = make_station(start=False, environment={"NOTIFY_SOCKET": "/nowhere"})
    secret = station.directory / "secret"
    secret.write_text("x")
    with secret.open() as opened, station.log.open("ab") as log:
        station.process = subprocess.Popen([POSTHOUSE, "serve", "--config", station.config], stderr=log, pass_fds=(opened.fileno(),),
                                           env=station.environment)
        until(lambda: "station: ready" in station.log_text(), "the station to get ready")
    for role, pid in station.pids().items():
        fds = {int(name): os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
        assert str(secret) not in fds.values(), role
        assert fds[0] == fds[1] == "/dev/null" and fds[2].startswith("pipe:") and fds[3].startswith("socket:"), (role, fds)
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        session, terminal = int(stat[3]), int(stat[4])
        assert session == pid and terminal == 0
        assert b"NOTIFY_SOCKET" not in pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"Max core file size +0 +0 ", limits)
        assert (role == "receive") == (re.search(r"Max file size +unlimited", limits) is None)


def test_words_of_a_role(as_root, station):
    """It has no log to erase, and cannot speak for another role."""
    with open(descriptor_of(station.pid("receive"), 2), "wb", buffering=0) as words:
        with pytest.raises(OSError):
            os.ftruncate(words.fileno(), 0)
        words.write(b"vault: login-ok user=root\nreceive: odd \x1b[31mred\n" + b"x" * 5000 + b"\n")
    text = until(lambda: "x\\x" not in station.log_text() and "red" in station.log_text() and station.log_text(), "the words")
    assert "station: ready" in text
    assert re.search(r"^station: words role=receive says=.*login-ok", text, re.M) and not re.search("^vault: login-ok", text, re.M)
    assert r"receive: odd \x1b[31mred" in text


@pytest.mark.parametrize("kind", ["guarded", "ready"])
def test_what_is_said_once_is_not_said_again(as_root, station, kind):
    """Lines for the operator come from a role before it works; another such word is a lie."""
    before = station.pid("receive")
    station.may_end = "role=receive"
    lines = b"files: none \x1b]0;forged\x07\n"
    say_as(before, message(kind, struct.pack("<I", len(lines)) + lines if kind == "guarded" else b""))
    until(lambda: station.pids().get("receive") not in (None, before), "another receive")
    assert "\x1b" not in (station.state / "status").read_text() and "forged" not in station.run("status", check=False).stdout


def test_accusations(as_root, station):
    """One is believed; who accuses again within a minute ends as well."""
    accuser, queue = station.pid("receive"), station.pid("queue")
    accusation = message("lost", struct.pack("<HHB", 4, 0, 1))
    say_as(accuser, accusation)
    until(lambda: station.pids().get("queue") not in (None, queue), "another queue")
    assert station.pid("receive") == accuser
    say_as(accuser, accusation)
    until(lambda: station.pids().get("receive") not in (None, accuser), "another receive")
    until(lambda: all(row["works"] for row in role_rows(station)), "all roles to work")


def listeners(pid):
    """Our own copies of its listening sockets."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        if os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:") and int(name) > 3:
            s = socket.socket(fileno=descriptor_of(pid, int(name)))
            if s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                found.append(s)
            else:
                s.close()
    return found


def test_doors_outlive_who_shuts_them(as_root, station):
    """Master opens each of them again, TCP and UNIX, for the next."""
    before = station.pid("receive")
    station.may_end = "role=receive"
    doors = listeners(before)
    assert len(doors) == 4
    for door in doors:  # the first of them may end it
        door.shutdown(socket.SHUT_RDWR)
        door.close()
    until(lambda: station.pids().get("receive") not in (None, before), "another receive")
    with until_answers(station) as talk:
        talk.mail("a@src.test", "bob@example.org", b"Subject: s\r\n\r\nb\r\n")
    station.run("send", "bob@example.org", text="Subject: local\n\nb\n")
    station.wait_mails("bob", 2)


def until_answers(station):
    def answered():
        try:
            return station.hello()
        except (OSError, AssertionError):  # nobody listens; or somebody did, and ended before a word
            return None
    return until(answered, "the door to answer")


def test_no_process_is_left(as_root, station):
    """A machine that has no descriptor or process for another role loses that role for a while, not the station."""
    master, before = station.process.pid, station.pid("send")
    soft, hard = resource.prlimit(master, resource.RLIMIT_NOFILE)
    resource.prlimit(master, resource.RLIMIT_NOFILE, (8, hard))
    station.may_end = "role=send"
    station.kill("send")
    until(lambda: station.log_text().count("no-process role=send") >= 2, "master to find nothing, twice")
    assert station.process.poll() is None
    resource.prlimit(master, resource.RLIMIT_NOFILE, (soft, hard))
    until(lambda: station.pids().get("send") not in (None, before), "another send")


def test_unix_sockets_are_for_routes_to_one(make_station):
    """Without such a route send makes none; with one, by reload, it begins anew."""
    station = make_station()
    calls = 'make a UNIX socket'
    assert ["refused", calls] in [act[:2] for act in lines(try_evil("send", station.config), "act")] or sanitized()
    before = station.pid("send")
    station.configure(routes='route "there.example" { via = "lmtp+unix:/run/nobody" }')
    station.reload()
    until(lambda: station.pids().get("send") not in (None, before), "send to begin anew")
    until(lambda: {row["role"]: row for row in role_rows(station)}["send"]["works"], "send to work again")
    assert "started again" not in station.run("status").stdout  # it did not die
    assert calls not in [act[1] for act in lines(try_evil("send", station.config), "act")]


def owners(path):
    return {entry.lstat().st_uid for entry in [path, *path.rglob("*")]}


def test_what_was_roots_is_handed_over(as_root, make_station):
    """A station that ran as root alone; then with users. Links out of it stay what they are, and so does a file with a second name."""
    station = make_station(top='users = ""\n')
    station.add_user("bob", "builder")
    with station.hello() as talk:
        talk.mail("a@src.test", "bob@example.org", b"Subject: one\r\n\r\nb\r\n")
    station.wait_mails("bob", 1)
    station.stop()
    assert owners(station.spool) == owners(station.state) == {0}
    outside = station.directory / "outside"
    outside.write_text("mine")
    (station.state / "mail" / "link").symlink_to(outside)
    os.link(outside, station.state / "mail" / "second-name")
    station.configure(top="")
    station.start()
    assert owners(station.spool) == {64801} and owners(station.state / "vault") == {64804}
    assert outside.stat().st_uid == 0
    assert station.state.stat().st_uid == 0 and (station.state / "mail").stat().st_uid == 64803
    assert "handed-over" in station.log_text()
    station.run("alias", "add", "info@example.org", "bob")  # as root: leaves nothing of root's
    assert owners(station.state / "vault") == {64804}
    with station.hello() as talk:
        talk.mail("a@src.test", "info@example.org", b"Subject: two\r\n\r\nb\r\n")
    station.wait_mails("bob", 2)


def test_accounts_of_an_older_version_move(make_station):
    station = make_station()
    station.add_user("bob", "builder")
    station.stop()
    for name in ("users.db", "token.key"):
        (station.state / "vault" / name).rename(station.state / name)
    shutil.rmtree(station.state / "vault")
    station.start()
    assert not (station.state / "users.db").exists()
    station.logged_in("bob", "builder").close()


def test_a_directory_that_the_roles_cannot_reach(as_root, make_station):
    """Said in one line, with what to do, and nothing is started."""
    station = make_station(start=False)
    station.directory.chmod(0o700)
    done = subprocess.run([POSTHOUSE, "serve", "--config", station.config], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode != 0 and 'chmod o+x' in done.stderr and 'users = ""' in done.stderr


def test_mailboxes_elsewhere(make_station):
    """Made and given to store where they are not there; a domain that brings a new place by reload begins store anew."""
    station = make_station(start=False)
    station.configure(domain=f'mailboxes = "{station.directory}/boxes/%d/%u"')
    station.start()
    station.add_user("bob", "builder")
    with station.hello() as talk:
        talk.mail("a@src.test", "bob@example.org", b"Subject: s\r\n\r\nb\r\n")
    until(lambda: list((station.directory / "boxes/example.org/bob/new").glob("*")), "a mail in the other place")
    store = station.pid("store")
    station.configure(domain=f'mailboxes = "{station.directory}/others/%d/%u"')
    station.reload()
    until(lambda: station.pids().get("store") not in (None, store), "store to begin anew")
    with station.hello() as talk:
        talk.mail("a@src.test", "bob@example.org", b"Subject: s\r\n\r\nb\r\n")
    until(lambda: list((station.directory / "others/example.org/bob/new").glob("*")), "a mail in the new place")


def test_the_unit_is_hardened():
    """By systemd's own measure: at most 2.5 of 10."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze")
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=25", BUILD / "dist/posthouse.service"],
                          capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout[-600:] + done.stderr
