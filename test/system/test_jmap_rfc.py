# SPDX-License-Identifier: Apache-2.0
"""RFC 8620 §3–§7 and RFC 8621, method by method: what each answer has, what is left out, how lists are ordered, what a state is."""
import json

import pytest

from jmap import USING, Jmap
from station import inhabited, until

SET = {"accountId", "oldState", "newState", "created", "updated", "destroyed", "notCreated", "notUpdated", "notDestroyed"}
KINDS = ("Mailbox", "Email", "Identity", "EmailSubmission")


@pytest.fixture(scope="module")
def station():
    yield from inhabited({"wei": "wonderland"})


@pytest.fixture(scope="module")
def wei(station):
    return Jmap(f"http://127.0.0.1:{station.web_port}", "wei@example.org", "wonderland")


@pytest.fixture(scope="module")
def mails(wei):
    """Five mails of two threads in a mailbox of their own: (its id, their ids, oldest first)."""
    box = wei.call("Mailbox/set", create={"k": {"name": "Five"}})["created"]["k"]["id"]
    ids = []
    for i, (who, subject) in enumerate([("b", "Boat"), ("a", "anchor"), ("c", "Re: Boat"), ("B", "Čaj"), ("d", "Re: anchor")]):
        octets = f"From: {who}@example.net\r\nMessage-ID: <m{i}@example.net>\r\n"
        if subject.startswith("Re: "):
            octets += f"In-Reply-To: <m{i - 2 if i == 2 else 1}@example.net>\r\n"
        octets += f"Subject: {subject}\r\nDate: Mon, 23 Nov 2026 1{5 - i}:00:00 +0000\r\n\r\n" + "word " * (i * 50) + "\r\n"
        with wei.open("/jmap/upload/a", octets.encode(), "message/rfc822") as answer:
            blob = json.load(answer)["blobId"]
        made = wei.call("Email/import", emails={"k": {"blobId": blob, "mailboxIds": {box: True}, "receivedAt": f"2026-11-2{i}T10:00:00Z"}})["created"]["k"]
        assert set(made) == {"id", "blobId", "threadId", "size"}
        ids.append(made["id"])
    return box, ids


def request(wei, *calls, **more):
    """The whole response to calls (method, arguments)."""
    body = {"using": USING, "methodCalls": [[method, {"accountId": "a", **arguments}, str(i)] for i, (method, arguments) in enumerate(calls)], **more}
    with wei.open("/jmap/api", json.dumps(body).encode()) as answer:
        return json.load(answer)


def error(wei, method, **arguments):
    (name, answer, _), = request(wei, (method, arguments))["methodResponses"]
    assert name == "error", answer
    return answer["type"]


# ── RFC 8620 §2, §3 ──


def test_the_session_object(wei):
    session = wei.session()
    assert set(session) == {"capabilities", "accounts", "primaryAccounts", "username", "apiUrl", "downloadUrl", "uploadUrl", "eventSourceUrl", "state"}
    assert set(session["capabilities"]["urn:ietf:params:jmap:core"]) == {
        "maxSizeUpload", "maxConcurrentUpload", "maxSizeRequest", "maxConcurrentRequests", "maxCallsInRequest", "maxObjectsInGet", "maxObjectsInSet", "collationAlgorithms"}
    account = session["accounts"]["a"]
    assert set(account) == {"name", "isPersonal", "isReadOnly", "accountCapabilities"}
    assert set(account["accountCapabilities"]["urn:ietf:params:jmap:mail"]) == {
        "maxMailboxesPerEmail", "maxMailboxDepth", "maxSizeMailboxName", "maxSizeAttachmentsPerEmail", "emailQuerySortOptions", "mayCreateTopLevelMailbox"}
    assert set(account["accountCapabilities"]["urn:ietf:params:jmap:submission"]) == {"maxDelayedSend", "submissionExtensions"}
    for template, names in (("downloadUrl", ("{accountId}", "{blobId}", "{type}", "{name}")), ("uploadUrl", ("{accountId}",)),
                            ("eventSourceUrl", ("{types}", "{closeafter}", "{ping}"))):
        assert all(name in session[template] for name in names)
    assert request(wei, ("Core/echo", {}))["sessionState"] == session["state"]


def test_created_ids_come_back_when_they_are_given(wei):
    assert "createdIds" not in request(wei, ("Core/echo", {}))
    answer = request(wei, ("Mailbox/set", {"create": {"k": {"name": "Made"}}}), ("Mailbox/set", {"destroy": ["#k"]}), createdIds={"old": "x"})
    made = answer["methodResponses"][0][1]["created"]["k"]["id"]
    assert answer["createdIds"] == {"old": "x", "k": made}
    assert answer["methodResponses"][1][1]["destroyed"] == [made]


# ── §5.1, §5.3 ──


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_answers_with_all_it_has(wei, kind):
    answer = wei.call(f"{kind}/set")
    assert set(answer) == SET and answer["oldState"] == answer["newState"]
    assert {answer[name] for name in SET - {"accountId", "oldState", "newState"}} == {None}
    answer = wei.call(f"{kind}/set", update={"none": {}}, destroy=["naught", "naught"])
    assert answer["notUpdated"]["none"]["type"] == answer["notDestroyed"]["naught"]["type"] == "notFound"
    assert error(wei, f"{kind}/set", ifInState="never", destroy=["none"]) == "stateMismatch"
    assert error(wei, f"{kind}/set", destroy=[str(i) for i in range(1001)]) == "requestTooLarge"


@pytest.mark.parametrize("kind", [*KINDS, "Thread"])
def test_a_get_answers_with_all_it_has(wei, kind):
    answer = wei.call(f"{kind}/get", ids=["none", "none"])
    assert set(answer) == {"accountId", "state", "list", "notFound"} and answer["list"] == [] and answer["notFound"] == ["none"]
    assert error(wei, f"{kind}/get", ids=[], properties=["nonsense"]) == "invalidArguments"
    assert error(wei, f"{kind}/get", ids=[str(i) for i in range(1001)]) == "requestTooLarge"
    assert error(wei, f"{kind}/changes", sinceState="never") == "cannotCalculateChanges"


def test_properties_that_were_not_asked_for_stay_away(wei, mails):
    _, ids = mails
    for kind, some in (("Email", ids[:1]), ("Mailbox", None), ("Identity", None), ("Thread", [wei.call("Email/get", ids=ids[:1])["list"][0]["threadId"]])):
        for object in wei.call(f"{kind}/get", ids=some, properties=["id"])["list"]:
            assert set(object) == {"id"}


def test_what_one_creates_another_may_name(wei):
    """RFC 8620 §5.3: a creation id in the same call or a later one, as a value and as a key; the answer has the real one."""
    answer = request(wei, ("Mailbox/set", {"create": {"in": {"name": "Inner", "parentId": "#out"}, "out": {"name": "Outer"}}}),
                     ("Email/set", {"create": {"m": {"mailboxIds": {"#in": True}}}}), ("Email/set", {"update": {"#m": {"keywords/$seen": True}}}),
                     ("Email/get", {"ids": ["#m"], "properties": ["mailboxIds", "keywords"]}), ("Mailbox/set", {"update": {"#in": {"name": "Deeper"}}}),
                     ("Email/set", {"destroy": ["#m"]}), ("Mailbox/set", {"destroy": ["#in", "#out"]}))["methodResponses"]
    made, mail = answer[0][1]["created"], answer[1][1]["created"]["m"]["id"]
    assert answer[2][1]["updated"] == {mail: None}
    assert answer[3][1]["list"] == [{"id": mail, "mailboxIds": {made["in"]["id"]: True}, "keywords": {"$seen": True}}]
    assert answer[4][1]["updated"] == {made["in"]["id"]: None}
    assert answer[6][1]["destroyed"] == [made["in"]["id"], made["out"]["id"]]


def test_patches(wei, mails):
    _, ids = mails
    mail = ids[0]
    for patch, kind in (({"keywords/a/b": True}, "invalidPatch"), ({"keywords": {}, "keywords/$seen": True}, "invalidPatch"), ({"nowhere/a": True}, "invalidPatch"),
                        ({"subject": "other"}, "invalidProperties"), ({"mailboxIds": {}}, "invalidProperties"), ({"mailboxIds": {"none": True}}, "invalidProperties"),
                        ({"keywords/$seen": 5}, "invalidProperties")):
        answer = wei.call("Email/set", update={mail: patch})
        assert answer["notUpdated"][mail]["type"] == kind, (patch, answer)
    wei.set(update={mail: {"keywords": {"$SEEN": True}}})
    assert wei.call("Email/get", ids=[mail], properties=["keywords"])["list"][0]["keywords"] == {"$seen": True}
    wei.set(update={mail: {"keywords/$seen": None}})
    assert wei.call("Email/get", ids=[mail], properties=["keywords"])["list"][0]["keywords"] == {}
    assert wei.call("Email/set", update={mail: {"keywords/$seen": True}}, destroy=[mail, "none"][1:])["updated"] == {mail: None}
    wei.set(update={mail: {"keywords": None}})


def test_who_is_changed_and_destroyed_at_once(wei):
    mail = wei.set(create={"k": {"mailboxIds": {wei.mailbox("drafts"): True}}})["created"]["k"]["id"]
    answer = wei.call("Email/set", update={mail: {"keywords/$seen": True}}, destroy=[mail])
    assert answer["notUpdated"][mail]["type"] == "willDestroy" and answer["destroyed"] == [mail]


# ── §5.2 ──


def test_changes_in_steps(wei):
    state = wei.state()
    drafts = {wei.mailbox("drafts"): True}
    ids = [wei.set(create={"k": {"mailboxIds": drafts}})["created"]["k"]["id"] for _ in range(5)]
    found, at, steps = [], state, 0
    while True:
        answer = wei.call("Email/changes", sinceState=at, maxChanges=2)
        assert set(answer) == {"accountId", "oldState", "newState", "hasMoreChanges", "created", "updated", "destroyed"} and answer["oldState"] == at
        assert len(answer["created"] + answer["updated"] + answer["destroyed"]) <= 2
        found, at, steps = found + answer["created"], answer["newState"], steps + 1
        if not answer["hasMoreChanges"]:
            break
    assert sorted(found) == sorted(ids) and steps >= 3 and at == wei.state()
    wei.set(destroy=ids[:2])
    wei.set(update={ids[2]: {"keywords/$seen": True}})
    answer = wei.call("Email/changes", sinceState=state)
    assert sorted(answer["created"]) == sorted(ids[2:]) and answer["updated"] == [] and not set(answer["destroyed"]) & set(ids[2:])
    answer = wei.call("Email/changes", sinceState=at)
    assert (answer["created"], answer["updated"], sorted(answer["destroyed"])) == ([], [ids[2]], sorted(ids[:2]))
    for most in (0, -1):
        assert error(wei, "Email/changes", sinceState=at, maxChanges=most) == "invalidArguments"
    wei.set(destroy=ids[2:])


def test_counts_that_change_say_so(wei, mails):
    """RFC 8621 §2.2: updatedProperties, where nothing but numbers changed."""
    box, ids = mails
    state = wei.call("Mailbox/get", ids=[])["state"]
    assert wei.call("Mailbox/changes", sinceState=state)["updatedProperties"] is None or wei.call("Mailbox/changes", sinceState=state)["updated"] == []
    wei.set(update={ids[0]: {"keywords/$seen": True}})
    answer = wei.call("Mailbox/changes", sinceState=state)
    assert box in answer["updated"] and set(answer["updatedProperties"]) <= {"totalEmails", "unreadEmails", "totalThreads", "unreadThreads"}
    wei.call("Mailbox/set", update={box: {"name": "Five mails"}})
    assert wei.call("Mailbox/changes", sinceState=state)["updatedProperties"] is None
    wei.set(update={ids[0]: {"keywords/$seen": None}})


# ── §5.5, §5.6; RFC 8621 §4.4 ──


def query(wei, box, **arguments):
    return wei.call("Email/query", filter={"inMailbox": box}, **arguments)


def test_windows(wei, mails):
    box, ids = mails
    by = [{"property": "receivedAt"}]
    answer = query(wei, box, sort=by, calculateTotal=True)
    assert set(answer) - {"limit"} == {"accountId", "queryState", "canCalculateChanges", "position", "ids", "total"}
    assert (answer["ids"], answer["position"], answer["total"]) == (ids, 0, 5)
    assert "total" not in query(wei, box)
    for window, position, wanted in (({"position": 2, "limit": 2}, 2, ids[2:4]), ({"position": -2}, 3, ids[3:]), ({"position": -9}, 0, ids), ({"position": 9}, None, []),
                                     ({"limit": 0}, 0, []), ({"anchor": ids[2]}, 2, ids[2:]), ({"anchor": ids[2], "anchorOffset": -1, "limit": 2}, 1, ids[1:3]),
                                     ({"anchor": ids[0], "anchorOffset": -3}, 0, ids), ({"anchor": ids[1], "anchorOffset": 1, "position": 4}, 2, ids[2:])):
        answer = query(wei, box, sort=by, **window)
        assert answer["ids"] == wanted and position in (None, answer["position"]), window
    assert error(wei, "Email/query", filter={"inMailbox": box}, anchor="none") == "anchorNotFound"
    assert error(wei, "Email/query", limit=-1) == "invalidArguments"


@pytest.mark.parametrize("property, order", [("receivedAt", [0, 1, 2, 3, 4]), ("sentAt", [4, 3, 2, 1, 0]), ("size", [0, 1, 2, 3, 4]), ("from", [1, None, None, 2, 4])])
def test_orders(wei, mails, property, order):
    box, ids = mails
    up = query(wei, box, sort=[{"property": property}])["ids"]
    down = query(wei, box, sort=[{"property": property, "isAscending": False}])["ids"]
    assert all(which is None or up[at] == ids[which] for at, which in enumerate(order))
    assert [down[-1 - at] for at, which in enumerate(order) if which is not None] == [ids[which] for which in order if which is not None]


def test_subjects_are_ordered_by_their_base(wei, mails):
    """RFC 8621 §4.4.2: "Re: Boat" is "Boat"."""
    box, ids = mails
    found = query(wei, box, sort=[{"property": "subject"}, {"property": "receivedAt"}])["ids"]
    assert found[:4] == [ids[1], ids[4], ids[0], ids[2]]


def test_threads(wei, mails):
    box, ids = mails
    threads = {mail["id"]: mail["threadId"] for mail in wei.call("Email/get", ids=ids, properties=["threadId"])["list"]}
    assert threads[ids[0]] == threads[ids[2]] != threads[ids[1]] == threads[ids[4]]
    assert wei.call("Thread/get", ids=[threads[ids[0]]])["list"] == [{"id": threads[ids[0]], "emailIds": [ids[0], ids[2]]}]
    answer = query(wei, box, sort=[{"property": "receivedAt", "isAscending": False}], collapseThreads=True, calculateTotal=True)
    assert answer["ids"] == [ids[4], ids[3], ids[2]] and answer["total"] == 3


def test_filters(wei, mails):
    box, ids = mails

    def found(filter):
        return set(wei.call("Email/query", filter={"operator": "AND", "conditions": [{"inMailbox": box}, filter]})["ids"])
    every = set(ids)
    assert found({}) == every
    assert found({"before": "2026-11-22T10:00:00Z"}) == set(ids[:2]) and found({"after": "2026-11-22T10:00:00Z"}) == set(ids[2:])
    assert found({"subject": "boat"}) == {ids[0], ids[2]} and found({"from": "a@example.net"}) == {ids[1]}
    assert found({"operator": "NOT", "conditions": [{"subject": "boat"}, {"from": "a@example.net"}]}) == {ids[3], ids[4]}
    assert found({"operator": "OR", "conditions": []}) == set() and found({"operator": "AND", "conditions": []}) == every == found({"operator": "NOT", "conditions": []})
    assert found({"hasKeyword": "$seen"}) == set() and found({"notKeyword": "$seen"}) == every and found({"hasKeyword": "unheard-of"}) == set()
    assert found({"header": ["In-Reply-To"]}) == {ids[2], ids[4]} and found({"header": ["In-Reply-To", "m1@"]}) == {ids[4]}
    assert found({"inMailboxOtherThan": [box]}) == set() and found({"inMailboxOtherThan": []}) == every
    assert found({"hasAttachment": True}) == set() and found({"minSize": 1, "maxSize": 1}) == set()
    assert error(wei, "Email/query", filter={"unheard": 1}) == "unsupportedFilter" and error(wei, "Email/query", sort=[{"property": "unheard"}]) == "unsupportedSort"


def test_query_changes_lead_from_the_old_list_to_the_new(wei, mails):
    box, ids = mails
    sort = [{"property": "receivedAt", "isAscending": False}]
    before = query(wei, box, sort=sort)
    assert before["canCalculateChanges"]
    new = wei.set(create={"k": {"mailboxIds": {box: True}, "receivedAt": "2026-11-22T12:00:00Z"}})["created"]["k"]["id"]
    wei.set(update={ids[1]: {"keywords/$flagged": True}, ids[4]: {"mailboxIds": {wei.mailbox("archive"): True}}})
    answer = wei.call("Email/queryChanges", filter={"inMailbox": box}, sort=sort, sinceQueryState=before["queryState"], calculateTotal=True)
    assert set(answer) == {"accountId", "oldQueryState", "newQueryState", "removed", "added", "total"} and answer["oldQueryState"] == before["queryState"]
    now = [id for id in before["ids"] if id not in answer["removed"]]
    for entry in answer["added"]:
        now.insert(entry["index"], entry["id"])
    after = query(wei, box, sort=sort)
    assert now == after["ids"] and new in now and ids[4] not in now and answer["newQueryState"] == after["queryState"]
    assert error(wei, "Email/queryChanges", filter={"inMailbox": box}, sort=sort, sinceQueryState=before["queryState"], maxChanges=1) == "tooManyChanges"
    assert error(wei, "Email/queryChanges", filter={"inMailbox": box}, sinceQueryState="never") == "cannotCalculateChanges"
    wei.set(update={ids[1]: {"keywords/$flagged": None}, ids[4]: {"mailboxIds": {box: True}}}, destroy=[new])


# ── RFC 8621 §2, §4.1, §6, §7 ──


def test_mailboxes(wei):
    boxes = wei.call("Mailbox/get", ids=None)["list"]
    for box in boxes:
        assert set(box) == {"id", "name", "parentId", "role", "sortOrder", "totalEmails", "unreadEmails", "totalThreads", "unreadThreads", "myRights", "isSubscribed"}
        assert set(box["myRights"]) == {"mayReadItems", "mayAddItems", "mayRemoveItems", "maySetSeen", "maySetKeywords", "mayCreateChild", "mayRename", "mayDelete", "maySubmit"}
    assert {"inbox", "drafts", "sent", "trash", "junk", "archive"} <= {box["role"] for box in boxes}
    made = wei.call("Mailbox/set", create={"k": {"name": "Full"}})["created"]["k"]
    assert "name" not in made and made["parentId" if "parentId" in made else "role"] is None
    mail = wei.set(create={"k": {"mailboxIds": {made["id"]: True}}})["created"]["k"]["id"]
    assert wei.call("Mailbox/set", create={"k": {"name": "Full"}})["notCreated"]["k"]["type"] == "invalidProperties"
    assert wei.call("Mailbox/set", destroy=[made["id"]])["notDestroyed"][made["id"]]["type"] == "mailboxHasEmail"
    assert wei.call("Mailbox/set", destroy=[wei.mailbox("inbox")])["notDestroyed"]
    assert wei.call("Mailbox/set", update={made["id"]: {"parentId": made["id"]}})["notUpdated"][made["id"]]["type"] == "invalidProperties"
    assert wei.call("Mailbox/set", destroy=[made["id"]], onDestroyRemoveEmails=True)["destroyed"] == [made["id"]]
    assert wei.call("Email/get", ids=[mail])["notFound"] == [mail]


def test_the_properties_that_an_email_has_by_itself(wei, mails):
    _, ids = mails
    mail = wei.call("Email/get", ids=ids[:1])["list"][0]
    assert set(mail) == {"id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt", "messageId", "inReplyTo", "references", "sender", "from", "to", "cc",
                         "bcc", "replyTo", "subject", "sentAt", "hasAttachment", "preview", "bodyValues", "textBody", "htmlBody", "attachments"}
    assert mail["messageId"] == ["m0@example.net"] and mail["inReplyTo"] is None and mail["cc"] is None and mail["bodyValues"] == {}
    assert set(mail["textBody"][0]) == {"partId", "blobId", "size", "name", "type", "charset", "disposition", "cid", "language", "location"}
    assert mail["sentAt"].startswith("2026-11-23T15:00:00") and mail["receivedAt"] == "2026-11-20T10:00:00Z"
    body = wei.call("Email/get", ids=ids[4:], fetchTextBodyValues=True, maxBodyValueBytes=7)["list"][0]["bodyValues"]
    assert list(body.values()) == [{"value": "word wo", "isEncodingProblem": False, "isTruncated": True}]
    forms = wei.call("Email/get", ids=ids[:1], properties=["header:Subject", "header:subject:asText", "header:From:asAddresses", "header:Message-ID:asMessageIds", "header:X-None",
                                                           "header:X-None:all", "header:From:asGroupedAddresses:all", "header:Date:asDate"])["list"][0]
    assert forms["header:Subject"] == " Boat" and forms["header:subject:asText"] == "Boat" and forms["header:X-None"] is None and forms["header:X-None:all"] == []
    assert forms["header:From:asAddresses"] == [{"name": None, "email": "b@example.net"}] and forms["header:Message-ID:asMessageIds"] == ["m0@example.net"]
    assert forms["header:From:asGroupedAddresses:all"] == [[{"name": None, "addresses": [{"name": None, "email": "b@example.net"}]}]]
    for wrong in ("header:From:asText", "header:Subject:asDate", "header:", "header:Subject:asSomething", "header:Subject:all:asText"):
        assert error(wei, "Email/get", ids=ids[:1], properties=[wrong]) == "invalidArguments", wrong


def test_a_submission(wei):
    identity = wei.call("Identity/get", ids=None)["list"][0]
    assert set(identity) == {"id", "name", "email", "replyTo", "bcc", "textSignature", "htmlSignature", "mayDelete"}
    mail = wei.set(create={"k": {"mailboxIds": {wei.mailbox("drafts"): True}, "keywords": {"$draft": True}, "to": [{"email": "wei@example.org"}], "subject": "to myself",
                                 "bcc": [{"email": "wei@example.org"}]}})["created"]["k"]["id"]
    sent, implicit = request(wei, ("EmailSubmission/set", {
        "create": {"s": {"emailId": mail, "identityId": identity["id"]}, "t": {"emailId": "none", "identityId": identity["id"]}},
        "onSuccessUpdateEmail": {"#s": {"keywords/$draft": None}, "#t": {"keywords/$seen": True}}}))["methodResponses"]
    assert sent[0] == "EmailSubmission/set" and sent[1]["notCreated"]["t"]["type"] == "invalidProperties"
    assert implicit[0] == "Email/set" and implicit[2] == sent[2] and implicit[1]["updated"] == {mail: None}
    id = sent[1]["created"]["s"]["id"]
    until(lambda: wei.call("EmailSubmission/get", ids=[id])["list"][0]["deliveryStatus"]["wei@example.org"]["delivered"] == "yes", "it to be delivered")
    submission = wei.call("EmailSubmission/get", ids=[id])["list"][0]
    assert set(submission) == {"id", "identityId", "emailId", "threadId", "envelope", "sendAt", "undoStatus", "deliveryStatus", "dsnBlobIds", "mdnBlobIds"}
    assert submission["envelope"]["rcptTo"] == [{"email": "wei@example.org", "parameters": None}] and submission["undoStatus"] == "final"
    assert wei.call("EmailSubmission/set", update={id: {"undoStatus": "canceled"}})["notUpdated"][id]["type"] == "cannotUnsend"
    for bad, kind in (({"rcptTo": []}, "noRecipients"), ({"rcptTo": [{"email": "nonsense"}]}, "invalidRecipients")):
        answer = wei.call("EmailSubmission/set", create={"k": {"emailId": mail, "identityId": identity["id"], "envelope": {"mailFrom": {"email": "wei@example.org"}, **bad}}})
        assert answer["notCreated"]["k"]["type"] == kind, answer
    answer = wei.call("EmailSubmission/set", create={"k": {"emailId": mail, "identityId": identity["id"],
                                                           "envelope": {"mailFrom": {"email": "eve@example.com"}, "rcptTo": [{"email": "wei@example.org"}]}}})
    assert answer["notCreated"]["k"]["type"] == "forbiddenMailFrom", answer
    assert wei.call("EmailSubmission/query", filter={"emailIds": [mail]})["ids"] == [id]
    assert wei.call("EmailSubmission/query", filter={"undoStatus": "pending"})["ids"] == []
