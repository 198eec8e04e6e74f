# SPDX-License-Identifier: Apache-2.0
"""Dialogues that other servers are tested with, by class of reply (2, 3, 4, 5); every difference is listed here with its reason.

A listed difference that is no longer one fails as well: the table is true. The words and exact codes of other servers are theirs.
"""
import ast
import operator
import re

import pytest

from peers import Sink
from talk import Talk

# (file, the expectation's place among those of the file, from 0): (class we give, why)
NOT_SMTP = "whoever speaks HTTP is told 421, for that ends the session"
NO_EHLO = "AUTH before any greeting is out of order: RFC 4954 §4 makes it an extension that EHLO offers"
DIFFERENCES = {
    ("chasquid/auth_not_tls.txt", 2): ("3", "from loopback a login in clear text is taken, unless the file says never"),
    ("chasquid/auth_too_many_failures.txt", 4): ("5", "the third mistake does not end a session here; the twentieth does"),
    ("chasquid/bad_data.txt", 9): ("2", "a line that is no header field is the sender's affair: the message goes on as it came"),
    ("chasquid/wrong_proto.txt", 1): ("4", NOT_SMTP),
    ("chasquid/wrong_proto.txt", 3): ("4", NOT_SMTP),
    ("chasquid/wrong_proto.txt", 5): ("4", NOT_SMTP),
    ("james-mpt/authplain.txt", 1): ("5", NO_EHLO),
    ("james-mpt/authplain.txt", 2): ("5", NO_EHLO),
    ("james-mpt/authplain.txt", 3): ("5", NO_EHLO),
    ("james-mpt/starttls_with_injection.txt", 2): ("2", "what came in clear behind STARTTLS is thrown away, and TLS begins: RFC 3207 §6"),
}

HOUSE = """
domain "testserver" { }
domain "mydomain.tld" { }
"""


def chasquid_steps(text):
    """("open",) ("send", octets) ("expect", class) ("close",) of `c -> LINE`, `c ~> EXPRESSION`, `c <- EXACT`, `c <~ PATTERN`,
    `c <... LAST LINE`."""
    for line in text.splitlines():
        if re.match(r"c (tcp|tls)_connect ", line):
            yield ("open",)
        elif line.startswith("c close"):
            yield ("close",)
        elif re.match(r"c ->", line):
            yield ("send", line[5:].encode() + b"\r\n")
        elif line.startswith("c ~> "):
            yield ("send", literal(ast.parse(line[5:], mode="eval").body).encode())
        elif re.match(r"c <(-|~|\.\.\.) ", line):
            yield ("expect", line.split()[2][0])


def literal(node):
    """The few expressions that stand there: texts, numbers, + and *."""
    if isinstance(node, ast.BinOp):
        return {ast.Add: operator.add, ast.Mult: operator.mul}[type(node.op)](literal(node.left), literal(node.right))
    return ast.literal_eval(node)


def james_steps(text):
    """`C: LINE` and `S: PATTERN`; of a reply of several lines each line stands there, the first perhaps as "250.*"."""
    yield ("open",)
    lines = [line for line in text.splitlines() if line[:2] in ("C:", "S:")]
    for line, following in zip(lines, lines[1:] + [""]):
        what = line[3:]
        if line.startswith("C:"):
            octets = what.encode().decode("unicode_escape").encode("latin-1")
            yield ("send", octets if octets.endswith(b"\r\n") else octets + b"\r\n")
        elif what[3:4] == "-" or (what[3:] == ".*" and following.startswith("S:") and following[6:7] == "-"):
            continue
        else:
            yield ("expect", what[0])


def play(station, steps, login):
    """[(class expected, class given or "closed")] in order."""
    seen, talk = [], None
    for step in steps:
        if step[0] == "open":
            talk = Talk(station.submission_port if login else station.smtp_port)
        elif step[0] == "close":
            talk.close()
        elif step[0] == "send":
            try:
                talk.raw(step[1])
            except (BrokenPipeError, ConnectionResetError):
                pass  # closed: the next expectation says so
        else:
            reply = talk.reply()
            seen.append((step[1], reply[0] if reply else "closed"))
    return seen


@pytest.fixture
def house(make_station):
    with Sink() as sink:
        station = make_station(routes=HOUSE + f'route "*" {{ via = "smtp://127.0.0.1:{sink.port}" }}', limits='message = "1M"',
                               smtp="auth-on-smtp = true")
        station.add_user("user", "secretpassword", "testserver")
        for name in "bob", "matthieu", "starttls":
            station.add_user(name, "secret", "mydomain.tld")
        yield station


def dialogues(testdata):
    for file in sorted((testdata / "smtp/chasquid").glob("*.txt")):
        if not file.name.endswith(".verify.txt"):
            text = file.read_text()
            yield "chasquid/" + file.name, list(chasquid_steps(text)), "tls_connect" in text
    for file in sorted((testdata / "smtp/james-mpt").glob("*.txt")):
        yield "james-mpt/" + file.name, list(james_steps(file.read_text())), False


def test_dialogues_of_others(house, testdata):
    played, wrong = 0, []
    unused = set(DIFFERENCES)
    for name, steps, login in dialogues(testdata):
        played += 1
        for place, (expected, given) in enumerate(play(house, steps, login)):
            listed = DIFFERENCES.get((name, place))
            unused.discard((name, place))
            if given != (listed[0] if listed else expected) or (listed and given == expected):
                wrong.append(f"{name} {place}: {given}, not {expected}" + (f" (listed: {listed})" if listed else ""))
    assert played >= 26
    assert not wrong and not unused, "\n".join(wrong + [f"listed for nothing: {u}" for u in unused])


def test_streams_of_a_fuzzer(house, testdata):
    """Whole sessions with the grammar's every turn, thrown at us in one piece: then the next client is served."""
    before = house.pids()
    for file in sorted((testdata / "smtp/profuzzbench").glob("*.raw.txt")):
        octets = file.read_bytes()
        for cut in len(octets), len(octets) // 2, len(octets) // 3:
            with house.talk() as talk:
                try:
                    talk.raw(octets[:cut])
                    while talk.socket.settimeout(0.5) or talk.line() is not None:
                        pass
                except OSError:
                    pass
    with house.hello() as talk:
        talk.say("NOOP").expect(250)
    assert house.pids() == before
