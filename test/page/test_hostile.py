# SPDX-License-Identifier: Apache-2.0
"""HTML mail is hostile: what strangers send, opened in the real page. The world (every host but the station) is one listener here, which remembers who came."""
import base64
import contextlib
import email.message
import email.policy
import http.server
import json
import re
import socket
import threading

import pytest

from browser import Browser, door_of
from station import until
from test_page import missing, play, reading_room  # noqa: F401 (a fixture)

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script><rect width="9" height="9"/></svg>'
SPEAKS_OF_RUNNING = b"<!doctype html><title>ran</title><script>alert(1)</script>"


class World(http.server.ThreadingHTTPServer):
    """All that is not the station. `came` has [method, host, path, header fields], `pages` what is answered; else a picture."""
    daemon_threads = True

    def __init__(self):
        self.came, self.pages = [], {}
        super().__init__(("127.0.0.1", 0), Visitor)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]


class Visitor(http.server.BaseHTTPRequestHandler):
    def setup(self):
        super().setup()
        self.at = len(self.server.came)
        self.server.came.append(["", "", "a connection", {}])
        self.connection.settimeout(10)
        with contextlib.suppress(OSError):
            hello = self.connection.recv(4096, socket.MSG_PEEK)
            if hello[:1] == b"\x16":  # TLS, which is not spoken here; but whom it was for stands in it
                self.server.came[self.at][1] = b" ".join(re.findall(rb"[a-z0-9-]+(?:\.[a-z0-9-]+)+", hello)).decode()

    def do_GET(self):
        octets, kind = self.server.pages.get(self.path, (PIXEL, "image/png"))
        self.server.came[self.at] = [self.command, self.headers.get("Host"), self.path, dict(self.headers.items())]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(octets)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(octets)

    do_POST = do_HEAD = do_PUT = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def world():
    w = World()
    yield w
    w.shutdown()
    w.server_close()


def letter(subject, html=None, sender="Mallory <mallory@evil.example>", text=None, parts=(), **fields):
    """parts: (octets, type, file name, Content-ID)."""
    m = email.message.EmailMessage(policy=email.policy.SMTP)
    m["From"], m["To"], m["Subject"] = sender, "alice@example.org", subject
    m["Message-ID"] = f"<{abs(hash((subject, html)))}@evil.example>"
    m["Date"] = "Mon, 23 Nov 2026 12:00:00 +0000"
    for name, value in fields.items():
        m[name.replace("_", "-")] = value
    if html is None:
        m.set_content(text or "text\n")
    else:
        m.set_content(html, subtype="html", cte="base64")
    for octets, kind, name, cid in parts:
        main, sub = kind.split("/")
        m.add_attachment(octets, maintype=main, subtype=sub, filename=name, cid=cid and f"<{cid}>", disposition="inline" if cid else "attachment")
    return m.as_bytes()


def deliver(station, letters, user="alice"):
    for at in range(0, len(letters), 25):
        with station.hello(source="127.0.0.2") as talk:
            for octets in letters[at:at + 25]:
                talk.mail("mallory@evil.example", [f"{user}@example.org"], octets)
    until(lambda: len(station.mail_files(user)) >= len(letters), f"{len(letters)} mails for {user}")


# ── the vectors ──

# CSS to whoever reads it first; elements, if what is cut out of it lets its neighbours join. The host of an iframe is connected to before a policy refuses it.
JOINS = "<style>{css}</style>"
FRAME_JOINS = JOINS.format(css='<@import x;/style><@import x;iframe src="https://u1234.evil.example/"><@import x;/iframe>')
LINK_JOINS = JOINS.format(css='<@import x;/style><@import x;a href="http://evil.example/paypal" rel=opener target=_blank>https://www.paypal.com/<@import x;/a>')
TWICE_JOINS = JOINS.format(css='<@im@import x;port y;/style><@im@import x;port y;iframe src="https://u1235.evil.example/"><@im@import x;port y;/iframe>')
OWN_VECTORS = [FRAME_JOINS, LINK_JOINS, TWICE_JOINS, f"<html><head>{FRAME_JOINS}{LINK_JOINS}</head><body>text</body></html>",
               '<p class="posthouse-host">forged</p><a href="http://evil.example/" rel=opener target=_top>https://www.paypal.com/</a>']


def vectors(testdata):
    path = testdata / "webmail/h5sc-vectors.txt"
    if not path.is_file():
        pytest.skip("no h5sc-vectors.txt")
    return re.split(r'(?=<div id="\d+">)', path.read_text())[1:]


@pytest.mark.slow
def test_vectors(reading_room, world, testdata):  # noqa: F811
    """Each mailed by itself and opened in the page; nothing runs, nothing leaves, nothing is posted, and the page goes on."""
    found = vectors(testdata)
    assert len(found) == 139
    found += OWN_VECTORS
    deliver(reading_room, [letter(f"vector {n}", html) for n, html in enumerate(found, 1)])
    play(reading_room, "hostile_vectors", world=world.port, vectors=found)
    hosts = [w[1] for w in world.came]
    assert "control.example" in hosts, "the control has not reached the world: this test sees nothing"
    paths = [w[2] for w in world.came]
    policy, sanitizer, control = paths.index("/policy-alone"), paths.index("/sanitizer-alone"), hosts.index("control.example")
    assert world.came[:policy] == [] and world.came[sanitizer + 1:control] == [], world.came[:control]
    asked = [w for w in world.came[policy + 1:sanitizer] if w[0]]  # chromium connects to the host of an iframe, and then the policy lets nothing be asked
    assert asked == [], asked


# ── mails that lie, follow and lure ──

FAR = '<p>Buy!</p><img src="http://pics.example/{n}.png"><img src="//pics.example/{n}-b.png" srcset="http://pics.example/{n}-s.png 1x"><p style="background:url(http://pics.example/{n}-c.png)">now</p>'
LINKS = """<p><a href="javascript:alert(1)">script</a> <a href="data:text/html,<script>alert(1)</script>">data</a> <a href="file:///etc/passwd">file</a>
<a href="blob:http://phish.example/1">blob</a> <a href="view-source:http://phish.example/">view</a>
<p><a href="http://phish.example/">www.bank.example</a><p><a href="http://phish.example/">https://bank.example/login</a><p><a href="http://phish.example/">bank.example (safe)</a>
<p><a href="http://phish.example/">Visit bank.example</a><p><a href="http://phish.example/">bank&#x200b;.example</a><p><a href="http://phish.example/">b&shy;ank.example</a>
<p><a href="http://bank.example@phish.example/">https://bank.example@phish.example/</a>
<p><a href="http://phish.example/" target="_top" rel="opener">honest</a><p><a href="http://www.honest.example/">www.honest.example</a><p><a href="http://\u0430\u0440\u0440\u04cf\u0435.com/">cyrillic</a>"""
COVER = """<div style="position:fixed;inset:0;background:red;z-index:99999">covers all</div><style>*{position:fixed}</style><form action="http://evil.example/"><input name=a><button>x</button></form>
<img src="http://evil.example/x.png" onerror="alert(1)"><script>alert(1)</script>""" + FRAME_JOINS + LINK_JOINS
FORGED_HEADS = """<body style="display:none" class="x"></div></p><style>h2,p,hr,header{display:none!important}</style><div style="position:fixed;inset:0;background:red;z-index:99999">From: your bank</div>
<div style="margin-top:-900px;height:900px;background:blue">From: your bank</div><p>the end of it"""


def lies(testdata):
    shop = "Shop <shop@offers.example>"
    newsletter = testdata / "webmail/htmlsanitizer-email.html.txt"
    yield from (letter(f"Offer {n}", FAR.format(n=n), shop) for n in ("one", "two", "three"))
    yield letter("Another shop", FAR.format(n="other"), "Shop <shop@other.example>")
    if newsletter.is_file():
        yield letter("Newsletter", newsletter.read_text(errors="replace"), "News <news@letter.example>")
    yield letter("Own pictures", '<img id="png" src="cid:one@x"><img id="svg" src="cid:two@x"><img id="none" src="cid:none@x">',
                 parts=[(PIXEL, "image/png", "a.png", "one@x"), (SVG, "image/svg+xml", "b.svg", "two@x")])
    yield letter("Links", LINKS)
    yield letter("I am your bank", "<p>Hello</p>", '"service@bank.example" <thief@evil.example>')
    yield letter("Turned \u202e gnp.exe \u200b\u200dsubject", "<p>Hello</p>", "\u202eelpmaxe.knab@ecivres\u2066\u200b <thief@evil.example>")
    yield letter("Files", text="see below\n", parts=[
        (SVG, "image/svg+xml", "picture.svg", None), (SPEAKS_OF_RUNNING, "text/html", "page.html", None), (SPEAKS_OF_RUNNING, "image/png", "sniffed.png", None),
        (b"MZ", "application/octet-stream", "../../../etc/cron.d/evil", None), (b"MZ", "application/octet-stream", "..\\..\\evil.bat", None),
        (b"MZ", "application/octet-stream", "invoice\u202efdp.exe", None), (b"MZ", "application/octet-stream", ".profile", None)])
    yield letter("Cover", COVER)
    yield letter("Forged heads", FORGED_HEADS)


@pytest.mark.slow
def test_mails_that_lie(reading_room, world, testdata):  # noqa: F811
    letters = list(lies(testdata))
    deliver(reading_room, letters)
    world.pages["/"] = (b"<!doctype html><title>elsewhere</title>", "text/html")
    play(reading_room, "hostile_mails", world=world.port, has_newsletter=len(letters) == 12)
    pictures = [w for w in world.came if w[1] == "pics.example"]
    assert {w[2] for w in pictures} >= {"/one.png", "/one-c.png", "/two.png", "/three.png"}
    for method, _, path, heads in pictures:
        assert method == "GET" and "other" not in path
        assert "Mozilla" in heads["User-Agent"] and not {"Referer", "Cookie"} & set(heads), heads  # the browser came, not the station
    assert not [w for w in world.came if "evil.example" in w[1] or w[1] == "bank.example"], world.came


# ── the frame, and pages of other sites ──


@pytest.mark.slow
def test_other_sites(reading_room, world):  # noqa: F811
    world.pages["/"] = (b"<!doctype html><title>evil</title>", "text/html")
    play(reading_room, "hostile_sites", world=world.port)
    assert sum(w[2] == "/" for w in world.came) > 20, "the evil page was not asked for"


def test_frames_are_their_owners(reading_room):  # noqa: F811
    """The frame of a mail: of one session, with a policy in every answer, and never without proof that the page asks."""
    door = door_of(reading_room)
    alice, again, bob = Browser(door, "alice", "wonderland"), Browser(door, "alice", "wonderland"), Browser(door, "bob", "builder")
    html = {"Content-Type": "text/html"}
    status, _, body = alice.ask("POST", "/frame?remote=0", "<p>secret</p>", html)
    url = json.loads(body)["url"]
    assert status == 201
    status, headers, body = alice.ask("GET", url)
    policy = headers["Content-Security-Policy"]
    assert status == 200 and body == b"<p>secret</p>"
    for word in ("sandbox allow-popups allow-popups-to-escape-sandbox;", "default-src 'none'", "img-src data:;", "form-action 'none'", "base-uri 'none'", "frame-ancestors 'self'"):
        assert word in policy + ";", policy
    assert "allow-scripts" not in policy and "allow-same-origin" not in policy
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"], headers["Cache-Control"], headers["X-DNS-Prefetch-Control"]) == ("nosniff", "no-referrer", "no-store", "off")
    for other in (again, bob):
        assert other.ask("GET", url)[0] == 404
    for path in ("/frame/", "/frame/" + "0" * 32, url + "0", url[:-1], url + "/", "/frame/..%2fsession", "/frame/%00"):
        status, headers, body = alice.ask("GET", path)
        assert status == 404 and "default-src 'none'" in headers["Content-Security-Policy"] and b"secret" not in body, path
    bob.headers = bob.cookie
    assert bob.ask("POST", "/frame", "<p>x</p>", html)[0] == 403
    bob.headers = {**bob.cookie, **alice.proof}
    assert bob.ask("POST", "/frame", "<p>x</p>", html)[0] == 403
    bob.headers = {}
    assert bob.ask("POST", "/frame", "<p>x</p>", html)[0] == 401
    assert alice.ask("POST", "/frame", more={**html, "Content-Length": str(9 << 20)})[0] == 413  # and is not waited for
    for kind in ("image/svg+xml", "application/xhtml+xml", "text/xml"):
        assert alice.ask("POST", "/frame", "<svg/>", {"Content-Type": kind})[0] == 415
    assert alice.ask("DELETE", "/session")[0] == 204
    assert alice.ask("GET", url)[0] == 401
