# SPDX-License-Identifier: Apache-2.0
"""SMTP by hand over a socket, and what a mail may look like when it has arrived."""
import base64
import re
import socket
import ssl

ADDED = (b"return-path", b"delivered-to", b"received", b"date", b"message-id")


class Talk:
    """say() sends a line, reply() reads one whole reply, expect() asserts its code; each returns what reads well in a chain."""

    def __init__(self, port, source=None, timeout=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout, source and (source, 0))
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def secure(self, context=None, name="mail.example.org"):
        """TLS from here on. Without a context nothing is verified."""
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        assert not self.rest, f"something was said before TLS: {self.rest}"
        self.socket = context.wrap_socket(self.socket, server_hostname=name)
        return self

    def starttls(self, context=None, name="mail.example.org"):
        self.say("STARTTLS").expect(220)
        return self.secure(context, name)

    def raw(self, octets):
        self.socket.sendall(octets)
        return self

    def say(self, line):
        return self.raw((line if isinstance(line, bytes) else line.encode()) + b"\r\n")

    def line(self):
        """The next line without its end; None when the server closed."""
        while b"\n" not in self.rest:
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                return None
            self.rest += more
        line, self.rest = self.rest.split(b"\n", 1)
        assert line.endswith(b"\r"), f"a reply line without CR: {line}"
        return line[:-1].decode()

    def reply(self):
        """A reply, its lines joined by "\\n"; None when the server closed."""
        lines = []
        while True:
            line = self.line()
            if line is None:
                assert not lines, f"closed within a reply: {lines}"
                return None
            assert re.match(r"[2-5]\d\d[- ]|[2-5]\d\d$", line), f"no reply line: {line}"
            lines.append(line)
            if line[3:4] != "-":
                return "\n".join(lines)

    def expect(self, code, text=""):
        reply = self.reply()
        assert reply is not None, f"closed instead of {code}"
        assert reply.startswith(str(code)) and text in reply, f"{reply} instead of {code} {text}"
        return reply

    def closed(self):
        """True when the server has closed and said nothing more."""
        return self.line() is None

    def login(self, user, password):
        token = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        self.say("AUTH PLAIN " + token).expect(235)
        return self

    def envelope(self, sender, *recipients, options=""):
        self.say(f"MAIL FROM:<{sender}>{options}").expect(250)
        for recipient in recipients:
            self.say(f"RCPT TO:<{recipient}>").expect(25)
        return self

    def data(self, message, code=250):
        """message has CRLF at its line ends and at its end; returns the reply."""
        self.say("DATA").expect(354)
        self.raw(re.sub(rb"(?m)^\.", b"..", message) + b".\r\n")
        return self.expect(code)

    def mail(self, sender, recipients, message):
        self.envelope(sender, *([recipients] if isinstance(recipients, str) else recipients))
        return self.data(message)


def crlf(message):
    """As it goes over the wire: LF ends made CRLF, and one at the end."""
    message = re.sub(rb"\r\n|\n", b"\r\n", message)
    return message if message.endswith(b"\r\n") else message + b"\r\n"


def added_fields(arrived, sent):
    """Names of the header fields that the station put before `sent`, which follows to the last octet. Anything else fails."""
    assert arrived.endswith(sent), f"changed: sent {sent[:300]!r}…, arrived {arrived[:600]!r}…"
    head = arrived[: len(arrived) - len(sent)]
    if sent and not re.match(rb"[!-9;-~]+[ \t]*:", sent) and not sent.startswith(b"\r\n"):
        assert head.endswith(b"\r\n\r\n"), "a body without header needs an empty line before it"
        head = head[:-2]
    names = []
    for line in head.split(b"\r\n")[:-1]:
        if line[:1] not in (b" ", b"\t"):
            name = line.partition(b":")[0].lower()
            assert name in ADDED, f"added: {line!r}"
            names.append(name.decode())
    assert head == b"" or head.endswith(b"\r\n")
    return names


def reverse_path(mail):
    return re.match(rb"Return-Path: <([^>]*)>\r\n", mail)[1].decode()


def body(mail):
    return mail.partition(b"\r\n\r\n")[2]
