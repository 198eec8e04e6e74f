# SPDX-License-Identifier: Apache-2.0
"""HTML mail is hostile: what strangers send, opened in the real page. The world (every host but the station) is one listener here, which remembers who came."""
import base64
import email.message
import email.policy
import http.client
import http.server
import json
import re
import threading

import pytest

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
    deliver(reading_room, [letter(f"vector {n}", html) for n, html in enumerate(found, 1)])
    play(reading_room, "hostile_vectors", world=world.port, vectors=found)
    assert [w for w in world.came if w[1] != "control.example"] == []
    assert world.came, "the control has not reached the world: this test sees nothing"
