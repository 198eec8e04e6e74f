# SPDX-License-Identifier: Apache-2.0
"""What an attack on the doors once found: each fault has a test here, and the user's view is what it asserts."""
import email
import os
import resource
import signal
import socket
import subprocess
import threading
import time

import pytest

from peers import Sink
from station import POSTHOUSE, TRUSTED, free_ports, until
from talk import body, crlf

MESSAGE = b"Subject: s\r\n\r\nb\r\n"
LINE = b"x" * 70 + b"\r\n"
QUICK = 'retry-first = "200ms" retry-most = "1s" expire = "2s"'
NEVER_AGAIN = 'retry-first = "1h"'


def text_of(octets):
    """A message of about so many octets."""
    return b"Subject: large\r\n\r\n" + LINE * (octets // len(LINE))


def codes_of(talk, lines):
    """What each of the pipelined lines is answered; in portions, so that nobody's buffers fill."""
    codes = []
    for at in range(0, len(lines), 100):
        some = lines[at:at + 100]
        talk.raw("".join(line + "\r\n" for line in some).encode())
        codes += [talk.reply()[:3] for _ in some]
    return codes


def reports(notice):
    """The fields about each recipient in a bounce."""
    return email.message_from_bytes(notice).get_payload()[1].get_payload()[1:]


class Liar:
    """A next host that does with each connection what `behave(socket)` does, and closes it."""

    def __init__(self, behave):
        self.behave = behave
        self.listener = socket.create_server(("127.0.0.1", free_ports(1)[0]))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(10)
                try:
                    self.behave(peer)
                except OSError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def leaves_after_hello(peer):
    peer.sendall(b"220 liar.test\r\n")
    peer.recv(1000)


def has_no_end(peer):
    for _ in range(1000):
        peer.sendall(b"220-" + b"x" * 500 + b"\r\n")


LIES = {
    "closes": lambda peer: None,
    "garbage": lambda peer: peer.sendall(b"\xff\x00\r\n" * 100),
    "http": lambda peer: peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "later": lambda peer: peer.sendall(b"421 4.3.2 later\r\n"),
    "hello": leaves_after_hello,
    "endless": has_no_end,
}


@pytest.mark.parametrize("lie", LIES)
def test_a_next_host_that_never_gets_ready(make_station, lie):
    """Tried again until the mail expires, which its sender hears of; the other routes do not notice."""
    with Liar(LIES[lie]) as liar, Sink() as sink:
        station = make_station(queue=QUICK, routes=f'route "liar.test" {{ via = "smtp://127.0.0.1:{liar.port}" }}\n'
                                                   f'route "*" {{ via = "smtp://127.0.0.1:{sink.port}" }}')
        station.add_user("alice", "wonderland")
        sender = station.pid("send")
        talk = station.logged_in()
        talk.mail("alice@example.org", ["a@liar.test", "b@liar.test"], MESSAGE)
        until(lambda: [i for i in station.queue() if i["tries"] > 0], "a first try that failed")
        talk.mail("alice@example.org", "good@dst.test", MESSAGE)
        assert sink.wait_mails(1)[0][1] == ["good@dst.test"]
        notice, = station.wait_mails("alice", 1)
        assert sorted(r["Final-Recipient"].split()[-1] for r in reports(notice)) == ["a@liar.test", "b@liar.test"]
        station.wait_drained()
        assert station.pid("send") == sender


def test_a_crowd_takes_all_descriptors(station):
    """Who is too many hears 421; what the house itself needs descriptors for goes on, during the crowd and after it."""
    resource.prlimit(station.process.pid, resource.RLIMIT_NOFILE, (200, 200))
    before = station.pid("receive")
    station.kill("receive")
    until(lambda: station.pids().get("receive") not in (None, before), "a receiver with few descriptors")
    guest = station.hello()
    crowd = [station.talk() for _ in range(250)]
    codes = {talk.reply()[:3] for talk in crowd}
    assert codes == {"220", "421"}
    station.add_user("carol", "secret")
    for _ in range(12):  # more than one file of the spool holds
        guest.mail("a@src.test", "bob@example.org", text_of(250_000))
        guest.mail("a@src.test", "bob@example.org", text_of(400_000))
    until(lambda: guest.say("RSET").expect(250) and guest.say("MAIL FROM:<a@src.test>").expect(250)
          and guest.say("RCPT TO:<carol@example.org>").reply()[:3] == "250", "the new account to be known")
    for talk in crowd:
        talk.close()
    guest.say("RCPT TO:<nobody@example.org>").expect(550)
    guest.data(MESSAGE)
    until(lambda: station.talk().reply()[:3] == "220", "room for the next client")
    station.logged_in("carol", "secret").mail("carol@example.org", "bob@example.org", MESSAGE)
    station.wait_mails("carol", 1)
    station.wait_mails("bob", 25)


def test_an_envelope_that_is_too_large(make_station):
    """Who got 250 gets the mail, the others got 452: an address is never taken and then left out."""
    with Sink() as sink:
        station = make_station(limits="recipients = 10000", routes=f'route "*" {{ via = "smtp://127.0.0.1:{sink.port}" }}')
        domain = ".".join(["d" * 60] * 3) + ".test"
        people = [f"{i:05}{'x' * 54}@{domain}" for i in range(5000)]
        talk = station.hello(source=TRUSTED)
        talk.say("MAIL FROM:<a@src.test>").expect(250)
        codes = codes_of(talk, [f"RCPT TO:<{who}>" for who in people])
        talk.data(MESSAGE)
        assert set(codes) == {"250", "452"}
        taken = sorted(who for who, code in zip(people, codes) if code == "250")
        until(lambda: sum(len(r) for _, r, _ in sink.mails) >= len(taken), f"all {len(taken)} recipients served")
        station.wait_drained()
        assert sorted(who for _, recipients, _ in sink.mails for who in recipients) == taken


def test_a_quoted_plus_address(station):
    """One name at RCPT and afterwards: 250 is no promise that a bounce breaks, sent to whoever's name was forged."""
    station.hello().mail("alice@example.org", '"bob+ x"@example.org', MESSAGE)
    station.wait_mails("bob", 1)
    station.wait_drained()
    assert station.mailbox("alice") == []


def test_aliases_with_more_members_than_a_mail_may_have(make_station):
    """150 times 1000 members: who finds room waits in the queue, which tells of all of them; the rest come back with words."""
    members = ", ".join(f'"m{i}@dst.test"' for i in range(1000))
    station = make_station(queue=NEVER_AGAIN, domain=f'alias "list" {{ to = {{{members}}} }}',
                           routes=f'route "*" {{ via = "smtp://127.0.0.1:{free_ports(1)[0]}" }}')
    station.add_user("alice", "wonderland")
    names = [f"list+{i}@example.org" for i in range(150)]
    station.hello().mail("alice@example.org", names, MESSAGE)
    until(lambda: station.log_text().count("failed id=") > 40, "aliases that found no room")
    station.stop()
