# SPDX-License-Identifier: Apache-2.0
"""Patience from outside: a host that is away, busy or slow keeps its mail waiting and nobody else's; what a route may use at most is
kept, and nothing is lost. What a week of it looks like is in test_five_days.py, hosts that lie in test_hops.py."""
import socketserver
import threading
import time
from collections import Counter

import pytest

from nameservers import Knot
from peers import Sink
from station import TRUSTED, free_ports, until

MESSAGE = b"Subject: s\r\n\r\ntext\r\n"
QUICK = 'retry-first = "200ms" retry-most = "1s"'


class Host(socketserver.ThreadingTCPServer):
    """A host that counts its connections. It greets when `ready` is set and takes each mail in `pause` seconds; busy(): a reply
    to everything in place of its own. `came` has (recipient, moment) of what it took, `most` the connections that were open at once."""
    allow_reuse_address, daemon_threads, block_on_close, request_queue_size = True, True, False, 500

    def __init__(self, port=None, ready=None, pause=0, busy=lambda: None):
        super().__init__(("127.0.0.1", port or free_ports(1)[0]), Conversation)
        self.port = self.server_address[1]
        self.ready, self.pause, self.busy = ready, pause, busy
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.open = self.most = self.sessions = self.busy_n = 0
        self.came = []

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that hangs up is none."""

    def wait_mails(self, n):
        until(lambda: len(self.came) >= n, f"{n} mails at the host (there are {len(self.came)})")
        return [recipient for recipient, _ in self.came]


class Conversation(socketserver.StreamRequestHandler):
    def handle(self):
        host = self.server
        with host.lock:
            host.sessions += 1
            host.open += 1
            host.most = max(host.most, host.open)
        try:
            if host.ready:
                host.ready.wait(120)
            self.say("220 host.test")
            for line in self.rfile:
                if not self.answer(line.decode().rstrip()):
                    break
        except OSError:
            pass
        finally:
            with host.lock:
                host.open -= 1

    def say(self, reply):
        busy = self.server.busy()
        with self.server.lock:
            self.server.busy_n += bool(busy)
        self.wfile.write((busy or reply).encode() + b"\r\n")
        return not busy

    def answer(self, line):
        """False: that was the end of it."""
        verb, host = line[:4].upper(), self.server
        if verb == "QUIT":
            return False
        if verb == "RCPT":
            self.recipient = line.partition("<")[2].partition(">")[0]
        if verb != "DATA":
            return self.say("250 ok")
        if not self.say("354 go"):
            return False
        while self.rfile.readline() not in (b".\r\n", b""):
            pass
        host.ended.wait(host.pause)
        with host.lock:
            host.came.append((self.recipient, time.time()))
        return self.say("250 kept")


def house_for(make_station, host_port, other_port, limits="", **sections):
    """host.test is at the one, all else at the other."""
    return make_station(routes=f'route "host.test" {{ via = "smtp://127.0.0.1:{host_port}" {limits} }}\n'
                               f'route "*" {{ via = "smtp://127.0.0.1:{other_port}" }}', **{"queue": QUICK, **sections})


def hand_in(station, domain, n, first=0):
    """n mails, each of a sender and for a recipient of its own."""
    talk = station.hello(source=TRUSTED)
    for i in range(first, first + n):
        talk.mail(f"s{i}@src.test", f"r{i}@{domain}", MESSAGE)
    talk.close()
    return [f"r{i}@{domain}" for i in range(first, first + n)]


def once(arrived, wanted):
    """Each of them, and each once."""
    return Counter(arrived) == Counter(wanted)


def recipients(sink):
    return [recipient for _, group, _ in sink.mails for recipient in group]


# ── hosts that keep others waiting ──


def test_a_host_that_is_cut_off(make_station):
    """200 mails wait for it; 50 for another pass them. When it is back, each of the 200 arrives, once."""
    port, = free_ports(1)
    with Host() as other:
        station = house_for(make_station, port, other.port)
        waiting = hand_in(station, "host.test", 200)
        until(lambda: any(item["words"] for item in station.queue()), "a first try that failed")
        assert once(hand_in(station, "other.test", 50), other.wait_mails(50))
        assert once((item["to"] for item in station.queue() if item["to"].endswith("@host.test")), waiting)
        with Host(port) as host:
            host.wait_mails(200)
            station.wait_drained()
            assert once(host.wait_mails(200), waiting) and len(other.came) == 50


def test_a_host_that_says_421_to_everything(make_station):
    """RFC 5321 §3.8: it is not hammered by all that waits for it, and gets it all when it has time."""
    is_busy = threading.Event()
    is_busy.set()
    with Host(busy=lambda: "421 4.3.2 too busy" if is_busy.is_set() else None) as host, Host() as other:
        station = house_for(make_station, host.port, other.port)
        waiting = hand_in(station, "host.test", 50)
        until(lambda: host.busy_n >= 3, "three tries")
        assert once(hand_in(station, "other.test", 20), other.wait_mails(20))
        assert len(station.queue()) >= 50 and host.came == [] and host.most <= 2
        assert any("too busy" in item["words"] for item in station.queue())
        is_busy.clear()
        host.wait_mails(50)
        station.wait_drained()
        assert once(host.wait_mails(50), waiting)


def test_a_host_that_greets_late(make_station):
    """RFC 5321 §4.5.3.2.1 gives it five minutes; what it holds up meanwhile is its own."""
    ready = threading.Event()
    with Host(ready=ready) as host, Host() as other:
        station = house_for(make_station, host.port, other.port)
        waiting = hand_in(station, "host.test", 5)
        until(lambda: host.sessions, "a connection to the late host")
        assert once(hand_in(station, "other.test", 20), other.wait_mails(20))
        assert host.came == [] and len(station.queue()) >= 5
        ready.set()
        assert once(host.wait_mails(5), waiting)
        station.wait_drained()


# ── what a route may use ──


@pytest.mark.parametrize("most", [1, 3])
def test_connections_of_a_route(make_station, most):
    """It learns up to them, and not beyond."""
    with Host(pause=0.05) as host, Host() as other:
        station = house_for(make_station, host.port, other.port, limits=f"connections = {most}")
        waiting = hand_in(station, "host.test", 80)
        assert once(host.wait_mails(80), waiting) and host.most == most
        assert host.sessions < 80, "a connection serves more than one mail"
        station.wait_drained()


def test_rate_of_a_route(make_station):
    """60 a minute are one a second; the route beside it has none."""
    with Host() as host, Host() as other:
        station = house_for(make_station, host.port, other.port, limits="rate = 60")
        before = time.time()
        hand_in(station, "host.test", 5)
        hand_in(station, "other.test", 20)
        other.wait_mails(20)
        host.wait_mails(5)
        for place, (_, moment) in enumerate(host.came):
            assert moment >= before + place, f"mail {place + 1} came {moment - before:.2f} s after the first was handed in"
        station.wait_drained()


# ── what ends in between ──


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_no_storm_after_a_restart(make_station, end):
    """200 deferred mails set out anew within the limits of the route; each arrives once."""
    port, = free_ports(1)
    with Host() as other:
        station = house_for(make_station, port, other.port, limits="connections = 4", queue='retry-first = "1s" retry-most = "1s"')
        waiting = hand_in(station, "host.test", 200)
        until(lambda: any(item["words"] for item in station.queue()), "a first try that failed")
        if end == "stop":
            assert station.stop() == 0
        else:
            station.kill("all")
        with Host(port, pause=0.01) as host:
            station.start()
            host.wait_mails(200)
            station.wait_drained()
            assert once(host.wait_mails(200), waiting) and host.most <= 4


def test_resolve_dies_under_way(make_station):
    """New names keep coming while it is killed again and again: all mail arrives, once."""
    domains = [f"d{i}.test" for i in range(60)]
    port, = free_ports(1)
    zones = {domain: "@ MX 10 mx\nmx A 127.0.0.11" for domain in domains}
    with Knot(zones) as knot, Sink(port, address="127.0.0.11") as sink:
        station = make_station(routes=f'route "*" {{ port = {port} }}', queue=QUICK,
                               resolver=f'forward = "{knot.forward}" allow = {{"127.0.0.0/8"}}')
        station.add_user("alice", "wonderland")
        talk = station.hello(source=TRUSTED)
        for i, domain in enumerate(domains):
            if i % 20 == 10:
                station.kill("resolve")
            talk.mail("alice@example.org", f"box@{domain}", MESSAGE)
        sink.wait_mails(60)
        station.wait_drained()
        assert once(recipients(sink), (f"box@{domain}" for domain in domains)) and station.mailbox("alice") == []


def test_queue_dies_under_way(make_station):
    """The next queue tries again what the dead one had asked for: a host that had not yet got the mail gets it once."""
    ready = threading.Event()
    with Host(ready=ready) as host, Host() as other:
        station = house_for(make_station, host.port, other.port)
        waiting = hand_in(station, "host.test", 3)
        until(lambda: host.sessions, "a connection to the late host")
        before, dead = host.sessions, station.pid("queue")
        station.kill("queue")
        until(lambda: station.pids().get("queue", dead) != dead, "another queue")
        until(lambda: host.sessions > before, "its connection to the late host")
        ready.set()
        station.wait_drained()
        assert once(host.wait_mails(3), waiting)


def test_send_dies_under_way(make_station):
    """What was in an attempt may arrive twice, and never not at all (RFC 5321 §6.1)."""
    with Host(pause=0.02) as host, Host() as other:
        station = house_for(make_station, host.port, other.port)
        waiting = hand_in(station, "host.test", 100)
        for n in 10, 40, 70:
            host.wait_mails(n)
            station.kill("send")
        station.wait_drained()
        assert set(host.wait_mails(100)) == set(waiting)
