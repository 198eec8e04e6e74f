# SPDX-License-Identifier: Apache-2.0
"""JMAP as a program speaks it (RFC 8620, RFC 8621): over HTTP to a whole station, with the Maildir looked at from outside."""
import json
import urllib.error

import pytest

from jmap import Jmap
from station import inhabited

REPORT = "第三季度报价.pdf"
OCTETS = bytes(range(256)) * 300


class Program(Jmap):
    """A mail program that speaks JMAP, as wei if nobody else is named."""

    def __init__(self, station, login="wei@example.org", password="wonderland"):
        super().__init__(f"http://127.0.0.1:{station.web_port}", login, password)

    def ask(self, path, body=None, kind="application/json"):
        """GET, or POST of a body: the answer's octets."""
        with self.open(path, body, kind) as answer:
            return answer.read()

    def upload(self, octets, kind):
        return json.loads(self.ask("/jmap/upload/a", octets, kind))["blobId"]

    def mail(self, mail, **more):
        return self.call("Email/get", ids=[mail], **more)["list"][0]

    def write(self, **email):
        answer = self.call("Email/set", create={"k": {"mailboxIds": {self.mailbox("drafts"): True}, **email}})
        assert not answer["notCreated"], answer
        return answer["created"]["k"]["id"]


@pytest.fixture(scope="module")
def station():
    yield from inhabited({"wei": "wonderland", "eve": "nightfall"})


@pytest.fixture
def wei(station):
    return Program(station)


def flags(station, folder):
    """The flags in the names of a folder's files."""
    top = station.state / "mail/example.org/wei"
    return sorted(f.name.partition(":2,")[2] for where in ("new", "cur") for f in (top / folder / where).glob("[!.]*"))


def test_a_mail_is_written_flagged_moved_and_removed(station, wei):
    before = flags(station, ".Drafts")
    mail = wei.write(keywords={"$draft": True, "$seen": True}, to=[{"name": "李 雷", "email": "li@example.net"}], bcc=[{"email": "hidden@example.net"}],
                     subject="报价", textBody=[{"partId": "t", "type": "text/plain"}], htmlBody=[{"partId": "h", "type": "text/html"}],
                     bodyValues={"t": {"value": "见附件。\n"}, "h": {"value": "<p>见附件。</p><img src=cid:logo>"}},
                     attachments=[{"blobId": wei.upload(OCTETS, "application/pdf"), "type": "application/pdf", "name": REPORT, "disposition": "attachment"},
                                  {"blobId": wei.upload(b"\x89PNG", "image/png"), "type": "image/png", "cid": "logo", "disposition": "inline"}])
    assert flags(station, ".Drafts") == sorted([*before, "DS"])
    back = wei.mail(mail, properties=["from", "to", "bcc", "subject", "attachments", "bodyValues", "textBody", "keywords", "hasAttachment"], fetchTextBodyValues=True)
    assert back["from"] == [{"name": None, "email": "wei@example.org"}]
    assert back["to"] == [{"name": "李 雷", "email": "li@example.net"}] and back["bcc"] == [{"name": None, "email": "hidden@example.net"}]
    assert back["subject"] == "报价" and back["keywords"] == {"$draft": True, "$seen": True} and back["hasAttachment"]
    assert [v["value"] for v in back["bodyValues"].values()] == ["见附件。\n"]
    report = next(p for p in back["attachments"] if p["name"] == REPORT)
    assert report["size"] == len(OCTETS)
    assert wei.ask(f"/jmap/download/a/{report['blobId']}/report.pdf") == OCTETS
    assert [p["cid"] for p in back["attachments"] if p["type"] == "image/png"] == ["logo"]

    assert mail in wei.call("Email/set", update={mail: {"keywords/$flagged": True, "keywords/$draft": None}})["updated"]
    assert flags(station, ".Drafts") == sorted([*before, "FS"])
    assert mail in wei.call("Email/set", update={mail: {"mailboxIds": {wei.mailbox("archive"): True}}})["updated"]
    assert flags(station, ".Drafts") == before and flags(station, ".Archive") == ["FS"]
    assert wei.call("Email/set", destroy=[mail])["destroyed"] == [mail]
    assert flags(station, ".Archive") == []
    assert wei.call("Email/get", ids=[mail])["notFound"] == [mail]


def test_two_windows_save_the_same_draft(wei):
    old = wei.write(subject="first")
    drafts = wei.mailbox("drafts")
    saves = [wei.calls(("Email/set", {"create": {"k": {"mailboxIds": {drafts: True}, "subject": window}}}), ("Email/set", {"destroy": [old]})) for window in ("one", "two")]
    (_, one), (_, gone) = saves[0]
    (_, two), (_, late) = saves[1]
    assert gone["destroyed"] == [old] and late["notDestroyed"][old]["type"] == "notFound"
    assert [wei.mail(a["created"]["k"]["id"])["subject"] for a in (one, two)] == ["one", "two"]


def test_a_mail_is_forwarded_whole(wei):
    inner = wei.write(subject="inner", textBody=[{"partId": "t"}], bodyValues={"t": {"value": "as it was"}})
    outer = wei.write(subject="Fwd", attachments=[{"blobId": inner, "type": "message/rfc822", "name": "inner.eml"}])
    part, = wei.mail(outer, properties=["attachments"])["attachments"]
    assert part["type"] == "message/rfc822"
    assert wei.ask(f"/jmap/download/a/{part['blobId']}/inner.eml") == wei.ask(f"/jmap/download/a/{inner}/inner.eml")


def test_a_message_is_imported_and_its_sender_suggested(wei):
    octets = b"Received: from a by b; Mon, 23 Nov 2026 18:00:00 +0000\r\nFrom: Zoe Stone <zoe@example.net>\r\nSubject: old mail\r\n\r\nkept\r\n"
    answer = wei.call("Email/import", emails={"i": {"blobId": wei.upload(octets, "message/rfc822"), "mailboxIds": {wei.mailbox("inbox"): True}}})
    mail = answer["created"]["i"]["id"]
    assert wei.mail(mail)["receivedAt"] == "2026-11-23T18:00:00Z"
    assert wei.ask(f"/jmap/download/a/{mail}/old.eml") == octets
    assert wei.call("Contact/suggest", text="zoe")["list"] == [{"name": "Zoe Stone", "email": "zoe@example.net"}]


@pytest.mark.parametrize("email, kind", [
    ({"subject": "a\r\nBcc: eve@example.org"}, "invalidProperties"),
    ({"to": [{"name": "a\nb", "email": "a@example.net"}]}, "invalidProperties"),
    ({"keywords": {"mine": True}}, "invalidProperties"),
    ({"mailboxIds": {}}, "invalidProperties"),
    ({"mailboxIds": {"a": True, "b": True}}, "tooManyMailboxes"),
    ({"attachments": [{"blobId": "Unone"}]}, "blobNotFound"),
    ({"size": 5}, "invalidProperties"),
])
def test_what_cannot_be_written(station, wei, email, kind):
    before = flags(station, ".Drafts")
    answer = wei.call("Email/set", create={"k": {"mailboxIds": {wei.mailbox("drafts"): True}, **email}})
    assert answer["created"] is None and answer["notCreated"]["k"]["type"] == kind
    assert flags(station, ".Drafts") == before


def test_another_state_changes_nothing(station, wei):
    (name, answer), = wei.calls(("Email/set", {"ifInState": "never", "create": {"k": {"mailboxIds": {wei.mailbox("drafts"): True}}}}))
    assert (name, answer["type"]) == ("error", "stateMismatch")


def test_nobody_else_sees_or_changes_it(station, wei):
    mail = wei.write(subject="secret")
    eve = Program(station, "eve@example.org", "nightfall")
    assert eve.call("Email/get", ids=[mail])["notFound"] == [mail]
    assert eve.call("Email/set", destroy=[mail])["notDestroyed"][mail]["type"] == "notFound"
    with pytest.raises(urllib.error.HTTPError) as refused:
        eve.ask(f"/jmap/download/a/{mail}/secret.eml")
    assert refused.value.code == 404
    assert eve.call("Email/set", create={"k": {"mailboxIds": {eve.mailbox("drafts"): True}, "attachments": [{"blobId": mail}]}})["notCreated"]["k"]["notFound"] == [mail]
    assert wei.mail(mail)["subject"] == "secret"


def test_a_wrong_password_is_told_nothing(station):
    with pytest.raises(urllib.error.HTTPError) as refused:
        Program(station, password="guess").call("Mailbox/get", ids=None)
    assert refused.value.code == 401
