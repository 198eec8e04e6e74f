# SPDX-License-Identifier: Apache-2.0
"""JMAP from people who mean no good, and from programs that are broken: every answer is an error of the RFCs, and the same reader answers the next one."""
import base64
import json
import socket
import urllib.error
import uuid

import pytest

from jmap import USING, Jmap
from station import PATIENCE, children, command_line, inhabited, until

NOTHING = object()
DEEP = 40

# What a type of RFC 8620 §1 is not. "?" at its end: null is right too.
WRONG = {
    "Id": [True, 5, 1.5, [], {}, ["a"], {"a": True}],
    "Id[]": [True, 5, "a", {}, {"a": True}, [5], [None], [[]], [{}], [""], ["a" * 300]],
    "String": [True, 5, 1.5, [], {}],
    "String[]": [True, 5, "a", {}, [5], [None], [[]]],
    "Boolean": [5, 0, "true", [], {}],
    "Int": [True, "5", 1.5, [], {}, 2 ** 60, -2 ** 60, 10.0 ** 300],
    "UnsignedInt": [True, "5", 1.5, [], {}, -1],
    "Map": [True, 5, "a", [], [{}]],
    "Filter": [True, 5, "a", [], {"operator": 5}, {"operator": "AND"}, {"operator": "XOR", "conditions": []}, {"operator": "AND", "conditions": {}},
               {"operator": "NOT", "conditions": [5]}, {"operator": "OR", "conditions": [{"nonsense": "a"}]}, {"nonsense": "a"}],
    "Sort": [True, 5, "a", {}, [5], [None], [{}], [{"property": 5}], [{"property": "nonsense"}], [[]]],
}
QUERY = {"filter": "Filter?", "sort": "Sort?", "position": "Int", "anchor": "Id?", "anchorOffset": "Int", "limit": "UnsignedInt?", "calculateTotal": "Boolean"}
QUERY_CHANGES = {"filter": "Filter?", "sort": "Sort?", "sinceQueryState": "String", "maxChanges": "UnsignedInt?", "calculateTotal": "Boolean"}
GET = {"ids": "Id[]?", "properties": "String[]?"}
BODY = {"bodyProperties": "String[]?", "fetchTextBodyValues": "Boolean", "fetchHTMLBodyValues": "Boolean", "fetchAllBodyValues": "Boolean",
        "maxBodyValueBytes": "UnsignedInt"}
CHANGES = {"sinceState": "String", "maxChanges": "UnsignedInt?"}
SET = {"ifInState": "String?", "create": "Map?", "update": "Map?", "destroy": "Id[]?"}
# method: what is right, and the types of its arguments
METHODS = {
    "Mailbox/get": ({"ids": None}, GET),
    "Mailbox/changes": ({"sinceState": "{Mailbox}"}, CHANGES),
    "Mailbox/query": ({}, {**QUERY, "sortAsTree": "Boolean", "filterAsTree": "Boolean"}),
    "Mailbox/queryChanges": ({"sinceQueryState": "{Mailbox}"}, {**QUERY_CHANGES, "sortAsTree": "Boolean", "filterAsTree": "Boolean"}),
    "Mailbox/set": ({}, {**SET, "onDestroyRemoveEmails": "Boolean"}),
    "Thread/get": ({"ids": []}, GET),
    "Thread/changes": ({"sinceState": "{Thread}"}, CHANGES),
    "Email/get": ({"ids": []}, {**GET, **BODY}),
    "Email/changes": ({"sinceState": "{Email}"}, CHANGES),
    "Email/query": ({}, {**QUERY, "collapseThreads": "Boolean"}),
    "Email/queryChanges": ({"sinceQueryState": "{Email}"}, {**QUERY_CHANGES, "collapseThreads": "Boolean"}),
    "Email/set": ({}, SET),
    "Email/import": ({"emails": {}}, {"ifInState": "String?", "emails": "Map"}),
    "Email/parse": ({"blobIds": []}, {"blobIds": "Id[]", "properties": "String[]?", **BODY}),
    "SearchSnippet/get": ({"emailIds": []}, {"filter": "Filter?", "emailIds": "Id[]"}),
    "Identity/get": ({"ids": None}, GET),
    "Identity/changes": ({"sinceState": "{Identity}"}, CHANGES),
    "Identity/set": ({}, SET),
    "EmailSubmission/get": ({"ids": None}, GET),
    "EmailSubmission/changes": ({"sinceState": "{EmailSubmission}"}, CHANGES),
    "EmailSubmission/query": ({}, QUERY),
    "EmailSubmission/set": ({}, {**SET, "onSuccessUpdateEmail": "Map?", "onSuccessDestroyEmail": "Id[]?"}),
    "Contact/suggest": ({"text": "a"}, {"text": "String", "limit": "UnsignedInt?"}),
}


@pytest.fixture(scope="module")
def station():
    yield from inhabited({"wei": "wonderland", "eve": "wonderland"})


def client(station, name):
    return Jmap(f"http://127.0.0.1:{station.web_port}", f"{name}@example.org", "wonderland")


def readers(station):
    return [pid for pid in children(station.process.pid) if "reader" in command_line(pid)]


@pytest.fixture
def wei(station):
    """Whatever a test asks of it: no reader dies of it."""
    wei = client(station, "wei")
    assert wei.call("Core/echo", hello=True) == {"accountId": "a", "hello": True}
    before = readers(station)
    yield wei
    assert wei.call("Core/echo", hello=True) == {"accountId": "a", "hello": True}
    assert set(before) <= set(readers(station)), station.log_text()[-2000:]


def states(wei):
    return {kind: wei.call(f"{kind}/get", ids=[])["state"] for kind in ("Mailbox", "Thread", "Email", "Identity", "EmailSubmission")}


def problem(wei, octets, content_type="application/json"):
    """The problem document that a request as a whole is refused with."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        wei.open("/jmap/api", octets, content_type)
    with refused.value as answer:
        return answer.code, json.load(answer)


def responses(wei, calls, using=USING):
    """What calls (name, arguments) are answered with, 60 to a request: (name, arguments)."""
    answers = []
    for first in range(0, len(calls), 60):
        request = {"using": using, "methodCalls": [[name, arguments, str(i)] for i, (name, arguments) in enumerate(calls[first:first + 60])]}
        with wei.open("/jmap/api", json.dumps(request).encode()) as answer:
            answers += [(name, arguments) for name, arguments, _ in json.load(answer)["methodResponses"]]
    return answers


# ── arguments ──


@pytest.mark.parametrize("method", METHODS)
def test_a_right_call_is_answered(wei, method):
    arguments, _ = METHODS[method]
    arguments = {key: value.format(**states(wei)) if isinstance(value, str) else value for key, value in arguments.items()}
    assert wei.call(method, **arguments)["accountId"] == "a"


@pytest.mark.parametrize("method", METHODS)
def test_arguments_of_wrong_types(wei, method):
    right, types = METHODS[method]
    now = states(wei)
    right = {"accountId": "a", **{key: value.format(**now) if isinstance(value, str) else value for key, value in right.items()}}
    calls = [(method, {**right, "nonsense": 5})]
    calls += [(method, {**right, "accountId": value}) for value in (None, *WRONG["Id"])]
    calls += [(method, {key: value for key, value in right.items() if key != "accountId"})]
    for argument, kind in types.items():
        calls += [(method, {**right, argument: value}) for value in WRONG[kind.rstrip("?")]]
        if kind.endswith("[]") or kind == "Id" or (kind == "String" and argument in right):
            calls += [(method, {**right, argument: None})]
    wrong = []
    for call, (name, answer) in zip(calls, responses(wei, calls), strict=True):
        if name != "error" or answer["type"] not in ("invalidArguments", "unsupportedFilter", "unsupportedSort"):
            wrong.append((call, name, answer))
    assert not wrong, "\n".join(map(str, wrong))
    assert states(wei) == now


ODD = [None, True, 0, -1, 1.5, "", "a", "#a", "a\x7f", [], [None], [[]], {}, {"a": None}, {"": True}, {"a": {"b": []}}, "x" * 5000]
EMAIL = ("mailboxIds", "keywords", "from", "to", "subject", "receivedAt", "sentAt", "bodyValues", "textBody", "htmlBody", "attachments", "bodyStructure",
         "messageId", "references", "headers", "header:X-A", "header:X-A:asText", "header:From:asAddresses", "size", "id", "nonsense")


def odd_objects(kind, wei):
    """Creations of that type, each with one property that is odd."""
    base, properties = {
        "Email": ({"mailboxIds": {wei.mailbox("drafts"): True}}, EMAIL),
        "Mailbox": ({"name": "a"}, ("name", "parentId", "role", "sortOrder", "isSubscribed", "myRights", "id", "nonsense")),
        "Identity": ({"email": "wei@example.org"}, ("name", "email", "replyTo", "bcc", "textSignature", "htmlSignature", "mayDelete", "nonsense")),
        "EmailSubmission": ({"identityId": "a", "emailId": "a"}, ("identityId", "emailId", "envelope", "undoStatus", "sendAt", "nonsense")),
    }[kind]
    return [*({**base, name: value} for name in properties for value in ODD), *ODD]


@pytest.mark.parametrize("kind", ["Email", "Mailbox", "Identity", "EmailSubmission"])
def test_objects_that_are_odd(wei, kind):
    objects = odd_objects(kind, wei)
    calls = [(f"{kind}/set", {"accountId": "a", "create": {"k": o}}) for o in objects]
    calls += [(f"{kind}/set", {"accountId": "a", "update": {"none": o, "#k": o}}) for o in objects]
    made = []
    for call, (name, answer) in zip(calls, responses(wei, calls), strict=True):
        assert "serverFail" not in json.dumps(answer), (call, answer)
        if name == "error":
            assert answer["type"] == "invalidArguments", (call, answer)
        else:
            made += [o["id"] for o in (answer.get("created") or {}).values()]
    if made:
        assert not wei.call(f"{kind}/set", destroy=made).get("notDestroyed")


def test_patches_that_are_odd(wei):
    mail = wei.set(create={"k": {"mailboxIds": {wei.mailbox("drafts"): True}, "subject": "stays"}})["created"]["k"]["id"]
    paths = ["", "/", "//", "keywords/", "keywords/$seen/x", "mailboxIds", "mailboxIds/none", "subject", "~2", "keywords/~", "nonsense/a", "a" * 5000, "/".join("a" * 200),
             "#", "keywords/$seen\u0001", "keywords/中文"]
    patches = [{path: value} for path in paths for value in ODD]
    patches += [{"keywords": {}, "keywords/$seen": True}, {"mailboxIds": None}, {f"mailboxIds/{wei.mailbox('drafts')}": None}]
    for patch, (name, answer) in zip(patches, responses(wei, [("Email/set", {"accountId": "a", "update": {mail: patch}}) for patch in patches]), strict=True):
        assert name == "Email/set", (patch, answer)
        if answer.get("notUpdated"):
            assert answer["notUpdated"][mail]["type"] in ("invalidPatch", "invalidProperties", "tooManyMailboxes"), (patch, answer)
    is_now = wei.call("Email/get", ids=[mail], properties=["subject", "mailboxIds"])["list"][0]
    assert is_now == {"id": mail, "subject": "stays", "mailboxIds": {wei.mailbox("drafts"): True}}
    wei.set(destroy=[mail])


def test_ids_of_other_accounts_and_of_nothing(wei):
    calls = [(method, {**arguments, "accountId": account}) for method, (arguments, _) in METHODS.items() for account in ("b", "eve@example.org", "A", "")]
    assert {(name, answer["type"]) for name, answer in responses(wei, calls)} == {("error", "accountNotFound")}


def test_unknown_methods_and_capabilities_that_were_not_named(wei):
    calls = [(name, {"accountId": "a"}) for name in ("Email/steal", "email/get", "Email", "", "/", "Email/get\u0000x".replace("\u0000", ""), "Core/exit", "x" * 10000)]
    calls = [call for call in calls if call[0] != "Email/getx"] + [("Email/getx", {"accountId": "a"})]
    assert {(name, answer["type"]) for name, answer in responses(wei, calls)} == {("error", "unknownMethod")}
    calls = [(method, {"accountId": "a", **arguments}) for method, (arguments, _) in METHODS.items()]
    assert {(name, answer["type"]) for name, answer in responses(wei, calls, using=USING[:1])} == {("error", "unknownMethod")}


# ── requests as a whole ──


def request_of(calls, using=USING[:1]):
    return json.dumps({"using": using, "methodCalls": calls}).encode()


@pytest.mark.parametrize("octets, kind", [
    (b"", "notJSON"),
    (b"{", "notJSON"),
    (b"\xff\xfe{}", "notJSON"),
    (b"{}{}", "notJSON"),
    (b'{"using":["urn:ietf:params:jmap:core"],"using":[],"methodCalls":[]}', "notJSON"),
    (b'{"using":["urn:ietf:params:jmap:core"],"methodCalls":[["Core/echo",{"a":"\\ud800"},"0"]]}', "notJSON"),
    (b"[" * 100000, "notJSON"),
    (b'{"a":' * 100000, "notJSON"),
    (b"[]", "notRequest"),
    (b"5", "notJSON"),
    (b"{}", "notRequest"),
    (b'{"using":5,"methodCalls":[]}', "notRequest"),
    (b'{"using":[5],"methodCalls":[]}', "notRequest"),
    (b'{"using":[],"methodCalls":{}}', "notRequest"),
    (request_of([[]]), "notRequest"),
    (request_of([["Core/echo", {}]]), "notRequest"),
    (request_of([["Core/echo", [], "0"]]), "notRequest"),
    (request_of([["Core/echo", {}, 0]]), "notRequest"),
    (request_of([[5, {}, "0"]]), "notRequest"),
    (request_of([["Core/echo", {}, "0", "1"]]), "notRequest"),
    (request_of([], using=["urn:example:nothing"]), "unknownCapability"),
    (request_of([["Core/echo", {}, str(i)] for i in range(1000)]), "limit"),
    (b'{"using":[],"methodCalls":[],"x":[' + b"0," * 500000 + b"0]}", "limit"),
], ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else value)
def test_what_is_no_request(wei, octets, kind):
    code, answer = problem(wei, octets)
    assert (code, answer["status"], answer["type"]) == (400, 400, f"urn:ietf:params:jmap:error:{kind}")
    assert kind != "limit" or answer["limit"] in ("maxCallsInRequest", "maxSizeRequest")


def test_a_request_of_100_mb(station, wei):
    """It says so: refused before it comes. It does not say so: refused, or cut off, on the way."""
    head = (f"POST /jmap/api HTTP/1.1\r\nHost: localhost\r\nAuthorization: {wei.authorization}\r\nContent-Type: application/json\r\n")
    for framing, piece in (("Content-Length: 100000000\r\n\r\n", b"x" * 65536), ("Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n")):
        with socket.create_connection(("127.0.0.1", station.web_port), PATIENCE) as s:
            s.sendall((head + framing).encode())
            taken = 0
            try:
                while taken < 100_000_000:
                    s.sendall(piece)
                    taken += len(piece)
                answer = s.recv(4096)
            except (ConnectionResetError, BrokenPipeError):
                answer = b""
            assert taken < 100_000_000 or answer.split(b" ")[1] == b"413"


# ── results that refer to others ──


@pytest.mark.parametrize("reference", [
    {"resultOf": "1", "name": "Core/echo", "path": "/ids"},  # itself
    {"resultOf": "2", "name": "Core/echo", "path": "/ids"},  # one that comes later
    {"resultOf": "9", "name": "Core/echo", "path": "/ids"},
    {"resultOf": "0", "name": "Email/get", "path": "/ids"},
    {"resultOf": "0", "name": "Core/echo", "path": "ids"},
    {"resultOf": "0", "name": "Core/echo", "path": "/none"},
    {"resultOf": "0", "name": "Core/echo", "path": "/ids/7"},
    {"resultOf": "0", "name": "Core/echo", "path": "/ids/*/x"},
    {"resultOf": "0", "name": "Core/echo", "path": "/*"},
    {"resultOf": "0", "name": "Core/echo", "path": "/ids/~2"},
    {"resultOf": "0", "name": "Core/echo", "path": "/" * 5000},
    {"resultOf": "0", "name": "Core/echo"},
    {"resultOf": 0, "name": "Core/echo", "path": "/ids"},
    {}, [], 5, "0", None,
], ids=str)
def test_references_that_lead_nowhere(wei, reference):
    answers = responses(wei, [("Core/echo", {"ids": ["a"]}), ("Core/echo", {"#x": reference}), ("Core/echo", {"ids": ["b"]})])
    assert [name for name, _ in answers] == ["Core/echo", "error", "Core/echo"]
    assert answers[1][1]["type"] == "invalidResultReference"


def test_answers_that_grow_by_reference(wei):
    """Each call takes the former's answer eight times: no more of it is made than may be sent."""
    calls = [("Core/echo", {"x": ["a"] * 1000})]
    calls += [("Core/echo", {f"#{i}": {"resultOf": str(at), "name": "Core/echo", "path": ""} for i in range(8)}) for at in range(12)]
    answers = responses(wei, calls)
    assert answers[0][0] == "Core/echo" and answers[-1][0] == "error"
    assert {answer["type"] for name, answer in answers if name == "error"} <= {"requestTooLarge", "invalidResultReference"}


@pytest.mark.parametrize("join", ["AND", "OR", "NOT"])
def test_filters_within_filters(wei, join):
    filter = {"text": "a"}
    for _ in range(DEEP // 2):
        filter = {"operator": join, "conditions": [filter]}
    wide = {"operator": join, "conditions": [{"text": "a"}] * 900}
    too_wide = {"operator": join, "conditions": [{"text": "a"}] * 5000}
    calls = [("Email/query", {"accountId": "a", "filter": f}) for f in (filter, wide, too_wide, {"text": "x" * 100000}, {"text": '"' * 4000}, {"text": "*" * 4000})]
    for (name, answer), what in zip(responses(wei, calls), ("deep", "wide", "too wide", "long", "quotes", "stars"), strict=True):
        assert name == "Email/query" or answer["type"] in ("unsupportedFilter", "invalidArguments"), (what, answer)


# ── octets ──


def upload(wei, octets, kind="application/octet-stream"):
    with wei.open("/jmap/upload/a", octets, kind) as answer:
        assert answer.status == 201
        return json.load(answer)


def status(wei, path, body=None):
    try:
        with wei.open(path, body, "application/octet-stream") as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def test_an_upload_of_nothing(wei):
    blob = upload(wei, b"")
    assert blob["size"] == 0
    with wei.open(f"/jmap/download/a/{blob['blobId']}/nothing") as answer:
        assert answer.read() == b""


def test_an_upload_that_is_cut_off(station, wei):
    with socket.create_connection(("127.0.0.1", station.web_port), PATIENCE) as s:
        s.sendall(f"POST /jmap/upload/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: {wei.authorization}\r\nContent-Length: 1000000\r\n\r\n".encode())
        s.sendall(b"x" * 500000)
    blob = upload(wei, b"the next one")
    with wei.open(f"/jmap/download/a/{blob['blobId']}/next") as answer:
        assert answer.read() == b"the next one"


def test_an_upload_that_is_too_large(station, wei):
    with socket.create_connection(("127.0.0.1", station.web_port), PATIENCE) as s:
        s.sendall(f"POST /jmap/upload/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: {wei.authorization}\r\nContent-Length: 60000000\r\n\r\n".encode())
        assert s.recv(4096).split(b" ")[1] == b"413"
    assert status(wei, "/jmap/upload/b", b"x") == 404


def test_downloads_of_nothing(wei):
    for name in ("none", "Unone", "U" + "0" * 32, "..", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "a-1", "%00", "U%2f..%2f..", "x" * 3000, "-", "-1", "%ff"):
        assert status(wei, f"/jmap/download/a/{name}/x") == 404, name
    assert status(wei, f"/jmap/download/b/{upload(wei, b'x')['blobId']}/x") == 404
    assert status(wei, "/jmap/download/a/") == 404


# ── mine and thine ──


def test_nobody_sees_anothers(station, wei):
    eve = client(station, "eve")
    blob = upload(wei, b"wei's own octets")["blobId"]
    drafts = wei.mailbox("drafts")
    mail = wei.set(create={"k": {"mailboxIds": {drafts: True}, "to": [{"email": "wei@example.org"}], "subject": "secret of wei", "textBody": [{"partId": "t"}],
                                 "bodyValues": {"t": {"value": "nobody else's"}}}})["created"]["k"]
    folder = wei.call("Mailbox/set", create={"k": {"name": "Secret " + uuid.uuid4().hex[:8]}})["created"]["k"]["id"]
    identity = wei.call("Identity/get", ids=None)["list"][0]["id"]
    sent = wei.call("EmailSubmission/set", create={"k": {"identityId": identity, "emailId": mail["id"]}})["created"]["k"]["id"]

    own = {box["id"] for box in eve.call("Mailbox/get", ids=None)["list"]}
    assert eve.call("Email/get", ids=[mail["id"], mail["blobId"], blob])["list"] == []
    assert eve.call("Thread/get", ids=[mail["threadId"]])["list"] == []
    assert eve.call("EmailSubmission/get", ids=[sent])["list"] == []
    assert folder in own or eve.call("Mailbox/get", ids=[folder])["notFound"] == [folder]
    assert eve.call("Identity/get", ids=[identity])["notFound"] == [identity]
    assert eve.call("Email/parse", blobIds=[blob, mail["blobId"]])["notFound"] == [blob, mail["blobId"]]
    assert eve.call("SearchSnippet/get", filter={"text": "secret"}, emailIds=[mail["id"]])["notFound"] == [mail["id"]]
    assert eve.call("Email/query", filter={"text": "nobody"})["ids"] == []
    for path in (blob, mail["blobId"], mail["blobId"] + "-1"):
        assert status(eve, f"/jmap/download/a/{path}/x") == 404
    inbox = {eve.mailbox("inbox"): True}
    assert eve.call("Email/import", emails={"k": {"blobId": mail["blobId"], "mailboxIds": inbox}})["notCreated"]["k"]["type"] == "invalidProperties"
    assert eve.call("Email/set", update={mail["id"]: {"keywords/$seen": True}})["notUpdated"][mail["id"]]["type"] == "notFound"
    assert eve.call("EmailSubmission/set", update={sent: {"undoStatus": "canceled"}})["notUpdated"][sent]["type"] == "notFound"
    assert eve.call("EmailSubmission/set", create={"k": {"identityId": identity, "emailId": mail["id"]}})["notCreated"]["k"]["type"] == "invalidProperties"
    answer = eve.call("Email/set", create={"k": {"mailboxIds": inbox, "attachments": [{"blobId": blob}]}})
    assert answer["notCreated"]["k"]["type"] == "blobNotFound"
    assert eve.call("Contact/suggest", text="wei")["list"] == []
    wei.call("EmailSubmission/set", destroy=[sent])


def test_who_writes_as_somebody_else(wei):
    drafts = {wei.mailbox("drafts"): True}
    identity = wei.call("Identity/get", ids=None)["list"][0]["id"]
    assert wei.call("Identity/set", create={"k": {"email": "eve@example.org"}})["notCreated"]["k"]["type"] == "forbiddenFrom"
    for sender in ("eve@example.org", "wei@example.com", "WEI@evil.example", "wei@example.org,eve@example.org"):
        answer = wei.call("Email/set", create={"k": {"mailboxIds": drafts, "from": [{"email": sender}], "to": [{"email": "eve@example.org"}]}})
        if answer.get("created"):
            mail = answer["created"]["k"]["id"]
            refused = wei.call("EmailSubmission/set", create={"k": {"identityId": identity, "emailId": mail}})["notCreated"]["k"]
            assert refused["type"] in ("forbiddenFrom", "invalidEmail"), refused
            wei.set(destroy=[mail])


# ── files that vanish ──


def test_files_that_vanish_under_the_index(station, wei):
    """Other programs delete what we know of: it is gone, and no answer is broken."""
    inbox = {wei.mailbox("inbox"): True}
    ids = [wei.set(create={"k": {"mailboxIds": inbox, "subject": f"short life {i}"}})["created"]["k"]["id"] for i in range(20)]
    state = wei.state()
    for file in station.mail_files("wei"):
        if b"short life" in file.read_bytes():
            file.unlink()
    calls = [("Email/get", {"accountId": "a", "ids": ids, "fetchAllBodyValues": True}), ("Email/query", {"accountId": "a", "filter": {"text": "life"}}),
             ("SearchSnippet/get", {"accountId": "a", "filter": {"text": "life"}, "emailIds": ids}), ("Email/query", {"accountId": "a", "filter": {"header": ["Subject", "life"]}})]
    for name, answer in responses(wei, calls):
        assert name != "error", answer
    answer = wei.call("Email/set", update={id: {"keywords/$seen": True} for id in ids[:10]}, destroy=ids[10:])
    for failed in (answer.get("notUpdated") or {}, answer.get("notDestroyed") or {}):
        assert {error["type"] for error in failed.values()} <= {"notFound"}, failed
    until(lambda: set(wei.call("Email/get", ids=ids)["notFound"]) == set(ids), "the index to see that they are gone")
    assert set(ids) <= wei.changes(state)[2]
    assert wei.call("Email/query", filter={"text": "life"})["ids"] == []
