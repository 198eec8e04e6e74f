# SPDX-License-Identifier: Apache-2.0
"""What an attack on the doors once found: each fault has a test here, and the user's view is what it asserts."""
import contextlib
import email
import os
import resource
import shutil
import signal
import socket
import threading
import time

import pytest

from peers import Sink
from station import TRUSTED, free_ports, until

MESSAGE = b"Subject: s\r\n\r\nb\r\n"
LINE = b"x" * 70 + b"\r\n"
QUICK = 'retry-first = "200ms" retry-most = "1s" expire = "2s"'


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


def returned(notice):
    """Whom a bounce is about."""
    fields = email.message_from_bytes(notice).get_payload()[1].get_payload()[1:]
    return [field["Final-Recipient"].split()[-1] for field in fields]


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


def test_next_hosts_that_never_get_ready(make_station):
    """Tried again until the mail expires, which its sender hears of; the other routes do not notice."""
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(Sink())
        ports = {f"{lie}.test": stack.enter_context(Liar(behave)).port for lie, behave in LIES.items()}
        station = make_station(queue=QUICK, routes="\n".join(f'route "{domain}" {{ via = "smtp://127.0.0.1:{port}" }}'
                                                             for domain, port in [*ports.items(), ("*", sink.port)]))
        station.add_user("alice", "wonderland")
        sender = station.pid("send")
        talk = station.logged_in()
        people = sorted(f"{name}@{domain}" for domain in ports for name in "ab")
        talk.mail("alice@example.org", people, MESSAGE)
        until(lambda: all(item["tries"] for item in station.queue()), "a first try of each that failed")
        talk.mail("alice@example.org", "good@dst.test", MESSAGE)
        assert sink.wait_mails(1)[0][1] == ["good@dst.test"]
        until(lambda: sum(len(returned(notice)) for notice in station.mailbox("alice")) >= len(people), "all of them to come back")
        station.wait_drained()
        assert sorted(who for notice in station.mailbox("alice") for who in returned(notice)) == people
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
    """150 times 1000 members: who finds room waits, and the list of the queue has each of them; the others come back with words."""
    members = [f"m{i}@dst.test" for i in range(1000)]
    with Liar(lambda peer: peer.recv(1)) as host:
        station = make_station(domain='alias "list" { to = {' + ", ".join(f'"{m}"' for m in members) + "} }",
                               routes=f'route "*" {{ via = "smtp://127.0.0.1:{host.port}" connections = 1 }}')
        station.add_user("alice", "wonderland")
        names = [f"list+{i}@example.org" for i in range(150)]
        station.hello().mail("alice@example.org", names, MESSAGE)
        until(lambda: station.mail_files("alice"), "words about the first that found no room")
        until(lambda: all(i["state"] != "new" for i in station.queue()), "everybody's way to be known")
        waiting = [i["to"] for i in station.queue() if i["to"] in members]
        notices = station.mailbox("alice")
        assert all(b"more members than a mail may have" in notice for notice in notices)
        refused = [who for notice in notices for who in returned(notice)]
        assert len(set(refused)) == len(refused) and set(refused) < set(names)
        assert sorted(waiting) == sorted(members * (len(names) - len(refused)))
        station.kill("all")


def shared_kib():
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Shmem:"))


def test_one_copy_of_a_large_mail(station):
    """However many mailboxes it is for. The store is held, so that all that is handed over at once is there."""
    os.kill(station.pid("store"), signal.SIGSTOP)
    before = shared_kib()
    station.hello().mail("a@src.test", [f"bob+{i}@example.org" for i in range(100)], text_of(20_000_000))
    until(lambda: shared_kib() - before > 15_000, "a copy for the store")
    until(lambda: len(station.queue()) == 100, "all in the queue, which answers when it has handed over what it may")
    assert shared_kib() - before < 200_000
    station.kill("all")


def test_mail_that_turns_in_circles_when_memory_is_short(make_station):
    """Its Received fields are counted as they pass: how much of it stays in memory makes no difference."""
    station = make_station(limits='memory = "1M" message = "1M"')
    station.add_user("bob", "builder")
    others, half = [station.hello() for _ in range(3)], text_of(200_000)  # each takes 256K: only big files for who comes then
    for talk in others:
        talk.envelope("a@src.test", "bob@example.org")
        talk.raw(b"BDAT %d\r\n" % len(half) + half).expect(250)
    talk = station.hello().envelope("a@src.test", "bob@example.org")
    talk.data((b"Received: from a by b " + b"r" * 250 + b"\r\n") * 150 + MESSAGE, 554)
    talk.mail("a@src.test", "bob@example.org", MESSAGE)
    station.wait_mails("bob", 1)


def test_a_segment_size_that_no_mail_fits(make_station):
    station = make_station(start=False, segment_size="1M")
    done = station.run("check", check=False)
    assert done.returncode == 78 and "segment-size" in done.stderr and "4M" in done.stderr


def test_a_reload_cannot_move_the_spool(station):
    """It is refused with words, and nothing of the new file counts."""
    old = station.spool
    station.spool = station.directory / "elsewhere"
    station.configure(domain='alias info { to = "bob" }')
    station.reload()
    until(lambda: any("reload-refused" in line and "spool" in line for line in station.log_text().splitlines()), "the refusal")
    talk = station.hello()
    talk.say("MAIL FROM:<a@src.test>").expect(250)
    talk.say("RCPT TO:<info@example.org>").expect(550)
    talk.say("RCPT TO:<bob@example.org>").expect(250)
    talk.data(MESSAGE)
    station.wait_mails("bob", 1)
    assert old.exists() and not station.spool.exists()


def test_many_long_questions_before_a_mail(make_station):
    station = make_station(smtp='vrfy = "always"')
    station.add_user("bob", "builder")
    talk = station.hello()
    for _ in range(40):
        talk.say(f"VRFY <{'v' * 60}@{'.'.join(['d' * 60] * 3)}>").reply()
    talk.say("VRFY bob@example.org").expect(250)
    talk.mail("somebody@src.test", "bob@example.org", MESSAGE)
    station.wait_mails("bob", 1)


def test_sigterm_and_a_client_that_does_not_read(station):
    """It cannot be told 421, and it holds up nobody. (At the station's own socket, which buffers little.)"""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        client.connect(str(station.state / "submit"))
        with pytest.raises(TimeoutError):
            while True:
                client.sendall(b"HELP\r\n" * 5000)
        began = time.monotonic()
        assert station.stop() == 0
        assert time.monotonic() - began < 15  # of 30, after which master ends it by force


def test_a_maildir_that_lacks_a_part(station):
    talk = station.hello()
    talk.mail("a@src.test", "bob@example.org", MESSAGE)
    station.wait_mails("bob", 1)
    shutil.rmtree(station.state / "mail/example.org/bob/new")
    talk.mail("a@src.test", "bob@example.org", MESSAGE)
    station.wait_mails("bob", 1)


def test_a_bounce_names_no_path(make_station):
    """Where our mailboxes lie is in the log, and nobody else's business."""
    station = make_station(queue=QUICK)
    station.add_user("alice", "wonderland")
    station.add_user("bob", "builder")
    station.hello().mail("a@src.test", "alice@example.org", MESSAGE)
    mail, = station.wait_mails("alice", 1)
    (station.state / "mail/example.org/bob").write_text("no Maildir")
    station.hello().mail("alice@example.org", "bob@example.org", MESSAGE)
    notice, = [m for m in station.wait_mails("alice", 2) if m != mail]
    assert returned(notice) == ["bob@example.org"]
    assert b"mail/example.org" not in notice and str(station.directory).encode() not in notice
    station.wait_log(f"{station.state}/mail/example.org/bob")


def test_big_files_of_a_receiver_that_died(station):
    """Nobody will ever name them: they are removed, those for the next mails apart."""
    big, half = station.spool / "big", text_of(1_000_000)
    station.hello().mail("a@src.test", "bob@example.org", half)
    station.wait_drained()
    at_rest = len(list(big.iterdir()))
    for _ in range(5):
        talks = [station.hello() for _ in range(6)]
        for talk in talks:
            talk.envelope("a@src.test", "bob@example.org")
            talk.raw(b"BDAT %d\r\n" % len(half) + half).expect(250)
        before = station.pid("receive")
        station.kill("receive")
        until(lambda: station.pids().get("receive") not in (None, before), "a new receiver")
    station.hello().mail("a@src.test", "bob@example.org", half)
    station.wait_mails("bob", 2)
    station.wait_drained()
    until(lambda: len(list(big.iterdir())) <= at_rest + 8, f"spool/big to be as before ({at_rest} files)")
