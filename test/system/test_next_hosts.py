# SPDX-License-Identifier: Apache-2.0
"""Debian's Postfix, Exim and OpenSMTPD as next hosts: what we hand over comes out of them whole, once, for each recipient."""
import re

import pytest

from mtas import Exim, OpenSmtpd
from peers import Postfix, Sink
from station import TRUSTED

pytestmark = pytest.mark.slow
MAILS = 60


def message(i):
    body = b"..a dot\r\n.\xc3\xbc\r\n" + (b"x" * 70 + b"\r\n") * (i * 20)
    head = b"Date: Mon, 23 Nov 2026 05:19:00 +0000\r\nMessage-ID: <t%d@src.test>\r\nSubject: number %d\r\n" % (i, i)
    return head + b"X-Token: t%d\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" % i + body


@pytest.mark.parametrize("kind", [Postfix, Exim, OpenSmtpd], ids=lambda kind: kind.__name__.lower())
def test_it_takes_our_mail(make_station, kind):
    with Sink() as sink, kind(relay_port=sink.port) as host:
        station = make_station(routes=f'route "*" {{ via = "smtp://127.0.0.1:{host.port}" }}')
        talk = station.hello(source=TRUSTED)
        for i in range(MAILS):
            talk.mail(f"s{i}@src.test", f"box{i}@far.test", message(i))
        station.wait_drained()
        sink.wait_mails(MAILS)
        tokens = {}
        for sender, recipients, octets in list(sink.mails):
            token = int(re.search(rb"^X-Token: t(\d+)\r?$", octets, re.MULTILINE)[1])
            assert token not in tokens, f"{token} came twice"
            tokens[token] = recipients
            assert sender == f"s{token}@src.test" and recipients == [f"box{token}@far.test"]
            assert octets.replace(b"\r\n", b"\n").endswith(message(token).replace(b"\r\n", b"\n"))
        assert sorted(tokens) == list(range(MAILS))
