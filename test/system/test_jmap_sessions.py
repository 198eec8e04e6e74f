# SPDX-License-Identifier: Apache-2.0
"""Who may ask: cookies that were stolen, are over or come from another site; requests that begin a reader; and roles that die while somebody is signed in."""
import base64
import json
import os
import signal
import socket
import threading

import pytest

from browser import Browser, door_of
from station import PATIENCE, children, command_line, inhabited, until

ECHO = json.dumps({"using": ["urn:ietf:params:jmap:core"], "methodCalls": [["Core/echo", {"hello": True}, "0"]]}).encode()


@pytest.fixture(scope="module")
def station():
    yield from inhabited({"wei": "wonderland", "eve": "wonderland"})


class Person(Browser):
    def __init__(self, station, login="wei@example.org", password="wonderland"):
        super().__init__(door_of(station), login, password)

    def status(self, more=()):
        return self.ask("POST", "/jmap/api", ECHO, more)[0]


def test_a_cookie_without_its_header(station):
    wei, eve = Person(station), Person(station, "eve@example.org")
    assert wei.status() == 200
    right = wei.session["csrf"]
    for csrf in (None, "", "0" * 64, eve.session["csrf"], right[:-1], right + "0", right.upper() + " x"):
        assert wei.status({"X-Posthouse-CSRF": csrf}) == 403, csrf
    assert wei.status({"Sec-Fetch-Site": "cross-site"}) == 403
    assert wei.status({"Origin": "https://evil.example"}) == 403
    assert wei.ask("GET", "/session")[0] == 200 and wei.status() == 200


@pytest.mark.parametrize("cookie", ["posthouse=", "posthouse=x", "posthouse=" + "A" * 43, "posthouse=%00", "posthouse=" + "x" * 3000, "other=1"])
def test_a_cookie_that_was_guessed(station, cookie):
    wei = Person(station)
    assert wei.status({"Cookie": cookie}) == 401


def test_a_cookie_after_it_was_signed_out(station):
    wei, other = Person(station), Person(station)
    assert wei.ask("DELETE", "/session", more={"X-Posthouse-CSRF": None})[0] == 403
    assert wei.status() == 200
    assert wei.ask("DELETE", "/session")[0] == 204
    assert wei.status() == 401 and wei.ask("GET", "/session")[0] == 401
    assert wei.ask("GET", "/.well-known/jmap")[0] == 401 and wei.ask("GET", "/jmap/events?types=*&closeafter=no&ping=30")[0] == 401
    assert other.status() == 200


def kill(station, role):
    for pid in children(station.process.pid):
        if role in command_line(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_cookie_after_the_password_was_changed(make_station):
    """Whoever stole one has it no longer than web believes what vault has said, a minute: a new web asks at once."""
    station = make_station(web="no-tls = true")
    station.add_user("wei", "wonderland")
    station.may_end = "role=web"
    thief = Person(station)
    assert thief.status() == 200
    station.run("user", "passwd", "wei@example.org", "--password-stdin", text="nightfall\n")
    kill(station, "web")

    def refused():
        try:
            return thief.status() == 401
        except OSError:
            return False  # nobody has taken the connection
    until(refused, "the stolen cookie to be refused")
    assert Person(station, password="nightfall").status() == 200


def test_sessions_outlive_web_and_reader(make_station):
    station = make_station(web="no-tls = true")
    station.add_user("wei", "wonderland")
    station.may_end = "role="
    wei = Person(station)
    assert wei.status() == 200

    def answered():
        try:
            status = wei.status()
        except OSError:
            return False  # nobody has taken the connection
        assert status in (200, 503)
        return status == 200
    for role in ("reader", "web", "vault", "web"):
        kill(station, role)
        until(answered, f"an answer after {role} was killed")
    station.restart()
    until(answered, "an answer after a restart")


def subjects(person):
    """Of the inbox and all else; None: nobody answers just now."""
    calls = [["Email/query", {"accountId": "a"}, "0"], ["Email/get", {"accountId": "a", "#ids": {"resultOf": "0", "name": "Email/query", "path": "/ids"}, "properties": ["subject"]}, "1"]]
    using = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"]
    status, _, body = person.ask("POST", "/jmap/api", json.dumps({"using": using, "methodCalls": calls}))
    assert status in (200, 503), body
    return {mail["subject"] for mail in json.loads(body)["methodResponses"][1][1]["list"]} if status == 200 else None


def test_a_mailbox_moves_by_a_reload(make_station):
    """Its reader reaches no other directory than its first: it ends when the person signs in again, and whoever was in goes on at the new place."""
    station = make_station(start=False, web="no-tls = true")
    first, second = (f'mailboxes = "{station.directory}/{place}/%d/%u"' for place in ("first", "second"))
    station.configure(domain=first)
    station.add_user("wei", "wonderland")
    station.start()

    def deliver(subject, place):
        with station.hello() as talk:
            talk.mail("a@src.test", "wei@example.org", f"Subject: {subject}\r\n\r\nx\r\n".encode())
        until(lambda: any((station.directory / place / "example.org/wei").glob("*/*.*")), f"a mail in {place}")
    deliver("before", "first")
    former = Person(station)
    until(lambda: subjects(former) == {"before"}, "the mail at the first place")

    store = station.pid("store")
    station.configure(domain=second)
    station.reload()
    until(lambda: station.pids().get("store") not in (None, store), "store to begin anew")
    station.wait_log("station: reloaded")
    deliver("after", "second")
    until(lambda: subjects(Person(station)) == {"after"}, "the mail at the new place")
    until(lambda: subjects(former) == {"after"}, "whoever was in to be there, too")
    assert [f for f in (station.directory / "first/example.org/wei").glob("*/*.*")], "what lies at the old place is nobody's to remove"


# ── the first request, which begins the reader ──


def first(login, framing):
    """The status of one POST in pieces, each of which goes out by itself."""
    authorization = base64.b64encode(f"{login}:wonderland".encode()).decode()
    head = f"POST /jmap/api HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {authorization}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    body = ECHO[:-1] + b" " * framing.get("more", 0) + b"}"
    if framing.get("chunked"):
        head += "Transfer-Encoding: chunked\r\n\r\n"
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:10], body[10:])) + b"0\r\n\r\n"
    else:
        head += f"Content-Length: {len(body)}\r\n\r\n"
    if framing.get("at once"):
        return [head.encode() + body]
    return [head.encode(), body[:40], body[40:]]


@pytest.mark.parametrize("framing", [{"at once": True}, {}, {"chunked": True}, {"at once": True, "chunked": True}, {"more": 60000}, {"more": 60000, "at once": True}], ids=str)
def test_the_first_request_keeps_its_body(make_station, framing):
    """A body that comes while vault is asked and the reader begins is the reader's all the same, for all who ask at the same time."""
    station = make_station(start=False, web="no-tls = true")
    station.add_user("wei", "wonderland")
    station.start()
    answers = []

    def ask():
        with socket.create_connection(("127.0.0.1", station.web_port), PATIENCE) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in first("wei@example.org", framing):
                s.sendall(piece)
            octets = b""
            while more := s.recv(65536):
                octets += more
            answers.append(octets)
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 3 and all(answer.startswith(b"HTTP/1.1 200") and b'"hello":true' in answer for answer in answers), answers
