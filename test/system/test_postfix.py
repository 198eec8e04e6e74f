# SPDX-License-Identifier: Apache-2.0
"""Debian's Postfix sends to us and receives from us, 1,000 mails each way, none lost, none twice, none changed."""
import re

import pytest

from peers import Postfix
from station import TRUSTED, free_ports, until
from talk import Talk

MAILS = 1000
pytestmark = pytest.mark.slow


def message(i):
    return b"Subject: number %d\r\nX-Token: t%d\r\n\r\n.a dot\r\n..two\r\nGr\xc3\xbc\xc3\x9fe %d\r\n" % (i, i, i)


def hand_in(talk, recipient):
    for i in range(MAILS):
        talk.mail(f"s{i}@src.test", recipient, message(i))
    talk.say("QUIT").expect(221)


def assert_each_once(mails):
    tokens = [int(re.search(rb"^X-Token: t(\d+)\r?$", mail, re.MULTILINE)[1]) for mail in mails]
    assert sorted(tokens) == list(range(MAILS))
    for token, mail in zip(tokens, mails):
        assert mail.replace(b"\r\n", b"\n").endswith(message(token).replace(b"\r\n", b"\n"))


def test_postfix_sends_to_us(station):
    with Postfix(relay_port=station.smtp_port) as postfix:
        talk = Talk(postfix.port)
        talk.expect(220)
        talk.say("EHLO client.test").expect(250)
        hand_in(talk, "bob@example.org")
        assert_each_once(station.wait_mails("bob", MAILS))


def test_postfix_receives_from_us(make_station):
    with Postfix(relay_port=free_ports(1)[0]) as postfix:
        station = make_station(routes=f'route "dst.test" {{ via = "smtp://127.0.0.1:{postfix.port}" }}')
        hand_in(station.hello(source=TRUSTED), "box@dst.test")
        until(lambda: len(postfix.mailbox()) >= MAILS, "Postfix to keep them all")
        assert_each_once(postfix.mailbox())
        station.wait_drained()
