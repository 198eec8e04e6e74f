# SPDX-License-Identifier: Apache-2.0
"""Whose the directories are: what a start takes, hands over, hands back and refuses, and what `status` says to whom."""
import fcntl
import os
import pathlib
import shutil
import subprocess

import pytest

import certificates
from station import BUILD, PATIENCE, POSTHOUSE, TRUSTED, until
from talk import Talk

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
QUEUE, STORE, VAULT = 64801, 64803, 64804


def serve(station, before=(), program=POSTHOUSE):
    """A start that is expected to end by itself."""
    return subprocess.run([*before, program, "serve", "--config", station.config], capture_output=True, text=True, timeout=PATIENCE)


def refused(station, *words, before=()):
    done = serve(station, before)
    assert done.returncode not in (0, None) and all(word in done.stderr for word in words), done.stderr
    assert "station: ready" not in done.stderr


def owner(path):
    return path.lstat().st_uid


def mode(path):
    return path.lstat().st_mode & 0o7777


# ── the state directory ──


def test_a_state_directory_of_somebody_else(as_root, make_station):
    """He could put a FIFO or a link where root writes."""
    station = make_station(start=False)
    station.state.mkdir()
    os.mkfifo(station.state / "status.new")
    os.chown(station.state, NOBODY, NOBODY)
    refused(station, f"{station.state} belongs to user {NOBODY}", f"chown 0 {station.state}")
    assert sorted(os.listdir(station.state)) == ["status.new"]
    os.chown(station.state, 0, 0)
    station.start()
    assert "The station runs" in station.run("status").stdout


@pytest.mark.parametrize("others", (0o020, 0o002))
def test_a_state_directory_that_others_may_write(make_station, others):
    station = make_station(start=False)
    station.state.mkdir()
    station.state.chmod(0o711 | others)
    refused(station, f"chmod go-w {station.state}")
    station.state.chmod(0o711)
    station.start()


def test_an_ordinary_user_after_root(as_root, make_station):
    station = make_station()
    station.stop()
    refused(station, f"{station.state} belongs to user 0", "start the station as that user", before=AS_NOBODY)
    shutil.rmtree(station.state)
    station.state.mkdir()
    os.chown(station.state, NOBODY, NOBODY)
    refused(station, f"{station.spool} belongs to user {QUEUE}", "chown -R", before=AS_NOBODY)


def test_a_file_in_the_place_of_a_socket(make_station):
    station = make_station(start=False)
    station.state.mkdir(mode=0o711)
    (station.state / "control").write_text("Package: mine\n")
    refused(station, f"{station.state}/control", "is no station's socket")
    assert (station.state / "control").read_text() == "Package: mine\n"


def test_modes_are_whatever_the_umask_is(make_station):
    """That of our unit is 0077; programs here must reach the socket, roles their directories, and everybody may ask."""
    station = make_station(start=False)
    boxes = station.directory / "above" / "boxes"
    station.configure(domain=f'mailboxes = "{boxes}/%d/%u"')
    station.prefix = ["sh", "-c", 'umask 0077; exec "$@"', "sh"]
    station.start()
    assert mode(station.state) == 0o711 and mode(boxes.parent) == 0o755 and mode(boxes) == 0o700
    assert mode(station.state / "submit") == 0o666 and mode(station.state / "control") == 0o600
    assert mode(station.state / "status") == 0o644
    if os.geteuid() == 0:
        asked = subprocess.run([*AS_NOBODY, POSTHOUSE, "status", "--config", station.config], capture_output=True, text=True, timeout=PATIENCE)
        assert asked.returncode == 0 and "The station runs" in asked.stdout, asked.stderr


# ── handing over ──


def test_a_directory_in_use_stays_whose_it_is(as_root, make_station):
    station = make_station(start=False)
    station.spool.mkdir()
    (station.spool / "seg").mkdir()  # one of our names excuses no other
    (station.spool / "payroll\n").write_text("mine")
    refused(station, str(station.spool), r'"payroll\x0a"', "choose an empty directory for `spool`")
    assert {owner(station.spool), owner(station.spool / "seg"), owner(station.spool / "payroll\n")} == {0}


@pytest.mark.parametrize("name", ("mail", "vault"))
def test_a_state_directory_in_use(as_root, make_station, name):
    station = make_station(start=False)
    (station.state / name / "sendmail.d").mkdir(parents=True)
    refused(station, f"{station.state}/{name}", "sendmail.d", "choose an empty directory for `state`")
    assert owner(station.state / name) == owner(station.state / name / "sendmail.d") == 0


def test_a_file_system_of_its_own(as_root, make_station):
    """What the file system itself keeps there is no stranger's, and stays root's."""
    station = make_station(start=False)
    (station.spool / "lost+found").mkdir(parents=True)
    station.start()
    assert owner(station.spool) == QUEUE and owner(station.spool / "lost+found") == 0


def test_back_to_root(as_root, make_station):
    """users = "" after a life with users, and users again."""
    station = make_station(top="")
    station.add_user("bob", "builder")

    def mail():
        with station.hello() as talk:
            talk.mail("a@src.test", "bob@example.org", b"Subject: s\r\n\r\nb\r\n")
    mail()
    station.wait_mails("bob", 1)
    station.stop()
    station.configure(top='users = ""\n')
    station.start()
    for place in (station.spool, station.state / "vault", station.state / "mail"):
        assert {owner(entry) for entry in (place, *place.rglob("*"))} == {0}
    mail()
    station.wait_mails("bob", 2)
    station.stop()
    station.configure(top="")
    station.start()
    assert (owner(station.spool), owner(station.state / "mail"), owner(station.state / "vault" / "users.db")) == (QUEUE, STORE, VAULT)
    mail()
    station.wait_mails("bob", 3)


# ── what a start lacks ──


@pytest.mark.parametrize("right", ("setuid", "setgid"))
def test_a_root_that_cannot_become_others(as_root, make_station, right):
    """In a container that gives it less."""
    refused(make_station(start=False), "CAP_" + right.upper(), 'users = ""',
            before=["setpriv", f"--bounding-set=-{right}", f"--inh-caps=-{right}"])


def test_a_program_that_is_missing(make_station):
    station = make_station(start=False)
    programs = station.directory / "bin"
    programs.mkdir()
    for name in ("posthouse", "posthouse-resolve"):
        shutil.copy(BUILD / name, programs)
    done = serve(station, program=programs / "posthouse")
    assert done.returncode == os.EX_OSFILE and f"{programs}/posthouse-vault" in done.stderr and "No such file" in done.stderr


# ── status ──


def test_status_believes_no_file(make_station):
    """After a death of all at once the status is still there; and whoever may read a file may lock it."""
    station = make_station()
    station.kill("all")
    assert (station.state / "status").exists() and (station.state / "submit").exists()
    done = station.run("status", check=False)
    assert done.returncode == os.EX_UNAVAILABLE and "does not run" in done.stderr
    with open(station.state / "lock", "a+") as lock, open(station.state / "status") as status:
        for file in lock, status:
            fcntl.lockf(file, fcntl.LOCK_SH)
        station.start()
        assert station.run("status").returncode == 0


def test_status_begins_no_session(make_station):
    station = make_station(top=f'trusted = {{"{TRUSTED}/32"}}\n')
    receive = station.pid("receive")
    os.kill(receive, 19)  # whoever dialled would stay in the line
    try:
        for _ in range(5):
            station.run("status")
        waiting = [line for line in pathlib.Path("/proc/net/unix").read_text().splitlines() if line.endswith(f"{station.state}/submit")]
        assert len(waiting) == 1  # the listener alone
    finally:
        os.kill(receive, 18)


def test_status_tells_who_may_not_ask(as_root, make_station):
    station = make_station(top='users = ""\n')
    copy = pathlib.Path(f"{station.directory}.conf")
    shutil.copy(station.config, copy)
    copy.chmod(0o644)
    try:
        station.directory.chmod(0o700)
        done = subprocess.run([*AS_NOBODY, POSTHOUSE, "status", "--config", copy], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == os.EX_NOPERM and "Permission denied" in done.stderr and "does not run" not in done.stderr
    finally:
        copy.unlink()


# ── a certificate that is being renewed ──


def test_a_vault_that_begins_between_two_files_of_a_renewal(make_station, tmp_path):
    authority = certificates.Authority(tmp_path)
    served = authority.issue("mail.example.org", called="served")
    fresh = authority.issue("mail.example.org", called="fresh")
    station = make_station(tls=f'certificate = "{served.chain}" key = "{served.key}"')
    station.may_end = "role=vault"
    os.replace(fresh.chain, served.chain)
    before = station.pid("vault")
    station.kill("vault")
    until(lambda: station.pids().get("vault") not in (None, before), "the next vault")
    until(lambda: f"role=vault pid={before}" in station.log_text(), "its death to be told")
    os.replace(fresh.key, served.key)

    def shown():
        try:
            with Talk(station.submissions_port).secure(authority.context()) as talk:
                talk.expect(220)
                return True
        except OSError:  # the former key is in no file any more
            return False
    until(shown, "a handshake with the new pair")
    assert "self-signed" not in station.log_text()


# ── mail that somebody has destroyed ──


def test_lost_mail_is_named(make_station):
    station = make_station(routes='route "far.test" { via = "smtp://127.0.0.1:1" }')
    with station.hello(source=TRUSTED) as talk:
        talk.mail("a@src.test", "b@far.test", b"Subject: s\r\n\r\nb\r\n")
    until(lambda: any(item["state"] == "deferred" for item in station.queue()), "the first attempt to fail")
    mail = station.queue()[0]["id"]
    station.stop()
    for segment in (station.spool / "seg").iterdir():
        with segment.open("r+b") as file:  # all behind the header
            size = file.seek(0, os.SEEK_END)
            file.seek(4096)
            file.write(b"P" * (size - 4096))
    station.start()
    until(lambda: f"mail-lost mail={mail}" in station.log_text(), "the loss to be named")
    assert station.queue() == []
