# SPDX-License-Identifier: Apache-2.0
"""Mail that a program hands in by JMAP (RFC 8621 §7): what arrives and what does not, what is held and called back, and what its writer
is told of each recipient."""
import calendar
import contextlib
import json
import os
import signal
import sqlite3
import threading
import time
import urllib.error
import urllib.parse

import pytest

from jmap import Jmap
from peers import Sink
from station import PATIENCE, alive, children, command_line, until

LONG = 3600


class Writer(Jmap):
    """Somebody's program that writes mails."""

    def __init__(self, station, user, password):
        super().__init__(f"http://127.0.0.1:{station.web_port}", f"{user}@example.org", password)

    def http(self, path, body=None, content_type=None):
        """(status, headers, octets), of errors too."""
        try:
            with self.open(path, body, content_type) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def identity(self):
        return self.call("Identity/get", ids=None)["list"][0]["id"]

    def draft(self, to=(), bcc=(), subject="tea", sender="alice@example.org"):
        def people(list):
            return [{"email": address} for address in list]
        email = {"mailboxIds": {self.mailbox("drafts"): True}, "keywords": {"$draft": True}, "from": people([sender]), "to": people(to),
                 "bcc": people(bcc), "subject": subject, "bodyValues": {"1": {"value": "with milk\n"}},
                 "textBody": [{"partId": "1", "type": "text/plain"}]}
        answer = self.call("Email/set", create={"d": {key: value for key, value in email.items() if value}})
        assert answer.get("created"), answer
        return answer["created"]["d"]["id"]

    def submit(self, mail, envelope=None, **more):
        """The answers to EmailSubmission/set and to what it implies."""
        wish = {"identityId": self.identity(), "emailId": mail}
        return self.calls(("EmailSubmission/set", {"create": {"s": {**wish, **({"envelope": envelope} if envelope else {})}}, **more}))

    def send(self, mail, envelope=None):
        answer = self.submit(mail, envelope)[0][1]
        assert answer.get("created"), answer
        return answer["created"]["s"]

    def submission(self, id):
        return self.call("EmailSubmission/get", ids=[id])["list"][0]

    def wait_delivered(self, id, address, what):
        return until(lambda: (s := self.submission(id)["deliveryStatus"][address])["delivered"] == what and s, f"{address} to be {what}")

    def cancel(self, id):
        return self.call("EmailSubmission/set", update={id: {"undoStatus": "canceled"}})


def held(*to, **wish):
    return {"mailFrom": {"email": "alice@example.org", "parameters": wish}, "rcptTo": [{"email": address} for address in to]}


@pytest.fixture
def house(make_station):
    with Sink(answer=lambda recipient: "550 5.1.1 no such person" if recipient.startswith("no") else None) as sink:
        station = make_station(routes=f'route "*" {{ via = "smtp://127.0.0.1:{sink.port}" }}', web="no-tls = true")
        station.add_user("alice", "wonderland")
        station.add_user("bob", "builder")
        station.sink = sink
        station.alice = Writer(station, "alice", "wonderland")
        station.bob = Writer(station, "bob", "builder")
        yield station


def test_it_arrives_without_its_blind_copies(house):
    alice = house.alice
    mail = alice.draft(to=["bob@example.org"], bcc=["carol@example.net"])
    drafts, sent = alice.mailbox("drafts"), alice.mailbox("sent")
    answers = alice.submit(mail, onSuccessUpdateEmail={"#s": {f"mailboxIds/{drafts}": None, f"mailboxIds/{sent}": True, "keywords/$draft": None}})
    made = answers[0][1]["created"]["s"]
    assert made["undoStatus"] == "final" and made["envelope"]["mailFrom"]["email"] == "alice@example.org"
    assert [r["email"] for r in made["envelope"]["rcptTo"]] == ["bob@example.org", "carol@example.net"]
    # The copy of the writer is in Sent now, and says who got it.
    assert answers[1][0] == "Email/set" and mail in answers[1][1]["updated"]
    copy = alice.call("Email/get", ids=[mail], properties=["mailboxIds", "keywords", "bcc"])["list"][0]
    assert copy["mailboxIds"] == {sent: True} and not copy["keywords"] and copy["bcc"][0]["email"] == "carol@example.net"
    for octets in (*house.wait_mails("bob", 1), house.sink.wait_mails(1)[0][2]):
        assert b"Subject: tea" in octets and b"with milk" in octets
        assert b"carol" not in octets.split(b"\r\n\r\n")[0].replace(b"for <carol@example.net>", b"") and b"Bcc" not in octets
    assert alice.wait_delivered(made["id"], "bob@example.org", "yes")["smtpReply"].startswith("250 ")
    assert alice.wait_delivered(made["id"], "carol@example.net", "unknown")["smtpReply"] == "250 2.0.0 kept"


def test_one_is_refused_and_another_bounces(house):
    alice = house.alice
    made = alice.send(alice.draft(to=["bob@example.org", "ghost@example.org", "nobody@example.net"]))
    status = made["deliveryStatus"]
    assert status["ghost@example.org"]["delivered"] == "no" and status["ghost@example.org"]["smtpReply"].startswith("550 5.1.1 ")
    assert status["bob@example.org"]["delivered"] == "queued"
    house.wait_mails("bob", 1)
    alice.wait_delivered(made["id"], "bob@example.org", "yes")
    assert alice.wait_delivered(made["id"], "nobody@example.net", "no")["smtpReply"] == "550 5.1.1 no such person"
    # All of it is over and remembered: nobody is asked any more.
    state = alice.call("EmailSubmission/get", ids=[])["state"]
    house.kill("queue")
    assert alice.submission(made["id"])["deliveryStatus"]["bob@example.org"]["delivered"] == "yes"
    assert alice.call("EmailSubmission/changes", sinceState=state) == {"accountId": "a", "oldState": state, "newState": state, "hasMoreChanges": False,
                                                                       "created": [], "updated": [], "destroyed": []}
    house.pid("queue")


def test_what_is_held_can_be_called_back(house):
    alice = house.alice
    made = alice.send(alice.draft(to=["bob@example.org"]), held("bob@example.org", "carol@example.net", HOLDFOR=str(LONG)))
    assert made["undoStatus"] == "pending"
    assert abs(calendar.timegm(time.strptime(made["sendAt"], "%Y-%m-%dT%H:%M:%SZ")) - time.time() - LONG) < 60
    answer = alice.cancel(made["id"])
    assert answer["updated"] == {made["id"]: None}
    assert alice.submission(made["id"])["undoStatus"] == "canceled"
    assert alice.cancel(made["id"])["updated"] == {made["id"]: None}
    assert {item["state"] for item in house.queue()} <= {"dropped"}
    # It stays so when the station dies a moment later.
    house.kill("all")
    house.start()
    assert alice.submission(made["id"])["undoStatus"] == "canceled"
    assert alice.call("EmailSubmission/query", filter={"undoStatus": "canceled"})["ids"] == [made["id"]]
    assert {item["state"] for item in house.queue()} <= {"dropped"}
    assert not house.mailbox("bob") and not house.sink.mails


def test_it_is_called_back_by_a_queue_that_has_just_begun(house):
    alice = house.alice
    made = alice.send(alice.draft(to=["bob@example.org"]), held("bob@example.org", HOLDFOR=str(LONG)))
    house.kill("queue")
    house.pid("queue")
    until(lambda: alice.cancel(made["id"]).get("updated"), "the mail to be called back")
    assert alice.submission(made["id"])["undoStatus"] == "canceled"


def test_what_is_held_goes_when_its_moment_comes(house):
    alice = house.alice
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
    made = alice.send(alice.draft(to=["bob@example.org"]), held("bob@example.org", HOLDUNTIL=moment))
    assert made["undoStatus"] == "pending" and not house.mailbox("bob")
    house.wait_mails("bob", 1)
    assert time.time() >= calendar.timegm(time.strptime(moment, "%Y-%m-%dT%H:%M:%SZ"))
    alice.wait_delivered(made["id"], "bob@example.org", "yes")
    assert alice.submission(made["id"])["undoStatus"] == "final"
    assert alice.cancel(made["id"])["notUpdated"][made["id"]]["type"] == "cannotUnsend"


def test_nobody_calls_back_the_mail_of_another(house):
    made = house.alice.send(house.alice.draft(to=["bob@example.org"]), held("bob@example.org", HOLDFOR=str(LONG)))
    answer = house.bob.cancel(made["id"])
    assert answer["notUpdated"][made["id"]]["type"] == "notFound"
    assert house.alice.submission(made["id"])["undoStatus"] == "pending"


@pytest.mark.parametrize("envelope, error", [
    ({"mailFrom": {"email": "bob@example.org"}, "rcptTo": [{"email": "bob@example.org"}]}, "forbiddenMailFrom"),
    ({"mailFrom": {"email": "alice@example.org"}, "rcptTo": []}, "noRecipients"),
    ({"mailFrom": {"email": "alice@example.org"}, "rcptTo": [{"email": "bob@example.org"}, {"email": "a b"}]}, "invalidRecipients"),
    ({"mailFrom": {"email": "alice@example.org"}, "rcptTo": [{"email": "ghost@example.org"}]}, "invalidRecipients"),
    ({"mailFrom": {"email": "alice@example.org"}, "rcptTo": [{"email": f"u{i}@example.net"} for i in range(101)]}, "tooManyRecipients"),
    ({"mailFrom": {"email": "alice@example.org", "parameters": {"HOLDFOR": "soon"}}, "rcptTo": [{"email": "bob@example.org"}]}, "invalidProperties"),
    ({"mailFrom": {"email": "alice@example.org", "parameters": {"HOLDFOR": "99999999"}}, "rcptTo": [{"email": "bob@example.org"}]}, "invalidProperties"),
])
def test_envelopes_that_are_not_sent(house, envelope, error):
    refused = house.alice.submit(house.alice.draft(to=["bob@example.org"]), envelope)[0][1]["notCreated"]["s"]
    assert refused["type"] == error
    if error == "invalidRecipients":
        assert refused["invalidRecipients"] == [envelope["rcptTo"][-1]["email"]]
    assert not house.queue() and not house.mailbox("bob")


def test_nobody_writes_in_anothers_name(house):
    alice = house.alice
    refused = alice.submit(alice.draft(to=["bob@example.org"], sender="bob@example.org"))[0][1]["notCreated"]["s"]
    assert refused["type"] == "forbiddenFrom"
    refused = alice.call("Identity/set", create={"i": {"email": "bob@example.org", "name": "Bob"}})["notCreated"]["i"]
    assert refused["type"] == "forbiddenFrom"


def bobs_mails(house, subject):
    return house.bob.call("Email/query", filter={"subject": subject})["ids"]


def test_what_cannot_be_kept_is_not_sent(house):
    alice = house.alice
    mail = alice.draft(to=["bob@example.org"], subject="once")
    alice.identity()
    file = next(f for f in house.directory.rglob("kept.db") if "alice" in str(f))
    lock = sqlite3.connect(file, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    refused = alice.submit(mail)[0][1]["notCreated"]["s"]
    assert str(house.directory) not in refused["description"]
    lock.execute("ROLLBACK")
    lock.close()
    made = alice.send(mail)
    alice.wait_delivered(made["id"], "bob@example.org", "yes")
    house.wait_drained()
    assert len(until(lambda: bobs_mails(house, "once"), "bob to see it")) == 1
    assert alice.call("EmailSubmission/query")["ids"] == [made["id"]]


def imported(jmap, octets):
    blob = json.loads(jmap.http("/jmap/upload/a", octets, "message/rfc822")[2])["blobId"]
    answer = jmap.call("Email/import", emails={"d": {"blobId": blob, "mailboxIds": {jmap.mailbox("drafts"): True}}})
    return answer["created"]["d"]["id"]


def test_a_lone_cr_hides_no_field(house):
    alice = house.alice
    text = b"From: alice@example.org\r\nTo: bob@example.org\r\nSubject: quiet\r%s\r\n\r\nhello\r\n"
    made = alice.send(imported(alice, text % b"Bcc: carol@example.net"))
    assert [r["email"] for r in made["envelope"]["rcptTo"]] == ["bob@example.org", "carol@example.net"]
    for octets in (*house.wait_mails("bob", 1), house.sink.wait_mails(1)[0][2]):
        assert b"Subject: quiet" in octets and b"Bcc" not in octets
    refused = alice.submit(imported(alice, text % b"From: bob@example.org"))[0][1]["notCreated"]["s"]
    assert refused["type"] == "forbiddenFrom"


def test_identities_are_kept(house):
    alice = house.alice
    first = alice.call("Identity/get", ids=None)
    assert [(i["email"], i["mayDelete"]) for i in first["list"]] == [("alice@example.org", False)]
    id = first["list"][0]["id"]
    answer = alice.call("Identity/set", update={id: {"name": "爱丽丝", "textSignature": "-- \nA."}}, destroy=[id])
    assert answer["updated"] == {id: None} and answer["notDestroyed"][id]["type"] == "forbidden"
    assert alice.call("Identity/changes", sinceState=first["state"])["updated"] == [id]
    house.restart()
    again = alice.call("Identity/get", ids=[id], properties=["name", "textSignature"])["list"][0]
    assert again == {"id": id, "name": "爱丽丝", "textSignature": "-- \nA."}
    assert alice.call("Identity/set", update={id: {"email": "x@example.org"}})["notUpdated"][id]["type"] == "invalidProperties"


def test_what_was_uploaded_can_be_downloaded(house):
    status, _, answer = house.alice.http("/jmap/upload/a", b"\x89PNG and so on", "image/png")
    blob = json.loads(answer)
    assert status == 201 and (blob["accountId"], blob["type"], blob["size"]) == ("a", "image/png", 14)
    name = urllib.parse.quote("报告 \".png", safe="")
    status, headers, octets = house.alice.http(f"/jmap/download/a/{blob['blobId']}/{name}?type=image%2Fpng")
    assert status == 200 and octets == b"\x89PNG and so on"
    assert headers["Content-Type"] == "image/png" and headers["Content-Disposition"].startswith("inline; filename=\"__ _.png\"")
    status, headers, _ = house.alice.http(f"/jmap/download/a/{blob['blobId']}/x.html?type=text/html")
    assert headers["Content-Disposition"].startswith("attachment") and "sandbox" in headers["Content-Security-Policy"]
    assert house.bob.http(f"/jmap/download/a/{blob['blobId']}/x")[0] == 404
    assert house.alice.http("/jmap/download/a/U00000000000000000000000000000000/x")[0] == 404


def pid_of(house, role):
    return next((pid for pid in children(house.process.pid) if role in command_line(pid) and alive(pid)), None)


def kept_submissions(house):
    """What alice's reader keeps before it hands anything in."""
    file = next(f for f in house.directory.rglob("kept.db") if "alice" in str(f))
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        return db.execute("SELECT count(*) FROM object WHERE json_extract(json, '$.emailId') IS NOT NULL").fetchone()[0]


def test_a_stop_waits_for_the_mail_that_is_handed_in(house):
    """The reader leaves when receive has answered, and what its person has sent is known of afterwards."""
    mail = house.alice.draft(to=["bob@example.org"])
    wish = {"identityId": house.alice.identity(), "emailId": mail}
    receive, reader = house.pid("receive"), pid_of(house, "reader")
    house.may_end = "role=web"

    def ask():
        with contextlib.suppress(OSError):  # web is killed
            house.alice.calls(("EmailSubmission/set", {"create": {"s": wish}}))
    os.kill(receive, signal.SIGSTOP)
    try:
        request = threading.Thread(target=ask, daemon=True)
        request.start()
        until(lambda: kept_submissions(house), "it to be with the reader, to whom receive says nothing")
        os.kill(pid_of(house, "web"), signal.SIGKILL)  # which would wait for the answer first
        house.process.terminate()
        until(lambda: not pid_of(house, "web"), "web to be gone")
        time.sleep(0.5)
        assert alive(reader)
    finally:
        os.kill(receive, signal.SIGCONT)
    assert house.process.wait(PATIENCE) == 0
    request.join(PATIENCE)
    house.start()
    sent = house.alice.call("EmailSubmission/get", ids=None)["list"]
    assert [s["emailId"] for s in sent] == [mail]
    house.wait_mails("bob", 1)


def test_an_alias_made_later_becomes_an_identity_once(house):
    alice = house.alice
    before = alice.call("Identity/get", ids=None)

    def signed_in_anew(has_alias):
        anew = Writer(house, "alice", "wonderland")
        return until(lambda: (i := anew.call("Identity/get", ids=None)) and (len(i["list"]) == 2) == has_alias and i, "the identities")

    house.run("alias", "add", "sales@example.org", "alice@example.org")
    house.restart()
    now = signed_in_anew(True)
    made = next(i for i in now["list"] if i["email"] == "sales@example.org")
    changes = alice.call("Identity/changes", sinceState=before["state"])
    assert made["mayDelete"] and changes["created"] == [made["id"]] and changes["newState"] == now["state"]
    assert set(made) == set(before["list"][0])
    assert alice.call("Identity/set", destroy=[made["id"]])["destroyed"] == [made["id"]]
    house.restart()
    assert [i["email"] for i in signed_in_anew(False)["list"]] == ["alice@example.org"]


def test_what_was_dropped_already_counts_as_called_back(house):
    alice = house.alice
    made = alice.send(alice.draft(to=["bob@example.org"]), held("bob@example.org", HOLDFOR=str(LONG)))
    until(lambda: house.queue(), "the mail in the queue")
    house.run("queue", "from:alice@", "drop", "--yes")
    house.restart()
    assert alice.cancel(made["id"])["updated"] == {made["id"]: None}
    assert alice.submission(made["id"])["undoStatus"] == "canceled"
