# SPDX-License-Identifier: Apache-2.0
"""What a letter is made of (src/role/reader/letter.h), against the answers of other MIME parsers.

Vectors of mail-parser (Stalwart), mime4j and CPython. A difference is listed with its reason; a listed one that is none any more fails as well.
"""
import base64
import datetime
import email
import json
import os
import pathlib
import re
import subprocess
import xml.etree.ElementTree as xml

import pytest

BUILD = pathlib.Path(os.environ.get("POSTHOUSE_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
TREE = BUILD / "test/conformance/letter-tree"


@pytest.fixture(scope="module", autouse=True)
def program():
    if not TREE.exists():
        pytest.skip(f"no {TREE}")


def letter(octets):
    done = subprocess.run([TREE], input=octets, stdout=subprocess.PIPE, timeout=20, check=True)
    return json.loads(done.stdout)


def forms(form, values):
    """What each value is, read as a text, address …; a value ends where its lines are no longer folded."""
    wires = [re.split(r"\n(?![ \t])", value)[0].replace("\0", "?").encode() + b"\0" for value in values]
    done = subprocess.run([TREE, form], input=b"".join(wires), stdout=subprocess.PIPE, timeout=20, check=True)
    return [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]


def compare(found, differences):
    """found: {name: (ours, theirs)}."""
    wrong = {name for name, (ours, theirs) in found.items() if ours != theirs}
    new = {name: found[name] for name in wrong - set(differences)}
    assert not new, "\n".join(f"{name!r}\n  ours   {ours}\n  theirs {theirs}" for name, (ours, theirs) in new.items())
    assert not set(differences) - wrong, "no difference any more"


# ── trees ──

BOUNDARY_OF_OUTER = "a boundary of an outer multipart ends the inner one: RFC 2046 §5.1.2"
NOT_BASE64 = "what is declared to be base64 and is not is given as its octets, not as its source"
TREES = {
    "malformed/000": "a multipart whose parts are empty has those parts",
    "malformed/001": BOUNDARY_OF_OUTER,
    "malformed/004": "a boundary that does not occur: the text is shown, not a tree that nobody wrote",
    "malformed/007": "a delimiter ends a header without an empty line, and \"--ab\" is not one of \"a\"",
    "malformed/008": BOUNDARY_OF_OUTER,
    "malformed/009": BOUNDARY_OF_OUTER,
    "malformed/011": BOUNDARY_OF_OUTER,
    "malformed/012": BOUNDARY_OF_OUTER,
    "malformed/016": BOUNDARY_OF_OUTER,
    "malformed/019": "noise: boundaries are compared to the letter there and here, but ours are found behind a header that is none",
    "malformed/022": "a message/rfc822 that is none is a message without a header",
    "rfc/000": NOT_BASE64,
}


def our_tree(found, at=0):
    part = found["parts"][at]
    if not part["id"]:
        return [our_tree(found, i) for i, sub in enumerate(found["parts"]) if sub["parent"] == at]
    if part["type"] in ("message/rfc822", "message/global"):
        return {"message": our_tree(letter(base64.b64decode(part["octets"])))}
    return part["text"].replace("\r\n", "\n") if "text" in part else base64.b64decode(part["octets"])


def mail_parser_tree(message, at=0):
    body = message["parts"][at]["body"]
    (kind, value), = body.items()
    if kind == "Multipart":
        return [mail_parser_tree(message, i) for i in value]
    if kind == "Message":
        return {"message": mail_parser_tree(value)}
    return value.replace("\r\n", "\n") if kind in ("Text", "Html") else bytes(value)


def test_trees_are_those_of_mail_parser(testdata):
    found = {}
    for file in sorted((testdata / "mime").glob("mail-parser-*/*.eml")):
        theirs = mail_parser_tree(json.loads(file.with_suffix(".json").read_text()))
        found[f"{file.parent.name[12:]}/{file.stem}"] = our_tree(letter(file.read_bytes())), theirs
    assert len(found) > 30
    compare(found, TREES)


def shape(tree):
    """Without what the leaves say."""
    if isinstance(tree, list):
        return [shape(sub) for sub in tree]
    return {"message": shape(tree["message"])} if isinstance(tree, dict) else "leaf"


def mime4j_shape(element):
    for child in element:
        if child.tag == "message":
            return {"message": mime4j_shape(child)}
        if child.tag == "multipart":
            return [mime4j_shape(part) for part in child.findall("body-part")]
    return "leaf"


NO_PART = "a multipart without a part is shown as text"
BLANKS = "blanks at the end of a line are padding, and no boundary has them: RFC 2046 §5.1.1"
MIME4J = {
    "missing-boundary": NO_PART,
    "missing-inner-boundary": NO_PART,
    "missing-inner-start-boundary": NO_PART,
    "multipartnopart": NO_PART,
    "very-long-boundary": BLANKS,
    "very-very-long-boundary": BLANKS,
    "weird-boundary": BLANKS,
}


def test_trees_are_those_of_mime4j(testdata):
    found = {}
    for file in sorted((testdata / "mime/mime4j-testmsgs").glob("*.msg")):
        theirs = file.with_name(file.stem + "_decoded.xml")
        if theirs.exists():
            found[file.stem] = shape(our_tree(letter(file.read_bytes()))), mime4j_shape(xml.fromstring(theirs.read_bytes()))
    assert len(found) > 20
    compare(found, MIME4J)


SAME_BOUNDARY = "one boundary for two multiparts, one in the other: there the outer takes all, here the inner; nothing is lost"
CPYTHON = {
    "msg_15": SAME_BOUNDARY,
    "msg_37": "two delimiters one after the other have an empty part between them",
    "msg_39": SAME_BOUNDARY,
}


def python_shape(message):
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        return [python_shape(part) for part in message.get_payload()]
    if message.get_content_type() == "message/rfc822" and message.is_multipart():
        return {"message": python_shape(message.get_payload(0))}
    return "leaf"


def test_trees_are_those_of_python(testdata):
    found = {}
    for file in sorted((testdata / "mime/cpython").glob("*.txt")):
        octets = file.read_bytes()
        found[file.stem] = shape(our_tree(letter(octets))), python_shape(email.message_from_bytes(octets))
    assert len(found) > 40
    compare(found, CPYTHON)


# ── fields ──

def vectors(testdata, name):
    return json.loads((testdata / f"headers/mail-parser-{name}.json").read_text())


def check_fields(testdata, name, form, ours, theirs, differences):
    rows = vectors(testdata, name)
    found = {row["header"]: (ours(got), theirs(row["expected"])) for row, got in zip(rows, forms(form, [row["header"] for row in rows]))}
    compare(found, differences)


def collapse(text):
    return " ".join(text.split())


def mail_parser_addresses(expected):
    groups = [{"name": None, "addresses": expected["List"]}] if "List" in expected else expected.get("Group", [])
    return [(group["name"] or "", collapse(one["name"] or ""), one["address"] or "") for group in groups for one in group["addresses"]]


def our_addresses(list_):
    return [(one["group"], collapse(one["name"]), one["email"]) for one in list_ if one["name"] or one["email"]]


COMMENT = "a comment is no part of a name, and no name where there is one"
ADDRESSES = {
    "Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example\n": "a route is dropped, blanks round a dot mean nothing: RFC 5322 §4.4",
    "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>\n": COMMENT,
    "Name (comment) =?utf-8?q?Doe?= <a@b.com>\n": COMMENT,
    "Pete(A nice \n \\\n ) chap) <pete(his\n account)@silly\n .test(his host)>\n": COMMENT,
    "A Group(Some people)\n        :Chris Jones <c@(Chris's host.)public.example>,\n            joe@example.org,\n     John <jdoe@one.test> "
    "(my dear friend); (the end of the group)\n": COMMENT,
    "Nathaniel Borenstein <nsb@thumper.bellcore.com>\n    (=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=)\n": COMMENT,
    "(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;\n": COMMENT,
    "John Doe <jdoe@machine(comment).  example>\n": COMMENT,
    "NO (posting not allowed on this list)\n": "a word without @ is a name, not an address",
}


def test_addresses(testdata):
    check_fields(testdata, "address", "address", our_addresses, lambda e: [] if e in (None, "Empty") else mail_parser_addresses(e), ADDRESSES)


def mail_parser_date(expected):
    if not expected:
        return None
    minutes = (expected["tz_hour"] * 60 + expected["tz_minute"]) * (-1 if expected["tz_before_gmt"] else 1)
    zone = datetime.timezone(datetime.timedelta(minutes=minutes))
    numbers = [expected[key] for key in ("year", "month", "day", "hour", "minute", "second")]
    return [int(datetime.datetime(*numbers, tzinfo=zone).timestamp()), minutes]


DATES = {
    "Tue, 1 Jul 2003 ((invalid)\ncomment) 10:52:37 +0200": "a date without a time is a date",
    " 4 8 15 16 23 42, 4 8 15 16 23 42, 4 8 15 16 23 42, ": "numbers are no date",
    "20 11 (some \n 44 comments(more comments\n )) 79 05:34:27 -0300": "a month has a name",
    "by 2002:aa7:cd10:0:b0:45c:2c83:1208 with SMTP id b16-20020aa7cd10000000b0045c2c831208mr4220805edw.81.1665423075119;\n"
    "\tMon, 10 Oct 2022 10:31:15 -0700 (PDT)": "that is a Received field",
}


def test_dates(testdata):
    check_fields(testdata, "date", "date", lambda got: got, mail_parser_date, DATES)


def test_ids(testdata):
    check_fields(testdata, "id", "id", lambda got: got, lambda expected: expected or [], {})


NO_BLANK = "no blank is made where none was"
TEXTS = {
    "[SUSPECTED SPAM]=?utf-8?B?VGhpcyBpcyB0aGUgb\n 3JpZ2luYWwgc3ViamVjdA==?=\n": NO_BLANK,
    "[SUSPECTED SPAM]=?utf-8?B?VGhpcyBpcyB0aGUgb3JpZ2luYWwgc3ViamVjdA==?=\n": NO_BLANK,
    "[SUSPECTED SPAM]=?utf-8?B?VGhpcyBpcyB0aGUgb\r\n 3JpZ2luYWwgc3ViamVjdA==?=\r\n": NO_BLANK,
}


def test_texts(testdata):
    check_fields(testdata, "unstructured", "text", collapse, lambda expected: collapse(expected or ""), TEXTS)


ASKED = ("boundary", "charset", "name", "filename", "url")


def mail_parser_type(expected):
    expected = expected or {}
    subtype = expected.get("c_subtype")
    found = {"type": f"{expected['c_type']}/{subtype}".lower() if subtype else ""}
    for name, value in expected.get("attributes") or []:
        if name in ASKED and value.strip():
            found.setdefault(name, value.strip())
    return found


STILL = "a type that is none does not spoil the parameters"
THREE = "a type has two words"
TYPES = {
    "/ ; name=value\n": STILL,
    "/;charset=us-ascii\n": STILL,
    "/ ;charset=us-ascii\n": STILL,
    ";charset=us-ascii\n": STILL,
    " ;charset=us-ascii\n": STILL,
    "/plain;charset=us-ascii\n": STILL,
    "/plain ;charset=us-ascii\n": STILL,
    "text/plain/format\n": THREE,
    "text/plain/format;charset=us-ascii\n": THREE,
    "text/plain/format ;charset=us-ascii\n": THREE,
    "á/é; á=é\n": "a type is ASCII: RFC 2045 §5.1",
    "application/pdf\n   filename*0*=iso-8859-1'es'%D1and%FA\n   filename*1*=iso-8859-1'%20r%E1pido\n   filename*2*=\"iso-8859-1' (versi%F3n \\'99 "
    "\\\"oficial\\\").pdf\"\n": "without a semicolon between any two nobody can tell where the first ends",
    "image/jpeg;\n   name=\"=?iso-8859-1?B?4Q==?= =?utf-8?B?w6k=?= =?iso-8859-1?q?=ED?=.jpeg\"\n": "blanks between encoded words do not count: RFC 2047 §6.2",
}


def test_types_and_their_parameters(testdata):
    check_fields(testdata, "content_type", "type", lambda got: {name: value for name, value in got.items() if value or name == "type"},
                 mail_parser_type, TYPES)
