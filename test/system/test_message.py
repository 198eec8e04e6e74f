# SPDX-License-Identifier: Apache-2.0
"""What we write, read by Python's email package: reports in both languages, headers that became ASCII."""
import email
import email.policy
import random
import subprocess
from email.header import decode_header
from email.utils import collapse_rfc2231_value

import pytest

from station import BUILD

ONE = BUILD / "test" / "system" / "message-one"
WORDS = ["Grüße", "驿站", "a", "x y", 'René "R"', "(c)", "=", "_?", "long" * 12, "é,ü;:<>@", "\\"]
MAILBOX = "<a@b.example>"


def run(*arguments, octets=b""):
    return subprocess.run([ONE, *arguments], input=octets, capture_output=True, check=False)


@pytest.mark.parametrize("language, subject, words", [
    ("en", "Not delivered: your mail to bob@example.org and 1 more",
     ["Your mail of Sun, 22 Nov 2026 05:19:00 +0000, with the subject: 你好", "The mailbox is full.",
      "mx.example.org said: 552 5.2.2 no room left", "(you wrote to sales+x@example.org)"]),
    ("zh", "未送达：您给 bob@example.org 等 2 人 的邮件",
     ["您于 2026-11-22 05:19 UTC 发来的邮件（主题：你好）无法送达以下地址：", "邮箱已满。", "could not be delivered to these addresses:"]),
])
def test_report(language, subject, words):
    mail = email.message_from_bytes(run("report", language).stdout, policy=email.policy.default)
    assert not mail.defects and mail["subject"] == subject
    assert mail["auto-submitted"] == "auto-replied" and mail["references"] == mail["in-reply-to"] == "<9@x>"
    assert mail.get_content_type() == "multipart/report" and mail.get_param("report-type") == "delivery-status"
    text, report, original = mail.get_payload()
    for part in words:
        assert part in text.get_content()
    assert "later" not in text.get_content()
    assert report.get_content_type() == "message/delivery-status"
    about, bob, eve = (dict(fields.items()) for fields in report.get_payload())
    assert about == {"Original-Envelope-Id": "QQ+1", "Reporting-MTA": "dns; mail.example.net", "X-Posthouse-Mail": "00ff",
                     "Arrival-Date": "Sun, 22 Nov 2026 05:19:00 +0000"}
    assert bob == {"Original-Recipient": "rfc822; sales+x@example.org", "Final-Recipient": "rfc822; bob@example.org",
                   "Action": "failed", "Status": "5.2.2", "Remote-MTA": "dns; mx.example.org",
                   "Diagnostic-Code": "smtp; 552 5.2.2 no room left"}
    assert eve == {"Final-Recipient": "rfc822; eve@example.com", "Action": "failed", "Status": "5.4.7"}
    assert original.get_content_type() == "message/global"
    assert original.get_payload()[0]["subject"] == "你好" and original.get_payload()[0].get_payload() == "hi\r\n"


def decoded(field):
    unfolded = field.replace("\r\n", "")
    return "".join(p if isinstance(p, str) else p.decode(c or "ascii") for p, c in decode_header(unfolded))


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.mark.parametrize("seed", range(100))
def test_a_header_in_ascii_says_the_same(seed):
    rnd = random.Random(seed)
    name, subject = (" ".join(rnd.choices(WORDS, k=rnd.randint(1, most))).strip() for most in (8, 20))
    filename = "".join(rnd.choices(WORDS, k=rnd.randint(1, 8)))
    message = (f"From: {quoted(name)} {MAILBOX}\r\nTo: é {MAILBOX}, {quoted(name)} <c@d.example>, g: e@f.example;\r\n"
               f"Subject: {subject}\r\nContent-Type: application/pdf; name={quoted(filename)}; x=y\r\n\r\n").encode() + b"\xe9\r\n"
    done = run("ascii", octets=message)
    assert done.returncode == 0, done.stderr
    header, body = done.stdout.split(b"\r\n\r\n", 1)
    header.decode("ascii")
    assert body == b"\xe9\r\n"
    plain = email.message_from_bytes(done.stdout)
    assert decoded(plain["subject"]) == subject
    assert decoded(plain["from"]).replace("  <", " <") in (f"{name} {MAILBOX}", f"{quoted(name)} {MAILBOX}")
    assert collapse_rfc2231_value(plain.get_param("name")) == filename and plain.get_param("x") == "y"
    parsed = email.message_from_bytes(done.stdout, policy=email.policy.default)
    assert [a.addr_spec for a in parsed["to"].addresses] == ["a@b.example", "c@d.example", "e@f.example"]
    assert all(len(line) <= 76 for line in header.split(b"\r\n") if b"=?" in line or b"*=" in line)


def test_what_cannot_be_said_in_ascii():
    done = run("ascii", octets="To: é@example.org\r\n\r\n".encode())
    assert done.returncode == 1 and done.stdout == b"" and "an address in To" in done.stderr.decode()
