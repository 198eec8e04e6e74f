# SPDX-License-Identifier: Apache-2.0
"""Manners at the gate, as strangers meet them. 127.0.0.1 and ::1 are the machine itself and spared; the rest of 127.0.0.0/8 are
strangers like all others, so a client needs only another source address to be one."""
import contextlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from milters import Milter
from nameservers import NXDOMAIN, SERVFAIL, a, answer, make_knot, make_liar  # noqa: F401
from station import REFUSED, TRUSTED, free_ports, until
from talk import Talk

STRANGER, OTHER, NEIGHBOUR = "127.0.7.1", "127.0.8.1", "127.0.7.2"  # NEIGHBOUR: in the /24 of STRANGER
MESSAGE = b"From: a@src.test\r\nSubject: one\r\n\r\ntext\r\n"
REVERSE = """7.7.0 PTR host.src.test.
1.7.0 PTR host.src.test.
1.8.0 PTR liar.src.test.
"""
ZONES = {
    "127.in-addr.arpa": REVERSE,
    "src.test": "host A 127.0.7.1\nhost A 127.0.7.7\nliar A 192.0.2.77",
    "bl.test": '1.7.0.127 A 127.0.0.2\n1.7.0.127 TXT "see https://bl.test/?q=127.0.7.1"',
    "good.test": "x A 127.0.0.2",
    "dead.test": "* A 192.0.2.1",  # a list that was sold: it answers everything, and not with 127.0.0.0/8
    "error.test": "* A 127.255.255.254",
    "torn.test": "* A 127.255.255.254\n* A 127.0.0.2",  # an error counts, whatever stands beside it, in whichever order
    "nrot.test": "* A 127.0.0.2\n* A 127.255.255.254",
}


def accounts(station):
    station.add_user("alice", "wonderland")
    station.add_user("bob", "builder")
    return station


def rcpt(talk, recipient="bob@example.org", sender="a@src.test"):
    """The reply to RCPT."""
    talk.say(f"MAIL FROM:<{sender}>").expect(250)
    return talk.say(f"RCPT TO:<{recipient}>").reply()


def stranger(station, source=STRANGER, hello="host.src.test"):
    talk = station.talk(source=source)
    talk.expect(220)
    talk.say(f"EHLO {hello}").expect(250)
    return talk


def received(station, user="bob"):
    head = station.wait_mails(user, 1)[0].partition(b"\r\n\r\n")[0].decode()
    return re.sub(r"\s+", " ", re.search(r"Received: (?:.|\r\n[ \t])*", head)[0])


def asks(knot):
    return f'forward = {{"{knot.forward}"}}'


# ── limits ──


def test_connections_of_one_address_and_of_its_network(make_station):
    station = make_station(gate="connections = 2 network = 3")
    first, second = (station.talk(source=STRANGER) for _ in range(2))
    first.expect(220), second.expect(220)
    third = station.talk(source=STRANGER)
    third.expect(421, "too many connections from your address")
    assert third.closed()
    neighbour = station.talk(source=NEIGHBOUR)
    neighbour.expect(220)
    station.talk(source="127.0.7.3").expect(421, "too many connections from your network")
    station.talk(source=OTHER).expect(220)
    for source in (None, TRUSTED):  # this machine, and whom the file trusts
        talks = [station.talk(source=source) for _ in range(5)]
        for talk in talks:
            talk.expect(220)
    first.close()
    until(lambda: station.talk(source=STRANGER).reply()[:3] == "220", "a place to be free again")


def test_limits_are_for_submission_too(make_station):
    station = make_station(gate="connections = 1")
    kept = station.talk("submission", source=STRANGER)
    kept.expect(220)
    station.talk("submission", source=STRANGER).expect(421, "too many connections")
    with pytest.raises((OSError, AssertionError)):  # no words before TLS
        station.talk("submissions", source=STRANGER).expect(220)


def test_a_killed_receiver_leaves_no_counts(make_station):
    station = make_station(gate="connections = 1")
    kept = station.talk(source=STRANGER)
    kept.expect(220)
    station.talk(source=STRANGER).expect(421)
    station.may_end = "role=receive"
    before = station.pid("receive")
    station.kill("receive")
    until(lambda: station.pids().get("receive") not in (None, before), "a new receiver")
    talk = station.talk(source=STRANGER)
    talk.expect(220)
    station.talk(source=STRANGER).expect(421)


@pytest.mark.parametrize("why", ["connections of the house", "refuse"])
def test_whom_port_465_will_not_serve_is_spared_the_handshake(make_station, why):
    """And hears no words, which nobody would understand before TLS."""
    station = make_station(limits="connections = 1")
    source = STRANGER
    if why == "refuse":
        source = REFUSED
    else:
        kept = station.talk("submissions", source=OTHER)
        kept.expect(220)
    with socket.create_connection(("127.0.0.1", station.submissions_port), 60, (source, 0)) as s:
        assert s.recv(1000) == b""
    until(lambda: f"turned-away client={source}" in station.log_text(), "the log to say so")


# ── early talkers ──


def test_who_speaks_before_the_greeting_is_turned_away(make_station):
    station = accounts(make_station(gate='pause = "700ms"'))
    early = station.talk(source=STRANGER).say("EHLO host.src.test")
    early.expect(554, "before our greeting")
    assert early.closed()
    polite = station.talk(source=STRANGER)
    polite.expect(220)
    polite.say("EHLO host.src.test").expect(250)
    assert rcpt(polite).startswith("250")
    # it has waited once: no more today, however long others wait, also not for the next receiver
    station.configure(gate='pause = "60s"')
    station.reload()
    until(lambda: "station: reloaded" in station.log_text(), "the reload")
    station.may_end = "role=receive"
    before = station.pid("receive")
    station.kill("receive")
    until(lambda: station.pids().get("receive") not in (None, before), "a new receiver")
    known = station.talk(source=STRANGER)
    known.socket.settimeout(30)
    known.expect(220)
    station.wait_log("before our greeting")
    assert station.log_text().count("before our greeting") == 1


def test_the_pause_is_for_strangers_at_smtp_doors(make_station):
    station = make_station(gate='pause = "60s"')
    for source in (None, TRUSTED):
        station.talk(source=source).expect(220)
    station.talk("submission", source=STRANGER).expect(220)
    station.talk("submissions", source=STRANGER).expect(220)
    waiting = station.talk(source=STRANGER)
    assert station.stop() == 0  # and nobody who waits keeps the station from its end
    waiting.expect(421)


# ── names ──


@pytest.mark.parametrize("hello, fault", [("mail.example.org", "our own name"), ("friend", "a bare word"), ("[192.0.2.1]", "not its address")])
def test_a_wrong_hello_is_noted_or_refused(make_station, hello, fault):
    station = accounts(make_station())
    talk = stranger(station, hello=hello)
    assert rcpt(talk).startswith("250")
    talk.data(MESSAGE)
    assert f"(says {fault})" in received(station)
    station.wait_log("manners")
    station.wait_log(fault)
    station.configure(gate='hello = "refuse"')
    station.restart()
    reply = rcpt(stranger(station, hello=hello))
    assert reply.startswith("550 5.7.1") and fault in reply
    assert rcpt(stranger(station)).startswith("250")
    assert rcpt(stranger(station, hello=f"[{STRANGER}]")).startswith("250")
    assert rcpt(stranger(station, source=TRUSTED, hello=hello)).startswith("250")
    people = station.talk("submission", source=STRANGER)
    people.expect(220)
    people.say(f"EHLO {hello}").expect(250)
    people.starttls().say(f"EHLO {hello}").expect(250)
    assert rcpt(people.login("alice@example.org", "wonderland"), sender="alice@example.org").startswith("250")


def test_the_name_that_leads_back(make_station, make_knot):
    knot = make_knot(ZONES)
    station = accounts(make_station(resolver=asks(knot)))
    talk = stranger(station)
    rcpt(talk)
    talk.data(MESSAGE)
    assert f"from host.src.test (host.src.test [{STRANGER}])" in received(station)
    talk = stranger(station, source=OTHER)
    assert rcpt(talk, "alice@example.org").startswith("250")
    talk.data(MESSAGE)
    assert f"from host.src.test (unknown [{OTHER}])" in received(station, "alice")
    station.configure(gate='reverse = "refuse"')
    station.restart()
    assert rcpt(stranger(station)).startswith("250")
    reply = rcpt(stranger(station, source=OTHER))  # its name leads elsewhere
    assert reply.startswith("550 5.7.25") and OTHER in reply
    assert rcpt(stranger(station, source="127.0.99.1")).startswith("550 5.7.25")  # no name at all


def test_a_client_whose_dns_fails_may_come_again_and_ours_refuses_nobody(make_station, make_liar):
    liar = make_liar(lambda q, is_tcp: answer(q, rcode=SERVFAIL))
    station = accounts(make_station(resolver=f'forward = {{"{liar.forward}"}}', gate='reverse = "refuse" dnsbl = {"bl.test"}'))
    assert rcpt(stranger(station)).startswith("450 4.7.25")
    resolve = station.pid("resolve")
    os.kill(resolve, signal.SIGSTOP)  # it hears questions and says nothing
    try:
        assert rcpt(stranger(station, source=OTHER)).startswith("250")
    finally:
        os.kill(resolve, signal.SIGCONT)
    until(lambda: "no-answer" in station.log_text(), "the log to say so")


# ── lists ──


def test_a_listed_client_is_refused_with_the_words_of_the_list(make_station, make_knot):
    knot = make_knot(ZONES)
    station = accounts(make_station(resolver=asks(knot), gate='dnsbl = {"good.test", "bl.test"} reverse = "ignore"'))
    reply = rcpt(stranger(station))
    assert reply.startswith("554 5.7.1") and "listed by bl.test: see https://bl.test/?q=127.0.7.1" in reply
    assert rcpt(stranger(station, source=OTHER)).startswith("250")
    assert rcpt(stranger(station, source=TRUSTED)).startswith("250")


@pytest.mark.parametrize("zone", ["dead.test", "error.test", "torn.test", "nrot.test", "nowhere.test"])
def test_a_list_that_is_none_refuses_nobody(make_station, make_knot, zone):
    knot = make_knot(ZONES)
    station = accounts(make_station(resolver=asks(knot), gate=f'dnsbl = {{"{zone}"}}'))
    for _ in range(2):
        assert rcpt(stranger(station)).startswith("250")
    assert station.stop() == 0
    told = [line for line in station.log_text().splitlines() if "dnsbl-refuses-us" in line]
    assert len(told) == (zone in ("error.test", "torn.test", "nrot.test")), "it is told, and once an hour"
    assert all(zone in line and "answer=127.255.255.254" in line for line in told)


def test_the_log_says_which_lists_are_none(make_station, make_knot):
    """RFC 5782 §5: 127.0.0.2 must be listed, 127.0.0.1 must not. Said once at the start, and again when the file names other lists."""
    knot = make_knot({**ZONES, "list.test": "2.0.0.127 A 127.0.0.2", "all.test": "* A 127.0.0.2"})
    zones = ["list.test", "all.test", "dead.test", "nowhere.test", "torn.test"]
    section = "dnsbl = {%s}"
    station = accounts(make_station(resolver=asks(knot), gate=section % ", ".join(f'"{zone}"' for zone in zones)))
    for told in "dnsbl-is-none zone=dead.test", "dnsbl-is-none zone=nowhere.test", "dnsbl-lists-everybody zone=all.test":
        station.wait_log(told)
    station.configure(gate=section % '"gone.test"')
    station.reload()
    station.wait_log("dnsbl-is-none zone=gone.test")
    assert station.stop() == 0
    said = [line.partition(" do=")[0].partition("dnsbl-")[2] for line in station.log_text().splitlines() if "dnsbl-" in line]
    assert sorted(said) == ["is-none zone=dead.test", "is-none zone=gone.test", "is-none zone=nowhere.test", "lists-everybody zone=all.test"]


def test_who_only_connects_asks_nothing(make_station, make_liar):
    liar = make_liar(lambda q, is_tcp: answer(q, rcode=NXDOMAIN))
    station = accounts(make_station(resolver=f'forward = {{"{liar.forward}"}}', gate='dnsbl = {"bl.test"}'))
    talk = station.talk(source=STRANGER)
    talk.expect(220)
    assert rcpt(stranger(station, source=OTHER)).startswith("250")
    names = [name for name, _ in liar.seen]
    assert "1.8.0.127.bl.test" in names and not [name for name in names if name.startswith("1.7.0.127")]
    talk.say("EHLO host.src.test").expect(250)
    assert rcpt(talk).startswith("250")
    assert "1.7.0.127.bl.test" in [name for name, _ in liar.seen]


def test_a_crowd_of_one_network_does_not_come_in_past_the_lists(make_station, make_liar):
    """What cannot be asked delays; and no network takes all places."""
    def tell(q, is_tcp):
        listed = q.name in ("1.8.0.127.bl.test", "1.7.0.127.bl.test")
        return answer(q, a(q.name, "127.0.0.2")) if listed else answer(q, rcode=NXDOMAIN)
    liar = make_liar(tell)
    station = accounts(make_station(resolver=f'forward = {{"{liar.forward}"}}', gate='dnsbl = {"bl.test"} reverse = "ignore" connections = 0 network = 0'))
    resolve = station.pid("resolve")
    os.kill(resolve, signal.SIGSTOP)  # nobody gets an answer, for a moment
    try:
        crowd = [station.talk(source="127.0.7.9") for _ in range(128)]
        for talk in crowd:
            talk.expect(220)
        for talk in crowd:
            talk.say("EHLO host.src.test").expect(250)
        assert rcpt(stranger(station)).startswith("451 4.7.1"), "its network has all that it may have under way"
        other = stranger(station, source=OTHER)
        other.say("MAIL FROM:<a@src.test>").expect(250)
        other.say("RCPT TO:<bob@example.org>")
        os.kill(resolve, signal.SIGCONT)
        other.expect(554)
        late = stranger(station)
        until(lambda: "listed" in late.say("RSET").expect(250) + rcpt(late), "a place to be free", pause=0.2)
    finally:
        os.kill(resolve, signal.SIGCONT)


def test_a_slow_list_delays_nobody_else(make_station, make_liar):
    hold = threading.Event()

    def tell(q, is_tcp):
        if q.name.endswith("slow.test"):
            hold.wait(20)
        return answer(q, rcode=NXDOMAIN)
    liar = make_liar(tell)
    station = accounts(make_station(resolver=f'forward = {{"{liar.forward}"}}', gate='dnsbl = {"slow.test"}'))
    waiting = stranger(station)
    waiting.say("MAIL FROM:<a@src.test>").expect(250)
    waiting.say("RCPT TO:<bob@example.org>")
    for _ in range(20):
        assert rcpt(station.hello()).startswith("250")
    waiting.expect(250)  # in the end without the list
    hold.set()


# ── greylisting ──


def test_first_contact_waits_and_is_remembered(make_station):
    station = accounts(make_station(gate='greylist = true greylist-wait = "2s"'))
    reply = rcpt(stranger(station))
    assert reply.startswith("451 4.7.1") and re.search(r"try again in \d seconds", reply), reply
    until(lambda: rcpt(stranger(station)).startswith("250"), "the second try to be taken", pause=0.3)
    assert rcpt(stranger(station, source=NEIGHBOUR), sender="other@src2.test").startswith("250")  # the network is known now
    assert rcpt(stranger(station, source=OTHER)).startswith("451")
    assert rcpt(stranger(station, source=TRUSTED)).startswith("250")
    assert station.restart() == 0
    assert rcpt(stranger(station)).startswith("250")


def test_a_big_sender_may_come_again_from_elsewhere(make_station, make_knot):
    zones = dict(ZONES)
    zones["127.in-addr.arpa"] = "1.7.0 PTR a.pool.test.\n1.8.0 PTR b.pool.test.\n1.9.0 PTR c.elsewhere.test."
    zones["pool.test"] = "a A 127.0.7.1\nb A 127.0.8.1"
    zones["elsewhere.test"] = "c A 127.0.9.1"
    station = accounts(make_station(resolver=asks(make_knot(zones)), gate='greylist = true greylist-wait = "1s"'))
    sender = "a@news.Pool.test"
    assert rcpt(stranger(station), sender=sender).startswith("451")
    until(lambda: rcpt(stranger(station, source=OTHER), sender=sender).startswith("250"), "the pool to be known", pause=0.3)
    assert rcpt(stranger(station, source="127.0.9.1"), sender=sender).startswith("451")


@pytest.mark.parametrize("sender", ["a@src.test", "", "a@notpool.test"])
def test_customers_of_one_provider_do_not_make_each_other_known(make_station, make_knot, sender):
    zones = dict(ZONES)
    zones["127.in-addr.arpa"] = "1.7.0 PTR a.pool.test.\n1.8.0 PTR b.pool.test."
    zones["pool.test"] = "a A 127.0.7.1\nb A 127.0.8.1"
    station = accounts(make_station(resolver=asks(make_knot(zones)), gate='greylist = true greylist-wait = "1s"'))
    assert rcpt(stranger(station), sender=sender).startswith("451")
    until(lambda: rcpt(stranger(station), sender=sender).startswith("250"), "one of them to be known", pause=0.3)
    assert rcpt(stranger(station, source=OTHER), sender=sender).startswith("451")


# ── harvest, junk, patience ──


def test_who_guesses_names_is_stopped(make_station):
    station = accounts(make_station(gate="unknown = 3"))
    talk = stranger(station)
    talk.say("MAIL FROM:<a@src.test>").expect(250)
    for i in range(3):
        talk.say(f"RCPT TO:<nobody{i}@example.org>").expect(550)
    talk.say("RCPT TO:<nobody3@example.org>").expect(421, "nobody here is")
    assert talk.closed()
    for session in range(10):
        talk = station.talk(source=STRANGER)
        if talk.reply().startswith("421"):
            break
        talk.say("EHLO host.src.test").expect(250)
        talk.say("MAIL FROM:<a@src.test>").expect(250)
        for i in range(3):
            talk.say(f"RCPT TO:<nobody{i}@example.org>").expect(550)
        talk.say("QUIT").expect(221)
    else:
        pytest.fail("guesses over many sessions were not stopped")
    assert rcpt(stranger(station, source=OTHER)).startswith("250")
    for i in range(10):
        assert rcpt(stranger(station, source=TRUSTED), f"nobody{i}@example.org").startswith("550")


def test_commands_without_a_mail_come_to_an_end(make_station):
    station = make_station()
    talk = stranger(station)
    talk.raw(b"NOOP\r\n" * 300)
    while (reply := talk.reply()).startswith("250"):
        pass
    assert reply.startswith("421") and "no mail" in reply
    for source in (None, TRUSTED):
        talk = station.hello(source=source).raw(b"NOOP\r\n" * 300)
        for _ in range(300):
            talk.expect(250)


def test_sessions_that_we_end_count_against_the_client(make_station):
    station = make_station()
    for _ in range(10):
        talk = stranger(station).raw(b"NOOP\r\n" * 300)
        while (reply := talk.reply()).startswith("250"):
            pass
        assert "no mail" in reply and talk.closed()
    talk = station.talk(source=STRANGER)
    talk.expect(421, "too many of your sessions went wrong")
    assert talk.closed()
    station.talk(source=OTHER).expect(220)


def test_octets_are_no_requests(make_station):
    """A command must be whole in time: a drop now and then does not buy more, while whole ones do."""
    station = make_station(limits='idle = "8s"')
    slow, busy, answered = station.hello(), station.hello(), 0
    slow.socket.settimeout(0.3)
    for _ in range(200):
        busy.say("NOOP").expect(250)
        answered += 1
        slow.raw(b"N")
        with contextlib.suppress(socket.timeout):
            slow.expect(421, "idle too long")
            break
    else:
        pytest.fail("200 drops, and it was still listened to")
    assert slow.closed() and answered > 1
    busy.say("NOOP").expect(250)


def test_a_full_house_has_little_patience_with_strangers(make_station):
    station = accounts(make_station(limits='connections = 20 idle = "60s"', gate="connections = 0 network = 0"))
    talk = stranger(station, source=OTHER)
    rcpt(talk)
    talk.data(MESSAGE)  # OTHER is known from here on
    talk.say("QUIT").expect(221)
    crowd = [station.talk(source=STRANGER) for _ in range(19)]
    for talk in crowd[:18]:
        talk.expect(220)
    crowd[18].expect(421, "nearly full")
    here = station.talk()
    here.expect(220)
    station.talk(source=NEIGHBOUR).expect(421, "nearly full")
    station.talk(source=OTHER).expect(220)
    crowd[0].expect(421, "idle too long")  # after 10 s, not 60


# ── PROXY ──

V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v1(source, door=25):
    return f"PROXY TCP4 {source} 127.0.0.1 4321 {door}\r\n".encode()


def v2(source, command=1):
    addresses = socket.inet_aton(source) + socket.inet_aton("127.0.0.1") + struct.pack("!2H", 4321, 25)
    return V2 + bytes([0x20 | command, 0x11]) + struct.pack("!H", len(addresses)) + addresses


PROXY = "127.0.0.9"
PROXIED = f'proxy = {{"{PROXY}/32"}}'


@pytest.mark.parametrize("header", [v1, v2])
def test_a_proxys_client_is_judged_by_its_own_address(make_station, header):
    station = accounts(make_station(listen_smtp=PROXIED, top='trusted = {"127.0.0.9/32", "192.0.2.1/32"} refuse = {"192.0.2.3/32"}'))

    def through(source):
        return station.talk(source=PROXY).raw(header(source))
    talk = through("192.0.2.8")
    talk.expect(220)
    talk.say("EHLO host.src.test").expect(250)
    assert rcpt(talk, "far@away.test").startswith("550"), "trusted because its proxy is"
    talk.say("RCPT TO:<bob@example.org>").expect(250)
    talk.data(MESSAGE)
    assert "[192.0.2.8]" in received(station) and PROXY not in received(station)
    through("192.0.2.3").expect(554)
    # nobody else may say such a thing
    other = station.talk(source=STRANGER)
    other.expect(220)
    other.raw(v1("192.0.2.1")).expect(500)


@pytest.mark.parametrize("header", [v1("192.0.2.8"), v2("192.0.2.8")])
def test_a_header_in_pieces(make_station, header):
    station = make_station(listen_smtp=PROXIED)
    talk = station.talk(source=PROXY)
    talk.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in header:
        talk.raw(bytes([octet]))
        time.sleep(0.002)
    talk.expect(220)


@pytest.mark.parametrize("octets", [b"EHLO host.src.test\r\n", b"PROXY TCP4 1.2.3 x y z\r\n", b"PROXY " + b"x" * 200, V2 + b"\x31\x11\0\x0c" + b"x" * 12,
                                    b"\x16\x03\x01\x02\0\x01", b"GET / HTTP/1.1\r\n\r\n", V2 + b"\x21\x11\xff\xff" + b"x" * 600])
def test_a_wrong_header_closes(make_station, octets):
    station = make_station(listen_smtp=PROXIED)
    talk = station.talk(source=PROXY).raw(octets)
    assert talk.closed()
    station.hello()
    station.wait_log("no-proxy-header")


def test_a_header_that_does_not_come_closes(make_station):
    station = make_station(listen_smtp=PROXIED)
    talks = [station.talk(source=PROXY), station.talk(source=PROXY).raw(b"PROXY TCP4 "), station.talk(source=PROXY).raw(V2[:5])]
    cut = station.talk(source=PROXY).raw(b"PROXY TC")
    cut.socket.shutdown(socket.SHUT_WR)
    assert cut.closed()
    for talk in talks:  # limits.idle is five minutes: a header has less
        assert talk.closed()
    told, = until(lambda: [line for line in station.log_text().splitlines() if "no-proxy-header" in line], "the log to tell")
    assert f"client={PROXY}" in told and "send-proxy-v2" in told


def test_a_second_header_is_junk_and_local_is_the_proxy_itself(make_station):
    station = make_station(listen_smtp=PROXIED)
    twice = station.talk(source=PROXY).raw(v1("192.0.2.8"))
    twice.expect(220)
    twice.raw(v1("192.0.2.1")).expect(500)
    local = station.talk(source=PROXY).raw(v2("192.0.2.8", command=0))
    local.expect(220)
    local.say("QUIT").expect(221)


def test_proxied_connections_are_limited_by_client(make_station):
    station = make_station(listen_smtp=PROXIED, gate="connections = 1")
    first = station.talk(source=PROXY).raw(v1("192.0.2.8"))
    first.expect(220)
    station.talk(source=PROXY).raw(v1("192.0.2.8")).expect(421)
    station.talk(source=PROXY).raw(v1("198.51.100.8")).expect(220)


@pytest.mark.parametrize("kind", ["send-proxy", "send-proxy-v2"])
def test_a_real_haproxy(make_station, tmp_path, kind):
    if not shutil.which("haproxy"):
        pytest.skip("no haproxy: package haproxy")
    station = accounts(make_station(listen_smtp='proxy = {"127.0.0.1/32"}'))
    port, = free_ports(1)
    conf = tmp_path / "haproxy.cfg"
    conf.write_text(f"""
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen mail
    bind 127.0.0.1:{port}
    server house 127.0.0.1:{station.smtp_port} {kind}
""")
    proxy = subprocess.Popen(["haproxy", "-db", "-f", conf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        def connected():
            with contextlib.suppress(OSError):
                return Talk(port, STRANGER)
        talk = until(connected, "haproxy to listen")
        talk.expect(220)
        talk.say("EHLO host.src.test").expect(250, "STARTTLS")
        talk.starttls()
        talk.say("EHLO host.src.test").expect(250)
        rcpt(talk)
        talk.data(MESSAGE)
        assert f"[{STRANGER}]" in received(station)
    finally:
        proxy.terminate()
        proxy.wait()


# ── XCLIENT ──


def test_xclient_from_named_hosts_alone(make_station):
    station = accounts(make_station(listen_smtp='xclient = {"127.0.0.9/32"}', top='trusted = {"127.0.0.9/32"}'))
    talk = station.talk(source=PROXY)
    talk.expect(220)
    talk.say("EHLO filter.test").expect(250, "XCLIENT")
    talk.say("XCLIENT NAME=host.src.test ADDR=192.0.2.8 HELO=host.src.test LOGIN=alice@example.org").expect(220)
    talk.say("EHLO host.src.test").expect(250)
    assert rcpt(talk, "far@away.test").startswith("550"), "trusted because its filter is, or logged in by its word"
    talk.say("RCPT TO:<bob@example.org>").expect(250)
    talk.data(MESSAGE)
    assert "from host.src.test (host.src.test [192.0.2.8])" in received(station)
    other = stranger(station)
    assert "XCLIENT" not in other.say("EHLO host.src.test").expect(250)
    other.say("XCLIENT ADDR=192.0.2.8").expect(50)


def test_xclient_for_whom_we_refuse_leaves_nothing(make_station):
    """No half of the host's session: not its login, not its trust, no mail."""
    station = accounts(make_station(listen_smtp='xclient = {"127.0.0.9/32"}', top='trusted = {"127.0.0.9/32"} refuse = {"192.0.2.3/32"}',
                                    gate="connections = 1", smtp="auth-in-clear = always auth-on-smtp = true"))
    talk = station.talk(source=PROXY)
    talk.expect(220)
    talk.say("EHLO filter.test").expect(250, "XCLIENT")
    talk.login("alice@example.org", "wonderland")
    talk.say("XCLIENT ADDR=192.0.2.3").expect(554, "no service for your network")
    for line in "EHLO host.src.test", "MAIL FROM:<alice@example.org>", "RCPT TO:<far@away.test>", "XCLIENT ADDR=192.0.2.8":
        talk.say(line).expect(503)
    talk.say("QUIT").expect(221)
    kept, _ = xclient(station, "ADDR=192.0.2.8")
    talk = station.talk(source=PROXY)
    talk.expect(220)
    talk.say("EHLO filter.test").expect(250)
    talk.say("XCLIENT ADDR=192.0.2.8").expect(421, "too many connections from your address")
    assert talk.closed()
    kept.say("NOOP").expect(250)


def test_a_rate_is_of_all_that_one_network_gives_to_one_client(make_station):
    station = accounts(make_station(listen_smtp='xclient = {"127.0.0.9/32"}', top='trusted = {"127.0.0.9/32"}', limits="rate = 2"))

    def named(address):
        return rcpt(xclient(station, f"ADDR=IPV6:{address}")[0])
    assert named("2001:db8::1").startswith("250") and named("2001:db8::2").startswith("250")
    assert "too many recipients in a minute" in named("2001:db8::3")
    assert named("2001:db8:0:1::1").startswith("250")


LATER = "FUTURERELEASE"


def xclient(station, attributes, source=PROXY):
    """A session on behalf of somebody, and what EHLO offers it."""
    talk = station.talk(source=source)
    talk.expect(220)
    talk.say("EHLO filter.test").expect(250, "XCLIENT")
    talk.say("XCLIENT " + attributes).expect(220)
    return talk, talk.say("EHLO host.src.test").expect(250)


def test_xclient_takes_and_gives_each_right(make_station):
    """The host may all, its client nothing; and the other way round."""
    station = accounts(make_station(listen_smtp='xclient = {"127.0.0.9/32", "127.0.7.9/32"}', gate='hello = "refuse"', smtp="vrfy = login repair-line-ends = true auth-on-smtp = true",
                                    top='trusted = {"127.0.0.9/32", "192.0.2.1/32"} refuse = {"192.0.2.3/32"}'))
    host = station.talk(source=PROXY)
    host.expect(220)
    offered = host.say("EHLO filter.test").expect(250)
    assert LATER in offered and "AUTH" in offered  # in clear, since it is on this machine
    host.say("VRFY bob").expect(250)
    host.close()

    talk, offered = xclient(station, "ADDR=192.0.2.8")
    assert LATER not in offered and "AUTH" not in offered
    talk.say("VRFY bob").expect(502)
    talk.say("MAIL FROM:<a@src.test> HOLDFOR=60").expect(555)
    assert rcpt(talk, "far@away.test").startswith("550")
    talk.say("RCPT TO:<bob@example.org>").expect(250)
    talk.say("DATA").expect(354)
    talk.raw(b"Subject: bare\n\r\n.\r\n").expect(550)
    talk, _ = xclient(station, "ADDR=192.0.2.8")
    talk.say("EHLO friend").expect(250)
    assert rcpt(talk).startswith("550"), "spared by the gate because its filter is"

    talk, offered = xclient(station, "ADDR=192.0.2.1", source="127.0.7.9")
    assert LATER in offered
    talk.say("VRFY bob").expect(250)
    talk.say("EHLO friend").expect(250)
    assert rcpt(talk, "bob@example.org").startswith("250")
    refused = station.talk(source=PROXY)
    refused.expect(220)
    refused.say("EHLO filter.test").expect(250)
    refused.say("XCLIENT ADDR=192.0.2.3").expect(554)


def test_a_login_that_tls_forgets_takes_its_rights_along(make_station):
    station = accounts(make_station(smtp="auth-on-smtp = true"))
    talk = station.talk()
    talk.expect(220)
    assert LATER not in talk.say("EHLO host.src.test").expect(250)
    talk.login("alice@example.org", "wonderland")
    assert LATER in talk.say("EHLO host.src.test").expect(250)
    talk.starttls()
    assert LATER not in talk.say("EHLO host.src.test").expect(250)
    talk.login("alice@example.org", "wonderland")
    assert LATER in talk.say("EHLO host.src.test").expect(250)


def test_a_name_that_xclient_vouches_for_is_not_asked_about(make_station, make_knot):
    station = accounts(make_station(resolver=asks(make_knot(ZONES)), gate='reverse = "refuse"', listen_smtp='xclient = {"127.0.0.9/32"}',
                                    top='trusted = {"127.0.0.9/32"}'))
    talk, _ = xclient(station, "ADDR=127.0.99.1")
    assert rcpt(talk).startswith("550 5.7.25")
    talk, _ = xclient(station, "ADDR=127.0.99.1 NAME=host.src.test")
    assert rcpt(talk).startswith("250")
    talk.data(MESSAGE)
    assert "(host.src.test [127.0.99.1])" in received(station)


@pytest.mark.parametrize("by", ["proxy", "xclient"])
def test_a_filter_hears_of_the_client_and_its_port(make_station, by):
    with Milter() as milter:
        station = accounts(make_station(listen_smtp=f'{by} = {{"{PROXY}/32"}}', filters=f'filter "one" {{ at = "127.0.0.1:{milter.port}" }}'))
        if by == "proxy":
            talk = station.talk(source=PROXY).raw(v1("192.0.2.8"))
            talk.expect(220)
            talk.say("EHLO host.src.test").expect(250)
        else:
            talk = station.hello(source=PROXY)
            assert rcpt(talk).startswith("250")
            talk.say("RSET").expect(250)
            talk.say("XCLIENT ADDR=192.0.2.8 PORT=4321").expect(220)
            talk.say("EHLO host.src.test").expect(250)
        assert rcpt(talk).startswith("250")
        client = milter.data_of("C")[-1].split(b"\0", 1)[1]
        assert client == b"4" + struct.pack("!H", 4321) + b"192.0.2.8\0"


# ── explain ──


def test_explain_session(make_station):
    station = make_station(gate='greylist = true dnsbl = {"bl.test"} hello = "refuse" pause = "5s"', top='trusted = {"192.0.2.1/32"} refuse = {"192.0.2.3/32"}')
    assert "trusted" in station.run("explain", "session", "192.0.2.1").stdout
    assert "554" in station.run("explain", "session", "192.0.2.3").stdout
    told = station.run("explain", "session", "192.0.2.8", "friend").stdout
    for words in ("550", "a bare word", "8.2.0.192.bl.test", "451", "5 s", "after 10 of its sessions that went wrong within an hour",
                  "after 200 recipients that nobody here is within an hour", "where 95 % of limits.connections are taken", "after 300 s for one request (limits: idle)",
                  "after 60 s for one request where 50 %", "after 10 s for one request where 80 %", "after 200 commands without a mail"):
        assert words in told, told
    told = station.run("explain", "session", "192.0.2.8", "friend", "submission").stdout
    assert "bl.test" not in told and "550" not in told
    station.configure(filters='filter all { at = "inet:11332@localhost" } filter some { at = "unix:/run/some" only-strangers = true }')
    told = station.run("explain", "session", "192.0.2.8").stdout
    assert "filter all at inet:11332@localhost" in told and "filter some at unix:/run/some" in told and "does not answer: 451" in told
    for somebody in ["192.0.2.1"], ["192.0.2.8", "submission"]:
        told = station.run("explain", "session", *somebody).stdout
        assert "filter all" in told and "filter some" not in told
    assert station.run("explain", "session", "nonsense", check=False).returncode == 64
