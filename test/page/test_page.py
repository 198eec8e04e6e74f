# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser, against a whole station: Debian's chromium, driven by playwright-core (run.mjs has the stage, scenes/ the scenes)."""
import json
import os
import pathlib
import shutil
import subprocess
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from peers import Sink
from station import BUILD, POSTHOUSE
from talk import crlf

HERE = pathlib.Path(__file__).resolve().parent
WEB = HERE.parents[1] / "web"


def missing():
    for name in ("node", "chromium"):
        if not shutil.which(name):
            return f"no {name}"
    return None if (WEB / "node_modules/playwright-core").is_dir() else "npm has not fetched what the page is tested with"


pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


def furnish(station):
    station.add_user("alice", "wonderland")
    station.add_user("bob", "builder")
    return station


@pytest.fixture
def reading_room(make_station):
    """A station with a page, for alice and bob."""
    return furnish(make_station(web="no-tls = true"))


def play(station, scene, **given):
    given = {"command": str(POSTHOUSE), "config": str(station.config), "mail": str(station.state / "mail/example.org"),
             "smtp": station.smtp_port, **given}
    done = subprocess.run(["node", HERE / "run.mjs", scene], capture_output=True, text=True, timeout=240,
                          env={**os.environ, "BASE": f"http://127.0.0.1:{station.web_port}", "SHOTS": str(BUILD / "shots"),
                               "INPUT": json.dumps(given)})
    assert done.returncode == 0, done.stdout + done.stderr + station.log_text()[-3000:]
    return done.stdout


def letter(subject, text="Nothing much.", sender="Carol <carol@example.net>", to="alice@example.org", html=None, files=(), **fields):
    """The octets of a mail; fields as reply_to="…", files as (name, octets)."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = sender, to, subject
    for name, value in fields.items():
        mail[name.replace("_", "-").title()] = value
    mail.set_content(text, cte="base64")
    if html:
        mail.add_alternative(html, subtype="html")
    for name, octets in files:
        mail.add_attachment(octets, maintype="application", subtype="octet-stream", filename=name)
    return mail.as_bytes()


def old_letter(subject, text, charset=None, field_charset=None):
    """As the mail programs of thirty years ago wrote them: the octets of a charset, declared or not, and not encoded further."""
    octets = text.encode(field_charset or charset)
    kind = f"text/plain; charset={charset}" if charset else "text/plain"
    head = f"From: Old <old@example.net>\nTo: alice@example.org\nSubject: {subject}\nMIME-Version: 1.0\nContent-Type: {kind}\nContent-Transfer-Encoding: 8bit\n\n"
    return crlf(head.encode() + octets + b"\n")


def arrive(station, *letters, user="alice"):
    with station.hello() as talk:
        for octets in letters:
            talk.mail("carol@example.net", f"{user}@example.org", octets)
    station.wait_mails(user, len(letters))


def test_write(reading_room):
    play(reading_room, "write")


CHARSETS = {  # subject → text, its charset, what the mail declares
    "one": ("简体中文：春眠不觉晓，处处闻啼鸟。", "gb18030", "GB18030"),
    "two": ("繁體中文：床前明月光，疑是地上霜。", "big5", "Big5"),
    "three": ("日本語の古いメールです。", "iso-2022-jp", "ISO-2022-JP"),
    "four": ("没有声明字符集的邮件，今天的天气很好，我们一起去公园散步吧。", "gb18030", None),
}


@pytest.mark.slow
def test_read(reading_room):
    """Search, charsets, source, unsubscribing, many at once with undo, folders, news."""
    arrive(reading_room,
           letter("Invoice 7", "The sum is due in a month.", files=[("invoice.pdf", b"%PDF-" + b"7" * 9000)]),
           letter("Invoice 8", "A small one.", sender="Dave <dave@example.net>"),
           letter("Minutes", "今天的会议纪要在这里。"),
           letter("Newsletter", "Buy.", list_unsubscribe="<mailto:leave@lists.example.net?subject=leave>"),
           *(old_letter(f"Charset {name}", text, declared, charset) for name, (text, charset, declared) in CHARSETS.items()))
    play(reading_room, "read", charsets={name: text for name, (text, _, _) in CHARSETS.items()})


@pytest.mark.slow
def test_send(make_station):
    """Undo, later, to all with Reply-To, forwarding a file, and what became of each recipient."""
    with Sink(answer=lambda recipient: "550 5.1.1 nobody of that name" if recipient.startswith("nobody") else None) as sink:
        station = furnish(make_station(web="no-tls = true", routes=f'route "*" {{ via = "smtp://127.0.0.1:{sink.port}" }}'))
        arrive(station, letter("Party", "Who comes?", to="alice@example.org, dora@example.net", reply_to="List <list@example.net>",
                               cc="eve@example.net", files=[("地图 map.bin", bytes(range(256)))]))
        play(station, "send")
        sender, recipients, octets = next(m for m in sink.wait_mails(1) if b"To: List" in m[2])
        assert sorted(recipients) == ["dora@example.net", "eve@example.net", "list@example.net"], recipients
        assert not [m for m in sink.mails if b"Regretted" in m[2]], "what was undone has arrived"


@pytest.mark.slow
def test_drafts(reading_room):
    reading_room.run("alias", "add", "info@example.org", "alice")  # a second address to write under
    play(reading_room, "drafts")


@pytest.mark.slow
def test_many(reading_room):
    """All that a folder or a search has, beyond what is loaded."""
    many = 260
    arrive(reading_room, letter("Something else"), *(letter(f"Circular {n}") for n in range(many)))
    play(reading_room, "many", many=many)


@pytest.mark.slow
def test_keyboard(reading_room):
    arrive(reading_room, *(letter(name, f"Text of {name}", sender="Bob <bob@example.org>") for name in ("First", "Second", "Third")))
    play(reading_room, "keyboard")


@pytest.mark.slow
@pytest.mark.parametrize("device", ("desk", "phone"))
def test_looks(reading_room, device):
    """Each view in both languages and both colours: no fault of accessibility, no word of the other language, nothing out of reach."""
    reading_room.run("alias", "add", "info@example.org", "alice")  # a second address to write under
    page = "<h1>Sale</h1><p>Everything <b>must</b> go. <a href='https://shop.example.net/x'>Look</a></p><img src='https://shop.example.net/p.png'>"
    arrive(reading_room,
           letter("A plain mail with quite a long subject that does not fit into one line of a list", "Hello,\n\n> quoted\n>> twice\n\nsee https://example.org/x\n-- \nCarol"),
           letter("Big sale", "Everything must go.", html=page, sender="Shop <shop@shop.example.net>", list_unsubscribe="<https://shop.example.net/leave>"),
           letter("Files", "Two files.", files=[("报告 2026.pdf", b"%PDF-1" * 300), ("long-" * 12 + "name.bin", b"x" * 70000)]))
    play(reading_room, "looks", device=device, english=str(WEB / "src/i18n/en.ts"))
