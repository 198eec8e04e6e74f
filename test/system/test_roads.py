# SPDX-License-Identifier: Apache-2.0
"""Mail finds its way as the DNS says: a real DNS server, hosts on loopback addresses of their own, one port for all."""
import contextlib
import socket

import pytest

from nameservers import Knot, LyingDns, MX, answer, cname, mx
from peers import Sink
from station import TRUSTED, free_ports, until

QUICK = 'retry-first = "200ms" retry-most = "1s"'


@pytest.fixture
def port():
    return free_ports(1)[0]


@pytest.fixture
def roads(make_station, port):
    """roads(zones or a server, **sections) → a station that asks that DNS and connects to `port` of the hosts it names."""
    with contextlib.ExitStack() as stack:
        def make(zones, routes="", resolver="", queue=QUICK, **sections):
            server = stack.enter_context(Knot(zones)) if isinstance(zones, dict) else zones
            station = make_station(routes=f'{routes} route "*" {{ port = {port} }}', queue=queue,
                                   resolver=f'forward = "{server.forward}" allow = {{"127.0.0.0/8", "::1"}} {resolver}', **sections)
            station.dns = server
            return station
        yield make


def hand_in(station, *recipients, sender="alice@example.org", message=b"Subject: on the road\r\n\r\ntext\r\n"):
    station.hello(source=TRUSTED).mail(sender, list(recipients) if len(recipients) > 1 else recipients[0], message)


def entry(station, recipient):
    return next((e for e in station.queue() if e["to"] == recipient), None)


def words(station, recipient):
    """What is said of a deferred recipient."""
    return until(lambda: (entry(station, recipient) or {}).get("words"), f"{recipient} to be deferred")


def bounce(station, user="alice"):
    [mail] = station.wait_mails(user, 1)
    return mail.decode()


WORKED = {"abc.com": "sh CNAME shmail\nshmail MX 5 shmail\nshmail MX 10 shmail2\nshmail A 127.0.0.11\nshmail2 A 127.0.0.12"}


def test_the_worked_example(roads, port):
    """Mail for sh.abc.com: a CNAME for shmail.abc.com with MX 5 shmail and MX 10 shmail2: first shmail, then shmail2."""
    station = roads(WORKED)
    with Sink(port, address="127.0.0.11") as first, Sink(port, address="127.0.0.12") as second:
        hand_in(station, "box@sh.abc.com")
        assert first.wait_mails(1)[0][1] == ["box@sh.abc.com"]
        station.wait_drained()
        first.stop()
        hand_in(station, "box@sh.abc.com")
        assert second.wait_mails(1)[0][1] == ["box@sh.abc.com"]
        assert len(first.mails) == 1


def test_a_chain_of_three_aliases(roads, port):
    station = roads({"abc.com": "one CNAME two\ntwo CNAME three\nthree CNAME four\nfour MX 10 host\nhost A 127.0.0.11"})
    with Sink(port, address="127.0.0.11") as host:
        hand_in(station, "box@one.abc.com")
        host.wait_mails(1)


def test_no_mx_means_the_domain_itself(roads, port):
    station = roads({"abc.com": "@ A 127.0.0.11\nmx A 127.0.0.12"})
    with Sink(port, address="127.0.0.11") as host:
        hand_in(station, "box@abc.com")
        host.wait_mails(1)


def test_an_mx_means_not_the_domain_itself(roads, port):
    """RFC 5321 §5.1: with an MX, the address of the domain is no road, not even when the MX is dead."""
    station = roads({"abc.com": "@ A 127.0.0.11\n@ MX 10 mx\nmx A 127.0.0.12"})
    with Sink(port, address="127.0.0.11") as host:
        before = host.sessions
        hand_in(station, "box@abc.com")
        until(lambda: (entry(station, "box@abc.com") or {}).get("tries", 0) >= 2, "two tries")
        assert host.sessions == before


def test_equal_preferences_share_the_load(roads, port):
    zones = {f"d{i}.test": "@ MX 10 mx1.d0.test.\n@ MX 10 mx2.d0.test." + ("\nmx1 A 127.0.0.11\nmx2 A 127.0.0.12" if i == 0 else "")
             for i in range(24)}
    station = roads(zones)
    with Sink(port, address="127.0.0.11") as one, Sink(port, address="127.0.0.12") as other:
        for i in range(24):
            hand_in(station, f"box@d{i}.test")
        until(lambda: len(one.mails) + len(other.mails) == 24, "all mail")
        assert one.mails and other.mails, "one of two equal hosts got everything"


@pytest.mark.parametrize("zone, status, says", [
    ("@ MX 0 .", "5.1.10", "no mail"),
    ("@ TXT nothing", "5.", ""),
    ("@ MX 10 nowhere", "5.", ""),
    ("@ MX 10 mx\nmx A 10.1.2.3", "5.", "private"),
    ("@ MX 10 localhost.", "5.", ""),
    ("@ MX 10 mail.example.org.", "5.4.6", ""),
], ids=["null-mx", "nothing", "mx-to-nothing", "private", "localhost", "ourselves"])
def test_what_comes_back_at_once(roads, zone, status, says):
    station = roads({"abc.com": zone}, resolver="")
    station.configure(resolver=f'forward = "{station.dns.forward}"')  # nothing is allowed that is not in the open
    station.reload()
    until(lambda: "reloaded" in station.log_text(), "the reload")
    station.add_user("alice", "wonderland")
    hand_in(station, "box@abc.com")
    text = bounce(station)
    assert f"Status: {status}" in text and says in text.lower()
    station.wait_drained()


def test_a_domain_that_does_not_exist_comes_back_at_once(roads):
    station = roads({})
    station.add_user("alice", "wonderland")
    hand_in(station, "box@gone.test")
    assert "Status: 5.1.2" in bounce(station)


def test_a_dns_that_does_not_answer_loses_nothing(roads, port):
    """SERVFAIL and silence are no reason to give up: the mail goes when the DNS is back."""
    station = roads({"abc.com": "@ MX 10 mx\nmx A 127.0.0.11"})
    station.dns.stop()
    station.add_user("alice", "wonderland")
    hand_in(station, "box@abc.com")
    words(station, "box@abc.com")
    station.dns.start()
    with Sink(port, address="127.0.0.11") as host:
        host.wait_mails(1)
    assert station.mailbox("alice") == []


def test_a_broken_zone_waits(roads):
    with Knot({}, broken=["abc.com"]) as knot:
        station = roads(knot)
        hand_in(station, "box@abc.com")
        words(station, "box@abc.com")
        until(lambda: entry(station, "box@abc.com")["state"] == "deferred", "it to wait for its next try")


def test_address_literals(roads, port):
    station = roads({})
    with Sink(port, address="127.0.0.11") as four:
        hand_in(station, "box@[127.0.0.11]")
        assert four.wait_mails(1)[0][1] == ["box@[127.0.0.11]"]


def test_ipv6_literal(roads, port):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    station = roads({})
    with Sink(port, address="::1") as six:
        hand_in(station, "box@[IPv6:::1]")
        six.wait_mails(1)


def test_a_domain_in_another_script(roads, port):
    """A-labels on the wire; the address as it was written, to a host that offers SMTPUTF8."""
    station = roads({"xn--fiqs8s.test": "@ MX 10 mx\nmx A 127.0.0.11"})
    with Sink(port, address="127.0.0.11") as host:
        talk = station.hello(source=TRUSTED)
        talk.say("MAIL FROM:<alice@example.org> SMTPUTF8").expect(250)
        talk.say("RCPT TO:<box@中国.test>").expect(250)
        talk.say("DATA").expect(354)
        talk.raw(b"Subject: x\r\n\r\ntext\r\n.\r\n").expect(250)
        host.wait_mails(1)


def test_a_family_that_does_not_answer(roads, port):
    """An AAAA that refuses, an A that works: the mail takes the A."""
    station = roads({"abc.com": "@ MX 10 mx\nmx A 127.0.0.11\nmx AAAA ::1"})
    with Sink(port, address="127.0.0.11") as host:
        for _ in range(3):
            hand_in(station, "box@abc.com")
        host.wait_mails(3)


def test_routes_of_the_file_win(roads, port, make_station):
    with Sink() as partner, Sink() as boss, Sink(port, address="127.0.0.11") as dns:
        station = roads({"abc.com": "@ MX 10 mx\nmx A 127.0.0.11", "def.com": "@ MX 10 mx.abc.com.", "ghi.com": "@ MX 10 mx.abc.com."},
                        routes=f'route "abc.com" {{ via = "smtp://127.0.0.1:{partner.port}" }}\n'
                               f'route "def.com" {{ from = "boss@example.org" via = "smtp://127.0.0.1:{boss.port}" }}')
        hand_in(station, "box@abc.com")
        hand_in(station, "box@def.com", sender="boss@example.org")
        hand_in(station, "box@def.com", sender="wei@example.org")
        hand_in(station, "box@ghi.com")
        partner.wait_mails(1)
        boss.wait_mails(1)
        dns.wait_mails(2)
        station.wait_drained()
        assert (len(partner.mails), len(boss.mails), len(dns.mails)) == (1, 1, 2)


def test_a_route_by_the_sender_alone(roads, port):
    """Two senders with smarthosts of their own, each with its login; others go as the DNS says."""
    with Sink() as one, Sink() as other, Sink(port, address="127.0.0.11") as dns:
        station = roads({"abc.com": "@ MX 10 mx\nmx A 127.0.0.11"},
                        routes=f'route "from @example.org" {{ via = "smtp://127.0.0.1:{one.port}" }}\n'
                               f'route "from boss@example.net" {{ via = "smtp://127.0.0.1:{other.port}" }}')
        for sender in "wei@example.org", "boss@example.net", "alice@elsewhere.test":
            hand_in(station, "box@abc.com", sender=sender)
        for sink, sender in (one, "wei@example.org"), (other, "boss@example.net"), (dns, "alice@elsewhere.test"):
            assert sink.wait_mails(1)[0][0] == sender
        station.wait_drained()


def test_the_route_of_an_address_beats_that_of_its_domain(roads, port):
    """Whichever stands first in the file."""
    with Sink() as domain, Sink() as address:
        station = roads({}, routes=f'route "from @example.org" {{ via = "smtp://127.0.0.1:{domain.port}" }}\n'
                                   f'route "from vip@example.org" {{ via = "smtp://127.0.0.1:{address.port}" }}')
        for sender in "vip@example.org", "wei@example.org":
            hand_in(station, "box@abc.com", sender=sender)
        for sink, sender in (address, "vip@example.org"), (domain, "wei@example.org"):
            assert sink.wait_mails(1)[0][0] == sender
        station.wait_drained()


def test_a_route_of_others_is_no_way(make_station):
    """Without DNS, who has no route hears it at RCPT and not in a bounce."""
    with Sink() as host:
        station = make_station(routes=f'route "from vip@example.org" {{ via = "smtp://127.0.0.1:{host.port}" }}')
        talk = station.hello(source=TRUSTED)
        talk.say("MAIL FROM:<wei@example.org>").expect(250)
        assert "no route" in str(talk.say("RCPT TO:<box@abc.com>").expect(550))
        talk.say("RSET").expect(250)
        talk.mail("vip@example.org", "box@abc.com", b"Subject: mine\r\n\r\ntext\r\n")
        assert host.wait_mails(1)[0][0] == "vip@example.org"


def test_a_new_file_finds_roads_for_all_that_wait(roads):
    """For those whose question nobody answers, asked or not, and for those in line for a host that is down."""
    dead, = free_ports(1)
    with LyingDns(lambda question, is_tcp: None) as silent, Sink() as host:
        station = roads(silent, routes=f'route "dead.test" {{ via = "smtp://127.0.0.1:{dead}" }}', queue='retry-first = "1h" retry-most = "4h"')
        hand_in(station, "first@dead.test")
        words(station, "first@dead.test")
        hand_in(station, *(f"box{i}@dead.test" for i in range(20)))
        hand_in(station, *(f"box@d{i}.test" for i in range(400)))
        until(lambda: len({name for name, _ in list(silent.seen)}) > 100, "questions")
        station.configure(routes=f'route "*" {{ via = "smtp://127.0.0.1:{host.port}" }}', resolver="off = true", queue='retry-first = "1h"')
        station.reload()
        until(lambda: sum(len(m[1]) for m in list(host.mails)) == 420, "all that waited at the new host")
        until(lambda: [e["to"] for e in station.queue()] == ["first@dead.test"], "only the one that waits an hour to be left")


def test_a_via_may_be_a_name(roads, port):
    with Sink(address="127.0.0.11") as host:
        station = roads({"relay.test": "smart A 127.0.0.11"}, routes=f'route "abc.com" {{ via = "smtp://smart.relay.test:{host.port}" }}')
        hand_in(station, "box@abc.com")
        host.wait_mails(1)


def test_two_domains_with_the_same_hosts_share_a_connection(roads, port):
    station = roads({"abc.com": "@ MX 10 mx\nmx A 127.0.0.11", "def.com": "@ MX 10 mx.abc.com."})
    with Sink(port, address="127.0.0.11") as host:
        before = host.sessions
        hand_in(station, "box@abc.com")
        host.wait_mails(1)
        hand_in(station, "box@def.com")
        host.wait_mails(2)
        station.wait_drained()
        assert host.sessions == before + 1


LIES = {
    "a loop of aliases": lambda q: answer(q, cname(q.name, "a.lie.test"), cname("a.lie.test", q.name)),
    "64 KiB of records": lambda q: answer(q, *(mx(q.name, i % 60000, f"m{i}.lie.test") for i in range(1500))),
    "half a packet": lambda q: answer(q, mx(q.name, 1, "m.lie.test"))[:-7],
    "NUL in the name of the host": lambda q: answer(q, mx(q.name, 1, [b"m\0x", b"lie", b"test"])),
    "silence": lambda q: None,
    "garbage": lambda q: b"\xff" * 300,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_dns_that_lies_delays_nobody_else(roads, make_station, lie):
    """The liar's mail waits or comes back, nothing crashes, and mail for another destination goes at once."""
    with LyingDns(lambda q, is_tcp: lie(q) if q.kind == MX else answer(q)) as liar, Sink() as other:
        station = roads(liar, routes=f'route "other.test" {{ via = "smtp://127.0.0.1:{other.port}" }}')
        station.add_user("alice", "wonderland")
        hand_in(station, "box@lie.test")
        hand_in(station, "box@other.test")
        other.wait_mails(1)
        until(lambda: (entry(station, "box@lie.test") or {"words": "back"}).get("words"), "an answer for the liar's mail")
        assert entry(station, "box@lie.test") or "box@lie.test" in bounce(station)
