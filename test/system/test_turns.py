# SPDX-License-Identifier: Apache-2.0
"""One sender's domains that do not answer hold up nobody else's."""
import time

import pytest

from nameservers import A, MX, LyingDns, a, answer, mx, SERVFAIL
from peers import Sink
from station import TRUSTED, free_ports, until

DOMAINS, A_MAIL = 4000, 1000
SLOW_SECONDS = 1  # a question about them takes; the one of the small sender is answered at once


def tell(question, _):
    if question.name.endswith("slow.test"):
        time.sleep(SLOW_SECONDS)
        return answer(question, rcode=SERVFAIL)
    if question.kind == MX:
        return answer(question, mx(question.name, 5, "mx.quick.test"))
    return answer(question, a(question.name, "127.0.0.11")) if question.kind == A else answer(question)


@pytest.mark.parametrize("small", ["box@quick.test", "box@d3999.slow.test"])
def test_a_small_sender_asks_at_once(make_station, small):
    """Behind four thousand domains of somebody else: for one of its own, and for one that the other waits for, too."""
    port, = free_ports(1)
    asked = small.partition("@")[2]
    with LyingDns(tell) as dns, Sink(port, address="127.0.0.11") as sink:
        station = make_station(routes=f'route "*" {{ port = {port} }}',
                               resolver=f'forward = "{dns.forward}" allow = {{"127.0.0.0/8"}}')
        talk = station.hello(source=TRUSTED)
        for first in range(0, DOMAINS, A_MAIL):
            talk.mail("big@example.org", [f"box@d{i}.slow.test" for i in range(first, first + A_MAIL)], b"Subject: all\r\n\r\ntext\r\n")
        until(lambda: len({name for name, _ in list(dns.seen)}) > 100, "questions about the slow domains")
        station.hello(source=TRUSTED).mail("small@example.org", small, b"Subject: one\r\n\r\ntext\r\n")
        until(lambda: asked in {name for name, _ in list(dns.seen)}, "the small sender's question")
        assert len({name for name, _ in list(dns.seen)}) < DOMAINS / 2, "it waited for the other's"
        if small.endswith("@quick.test"):
            assert sink.wait_mails(1)[0][0] == "small@example.org"
