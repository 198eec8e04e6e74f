# SPDX-License-Identifier: Apache-2.0
"""What a next host may do and say: hosts that lie end in the right class and are in nobody's way; LMTP; what is passed on to whom."""
import contextlib
import email
import email.policy
import pathlib
import socket
import tempfile

import pytest

from nameservers import Knot
from peers import Scripted, Sink
from station import TRUSTED, free_ports, until

MESSAGE = b"Subject: s\r\n\r\n.b\r\n"
HELLO = ("220 liar.test", "250 liar.test")
GROUP = (*HELLO, "250 ok", "250 ok")
KEPT = (*GROUP, "354 go", "250 2.0.0 kept")

LIES = {
    "no SMTP": ["hello"],
    "a greeting that changes its code": ["220-liar\r\n250 liar"],
    "a greeting without end": ["220-and so on and on and on and on and on\r\n" * 3000],
    "a line without end": ["220 " + "on and " * 20000],
    "closes at once": [""],
    "closes behind the greeting": ["220 liar", ""],
    "354 to EHLO": ["220 liar", "354 go"],
    "closes at MAIL": [*HELLO, ""],
    "closes at RCPT": [*HELLO, "250 ok", ""],
    "354 to RCPT": [*HELLO, "250 ok", "354 go"],
    "closes at DATA": [*GROUP, ""],
    "250 to DATA": [*GROUP, "250 kept"],
    "closes at the end": [*GROUP, "354 go", ""],
    "354 to the end": [*GROUP, "354 go", "354 go"],
    "an end that changes its code": [*GROUP, "354 go", "250-kept\r\n251 kept"],
    "451 greeting": ["451 4.3.2 not now"],
    "421 at the end": [*GROUP, "354 go", "421 4.3.2 not now"],
}


def station_for(make_station, host, other, **sections):
    """liar.test is at `host`, everything else at `other`."""
    via = f"lmtp+unix:{host.path}" if host.path else f"smtp://127.0.0.1:{host.port}"
    station = make_station(routes=f'route "liar.test" {{ via = "{via}" }}\nroute "*" {{ via = "smtp://127.0.0.1:{other.port}" }}', **sections)
    station.add_user("alice", "wonderland")
    return station


def entry(station, recipient):
    return next((e for e in station.queue() if e["to"] == recipient), None)


@pytest.mark.parametrize("lie", LIES)
def test_a_host_that_lies(make_station, lie):
    """The mail waits for the next try, with words about why; a mail for another host passes it."""
    with Scripted(*LIES[lie]) as liar, Sink() as other:
        station = station_for(make_station, liar, other)
        talk = station.hello(source=TRUSTED)
        talk.mail("a@src.test", "b@liar.test", MESSAGE)
        until(lambda: (entry(station, "b@liar.test") or {}).get("words"), "the mail to be deferred, with a reason")
        talk.mail("a@src.test", "b@dst.test", MESSAGE)
        other.wait_mails(1)
        assert entry(station, "b@liar.test") and liar.sessions >= 1


@pytest.mark.parametrize("slow", [dict(pause=1), dict()], ids=["an octet a second", "354, then silence"])
def test_a_host_that_is_slow(make_station, slow):
    """It may be, for minutes (RFC 5321 §4.5.3.2); meanwhile others get theirs."""
    with Scripted(*GROUP, "354 go", **slow) as liar, Sink() as other:
        station = station_for(make_station, liar, other)
        talk = station.hello(source=TRUSTED)
        talk.mail("a@src.test", "b@liar.test", MESSAGE)
        until(lambda: liar.sessions, "the connection to the slow host")
        for i in range(20):
            talk.mail("a@src.test", f"b{i}@dst.test", MESSAGE)
        other.wait_mails(20)
        assert entry(station, "b@liar.test")


def test_a_closed_door_is_the_end(make_station):
    """5yz as greeting, and no other host: the sender hears it."""
    with Scripted("554 5.7.1 nobody from there") as liar, Sink() as other:
        station = station_for(make_station, liar, other)
        station.logged_in().mail("alice@example.org", "b@liar.test", MESSAGE)
        assert b"nobody from there" in station.wait_mails("alice", 1)[0]
        station.wait_drained()


def test_lmtp_answers_for_each_recipient(make_station):
    """RFC 2033 §4.2, over a UNIX socket, which the user of `send` must be able to reach."""
    with tempfile.TemporaryDirectory(prefix="posthouse-lmtp.") as directory:
        pathlib.Path(directory).chmod(0o755)
        lmtp_answers_for_each_recipient(make_station, pathlib.Path(directory) / "lmtp")


def lmtp_answers_for_each_recipient(make_station, path):
    with Scripted(*HELLO, "250 ok", "250 ok", "250 ok", "354 go",
                  "250 2.1.5 ann has it\r\n552 5.2.2 bob is full", path=path) as host, Sink() as other:
        path.chmod(0o666)
        station = station_for(make_station, host, other)
        station.logged_in().mail("alice@example.org", ["ann@liar.test", "bob@liar.test"], MESSAGE)
        [bounce] = station.wait_mails("alice", 1)
        station.wait_drained()
        assert b"bob is full" in bounce and b"ann has it" not in bounce
        assert host.heard[0] == "LHLO mail.example.org" and host.heard.count("DATA") == 1


def dsn_station(make_station, host, other, *, offers):
    station = station_for(make_station, host, other)
    talk = station.logged_in()
    talk.say("MAIL FROM:<alice@example.org> RET=HDRS ENVID=QQ+2B1").expect(250)
    talk.say("RCPT TO:<b@liar.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;c@src.test").expect(250)
    talk.data(MESSAGE)
    until(lambda: "." in host.heard, "the message at the next host")
    said = [line for line in host.heard if line.startswith(("MAIL", "RCPT"))]
    assert said == (["MAIL FROM:<alice@example.org> RET=HDRS ENVID=QQ+2B1",
                     "RCPT TO:<b@liar.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;c@src.test"] if offers
                    else ["MAIL FROM:<alice@example.org>", "RCPT TO:<b@liar.test>"])
    return station


def test_requests_for_reports_go_on(make_station):
    """RFC 3461 §5.2.1: the next host reports, we do not."""
    with Scripted("220 mx", "250-mx\r\n250 DSN", "250 ok", "250 ok", "354 go", "250 kept") as host, Sink() as other:
        station = dsn_station(make_station, host, other, offers=True)
        station.wait_drained()
        assert station.mailbox("alice") == []


def test_a_host_without_dsn(make_station):
    """RFC 3461 §5.2.2: it is asked for nothing, and we say `relayed`."""
    with Scripted(*KEPT) as host, Sink() as other:
        station = dsn_station(make_station, host, other, offers=False)
        [report] = station.wait_mails("alice", 1)
        assert b"Action: relayed" in report


def test_an_ascii_header_for_a_host_without_smtputf8(make_station):
    """Where only the header's text needs SMTPUTF8 the mail goes nevertheless, and reads the same."""
    with Scripted(*KEPT) as _, Sink(enable_SMTPUTF8=False) as other:
        station = station_for(make_station, _, other)
        talk = station.logged_in()
        talk.envelope("alice@example.org", "b@dst.test", options=" SMTPUTF8 BODY=8BITMIME")
        talk.data("Subject: Gr\u00fc\u00dfe aus \u5317\u4eac\r\n\r\nh\u00e4\r\n".encode())
        [(_, _, octets)] = other.wait_mails(1)
        header, _, body = octets.partition(b"\r\n\r\n")
        assert header.isascii() and body == "h\u00e4\r\n".encode()
        assert email.message_from_bytes(octets, policy=email.policy.default)["Subject"] == "Gr\u00fc\u00dfe aus \u5317\u4eac"


@pytest.mark.parametrize("bounces", [False, True])
def test_eight_bits_to_a_host_without_8bitmime(make_station, bounces):
    """As they are, which keeps signatures whole; or back, when the file says so."""
    with Scripted(*KEPT) as host, Sink() as other:
        station = station_for(make_station, host, other, queue=f"bounce-8bit = {str(bounces).lower()}")
        talk = station.logged_in()
        talk.envelope("alice@example.org", "b@liar.test", options=" BODY=8BITMIME")
        talk.data("Subject: s\r\n\r\nh\u00e4\r\n".encode())
        if bounces:
            assert b"8-bit" in station.wait_mails("alice", 1)[0]
        station.wait_drained()
        assert ("h\u00e4" in host.heard) == (not bounces)
        assert len(station.mailbox("alice")) == bounces


# ── the next host of a domain ──


class Full(Sink):
    async def handle_MAIL(self, server, session, envelope, address, options):
        return "452 4.3.1 no room"


@contextlib.contextmanager
def two_hosts(make_station, first, **options):
    """A station, and the hosts of dst.test: MX 10 is `first`, MX 20 takes everything. A second try would come too late for any test."""
    port, = free_ports(1)
    with Knot({"dst.test": "@ MX 10 mx1\n@ MX 20 mx2\nmx1 A 127.0.0.11\nmx2 A 127.0.0.12"}) as knot, \
            first(port, address="127.0.0.11", **options) as one, Sink(port, address="127.0.0.12") as other:
        station = make_station(routes=f'route "*" {{ port = {port} }}', resolver=f'forward = "{knot.forward}" allow = {{"127.0.0.0/8"}}')
        station.add_user("alice", "wonderland")
        yield station, one, other


@pytest.mark.parametrize("first, options", [(Full, {}), (Sink, {"answer": lambda recipient: "451 4.7.1 come back later"})],
                         ids=["no room", "greylisting"])
def test_what_one_host_puts_off_the_next_one_takes(make_station, first, options):
    """RFC 5321 §5.1: the hosts in their order, until one has it."""
    with two_hosts(make_station, first, **options) as (station, one, other):
        station.logged_in().mail("alice@example.org", "b@dst.test", MESSAGE)
        other.wait_mails(1)
        station.wait_drained()
        assert one.mails == [] and len(other.mails) == 1 and station.mailbox("alice") == []


@pytest.mark.parametrize("answers", [dict(answer=lambda recipient: "550 5.1.1 nobody of that name"),
                                     dict(answer_data=lambda octets: "451 4.3.0 the disk is slow")], ids=["a no", "the end"])
def test_what_is_not_put_to_the_next_one(make_station, answers):
    """A no is for good; and after the end of the message nobody knows what a host has."""
    with two_hosts(make_station, Sink, **answers) as (station, one, other):
        before = other.sessions
        station.logged_in().mail("alice@example.org", "b@dst.test", MESSAGE)
        until(lambda: station.mailbox("alice") or (entry(station, "b@dst.test") or {}).get("words"), "the outcome")
        assert one.sessions and other.sessions == before


class Silent:
    """Takes connections, and never says a word."""

    def __init__(self, port, address):
        self.listener = socket.create_server((address, port))

    def __enter__(self):
        return self.listener

    def __exit__(self, *_):
        self.listener.close()


def test_a_host_that_does_not_greet(make_station):
    """Half a minute, not the five of RFC 5321 §4.5.3.2.1, where another host may have the mail."""
    with two_hosts(make_station, Silent) as (station, _, other):
        station.logged_in().mail("alice@example.org", "b@dst.test", MESSAGE)
        other.wait_mails(1)


def test_a_stop_waits_for_the_last_report_and_no_longer(make_station):
    """A bounce that is still to be written when the station is told to stop is the first of all reports: it gets its segment."""
    with Scripted(*HELLO, "550 5.7.1 no") as host:
        station = make_station(routes=f'route "*" {{ via = "smtp://127.0.0.1:{host.port}" }}')
        station.add_user("alice", "wonderland")
        for _ in range(4):
            station.hello(source=TRUSTED).mail("alice@example.org", "b@dst.test", MESSAGE)
            station.wait_log("failed")
            assert station.restart() == 0
        assert "drain-late" not in station.log_text()
        station.wait_mails("alice", 4)
