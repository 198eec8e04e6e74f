# SPDX-License-Identifier: Apache-2.0
"""test/dialog/*.smtp over a socket: the same transcripts that run against the pure core, here with a whole station behind.

test/dialog/README.md has the format. What the core's runner pretends (`@ fault …`) is brought about for real: a stopped vault, a
failing disk, limits of the configuration. What cannot be is in CORE_ONLY, with the reason.
"""
import os
import pathlib
import re
import signal

import pytest

from peers import Sink
from station import PATIENCE, REFUSED, TRUSTED, until
from strace import SYNCS, Strace
from talk import Talk, added_fields

FILES = sorted((pathlib.Path(__file__).resolve().parents[1] / "dialog").glob("*.smtp"))
CORE_ONLY = {
    "no-space.smtp": "a disk that is really full says so at MAIL already: test_full_disk.py",
    "rate-reached.smtp": "a rate counts minutes, and recipients: test_limits.py",
    "vault-silent.smtp": "for a mailbox that exists the address table answers without vault: test_lifecycle.py",
}

DOMAIN = """
	alias team  { to = {"alice", "bob"} }
	alias sales { to = "bob@partner.example" }
	moved old   { to = "new@elsewhere.example" }
"""
LEADS_TO = {"team": ["alice", "bob"], "postmaster": ["alice"]}
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"(?:\s*\*\s*(\d+))?\s*$')
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)")


def unquoted(text):
    """`"text\\r\\n\\x00" * 300` as octets."""
    quoted, times = QUOTED.match(text).groups()
    names = {"r": "\r", "n": "\n", "t": "\t"}

    def escape(match):
        what = match[1]
        return chr(int(what[1:], 16)) if what[0] == "x" else names.get(what, what)
    # Octets of UTF-8 stay what they are while the escapes are read.
    plain = quoted.encode().decode("latin-1")
    return ESCAPE.sub(escape, plain).encode("latin-1") * int(times or 1)


def pattern(text):
    """'*' is any text; the pattern need match the beginning only."""
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)


class Player:
    def __init__(self, station, sink):
        self.station, self.sink = station, sink
        self.talk = None
        self.unsent = b""
        self.kept = None  # (recipients, lines) between @ kept and the line behind its M lines
        self.expected = []  # (place, message) of what was kept
        self.replies_kept = self.mails_named = 0
        self.at_end = []  # how faults are ended

    def play(self, text):
        try:
            for number, line in enumerate(text.split("\n"), 1):
                try:
                    self.line(line)
                except (AssertionError, OSError) as e:
                    raise AssertionError(f"line {number}: {line}: {e}") from e
            self.end_kept()
            self.send()
        finally:
            for end in reversed(self.at_end):
                end()
        self.expect_mails()

    def line(self, line):
        mark, rest = line[:2], line[3:]
        if mark == "M:":
            self.kept[1].append(rest)
            return
        self.end_kept()
        if mark == "C:":
            self.unsent += rest.encode() + b"\r\n"
        elif mark == "C>":
            self.unsent += unquoted(rest)
        elif mark in ("S:", "S~"):
            self.send()
            said = self.talk.line()
            assert said is not None, "closed"
            self.replies_kept += said.startswith("250 2.0.0 kept")
            assert said == rest if mark == "S:" else pattern(rest).match(said), f"the station says {said!r}"
        elif mark == "S*":
            self.send()
            said = self.talk.reply()
            assert said and said.startswith(rest), f"the station says {said!r}"
        elif mark == "@ ":
            self.direct(*line[2:].split(" ", 1))
        else:
            assert not line or line.startswith("#"), "what is this line?"

    def send(self):
        octets, self.unsent = self.unsent, b""
        if octets:
            try:
                self.talk.raw(octets)
            except (BrokenPipeError, ConnectionResetError):
                pass  # said to a closed connection

    def direct(self, what, rest=""):
        self.send()
        getattr(self, "do_" + what.replace("-", "_"))(rest)

    def do_connect(self, rest):
        self.do_close("")
        door, _, client = rest.partition(" as ")
        source = TRUSTED if client == "trusted" else REFUSED if "refuse" in self.faults else None
        self.talk = Talk(getattr(self.station, door + "_port"), source)

    def do_secured(self, rest):
        self.talk.secure()

    def do_close(self, rest):
        if self.talk:
            self.talk.close()

    def do_closed(self, rest):
        assert self.talk.closed(), "the station says more"

    def do_silence(self, rest):
        """What is not there cannot be awaited: nothing may be there now, and whatever comes later fails the next S line."""
        self.talk.socket.settimeout(0.05)
        try:
            self.talk.rest += self.talk.socket.recv(65536)
        except TimeoutError:
            pass
        finally:
            self.talk.socket.settimeout(60)
        assert self.talk.rest == b"", f"the station says {self.talk.rest!r}"

    def do_core_only(self, rest):
        pytest.skip("core only: " + rest)

    # ── what was kept ──

    def do_kept(self, rest):
        if rest == "nothing":
            self.expect_mails()
        else:
            _, _, recipients = rest.partition(" to ")
            self.kept = (recipients.split(), [])
            self.mails_named += 1

    def end_kept(self):
        if self.kept:
            recipients, lines = self.kept
            message = b"".join(line.encode() + b"\r\n" for line in lines)
            for recipient in recipients:
                local, _, domain = recipient.lower().partition("@")
                if domain not in ("", "example.org") or local == "sales":
                    self.expected.append(("sink", message))
                else:
                    self.expected += [(place, message) for place in LEADS_TO.get(local, [local])]
            self.kept = None

    def expect_mails(self):
        """Every mail that was named arrived, whole; and where each that was kept is named, no other but reports to senders."""
        if "shutdown" in self.faults:
            assert self.station.process.wait(PATIENCE) == 0
            self.station.start()
            self.faults -= {"shutdown"}
        self.station.wait_drained()
        for place in "alice", "bob", "sink":
            arrived = [m for sender, _, m in self.sink.mails if sender not in ("", "<>", None)] if place == "sink" else self.station.mailbox(place)
            for message in [message for where, message in self.expected if where == place]:
                whole = next((m for m in arrived if m.endswith(message)), None)
                assert whole is not None, f"{place}: none of {arrived} ends in {message!r}"
                arrived.remove(whole)
                added_fields(whole, message)
            assert not arrived or self.replies_kept > self.mails_named, f"{place} has {arrived} too"

    # ── faults, brought about for real ──

    faults = frozenset()

    def do_fault(self, name):
        getattr(self, "fault_" + name)()

    def fault_none(self):
        for end in reversed(self.at_end):
            end()
        self.at_end = []

    def fault_sync(self):
        strace = Strace(self.station.pid("receive"), "-e", f"trace={SYNCS}", "-e", f"inject={SYNCS}:error=EIO")
        strace.__enter__()
        self.at_end.append(lambda: strace.__exit__(None, None, None))

    def fault_vault(self):
        vault = self.station.pid("vault")
        os.kill(vault, signal.SIGSTOP)
        self.at_end.append(lambda: os.kill(vault, signal.SIGCONT))

    def fault_busy(self):
        self.suspend_bob("suspend", "450")
        self.at_end.append(lambda: self.suspend_bob("resume", "250"))

    def suspend_bob(self, verb, code):
        self.station.run("user", verb, "bob@example.org")

        def counts():
            with self.station.hello() as talk:
                talk.say("MAIL FROM:<a@src.test>").expect(250)
                return talk.say("RCPT TO:<bob@example.org>").reply()[:3] == code
        until(counts, f"{code} for bob")

    def fault_shutdown(self):
        self.station.process.terminate()

    def fault_overload(self):
        """One connection is all that is allowed: somebody else has it."""
        holder = self.station.talk()
        holder.expect(220)
        self.at_end.append(holder.close)

    def fault_refuse(self):
        """What do_connect does with it is all."""


@pytest.mark.parametrize("file", FILES, ids=[f.stem for f in FILES])
def test_dialog(make_station, file):
    if file.name in CORE_ONLY:
        pytest.skip("core only: " + CORE_ONLY[file.name])
    text = file.read_text()
    faults = set(re.findall(r"^@ fault (\w+)", text, re.MULTILINE))
    limits = 'recipients = 5 message = "100000"' + (" connections = 1" if "overload" in faults else "")
    with Sink() as sink:
        station = make_station(domain=DOMAIN, limits=limits, smtp="repair-line-ends = true auth-on-smtp = true",
                               routes=f'route "*" {{ via = "smtp://127.0.0.1:{sink.port}" }}')
        station.add_user("alice", "wonderland")
        station.add_user("bob", "builder")
        player = Player(station, sink)
        player.faults = faults
        player.play(text)
