# SPDX-License-Identifier: Apache-2.0
"""A proxy in front of the door of HTTP says whose a connection is: the role `web` alone, as in test_web.py. (HAProxy before a whole station: test_webmail.py.)"""
import contextlib
import http.client
import json
import socket
import time

import pytest

from certificates import Authority
from station import PATIENCE, until
from test_gate import V2, v1, v2
from test_web import JSON, Web

PROXY = "127.0.0.9"
OPTION = f'proxy = {{"{PROXY}/32"}}'
GUESSES = 5  # in a minute, of one address
FROM_ONE = 256  # connections of one address


class Proxied(Web):
    """Comes from the proxy's address; what it says first is `header`."""

    header = b""

    def plain(self, header=None, source=PROXY):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE, source_address=(source, 0))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(self.header if header is None else header)
        return s

    def connect(self):
        s = self.plain()
        return self.context.wrap_socket(s, server_hostname="mail.example.org") if self.context else s

    def as_client(self, header):
        self.header = header
        return self

    def guess(self):
        """The status of a sign-in with a wrong password."""
        return self.ask("POST", "/session", {**JSON, "X-Posthouse": "1"}, json.dumps({"login": "wei", "password": "wrong"}))[0]


@pytest.fixture
def web():
    w = Proxied(options=OPTION)
    yield w.as_client(v2("192.0.2.99"))
    w.end()


@pytest.fixture
def secure(tmp_path):
    authority = Authority(tmp_path)
    w = Proxied(authority.issue("mail.example.org"), authority.trust, OPTION)
    yield w.as_client(v2("192.0.2.99"))
    w.end()


def is_closed(connection):
    """Without a word."""
    connection.settimeout(PATIENCE)
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(1) == b""
    return True


def answers(connection):
    """The status of a request on what stands behind the header."""
    connection.sendall(b"GET / HTTP/1.1\r\nHost: mail.example.org\r\nConnection: close\r\n\r\n")
    with http.client.HTTPResponse(connection) as answer:
        answer.begin()
        return answer.status


@pytest.mark.parametrize("header", [v1, v2])
def test_wrong_passwords_count_by_client(web, header):
    web.as_client(header("192.0.2.8"))
    assert [web.guess() for _ in range(GUESSES)] == [401] * GUESSES and web.guess() == 429
    web.as_client(header("192.0.2.7"))
    assert web.guess() == 401, "one client's guesses are counted against another"
    until(lambda: all(f"login-refused client={client}\n" in web.log_text() for client in ("192.0.2.8", "192.0.2.7")), "the log to name both")
    assert f"client={PROXY}" not in web.log_text()


def test_an_ipv6_client_is_its_network(web):
    line = b"PROXY TCP6 2001:db8:0:1::%d 2001:db8::2 4321 443\r\n"
    assert [web.as_client(line % (i + 1)).guess() for i in range(GUESSES + 1)] == [401] * GUESSES + [429]
    assert web.as_client(b"PROXY TCP6 2001:db8:0:2::1 2001:db8::2 4321 443\r\n").guess() == 401


def test_connections_count_by_client(web):
    """The 257th of one client ends its oldest, and nobody else's."""
    with contextlib.ExitStack() as held:
        other = held.enter_context(web.plain(v2("192.0.2.7")))
        first = held.enter_context(web.plain(v2("192.0.2.8")))
        assert answers(web.plain(v2("192.0.2.8"))) == 200  # so first is in
        for _ in range(FROM_ONE):
            held.enter_context(web.plain(v2("192.0.2.8")))
        assert is_closed(first)
        assert answers(other) == 200


def test_tls_begins_behind_the_header(secure):
    for header in v1("192.0.2.8"), v2("192.0.2.8"):
        assert secure.as_client(header).is_well()["Strict-Transport-Security"]
    assert secure.guess() == 401
    until(lambda: "login-refused client=192.0.2.8" in secure.log_text(), "the log to name the client")


@pytest.mark.parametrize("header", [v1("192.0.2.8"), v2("192.0.2.8")])
def test_a_header_in_pieces(web, header):
    with web.plain(b"") as connection:
        for octet in header:
            connection.sendall(bytes([octet]))
            time.sleep(0.002)  # one segment each
        assert answers(connection) == 200


@pytest.mark.parametrize("octets", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PROXY TCP4 1.2.3 x y z\r\n", b"PROXY " + b"x" * 200, V2 + b"\x31\x11\0\x0c" + b"x" * 12,
                                    b"\x16\x03\x01\x02\0\x01", V2 + b"\x21\x11\xff\xff" + b"x" * 600],
                         ids=["none", "no-address", "long", "version-3", "tls", "long-v2"])
def test_a_wrong_header_closes(web, octets):
    with web.plain(octets) as connection:
        assert is_closed(connection)
    until(lambda: "no-proxy-header" in web.log_text(), "the log to tell")
    web.is_well()


def test_a_header_that_does_not_come_closes(web):
    """Cut off: at once. Silent: after five seconds, and the log says once what to do."""
    with web.plain(b"PROXY TC") as cut:
        cut.shutdown(socket.SHUT_WR)
        assert is_closed(cut)
    with web.plain(b"") as silent, web.plain(V2[:5]) as half:
        assert is_closed(silent) and is_closed(half)
    told, = until(lambda: [line for line in web.log_text().splitlines() if "no-proxy-header" in line], "the log to tell")
    assert f"client={PROXY}" in told and "send-proxy-v2" in told
    web.is_well()


def test_a_second_header_is_no_request(web):
    with web.plain(v1("192.0.2.8") + v1("192.0.2.1") + b"\r\n") as connection:
        assert connection.recv(4096).startswith((b"HTTP/1.1 400", b"HTTP/1.0 400", b"HTTP/1.1 404"))


def test_a_proxy_that_asks_whether_we_live(web):
    with web.plain(v2("192.0.2.8", command=0)) as connection:
        assert answers(connection) == 200


def test_nobody_else_says_who_they_are(web):
    """A stranger is served as who they are, without a header; with one, it is no request."""
    with web.plain(b"", source="127.0.0.1") as connection:
        assert answers(connection) == 200
    with web.plain(v2("192.0.2.8"), source="127.0.0.1") as connection:
        assert connection.recv(4096)[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.0 400")
