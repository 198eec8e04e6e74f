# SPDX-License-Identifier: Apache-2.0
"""Roles that were taken over: what each of them can still do, tried from inside its sandbox (evil_role.c) and in running stations.

As root each role has a user of its own; as an ordinary user (one test more when we are root) all are that user, and the sandboxes are the same.
"""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from station import BUILD, PATIENCE, POSTHOUSE, ROLES, Station, until

EVIL = BUILD / "test/system/evil-role"
NOBODY = 65534
ORDER = ("receive", "queue", "send", "store", "vault", "resolve")  # the numbers of users that are not there: 64800 and so on
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


@pytest.fixture(scope="module")
def house():
    """A station's directories, without the station."""
    station = Station()
    station.start()
    station.add_user("alice", "wonderland")
    station.stop()
    yield station
    station.clean_up()


@pytest.mark.parametrize("role", ROLES)
def test_what_an_evil_role_can_do(house, role):
    user = [str(64800 + ORDER.index(role))] if IS_ROOT else []
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
        rows = [json.loads(line) for line in station.run("status", "--json").stdout.splitlines()]
        assert {row["uid"] for row in rows} == {NOBODY} and all(row["works"] for row in rows)
        for role in ROLES:
            judge(role, try_evil(role, station.config, before=prefix))
    finally:
        station.end()


# ── stations ──

def test_status(station):
    """Who, since when, and what holds: nothing that this kernel can forbid is missing, and nobody has two roles' user."""
    rows = {row["role"]: row for row in map(json.loads, station.run("status", "--json").stdout.splitlines())}
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
    station.stop()
    done = station.run("status", check=False)
    assert done.returncode == 69 and "does not run" in done.stderr


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
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=25", SOURCE / "dist/posthouse.service"],
                          capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout[-600:] + done.stderr
