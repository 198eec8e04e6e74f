# SPDX-License-Identifier: Apache-2.0
"""Starting, reloading, draining, and roles that die: mail goes on, and nobody outside sees more than a closed connection."""
import os
import signal

import pytest

from station import ROLES, alive, children, until

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
