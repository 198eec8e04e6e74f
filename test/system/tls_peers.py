# SPDX-License-Identifier: Apache-2.0
"""A next host that can do TLS, and do it badly: `TlsPeer`."""
import base64
import contextlib
import ctypes
import os
import re
import socket
import ssl
import threading

from peers import Listening
from station import free_ports, until

CLONE_NEWNET = 0x40000000  # of sched.h


def context(leaf, **options):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(leaf.certificate, leaf.key)
    for name, value in options.items():
        setattr(made, name, value)
    return made


def old_context(leaf):
    """TLS 1.0 and nothing newer."""
    made = context(leaf, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1)
    made.set_ciphers("ALL:@SECLEVEL=0")
    return made


@contextlib.contextmanager
def inside(namespace):
    """Sockets made meanwhile are in that network namespace (None: in ours)."""
    if not namespace:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as ours, open(f"/run/netns/{namespace}") as theirs:
        assert libc.setns(theirs.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(ours.fileno(), CLONE_NEWNET) == 0


class Ended(Exception):
    pass


class TlsPeer(Listening):
    """A host with a certificate, which takes every mail and every password. `mails` has (TLS version or None, recipient, octets);
    `clear` all octets that came to it unencrypted; `names` what was asked for by SNI; `logins` how often the right password came. How it does TLS:

    good      as it should              refuses   offers STARTTLS, says 454
    none      does not offer it         garbage   220, then no TLS
    first     before the greeting       hangs     220, then silence until `release` is set
    old       TLS 1.0 alone             closes    220, then the end
    injects   in the packet of its 220 are replies, in clear, that would take the mail
    leaves    a good handshake, then the end
    """

    def __init__(self, leaf, way="good", login=False, address="127.0.0.1", port=None, namespace=None):
        super().__init__()
        self.way, self.login = way, login
        self.context = old_context(leaf) if way == "old" else context(leaf)
        self.names, self.mails, self.clear = [], [], b""
        self.context.sni_callback = lambda _, name, __: self.names.append(name)
        self.release = threading.Event()
        self.logins = 0
        with inside(namespace):
            self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port = port or free_ports(1)[0]
        self.listener.bind((address, self.port))

    def __exit__(self, *ending):
        self.release.set()
        super().__exit__(*ending)

    def serve(self, connection):
        try:
            Session(self, connection).run()
        except (OSError, Ended):
            pass
        finally:
            connection.close()

    def wait_mails(self, n):
        until(lambda: len(self.mails) >= n, f"{n} mails at the host that {self.way} (there are {len(self.mails)})")
        return self.mails


class Session:
    def __init__(self, peer, connection):
        self.peer, self.connection, self.unread = peer, connection, b""
        self.version = self.recipient = None
        if peer.way == "first":
            self.secure()

    def secure(self):
        self.unread = b""
        self.connection = self.peer.context.wrap_socket(self.connection, server_side=True)
        self.version = self.connection.version()

    def read(self, end):
        while end not in self.unread:
            octets = self.connection.recv(65536)
            if not octets:
                raise Ended
            if not self.version:
                self.peer.clear += octets
            self.unread += octets
        read, _, self.unread = self.unread.partition(end)
        return read

    def say(self, *lines):
        for line in lines[:-1]:
            self.connection.sendall(f"{line[:3]}-{line[4:]}\r\n".encode())
        self.connection.sendall(lines[-1].encode() + b"\r\n")

    def run(self):
        self.say("220 peer.test ESMTP")
        while True:
            line = self.read(b"\r\n").decode(errors="replace")  # it may be a handshake
            verb = line[:4].upper()
            if verb in ("EHLO", "LHLO"):
                self.offer()
            elif verb == "STAR":
                self.begin_tls()
            elif verb == "AUTH":
                assert base64.b64decode(line.split()[2]) == b"\0alice\0wonderland"
                self.peer.logins += 1
                self.say("235 2.7.0 in")
            elif verb == "RCPT":
                self.recipient = re.search("<(.*)>", line)[1]
                self.say("250 ok")
            elif verb == "DATA":
                self.say("354 go on")
                self.peer.mails.append((self.version, self.recipient, self.read(b"\r\n.\r\n")))
                self.say("250 2.0.0 kept")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def offer(self):
        lines = ["250 peer.test"]
        if self.peer.login:
            lines.append("250 AUTH PLAIN")
        if not self.version and self.peer.way != "none":
            lines.append("250 STARTTLS")
        self.say(*lines)

    def begin_tls(self):
        way = self.peer.way
        if way == "refuses":
            self.say("454 4.7.0 TLS not available")
            return
        replies = "220 go on"
        if way == "injects":
            replies += "".join(f"\r\n{r} injected" for r in (250, 250, 250, 354, 250))
        self.say(replies)
        if way == "closes":
            raise Ended
        if way == "garbage":
            self.connection.recv(65536)  # what came with the 220 would be words slipped in, or thrown away
            self.connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20)
            raise Ended
        if way == "hangs":
            self.peer.release.wait()
            raise Ended
        self.secure()
        if way == "leaves":
            raise Ended
