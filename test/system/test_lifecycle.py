# SPDX-License-Identifier: Apache-2.0
"""Starting, reloading, draining, and roles that die: mail goes on, and nobody outside sees more than a closed connection."""
import fcntl
import os
import signal
import socket
import subprocess
import sys

import pytest

from station import POSTHOUSE, ROLES, alive, children, free_ports, until

MESSAGE = b"Subject: s\r\n\r\nb\r\n"


def code_of(station, recipient):
    with station.hello() as talk:
        talk.say("MAIL FROM:<a@src.test>").expect(250)
        return talk.say(f"RCPT TO:<{recipient}>").reply()[:3]


def test_each_role_is_a_process_of_its_own(station):
    pids = station.pids()
    assert set(pids) == set(ROLES) and len(set(pids.values())) == len(ROLES)
    assert sorted(children(station.process.pid)) == sorted(pids.values())


def test_sigterm_drains(station):
    """Who is in a transaction is told 421; what was acknowledged is there; the exit code is 0; nothing is left."""
    open_one = station.hello()
    open_one.envelope("a@src.test", "bob@example.org")
    station.hello().mail("a@src.test", "bob@example.org", MESSAGE)
    pids = station.pids()
    assert station.stop() == 0
    assert open_one.reply()[:3] == "421" and open_one.closed()
    assert not any(map(alive, pids.values()))
    station.start()
    station.wait_mails("bob", 1)


def test_reload(station):
    """All or nothing: a good file counts without a restart, a bad one changes nothing and says so in the log."""
    pids = station.pids()
    assert code_of(station, "info@example.org") == "550"
    station.configure(domain='alias info { to = "bob" }')
    station.reload()
    until(lambda: code_of(station, "info@example.org") == "250", "the alias of the new file")
    station.configure(domain='alyas info { to = "bob" }')
    station.reload()
    until(lambda: "posthouse.conf:" in station.log_text() and "alyas" in station.log_text(), "the mistake in the log")
    assert code_of(station, "info@example.org") == "250"
    assert station.pids() == pids


def test_a_reload_names_what_only_a_restart_can_change(station):
    """And what else the file says of a door counts at once."""
    station.configure(top='users = ""', limits='memory = "300M"')
    port, station.submission_port = station.submission_port, free_ports(1)[0]
    station.configure()
    station.reload()
    root = os.geteuid() == 0
    until(lambda: 'changed="' + ("users, " if root else "") + 'limits.memory, listen (doors and addresses)"' in station.log_text(), "the refusal")
    station.submission_port = port
    station.configure(top="", limits="", listen_smtp='xclient = "127.0.0.0/8"')
    station.reload()

    def may_speak_for():
        with station.talk() as talk:
            talk.expect(220)
            return "XCLIENT" in talk.say("EHLO c.test").reply()
    until(may_speak_for, "the networks of the door")


UNDER_A_MANAGER = """\
import os, sys
n = int(sys.argv[1])
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(n), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


def test_a_port_of_the_service_manager_that_no_door_serves(make_station):
    """The manager keeps it open, so it is for us to let nobody hang there."""
    station = make_station(start=False)
    station.add_user("bob", "builder")
    with socket.create_server(("127.0.0.1", station.smtp_port)) as taken, socket.create_server(("127.0.0.1", 0)) as unused:
        low = [os.dup(s.fileno()) for s in (taken, unused)]

        def place():  # in the child: the descriptors from 3 on
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in low]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)
        with station.log.open("ab") as log:
            station.process = subprocess.Popen(
                [sys.executable, "-c", UNDER_A_MANAGER, "2", "smtp:web", POSTHOUSE, "serve", "--config", station.config],
                stderr=log, stdin=subprocess.DEVNULL, close_fds=False, preexec_fn=place)
        for fd in low:
            os.close(fd)
        until(lambda: "station: ready" in station.log_text(), "the station to get ready")
        station.pids()
        assert f"station: socket-unused name=web at=127.0.0.1:{unused.getsockname()[1]} " in station.log_text()
        for _ in range(3):
            with socket.create_connection(unused.getsockname(), timeout=20) as caller:
                assert caller.recv(1) == b""
        station.hello().mail("a@src.test", "bob@example.org", MESSAGE)
        station.wait_mails("bob", 1)
        station.stop()


def test_a_session_outlives_a_reload(station):
    talk = station.hello()
    talk.envelope("a@src.test", "bob@example.org")
    station.reload()
    talk.data(MESSAGE)
    station.wait_mails("bob", 1)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_dies_is_started_again(station, role):
    before = station.pid(role)
    station.kill(role)
    until(lambda: station.pids().get(role) not in (None, before), f"a new {role}")

    def served():
        try:
            with station.hello() as talk:
                talk.say("MAIL FROM:<a@src.test>").expect(250)
                if talk.say("RCPT TO:<bob@example.org>").reply()[:3] != "250":
                    return False
                talk.say("DATA").expect(354)
                return talk.raw(MESSAGE + b".\r\n").reply()[:3] == "250"
        except (AssertionError, OSError):
            return False
    until(served, "mail to be taken again")
    assert f"station: role-started role={role} pid={station.pid(role)}" in station.log_text()
    until(lambda: station.mailbox("bob"), "the mail")


def test_roles_end_with_their_master(station):
    """Nothing goes on working for nobody when master is killed."""
    pids = station.pids()
    station.process.kill()
    station.process.wait()
    until(lambda: not any(map(alive, pids.values())), "the roles to end")


def test_a_vault_that_says_nothing(station):
    """Mailboxes are known without it; whatever needs it is put off, 451 and 454; nothing is guessed."""
    assert code_of(station, "bob@example.org") == "250"
    vault = station.pid("vault")
    os.kill(vault, signal.SIGSTOP)
    try:
        talk = station.hello("submission")
        talk.say("AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=").expect(454)
        talk = station.hello()
        talk.say("MAIL FROM:<a@src.test>").expect(250)
        talk.say("RCPT TO:<nobody@example.org>").expect(451)
        talk.say("RCPT TO:<bob@example.org>").expect(250)
    finally:
        os.kill(vault, signal.SIGCONT)
    station.logged_in().close()
