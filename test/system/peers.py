# SPDX-License-Identifier: Apache-2.0
"""Other people's mail systems on loopback: aiosmtpd as a host that takes, refuses or defers; Debian's Postfix."""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

from station import PATIENCE, free_ports, until


def dovecot_program():
    """Where Dovecot is: one whose file has the words of 2.3."""
    path = shutil.which("dovecot", path="/usr/sbin:/usr/bin")
    if not path:
        pytest.skip("Dovecot is not installed")
    version = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
    if not version.startswith("2.3"):
        pytest.skip(f"the words of its file are those of Dovecot 2.3, and this is {version.split()[0]}")
    return path


class Sink:
    """The next host. `mails` has (sender, recipients, octets) of what it took. answer(recipient) → a reply, None: take it."""

    def __init__(self, port=None, answer=lambda recipient: None, answer_data=lambda octets: None, helo_only=False,
                 address="127.0.0.1", **options):
        self.address, self.port = address, port or free_ports(1)[0]
        self.answer, self.answer_data, self.options = answer, answer_data, options
        self.helo_only = helo_only  # a host of before 1995
        self.mails, self.sessions = [], 0
        self.lock = threading.Lock()
        self.controller = None

    def start(self):
        sink = self

        class Server(SMTP):
            def connection_made(self, transport):
                sink.sessions += 1
                super().connection_made(transport)

            async def smtp_EHLO(self, hostname):
                if sink.helo_only:
                    await self.push("500 5.5.1 what is EHLO?")
                else:
                    await super().smtp_EHLO(hostname)

        class Listener(Controller):
            def factory(self):
                return Server(self.handler, **{"enable_SMTPUTF8": True, "hostname": "sink.test", **sink.options})

        self.controller = Listener(self, hostname=self.address, port=self.port, ready_timeout=PATIENCE)
        self.controller.start()
        return self

    def stop(self):
        if self.controller:
            self.controller.stop()
            self.controller = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    async def handle_RCPT(self, server, session, envelope, address, options):
        reply = self.answer(address)
        if reply:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 taken"

    async def handle_DATA(self, server, session, envelope):
        reply = self.answer_data(envelope.content)
        if reply:
            return reply
        with self.lock:
            self.mails.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return "250 2.0.0 kept"

    def wait_mails(self, n):
        until(lambda: len(self.mails) >= n, f"{n} mails at the next host (there are {len(self.mails)})")
        return self.mails


class Listening:
    """Accepts on self.listener; each connection gets a thread with serve(connection). `sessions` counts them."""

    def __init__(self):
        self.sessions, self.ended = 0, threading.Event()

    def __enter__(self):
        self.listener.listen(50)
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        while not self.ended.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.sessions += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()


class Scripted(Listening):
    """A host that says what a test wants, on TCP or, with a path, on a UNIX socket: a greeting, then a reply to each command in turn.
    "" closes the connection; behind the last reply it is silent. `pause` seconds pass before each octet. `heard` has the commands, and the
    lines of messages, of all connections."""

    def __init__(self, *replies, path=None, pause=0):
        super().__init__()
        self.replies, self.pause, self.path = replies, pause, path
        self.heard = []
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(str(path) if path else ("127.0.0.1", free_ports(1)[0]))
        self.port = None if path else self.listener.getsockname()[1]

    def say(self, connection, reply):
        octets = reply.encode() + b"\r\n"
        if not self.pause:
            connection.sendall(octets)
            return
        for octet in octets:
            connection.sendall(bytes([octet]))
            if self.ended.wait(self.pause):
                return

    def serve(self, connection):
        """Until a "" of the script, a QUIT, or the other side hangs up."""
        with connection, connection.makefile("rb") as lines:
            replies, in_message = iter(self.replies), False
            try:
                while (reply := next(replies, None)) != "":
                    if reply is not None:
                        self.say(connection, reply)
                        in_message = reply.startswith("354")
                    while True:
                        line = lines.readline().decode(errors="replace")
                        self.heard.append(line.rstrip("\r\n"))
                        if not in_message or line in (".\r\n", ""):
                            break
                    if line in ("", "QUIT\r\n"):
                        return
            except OSError:
                return


MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {directory}/spool
data_directory = {directory}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.test
mydestination =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtp_host_lookup = native
smtp_dns_support_level = disabled
smtpd_tls_security_level = none
smtp_tls_security_level = none
alias_maps =
local_recipient_maps =
local_header_rewrite_clients =
maillog_file = {directory}/log
maillog_file_prefixes = {directory}
virtual_mailbox_base = {directory}/mail
virtual_mailbox_domains = dst.test
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
"""


class Postfix:
    """An instance of its own, on one port: keeps mail for dst.test in `mail/box`, relays all else to relay_port. settings: more lines of
    main.cf."""

    def __init__(self, relay_port, settings=""):
        if os.geteuid() != 0 or not shutil.which("postfix", path="/usr/sbin"):
            pytest.skip("needs root and Debian's postfix")
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-postfix."))
        self.directory.chmod(0o755)
        self.port = free_ports(1)[0]
        for part, owner in ("etc", "root"), ("spool", "root"), ("data", "postfix"), ("mail", "nobody"):
            (self.directory / part).mkdir()
            shutil.chown(self.directory / part, owner)
        (self.directory / "etc/main.cf").write_text(
            MAIN_CF.format(directory=self.directory) + f"relayhost = [127.0.0.1]:{relay_port}\n" + settings)
        (self.directory / "etc/master.cf").write_text(self.master_cf())

    def master_cf(self):
        """Debian's, with smtpd on our port and nothing in a chroot."""
        lines = []
        for line in pathlib.Path("/usr/share/postfix/master.cf.dist").read_text().splitlines():
            words = line.split()
            if line and line[0].isalnum() and len(words) >= 8:
                if words[:2] == ["smtp", "inet"]:
                    words[0] = str(self.port)
                words[4] = "n"
                line = " ".join(words)
            lines.append(line)
        return "\n".join(lines) + "\n"

    def command(self, *arguments):
        return subprocess.run(["/usr/sbin/postfix", "-c", self.directory / "etc", *arguments], capture_output=True, text=True, timeout=60)

    def __enter__(self):
        done = self.command("start")
        assert done.returncode == 0, done.stderr
        return self

    def __exit__(self, *_):
        self.command("stop")
        shutil.rmtree(self.directory, ignore_errors=True)

    def mailbox(self):
        return [f.read_bytes() for f in (self.directory / "mail/box/new").glob("*")]
