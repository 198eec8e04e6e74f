# SPDX-License-Identifier: Apache-2.0
"""Mails that are made to break whoever reads them go through the whole house: each is delivered, costs its reader little, is shown at least as its source, and
the next mail is read."""
import base64
import os
import pathlib
import signal
import urllib.error
import uuid

import pytest

from jmap import Jmap
from station import TRUSTED, children, command_line, inhabited, until

ROOM_KIB = 64 * 1024  # of a reader, besides the message itself
SANITIZED = "sanitize" in os.environ.get("POSTHOUSE_BUILD", "")


def nested(depth):
    return b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (i, i) for i in range(depth)) + b"\r\nthe innermost\r\n"


def messages_within(depth):
    return b"Content-Type: message/rfc822\r\n\r\n" * depth + b"\r\nthe innermost\r\n"


def boundaries(depth):
    """Broken: each boundary is the beginning of the next one, and none is ever closed."""
    return b"".join(b"Content-Type: multipart/alternative; boundary=\"%s\"\r\n\r\n--%s\r\n" % (b"x" * (i % 60 + 1), b"x" * (i % 60 + 1)) for i in range(depth))


BOMBS = {
    "10,000 deep": lambda: nested(10000),
    "10,000 messages within": lambda: messages_within(10000),
    "100,000 parts": lambda: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 100000 + b"--b--\r\n",
    "100,000 empty parts": lambda: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * 100000,
    "500,000 fields": lambda: b"X: y\r\n" * 500000 + b"\r\nbody\r\n",
    "a field of 10 MB": lambda: b"X-Long: " + (b"y" * 900 + b"\r\n ") * 11000 + b"\r\n\r\nbody\r\n",
    "100,000 addresses": lambda: b"Cc: " + b",\r\n ".join(b"\"a \xe4\xb8\xad\" <a%d@example.net>" % i for i in range(100000)) + b"\r\n\r\nbody\r\n",
    "100,000 ids": lambda: b"References: " + b"\r\n ".join(b"<a%d@example.net>" % i for i in range(100000)) + b"\r\n\r\nbody\r\n",
    "comments in comments": lambda: b"To: " + b"\r\n ".join([b"(" * 500] * 200) + b"\r\nDate: " + b"\r\n ".join([b"(" * 500] * 200) + b"\r\n\r\nbody\r\n",
    "encoded words": lambda: b"X-Words: " + b"\r\n ".join([b"=?utf-8?B?" + base64.b64encode(b"a" * 30) + b"?="] * 50000) + b"\r\n\r\nbody\r\n",
    "100,000 parameters": lambda: b"Content-Type: text/plain" + b"".join(b";\r\n name*%d*=a%%00" % i for i in range(100000)) + b"\r\n\r\nbody\r\n",
    "broken boundaries": lambda: boundaries(5000),
    "no boundary": lambda: b"Content-Type: multipart/mixed\r\n\r\n--\r\n--\r\n" * 1000,
    "html of open tags": lambda: b"Content-Type: text/html\r\n\r\n" + b"<div><table><b>\r\n" * 500000,
    "html that opens only": lambda: b"Content-Type: text/html\r\n\r\n" + b"<!--<\r\n" * 500000,
    "base64 of nothing": lambda: b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"=\r\n" * 1000000,
    "charsets that guess": lambda: b"Content-Type: text/plain; charset=x-unknown\r\n\r\n" + bytes(range(128, 256)) * 20000 + b"\r\n",
    "40 MB of one line": lambda: b"Content-Type: text/plain\r\n\r\n" + b"x" * 40_000_000 + b"\r\n",
}


# More of something than anybody reads: these are shown as they came.
SOURCE = ("10,000 deep", "100,000 parts", "100,000 empty parts", "500,000 fields", "a field of 10 MB")


@pytest.fixture(scope="module")
def station():
    yield from inhabited({"wei": "wonderland"}, segment_size="64M")


@pytest.fixture(scope="module")
def wei(station):
    return Jmap(f"http://127.0.0.1:{station.web_port}", "wei@example.org", "wonderland")


def reader(station):
    found = [pid for pid in children(station.process.pid) if "reader" in command_line(pid)]
    return found[0] if found else None


def most_kib(pid):
    """Its peak of memory that is its own."""
    return next(int(line.split()[1]) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:"))


def put(station, name, octets):
    """As any program puts a file into a Maildir."""
    box = station.state / "mail/example.org/wei"
    (box / "tmp" / name).write_bytes(octets)
    (box / "tmp" / name).rename(box / "new" / name)


def deliver(station, message):
    """By SMTP; what SMTP does not take, as another program would put it there."""
    if max(map(len, message.split(b"\r\n"))) > 998:
        put(station, f"{uuid.uuid4().hex}.host", message)
        return
    with station.hello(source=TRUSTED) as talk:
        talk.mail("bob@example.net", "wei@example.org", message)


def arrived(wei, state):
    """The id of the one mail that has come since that state."""
    created = until(lambda: wei.changes(state)[0], "the mail to be in the index")
    assert len(created) == 1
    return created.pop()


def read(wei, mail):
    """As the page reads it."""
    return wei.call("Email/get", ids=[mail], properties=["subject", "from", "to", "cc", "replyTo", "preview", "hasAttachment", "size", "textBody", "htmlBody",
                                                         "attachments", "bodyValues", "header:List-Unsubscribe:asURLs", "references", "sentAt"],
                    fetchTextBodyValues=True, fetchHTMLBodyValues=True, maxBodyValueBytes=512 * 1024)["list"][0]


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_a_mail_like_another(station, wei, bomb):
    message = b"From: Bob <bob@example.net>\r\nSubject: a bomb\r\n" + BOMBS[bomb]()
    state = wei.state()
    pid = reader(station)
    os.kill(pid, 0)
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")  # its peak begins anew
    deliver(station, message)
    mail = arrived(wei, state)
    shown = read(wei, mail)
    assert shown["size"] >= len(message)
    assert bomb not in SOURCE or "From: Bob" in shown["bodyValues"][shown["textBody"][0]["partId"]]["value"]
    assert shown["textBody"] or shown["attachments"]
    for method, arguments in (("Email/get", {"ids": [mail], "properties": ["bodyStructure", "headers"]}), ("Email/parse", {"blobIds": [mail]}),
                              ("SearchSnippet/get", {"emailIds": [mail], "filter": {"text": "innermost"}}),
                              ("Email/query", {"filter": {"header": ["X-Nothing", "none"]}})):
        wei.call(method, **arguments)
    assert reader(station) == pid, station.log_text()[-2000:]
    if not SANITIZED:
        assert most_kib(pid) <= ROOM_KIB + len(message) // 1024

    state = wei.state()
    deliver(station, b"From: bob@example.net\r\nSubject: the next\r\n\r\nas if nothing had been\r\n")
    following = read(wei, arrived(wei, state))
    assert following["subject"] == "the next" and "as if nothing" in following["bodyValues"][following["textBody"][0]["partId"]]["value"]
    wei.set(destroy=[mail])


def test_files_that_are_no_mails(station, wei):
    """What others leave in a Maildir: nothing of it stops the reader, and what is not a mail is not followed."""
    new = station.state / "mail/example.org/wei/new"
    state = wei.state()
    before = set(new.iterdir())
    (new / "1.empty.host").touch()
    (new / "2.directory.host").mkdir()
    (new / "3.link.host").symlink_to("/etc/passwd")
    os.mkfifo(new / "4.pipe.host")
    put(station, "5.nul.host", b"Subject: nul\r\n\r\n\0\0\0\r\n")
    put(station, "6." + "n" * 200 + ".host", b"Subject: long name\r\n\r\nx\r\n")
    until(lambda: len(wei.changes(state)[0]) >= 3, "the mails among them")
    found = wei.mails(sorted(wei.changes(state)[0]))
    assert {"nul", "long name"} <= {mail["subject"] for mail in found.values()}
    for mail in found:
        with wei.open(f"/jmap/download/a/{mail}/x") as answer:
            assert b"root:" not in answer.read()
    for file in set(new.iterdir()) - before:
        file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()


def test_a_nul_hides_nothing(station, wei):
    """Within a transfer encoding it goes through SMTP: who wrote, and what, is seen all the same."""
    state = wei.state()
    deliver(station, b"From: =?utf-8?B?%s?= <bob@example.net>\r\nSubject: =?utf-8?B?%s?=\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n" %
            tuple(map(base64.b64encode, (b"Bo\0b", b"nul\0 and void", b"be\0fore and after"))))
    mail = read(wei, arrived(wei, state))
    assert mail["from"] == [{"name": "Bo b", "email": "bob@example.net"}] and mail["subject"] == "nul  and void" and mail["preview"] == "before and after"
    assert [value["value"].strip() for value in mail["bodyValues"].values()] == ["before and after"]


def test_a_reader_that_is_killed_in_the_middle(station, wei):
    """503 for who was waiting, if anybody was; then a new one answers, and knows the same states and mails."""
    mail = wei.set(create={"k": {"mailboxIds": {wei.mailbox("drafts"): True}, "subject": "outlives its reader"}})["created"]["k"]["id"]
    state = wei.state()
    for _ in range(3):
        os.kill(reader(station), signal.SIGKILL)

        def asked():
            try:
                return wei.call("Email/get", ids=[mail], properties=["subject"])
            except urllib.error.HTTPError as refused:
                assert refused.code == 503
        answer = until(asked, "another reader")
        assert answer["list"][0]["subject"] == "outlives its reader" and answer["state"] == state
    station.may_end = "role=reader"
