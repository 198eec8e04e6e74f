# SPDX-License-Identifier: Apache-2.0
"""Whatever is put into a mail comes out of it: read by Python's email and by GMime, the same parts, names and texts.

The examples are the same in each run. What a mail cannot hold at all is not asked for: other control characters than TAB in fields
(the injections below are), and of white space at the ends of a field and of line ends in texts only what they mean.
"""
import base64
import email
import email.policy
import json
import os
import re
import subprocess

import pytest

pytest.importorskip("hypothesis", reason="no python3-hypothesis")
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from library import Mail
from station import BUILD

EXAMPLES = 25 if "libasan" in os.environ.get("LD_PRELOAD", "") else 100
settings.register_profile("posthouse", deadline=None, max_examples=EXAMPLES, derandomize=True, database=None,
                          suppress_health_check=list(HealthCheck))
settings.load_profile("posthouse")

GMIME_TREE = BUILD / "test/client/gmime-tree"
FROM, TO = "wei@example.org", "bob@example.net"

def file_name(name):
    """Directories of any system are left out of it."""
    return re.split(r"[/\\]", name)[-1]


# Cc: control characters, Cs: half characters, Zl, Zp: other line ends, Cn: what is no character.
LETTERS = st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp", "Cn"))
WORDS = st.sampled_from(["a", "Gruß", "午餐", "🥟", "👩‍👩‍👧", "e\u0301", "=?utf-8?q?no?=", "\\", '"', ";", "''", "%20", ",", "x" * 90, "长" * 200, "(c)", "@"])
FIELDS = st.one_of(st.text(LETTERS, max_size=120), st.lists(WORDS, max_size=12).map(" ".join))
LINES = st.one_of(st.text(LETTERS, max_size=80), st.sampled_from(["", ".", "..", "From me", "-- ", "x" * 2000, "长" * 700, "\t", " ", "=", "=20"]))
TEXTS = st.builds(lambda lines, ends, end: "".join(line + ends[i % len(ends)] for i, line in enumerate(lines)) + end,
                  st.lists(LINES, max_size=8), st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=1, max_size=3), LINES)
FILE_NAMES = st.one_of(
    st.text(LETTERS, min_size=1, max_size=60).map(str.strip).filter(file_name),
    st.sampled_from(["菜单.pdf", 'so "called".txt', "🥟.png", "a" * 300 + ".txt", "长" * 300, "C:\\back\\slash", "/etc/motd", "it's 100%.txt", "a;b=c", "a b", "é.tar.gz",
                     "=?utf-8?q?x?=.txt"]))
OCTETS = st.one_of(st.binary(max_size=300), st.builds(lambda piece, n: (piece * n)[:200_000], st.binary(min_size=1, max_size=64),
                                                      st.sampled_from([100, 1000, 60_000])))
TYPES = st.sampled_from([None, "application/pdf", "image/png", "text/csv", "application/octet-stream", "audio/ogg"])
ATTACHMENTS = st.lists(st.tuples(OCTETS, FILE_NAMES, TYPES), max_size=4)


def plain(text):
    """Line ends are line ends, and the last line has one."""
    text = re.sub("\r\n|\r", "\n", text)
    return text if text.endswith("\n") or not text else text + "\n"


def spaced(field):
    """Folding may make any white space another, and none counts at the ends."""
    return " ".join(re.split("[ \t]+", field.strip(" \t")))


def lines_are_lawful(octets):
    """RFC 5322 §2.1.1, §2.3: CR and LF only together, lines of at most 998, no NUL; all ASCII here."""
    assert octets.endswith(b"\r\n") and b"\0" not in octets and octets.isascii()
    for line in octets.split(b"\r\n"):
        assert len(line) <= 998 and b"\r" not in line and b"\n" not in line


class Python:
    """A message as Python's email reads it."""

    def __init__(self, octets):
        self.message = email.message_from_bytes(octets, policy=email.policy.default)
        assert not self.message.defects
        self.subject = str(self.message["subject"] or "")
        self.leaves = list(self.find_leaves(self.message))

    def find_leaves(self, part):
        """Those that have content, in order; a message that is attached is one."""
        assert not part.defects
        if part.get_content_maintype() != "multipart":
            yield part
            return
        for inner in part.iter_parts():
            yield from self.find_leaves(inner)

    def names(self, field):
        return [(a.display_name, a.addr_spec) for a in self.message[field].addresses] if self.message[field] else []

    def parts(self):
        """(type, file name, Content-ID, octets) of each."""
        for part in self.leaves:
            octets = part.get_payload(0).as_bytes() if part.get_content_type() == "message/rfc822" else part.get_payload(decode=True)
            yield part.get_content_type(), part.get_filename() or "", (part["content-id"] or "").strip("<>"), octets


class Gmime:
    """The same as GMime reads it."""

    def __init__(self, octets):
        done = subprocess.run([GMIME_TREE], input=octets, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        self.tree = json.loads(done.stdout)
        self.subject = self.tree["subject"]

    def names(self, field):
        return [tuple(address) for address in self.tree[field]]

    def parts(self):
        inside = ["\0"]  # paths of messages that are parts: what is in them is theirs
        for part in self.tree["parts"]:
            if part["type"].startswith("multipart/") or part["path"].startswith(inside[-1]):
                continue
            if part["type"] == "message/rfc822":
                inside.append(part["path"] + ".")
            yield part["type"], part["name"], part["id"], base64.b64decode(part["content"])


@pytest.fixture(params=[Python, Gmime], ids=["python", "gmime"])
def read(request):
    if request.param is Gmime and not GMIME_TREE.exists():
        pytest.skip("no libgmime-3.0-dev when this was built")
    return request.param


def letter():
    return Mail().__enter__().__getattr__("from")(FROM).to(TO)


def written(mail):
    """The octets of a mail that must be right, which is freed."""
    with mail:
        octets = mail.octets()
    lines_are_lawful(octets)
    return octets


@given(subject=FIELDS)
def test_subjects(read, subject):
    assert spaced(read(written(letter().subject(subject).text("x"))).subject) == spaced(subject)


@given(name=FIELDS, others=st.lists(FIELDS, max_size=3))
def test_names_of_people(read, name, others):
    """A name in quotes may hold anything; quotes and backslashes in it are escaped by who writes it."""
    def mailbox(name, address):
        escaped = re.sub(r'(["\\])', r"\\\1", name)
        return f'"{escaped}" <{address}>'

    people = [(name, "n0@example.net")] + [(other, f"n{i}@example.net") for i, other in enumerate(others, 1)]
    message = read(written(letter().cc(", ".join(mailbox(*person) for person in people)).text("x")))
    # Python before 3.13 makes a space between two encoded words of a name, which RFC 2047 §6.2 forbids.
    same = spaced if read is Gmime else lambda name: re.sub("[ \t]", "", name)
    assert [(same(name or ""), address) for name, address in message.names("cc")] == [(same(name), address) for name, address in people]


@given(text=TEXTS, html=st.none() | TEXTS)
def test_texts(read, text, html):
    mail = letter().text(text)
    if html is not None:
        mail.html(html)
    expected = [("text/plain", plain(text))] + ([] if html is None else [("text/html", plain(html))])
    assert [(kind, plain(octets.decode())) for kind, _, _, octets in read(written(mail)).parts()] == expected


@given(text=st.none() | TEXTS, attachments=ATTACHMENTS)
def test_attachments(read, text, attachments):
    mail = letter()
    if text is not None:
        mail.text(text)
    for octets, name, kind in attachments:
        mail.attach_data(octets, len(octets), name, kind)
    parts = list(read(written(mail)).parts())
    parts = parts[len(parts) - len(attachments):]
    assert [(name, octets) for _, name, _, octets in parts] == [(file_name(name), octets) for octets, name, _ in attachments]
    assert all(kind in (asked, asked or kind) for (kind, *_), (_, _, asked) in zip(parts, attachments))


@given(pictures=st.lists(OCTETS, min_size=1, max_size=3), attachments=ATTACHMENTS)
def test_html_with_its_pictures(read, pictures, attachments):
    mail = letter().text("see the pictures").html("".join(f'<img src="cid:p{i}@x">' for i in range(len(pictures))))
    for i, octets in enumerate(pictures):
        mail.inline_data(f"p{i}@x", octets, len(octets), "image/png")
    for octets, name, kind in attachments:
        mail.attach_data(octets, len(octets), name, kind)
    parts = list(read(written(mail)).parts())
    assert [kind for kind, *_ in parts[:2]] == ["text/plain", "text/html"]
    assert [part[2:] for part in parts[2:2 + len(pictures)]] == [(f"p{i}@x", octets) for i, octets in enumerate(pictures)]
    assert [(name, octets) for _, name, _, octets in parts[2 + len(pictures):]] == [
        (file_name(name), octets) for octets, name, _ in attachments]


@given(subject=FIELDS, text=TEXTS, name=FILE_NAMES, octets=OCTETS)
def test_a_mail_in_a_mail(read, subject, text, name, octets):
    """Attached as message/rfc822 it must not be encoded, and comes out as it went in."""
    inner = written(letter().subject(subject).text(text).attach_data(octets, len(octets), name, None))
    kind, _, _, found = list(read(written(letter().text("forwarded").attach_data(inner, len(inner), "it.eml", "message/rfc822"))).parts())[1]
    assert kind == "message/rfc822"
    assert spaced(read(found).subject) == spaced(subject)
    said, attached = read(found).parts()
    assert plain(said[3].decode()) == plain(text) and attached[1::2] == (file_name(name), octets)


@given(value=FIELDS)
def test_own_fields(value):
    """ASCII goes as it is, encoded words too."""
    assume("=?" not in value)
    message = Python(written(letter().header("X-Own", value).text("x"))).message
    assert spaced(str(message["x-own"])) == spaced(value)


BAD_TEXTS = [b"one\rtwo", b"one\ntwo", b"one\r\ntwo", b"one\r\nBcc: eve@example.com", b"\n", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf"]
FIELD_BUILDERS = {  # what a bad text is put into
    "from": lambda m, bad: m.__getattr__("from")(b"x" + bad + b" <a@example.org>"),
    "from's address": lambda m, bad: m.__getattr__("from")(b"a" + bad + b"@example.org"),
    "to": lambda m, bad: m.to(b'"' + bad + b'" <a@example.org>'),
    "to's address": lambda m, bad: m.to(b"a@exam" + bad + b"ple.org"),
    "cc": lambda m, bad: m.cc(b'"' + bad + b'" <a@example.org>'),
    "bcc": lambda m, bad: m.bcc(b"a" + bad + b"@example.org"),
    "reply-to": lambda m, bad: m.reply_to(b'"' + bad + b'" <a@example.org>'),
    "return path": lambda m, bad: m.return_path(b"a" + bad + b"@example.org"),
    "recipient": lambda m, bad: m.recipient(b"a@example.org" + bad),
    "subject": lambda m, bad: m.subject(b"x" + bad + b"y"),
    "header": lambda m, bad: m.header("X-Own", b"x" + bad + b"y"),
    "header's name": lambda m, bad: m.header(b"X-O" + bad + b"wn", "y"),
    "message id": lambda m, bad: m.message_id(b"x" + bad + b"@example.org"),
    "envelope id": lambda m, bad: m.envelope_id(b"x" + bad + b"y"),
    "attachment's name": lambda m, bad: m.attach_data(b"", 0, b"x" + bad + b".txt", "text/plain"),
    "attachment's type": lambda m, bad: m.attach_data(b"", 0, "x.txt", b"text/pl" + bad + b"ain"),
    "picture's id": lambda m, bad: m.html("x").inline_data(b"i" + bad + b"d", b"", 0, "image/png"),
    "picture's type": lambda m, bad: m.html("x").inline_data("id", b"", 0, b"image/p" + bad + b"ng"),
}


@pytest.mark.parametrize("builder", FIELD_BUILDERS)
@pytest.mark.parametrize("bad", BAD_TEXTS, ids=repr)
def test_nothing_is_injected(builder, bad):
    """An error that sticks, and not an octet written."""
    with letter().text("x") as mail:
        FIELD_BUILDERS[builder](mail, bad)
        mail.subject("said later")
        assert mail.pieces() == (False, b"")
        assert mail.error()


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80"], ids=repr)
@pytest.mark.parametrize("builder", ["text", "html"])
def test_texts_are_utf_8(builder, bad):
    with letter() as mail:
        getattr(mail, builder)(b"x" + bad + b"y")
        assert mail.pieces() == (False, b"") and mail.error()


@pytest.mark.parametrize("octets", [b"\0", b"a\0b\r\n", b"\r", b"a\rb\nc\r\n", b"\xff\xfe"], ids=repr)
def test_an_attachment_may_hold_any_octets(read, octets):
    message = written(letter().text("x").attach_data(octets, len(octets), "x.bin", None))
    assert list(read(message).parts())[1][3] == octets
