# SPDX-License-Identifier: Apache-2.0
"""The door of HTTP: the role `web` alone, with a vault and readers that do what the test says; what a browser, a program and a vandal see of it."""
import base64
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import xml.etree.ElementTree

import pytest

import browser
from browser import JSON
from certificates import Authority
from station import BUILD, COMPLAINT, PATIENCE, free_ports, until

CONFIG = """\
hostname = "mail.example.org"
users    = ""
state    = "{directory}"
spool    = "{directory}"
listen web {{ on = "127.0.0.1:{port}" {more} }}
listen submission {{ on = "127.0.0.1:{submission}" }}
listen submissions {{ on = "127.0.0.1:{submissions}" }}
domain "example.org" {{ }}
web {{ imap = "imap://imap.example.org" }}
{tls}
"""
SIGN_IN_BEGIN, SIGN_IN_ONCE, SIGN_IN_AGAIN, SIGN_IN_END = range(4)


class Web:
    """The role under the program web-one."""

    def __init__(self, leaf=None, trust=None, options=""):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-web."))
        self.port, self.submission, self.submissions = free_ports(3)
        self.context = ssl.create_default_context(cafile=trust) if leaf else None
        self.config = self.directory / "posthouse.conf"
        tls = f'tls {{ certificate = "{leaf.chain}" key = "{leaf.key}" }}' if leaf else ""
        self.config.write_text(CONFIG.format(directory=self.directory, port=self.port, submission=self.submission, submissions=self.submissions,
                                             more=options if leaf else "no-tls = true " + options, tls=tls))
        self.log = (self.directory / "log").open("w+")
        arguments = [BUILD / "test/system/web-one", BUILD / "posthouse-web", self.config, str(self.port)]
        self.process = subprocess.Popen(arguments + ([leaf.chain, leaf.key] if leaf else []), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        self.events = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.pid = until(lambda: self.seen("ready"), "the role to be ready")[0]["value"]

    def read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def seen(self, event, value=None):
        return [e for e in self.events if e["event"] == event and (value is None or e["value"] == value)]

    def say(self, line):
        done = len(self.seen("done"))
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        until(lambda: len(self.seen("done")) > done, f"“{line}” to be done")

    def log_text(self):
        return (self.directory / "log").read_text()

    def end(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        self.process.stdout.close()
        self.log.close()
        text = self.log_text()
        shutil.rmtree(self.directory)
        assert not self.seen("ended"), text
        assert not COMPLAINT.search(text), text

    def connect(self):
        """A connection, in TLS where the role speaks it."""
        s = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        return self.context.wrap_socket(s, server_hostname="mail.example.org") if self.context else s

    def ask(self, method, path, headers=None, body=None):
        """status, headers (a message), body"""
        return browser.ask(self.connect, method, path, headers, body)

    def is_well(self):
        status, headers, body = self.ask("GET", "/")
        assert status == 200 and body
        return headers


class Person(browser.Browser):
    """Somebody whom this vault knows."""

    def __init__(self, web, login="wei"):
        super().__init__(web.connect, login, "right")
        self.web = web

    def listen(self, query="types=*&closeafter=no&ping=30"):
        return Events(self.web, f"/jmap/events?{query}", self.cookie)


class Events:
    """An EventSource: events() has what came so far."""

    def __init__(self, web, path, headers):
        self.connection = http.client.HTTPConnection("mail.example.org", timeout=PATIENCE)
        self.connection.sock = web.connect()
        self.connection.request("GET", path, headers=headers)
        self.answer = self.connection.getresponse()
        self.status = self.answer.status

    def next(self):
        """(event, data); None at the end"""
        event = None
        while line := self.answer.fp.readline() if not self.answer.chunked else self.answer.readline():
            text = line.decode().rstrip("\n")
            if text.startswith("event: "):
                event = text[7:]
            elif text.startswith("data: "):
                return event, json.loads(text[6:])
            elif text.startswith(":"):
                return "comment", text
        return None

    def close(self):
        self.connection.close()


@pytest.fixture(scope="module")
def web():
    w = Web()
    yield w
    w.end()


@pytest.fixture
def fresh():
    w = Web()
    yield w
    w.end()


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"))
    w = Web(authority.issue("mail.example.org"), authority.trust)
    yield w
    w.end()


# ── what a browser sees ──


def test_the_page_may_load_nothing_from_elsewhere(web):
    headers = web.is_well()
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Strict-Transport-Security"] is None  # this door is in clear
    assert web.ask("GET", "/", {"If-None-Match": headers["ETag"]})[0] == 304
    status, _, body = web.ask("HEAD", "/")
    assert (status, body) == (200, b"")


def test_sign_in_and_out(web):
    wei = Person(web)
    assert wei.session["login"] == "wei@example.org" and wei.session["accountId"] == "a" and len(wei.session["csrf"]) >= 32
    assert all(word in wei.cookie_line for word in ("HttpOnly", "SameSite=Strict", "Path=/")) and "Secure" not in wei.cookie_line
    status, headers, body = wei.get("/session")
    assert status == 200 and json.loads(body) == wei.session and headers["Cache-Control"] == "no-store"
    assert web.ask("DELETE", "/session", wei.cookie)[0] == 403  # without the header
    assert web.ask("DELETE", "/session", wei.headers)[0] == 204
    assert wei.get("/session")[0] == 401 and wei.get("/jmap/download/a/x/y")[0] == 401


def test_what_is_no_sign_in(web):
    good = json.dumps({"login": "wei", "password": "right"})
    ours = {**JSON, "X-Posthouse": "1"}
    assert web.ask("POST", "/session", JSON, good)[0] == 403
    for body in ("", "{", "[]", "1", '{"login":"wei"}', '{"login":1,"password":2}', '{"login":"","password":""}', "[" * 4000, '{"login":"wei","login":"x","password":"right"}'):
        status, headers, answer = web.ask("POST", "/session", ours, body)
        assert status == 400 and headers["Content-Type"] == "application/problem+json" and json.loads(answer)["status"] == 400, body
    assert web.ask("POST", "/session", ours, " " * 4097)[0] == 413
    assert web.ask("POST", "/session", {**ours, "Origin": "http://evil.example"}, good)[0] == 403
    assert web.ask("POST", "/session", {**ours, "Sec-Fetch-Site": "cross-site"}, good)[0] == 403
    assert web.ask("POST", "/session", {**ours, "Origin": "http://mail.example.org", "Sec-Fetch-Site": "same-origin"}, good)[0] == 200


def test_who_guesses_has_to_wait(fresh):
    wei = Person(fresh)
    wrong = json.dumps({"login": "wei", "password": "wrong"})
    for _ in range(5):
        assert fresh.ask("POST", "/session", {**JSON, "X-Posthouse": "1"}, wrong)[0] == 401
    status, headers, _ = fresh.ask("POST", "/session", {**JSON, "X-Posthouse": "1"}, wrong)
    assert status == 429 and int(headers["Retry-After"]) > 0
    assert fresh.ask("GET", "/.well-known/jmap", basic("ling", "wrong"))[0] == 429
    assert wei.get("/session")[0] == 200  # who is in stays in


def test_who_guesses_many_at_once_has_to_wait(fresh):
    fresh.say("deaf")
    body = b'{"login":"wei","password":"wrong"}'
    ask = f"POST /session HTTP/1.1\r\nHost: x\r\nX-Posthouse: 1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(contextlib.closing(fresh.connect())) for _ in range(5)]
        for s in waiting:
            s.sendall(ask)
        until(lambda: len(fresh.seen("sign_in", SIGN_IN_BEGIN)) == 5, "the questions")
        assert raw(fresh, ask).split(b" ")[1] == b"429"
        assert fresh.ask("GET", "/.well-known/jmap", basic("ling", "right"))[0] == 429
        fresh.say("vault")
        assert [s.recv(65536).split(b" ")[1] for s in waiting] == [b"503"] * 5
    fresh.say("hears")
    assert Person(fresh).get("/session")[0] == 200  # nobody was refused


def test_right_passwords_are_no_guesses(fresh):
    for _ in range(8):
        Person(fresh)
    assert all(fresh.ask("GET", "/.well-known/jmap", basic(f"wei{i}", "right"))[0] == 200 for i in range(8))


def test_a_secret_ends_however_it_comes(web):
    wei = Person(web)
    bearer = {"Authorization": "Bearer " + wei.cookie["Cookie"].split("=")[1]}
    assert web.ask("GET", "/session", bearer)[0] == 200
    window = Events(web, "/jmap/events?types=*&closeafter=no&ping=30", bearer)
    window.next()
    assert web.ask("DELETE", "/session", wei.headers)[0] == 204
    assert web.ask("GET", "/session", bearer)[0] == 401
    assert window.next() is None
    window.close()


def test_two_cookies_are_nobodys(web):
    wei = Person(web)
    status, headers, _ = web.ask("GET", "/session", {"Cookie": f"posthouse=planted; {wei.cookie['Cookie']}"})
    assert status == 401 and headers["Set-Cookie"].startswith("posthouse=;") and "Max-Age=0" in headers["Set-Cookie"]
    assert web.ask("GET", "/session", {"Cookie": f"other=1; {wei.cookie['Cookie']}"})[0] == 200


def basic(login, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()}


def test_programs_need_no_cookie(web):
    status, _, body = web.ask("GET", "/.well-known/jmap", basic("ling", "right"))
    assert status == 200 and json.loads(body)["login"] == "ling@example.org" and json.loads(body)["base"] == "http://mail.example.org"
    status, _, body = web.ask("POST", "/jmap/api", {**basic("ling", "right"), **JSON}, "{}")
    assert status == 200 and json.loads(body)["size"] == 2
    wei = Person(web)
    bearer = {"Authorization": "Bearer " + wei.cookie["Cookie"].split("=")[1]}
    assert json.loads(web.ask("GET", "/.well-known/jmap", bearer)[2])["login"] == "wei@example.org"
    status, headers, _ = web.ask("GET", "/.well-known/jmap")
    assert status == 401 and any("Basic" in v for v in headers.get_all("WWW-Authenticate"))
    _, headers, _ = web.ask("GET", "/.well-known/jmap", {"Sec-Fetch-Site": "same-origin"})
    assert not any("Basic" in v for v in headers.get_all("WWW-Authenticate"))  # no window of the browser asks for a password
    for nonsense in ("Basic", "Basic !!!", "Basic bm9jb2xvbg==", "Bearer", "Bearer ", "Digest x", "Basic " + "A" * 6000):
        assert web.ask("GET", "/.well-known/jmap", {"Authorization": nonsense})[0] == 401, nonsense


def test_vault_is_asked_once_a_minute(fresh):
    wei = Person(fresh)
    assert all(wei.get("/session")[0] == 200 for _ in range(10))
    assert len(fresh.seen("sign_in", SIGN_IN_AGAIN)) == 1


def test_bodies_of_all_lengths_arrive_whole(web):
    wei = Person(web)
    for size in (0, 1, 48 * 1024, 48 * 1024 + 1, 3_000_000):
        body = os.urandom(size) if size else b""
        status, _, answer = wei.post("/jmap/upload/a", body)
        answer = json.loads(answer)
        assert status == 201 and answer["size"] == size
    status, headers, body = wei.post("/jmap/api", "big")
    assert status == 200 and body == b"x" * (3 * 1024 * 1024) and headers["Content-Type"] == "text/plain"


def test_what_is_too_long_is_not_taken(web):
    wei = Person(web)
    for path, n in (("/jmap/api", 10_000_001), ("/jmap/upload/a", 50_000_001), ("/frame", 8 * 1024 * 1024 + 1)):
        with contextlib.closing(web.connect()) as s:  # said by its length: no octet of it is waited for
            s.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {n}\r\n{lines(wei.headers)}\r\n".encode())
            assert s.recv(65536).startswith(b"HTTP/1.1 413"), path

    def chunks():
        for _ in range(11):
            yield b"x" * 1_000_000

    status, _, _ = wei.post("/jmap/api", chunks())
    assert status == 413
    web.is_well()


def test_what_jmap_says_of_a_request_as_a_whole(fresh):
    """RFC 8620 §3.6.1: the type of its body, its length, and how many of them there are at the same time."""
    wei = Person(fresh)
    for kind in ("text/plain", "application/jsonp", "application/x-www-form-urlencoded", ""):
        status, headers, body = wei.post("/jmap/api", "{}", **{"Content-Type": kind})
        assert (status, json.loads(body)["type"]) == (400, "urn:ietf:params:jmap:error:notJSON"), kind
        assert headers["Content-Type"] == "application/problem+json"
    assert wei.post("/jmap/api", "{}", **{"Content-Type": "Application/JSON; charset=utf-8"})[0] == 200
    status, _, body = wei.post("/jmap/api", (b" " * 1_000_000 for _ in range(11)))
    assert status == 413 and (json.loads(body)["type"], json.loads(body)["limit"]) == ("urn:ietf:params:jmap:error:limit", "maxSizeRequest")
    for path, most, limit in (("/jmap/api", 16, "maxConcurrentRequests"), ("/jmap/upload/a", 4, "maxConcurrentUpload")):
        calls = len(fresh.seen("call"))
        for _ in range(most):
            raw(fresh, f"POST {path} HTTP/1.1\r\nHost: x\r\n{lines({**wei.headers, **JSON})}Content-Length: 6\r\n\r\nsilent".encode(), wait=False)
        until(lambda: len(fresh.seen("call")) == calls + most, f"{most} requests under way")
        status, _, body = wei.post(path, "{}")
        assert status == 429 and (json.loads(body)["type"], json.loads(body)["limit"]) == ("urn:ietf:params:jmap:error:limit", limit)
    assert wei.get("/.well-known/jmap")[0] == 200


def test_a_secret_that_was_signed_out_is_over_by_any_header(web):
    """Web believes vault for a minute: not of a session that it has itself ended."""
    wei = Person(web)
    bearer = {"Authorization": "Bearer " + wei.cookie["Cookie"].split("=")[1]}
    assert web.ask("GET", "/.well-known/jmap", bearer)[0] == 200 and wei.get("/session")[0] == 200
    assert web.ask("DELETE", "/session", wei.headers)[0] == 204
    assert web.ask("GET", "/.well-known/jmap", bearer)[0] == 401 and wei.get("/session")[0] == 401
    wei = Person(web)
    bearer = {"Authorization": "Bearer " + wei.cookie["Cookie"].split("=")[1]}
    assert wei.get("/session")[0] == 200 and web.ask("DELETE", "/session", bearer)[0] == 204
    assert wei.get("/session")[0] == 401


def lines(headers):
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def test_downloads_do_not_run(web):
    wei = Person(web)
    status, headers, body = wei.get("/jmap/download/a/html-1/a%20b.html?type=text%2Fhtml")
    assert status == 200 and body.startswith(b"<script>")
    assert headers["Content-Disposition"].startswith("attachment") and "sandbox" in headers["Content-Security-Policy"] and headers["X-Content-Type-Options"] == "nosniff"
    _, headers, _ = wei.get("/jmap/download/a/png-1/a.png")
    assert headers["Content-Disposition"] is None and headers["Content-Type"] == "image/png"
    assert wei.get("/jmap/download/b/png-1/a.png")[0] == 404


def test_other_sites_get_nothing(web):
    wei = Person(web)
    for foreign in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "https://mail.example.org"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site"}):
        assert wei.post("/jmap/api", "{}", **foreign)[0] == 403, foreign
        assert wei.get("/.well-known/jmap", **foreign)[0] == 403, foreign
    assert web.ask("POST", "/jmap/api", {**wei.cookie, **JSON}, "{}")[0] == 403
    assert web.ask("POST", "/jmap/api", {**wei.cookie, **JSON, "X-Posthouse-CSRF": Person(web, "ling").session["csrf"]}, "{}")[0] == 403
    assert wei.post("/jmap/api", "{}", Origin="http://mail.example.org")[0] == 200


# ── frames ──


def test_a_mail_in_a_frame(web):
    wei, ling = Person(web), Person(web, "ling")
    html = "<p style='color:red'>你好</p>".encode()
    status, _, body = wei.post("/frame?remote=0", html, **{"Content-Type": "text/html"})
    url = json.loads(body)["url"]
    assert status == 201 and url.startswith("/frame/")
    status, headers, body = wei.get(url)
    policy = headers["Content-Security-Policy"]
    assert status == 200 and body == html and headers["Content-Type"].startswith("text/html")
    assert policy.startswith("sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'") and "img-src data:;" in policy and "allow-s" not in policy
    assert ling.get(url)[0] == 404 and web.ask("GET", url)[0] == 401
    url = json.loads(wei.post("/frame?remote=1", html, **{"Content-Type": "text/html"})[2])["url"]
    assert "img-src data: https: http:;" in wei.get(url)[1]["Content-Security-Policy"]
    assert wei.post("/frame", html, **{"Content-Type": "image/svg+xml"})[0] == 415
    assert web.ask("DELETE", "/session", wei.headers)[0] == 204
    assert wei.get(url)[0] == 401


def test_frames_are_few(web):
    wei = Person(web)
    urls = [json.loads(wei.post("/frame", f"<p>{i}</p>", **{"Content-Type": "text/html"})[2])["url"] for i in range(34)]
    assert [wei.get(url)[0] for url in urls] == [404, 404] + [200] * 32


# ── events ──


def test_news_reach_those_of_the_mailbox(web):
    wei, ling = Person(web), Person(web, "ling")
    windows, other = [wei.listen(), wei.listen("types=Mailbox")], ling.listen()
    assert windows[0].next() == ("state", {"@type": "StateChange", "changed": {"a": {"Email": "1", "Mailbox": "1"}}})
    assert windows[1].next() == ("state", {"@type": "StateChange", "changed": {"a": {"Mailbox": "1"}}})
    other.next()
    web.say('news wei@example.org {"Email":"2","Mailbox":"7"}')
    web.say('news ling@example.org {"Email":"9"}')
    assert windows[0].next()[1]["changed"]["a"] == {"Email": "2", "Mailbox": "7"}
    assert windows[1].next()[1]["changed"]["a"] == {"Mailbox": "7"}
    assert other.next()[1]["changed"]["a"] == {"Email": "9"}
    for w in windows + [other]:
        w.close()


def test_one_change_and_pings(web):
    wei = Person(web)
    once, pinged = wei.listen("types=*&closeafter=state&ping=0"), wei.listen("types=*&closeafter=no&ping=1")
    pinged.next()
    web.say('news wei@example.org {"Email":"3"}')
    assert once.next()[1]["changed"]["a"] == {"Email": "3"} and once.next() is None
    pinged.next()
    assert pinged.next() == ("ping", {"interval": 5})
    once.close()
    pinged.close()


def test_listeners_that_vanish_make_room(fresh):
    wei = Person(fresh)
    windows = [wei.listen("types=*&closeafter=no&ping=5") for _ in range(20)]
    assert all(w.status == 200 for w in windows)
    assert wei.listen().status == 429
    for w in windows:
        w.next()
        w.close()
    until(lambda: wei.listen().status == 200, "the places of those who have gone")


def test_signing_out_ends_the_listeners(web):
    wei = Person(web)
    window = wei.listen()
    window.next()
    assert web.ask("DELETE", "/session", wei.headers)[0] == 204
    assert window.next() is None
    window.close()


# ── readers and vault come and go ──


def test_a_reader_that_dies_is_replaced(fresh):
    wei = Person(fresh)
    window = wei.listen()
    window.next()
    assert wei.post("/jmap/api", "die")[0] == 503
    assert window.next() is None
    assert wei.post("/jmap/api", "{}")[0] == 200
    fresh.say("end wei@example.org")
    assert until(lambda: wei.post("/jmap/api", "{}")[0] == 200, "another reader")
    window.close()


def test_no_reader_in_time(fresh):
    fresh.say("unseated")
    wei = Person(fresh)
    status, _, body = wei.post("/jmap/api", "{}")
    assert status == 503 and json.loads(body)["status"] == 503
    fresh.say("seated")
    assert wei.post("/jmap/api", "{}")[0] == 200


def test_a_vault_that_forgets(fresh):
    wei = Person(fresh)
    fresh.say("vault")
    fresh.say("end wei@example.org")
    assert wei.get("/.well-known/jmap")[0] == 401
    wei = Person(fresh)
    assert wei.get("/.well-known/jmap")[0] == 200


def test_another_vault_answers_who_waits(fresh):
    fresh.say("deaf")
    answers = []
    t = threading.Thread(target=lambda: answers.append(fresh.ask("GET", "/session", {"Cookie": "posthouse=0123"})[0]))
    t.start()
    until(lambda: fresh.seen("sign_in", SIGN_IN_AGAIN), "the question")
    fresh.say("vault")
    t.join(PATIENCE)
    assert answers == [503]
    fresh.say("hears")
    assert Person(fresh).get("/session")[0] == 200


# ── bad manners ──


def raw(web, octets, wait=True):
    """What comes back until the other side closes; b"" when it just goes."""
    with contextlib.closing(web.connect()) as s:
        with contextlib.suppress(OSError):
            s.sendall(octets)
        said = b""
        with contextlib.suppress(OSError):
            while wait and (more := s.recv(65536)):
                said += more
        return said


@pytest.mark.parametrize("octets,status", [
    pytest.param(b"GET / HTTP/1.0\r\n\r\n", 200, id="HTTP/1.0"),
    pytest.param(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400, id="no Host"),
    pytest.param(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 414, id="long target"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70000 + b"\r\n\r\n", 431, id="huge header"),
    pytest.param(b"EHLO mail.example.net\r\nMAIL FROM:<a@example.net>\r\nQUIT\r\n\r\n", None, id="SMTP"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 60 + b"\r\n\r\n", None, id="half a ClientHello"),
    pytest.param(b"POST /session HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, id="negative length"),
    pytest.param(b"POST /session HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n", (400, 413), id="endless length"),
    pytest.param(b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, id="path up"),
    pytest.param(b"GET /assets/%2e%2e/%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, id="encoded path up"),
    pytest.param(b"GET //session HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, id="two slashes"),
    pytest.param(b"GET http://other/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, id="proxy"),
    pytest.param(b"PUT /session HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 405, id="PUT"),
    pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 405, id="POST /"),
    pytest.param(b"BREW /jmap/api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405, id="BREW"),
])
def test_odd_requests(web, octets, status):
    said = raw(web, octets)
    if status is None:
        assert not said.startswith(b"HTTP/1.1 2")
    else:
        assert int(said.split(b" ")[1]) in (status if isinstance(status, tuple) else (status,)), said[:200]
    if status == 405:
        assert b"\r\nAllow: " in said
    web.is_well()


@pytest.mark.parametrize("framing", [
    "Content-Length: 0\r\nContent-Length: 30",
    "Content-Length: 30\r\nContent-Length: 0",
    "Content-Length: 30\r\nContent-Length: 30",
    "Content-Length: 35\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: gzip, chunked",
])
def test_framing_that_contradicts_itself(web, framing):
    said = raw(web, f"POST /session HTTP/1.1\r\nHost: x\r\nX-Posthouse: 1\r\n{framing}\r\n\r\n".encode() +
               b"0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 400 ") and said.count(b"HTTP/1.1 ") == 1 and b"\r\nConnection: close\r\n" in said
    web.is_well()


def unread(web, person, body):
    """A connection that asks, and takes no more of the answer than the first octets: those, and the connection."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(PATIENCE)
    s.connect(("127.0.0.1", web.port))
    s.sendall(f"POST /jmap/api HTTP/1.1\r\nHost: x\r\n{lines({**person.headers, **JSON})}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return s.recv(12)[9:], s


def unread_until_refused(web, person, body, most):
    statuses, connections = zip(*[unread(web, person, body) for _ in range(most + 1)])
    assert wei_and_ling_differ(web)
    for s in connections:
        s.close()
    assert statuses == (b"200",) * most + (b"429",)
    until(lambda: person.post("/jmap/api", body)[0] == 200, "the answers that nobody took to be gone")


def wei_and_ling_differ(web):
    return Person(web, "ling").post("/jmap/api", "big")[0] == 200


def test_answers_that_nobody_takes(fresh):
    unread_until_refused(fresh, Person(fresh), "huge", 6)  # of 128 MiB


def test_many_answers_that_nobody_takes(fresh):
    unread_until_refused(fresh, Person(fresh), "big", 16)


def test_bodies_that_do_not_end_are_not_many(fresh):
    wei = Person(fresh)
    head = f"POST /jmap/upload/a HTTP/1.1\r\nHost: x\r\n{lines(wei.headers)}Content-Length: 49000000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            s = stack.enter_context(contextlib.closing(fresh.connect()))
            s.sendall(head.encode() + b"x")
            assert wei.post("/jmap/api", "{}")[0] == 200  # the head was read
        status, _, body = Person(fresh, "ling").post("/jmap/upload/a", b"x" * 3_000_000)
        assert status == 201
        assert wei.post("/jmap/upload/a", b"x" * 1000)[0] == 201  # what is small takes no place
        assert raw(fresh, head.encode()).split(b" ")[1] == b"429"
    until(lambda: wei.post("/jmap/upload/a", b"x" * 3_000_000)[0] == 201, "room")


def test_halves_of_headers_make_room(fresh):
    with contextlib.ExitStack() as stack:
        for _ in range(256):
            s = stack.enter_context(contextlib.closing(fresh.connect()))
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        for _ in range(3):
            fresh.is_well()
    assert "too-many" not in fresh.log_text()


def test_pipelining(web):
    wei = Person(web)
    one = f"GET /session HTTP/1.1\r\nHost: x\r\n{lines(wei.cookie)}\r\n"
    last = f"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    said = raw(web, (one * 3 + last).encode())
    assert said.count(b"HTTP/1.1 200") == 4 and said.count(b'"accountId":"a"') == 3


def test_uploads_cut_off(web):
    wei = Person(web)
    for head, part in (("Content-Length: 1000000\r\n", b"x" * 300_000), ("Transfer-Encoding: chunked\r\n", b"10000\r\n" + b"x" * 70000), ("Transfer-Encoding: chunked\r\n", b"zz\r\n")):
        for _ in range(5):
            raw(web, f"POST /jmap/upload/a HTTP/1.1\r\nHost: x\r\n{lines(wei.headers)}{head}\r\n".encode() + part, wait=False)
    assert wei.post("/jmap/upload/a", b"x" * 100_000)[0] == 201


def test_clients_that_go_while_they_wait(web):
    wei = Person(web)
    for _ in range(10):
        raw(web, f"POST /jmap/api HTTP/1.1\r\nHost: x\r\n{lines(wei.headers)}Content-Length: 6\r\n\r\nsilent".encode(), wait=False)
    ling = Person(web, "ling")
    assert ling.post("/jmap/api", "{}")[0] == 200


def test_a_thousand_who_say_nothing(fresh):
    idle = [fresh.connect() for _ in range(1000)]
    for s in idle[::2]:
        with contextlib.suppress(OSError):
            s.sendall(b"GET / HT")
    wei = Person(fresh)
    assert wei.post("/jmap/api", "{}")[0] == 200
    for s in idle:
        s.close()
    fresh.is_well()


# ── TLS ──


def test_over_tls(secure):
    headers = secure.is_well()
    assert headers["Strict-Transport-Security"].startswith("max-age=")
    wei = Person(secure)
    assert wei.cookie_line.startswith("__Host-posthouse=") and "; Secure" in wei.cookie_line and "; Path=/" in wei.cookie_line
    assert secure.ask("GET", "/session", {"Cookie": wei.cookie["Cookie"].removeprefix("__Host-")})[0] == 401
    body = os.urandom(3_000_000)
    status, _, answer = wei.post("/jmap/upload/a", body)
    assert status == 201 and json.loads(answer)["size"] == len(body)
    assert wei.post("/jmap/api", "big")[2] == b"x" * (3 * 1024 * 1024)
    assert json.loads(wei.get("/.well-known/jmap")[2])["base"] == "https://mail.example.org"
    window = wei.listen()
    window.next()
    secure.say('news wei@example.org {"Email":"5"}')
    assert window.next()[1]["changed"]["a"] == {"Email": "5"}
    window.close()


def test_what_is_no_tls(secure):
    for octets in (b"EHLO mail.example.net\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff", b"", os.urandom(2000)):
        with contextlib.closing(socket.create_connection(("127.0.0.1", secure.port), timeout=PATIENCE)) as s:
            with contextlib.suppress(OSError):
                s.sendall(octets)
                s.shutdown(socket.SHUT_WR)
                while more := s.recv(65536):
                    assert not more.startswith(b"HTTP/")
        secure.is_well()


def test_tls_that_is_cut(secure):
    wei = Person(secure)
    for _ in range(20):
        s = secure.connect()
        s.sendall(f"POST /jmap/upload/a HTTP/1.1\r\nHost: x\r\n{lines(wei.headers)}Content-Length: 900000\r\n\r\n".encode() + b"x" * 50000)
        with contextlib.closing(socket.socket(fileno=s.detach())):  # no close_notify
            pass
    assert wei.get("/session")[0] == 200


# ── the rest ──


def test_autoconfiguration(web):
    """What Thunderbird reads: where the mailboxes are, where mail is handed in, TLS from the first octet preferred; the address is the login."""
    for path in ("/.well-known/autoconfig/mail/config-v1.1.xml", "/mail/config-v1.1.xml?emailaddress=wei%40example.org"):
        status, headers, body = web.ask("GET", path)
        assert status == 200 and headers["Content-Type"].startswith("text/xml")
        config = xml.etree.ElementTree.fromstring(body)
        provider = config.find("emailProvider")
        assert (config.tag, config.get("version"), provider.findtext("domain")) == ("clientConfig", "1.1", "example.org")
        servers = [(s.get("type"), s.findtext("hostname"), int(s.findtext("port")), s.findtext("socketType"))
                   for s in [*provider.findall("incomingServer"), *provider.findall("outgoingServer")]]
        assert servers == [("imap", "imap.example.org", 143, "STARTTLS"), ("smtp", "mail.example.org", web.submissions, "SSL"),
                           ("smtp", "mail.example.org", web.submission, "STARTTLS")]
        assert {s.findtext("username") for s in provider if s.get("type")} == {"%EMAILADDRESS%"}
        assert {s.findtext("authentication") for s in provider if s.get("type")} == {"password-cleartext"}


def test_draining_ends_listeners_and_then_the_role():
    w = Web()
    window = Person(w).listen()
    window.next()
    w.say("drain")
    assert window.next() is None
    window.close()
    assert until(lambda: w.seen("ended"), "the end")[0]["value"] == 0
    w.process.stdin.close()
    w.process.wait(PATIENCE)
    w.reader.join(PATIENCE)
    w.log.close()
    shutil.rmtree(w.directory)
