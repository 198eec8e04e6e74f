# SPDX-License-Identifier: Apache-2.0
"""What the tutorials of the world show: SMTP typed into a terminal, and the first client that somebody writes in C."""
import subprocess

import pytest

from station import BUILD
from talk import added_fields, crlf

MESSAGE = b"Subject: hello\n\nDear Bob,\n.a line with a dot in front\n"


def test_the_terminal_dialogue_verbatim(station):
    """HELO, AUTH LOGIN in base64, a blank and no brackets, a body without a header."""
    talk = station.talk("submission")
    talk.expect(220, "mail.example.org")
    talk.say("HELO localhost").expect(250, "mail.example.org")
    talk.say("AUTH LOGIN").expect(334, "VXNlcm5hbWU6")
    talk.say("YWxpY2VAZXhhbXBsZS5vcmc=").expect(334, "UGFzc3dvcmQ6")
    talk.say("d29uZGVybGFuZA==").expect(235)
    talk.say("MAIL FROM: alice@example.org").expect(250)
    talk.say("RCPT TO: bob@example.org").expect(250)
    talk.say("DATA").expect(354)
    talk.say("Hello Bob, this has no header.").say("It has two lines.").say(".").expect(250)
    talk.say("QUIT").expect(221)
    assert talk.closed()
    mail, = station.wait_mails("bob", 1)
    names = added_fields(mail, b"Hello Bob, this has no header.\r\nIt has two lines.\r\n")
    assert names.count("received") == 1 and {"return-path", "date", "message-id"} <= set(names)


@pytest.mark.parametrize("early", [False, True], ids=["reads the greeting", "EHLO at once"])
def test_the_compiled_client(station, early):
    """One recv after each send, whatever it brings; with -e it never waits for the greeting."""
    arguments = ["-e"] * early + [str(station.submission_port), "alice@example.org", "alice@example.org", "bob@example.org"]
    done = subprocess.run([BUILD / "examples/tutorial", *arguments], input=b"wonderland\n" + MESSAGE, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for user in "alice", "bob":
        mail, = station.wait_mails(user, 1)
        added_fields(mail, crlf(MESSAGE))
