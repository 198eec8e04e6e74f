# SPDX-License-Identifier: Apache-2.0
"""The ledger: what was promised against what is there.

Every mail carries a token and is handed in once. Its writer notes what the station said: kept (250 to the final dot), refused
(any other reply), or nothing (the connection broke before the reply came: both fates are right then, but only whole). At the
end, when the queue is empty, the mailbox and the next host are read, and for each token and place:

    kept     → there, whole
    refused  → not there
    twice    → only at the next host, and only when it was under way while something was killed: a host that has said 250 to
               a sender who died cannot be asked again. In a mailbox never: the file's name comes from the mail's id.
"""
import collections
import contextlib
import random
import threading
import time

from talk import Talk

SLACK_S = 5  # a mail whose fate is older than this when something dies is long settled, and not under way
LOCAL, REMOTE = "bob@example.org", "box@dst.test"
Entry = collections.namedtuple("Entry", "places message")


def message_for(token, size):
    line = b"%s %s\r\n" % (token, b"." * 60)
    return b"Subject: ledger\r\nX-Token: %s\r\n\r\n" % token + line * (size // len(line) + 1)


def token_in(mail):
    for line in mail.split(b"\n", 40)[:40]:
        if line.startswith(b"X-Token: "):
            return line[9:].strip()
    return None


class Ledger:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.sent = {}  # token → Entry, before the first octet is on its way
        self.kept, self.refused = set(), set()
        self.kills = []  # (when it may have begun, when it was over)

    def new_mail(self):
        with self.lock:
            token = b"t%08d" % len(self.sent)
            places = self.random.choice([[LOCAL], [REMOTE], [LOCAL, REMOTE]])
            size = self.random.choice([10, 1000, 4000, 4000, 4000, 60_000] + [400_000] * (self.random.random() < 0.1))
            self.sent[token] = Entry(places, message_for(token, size))
        return token

    def note(self, token, reply):
        with self.lock:
            if reply is not None:
                (self.kept if reply.startswith("250") else self.refused).add(token)

    @contextlib.contextmanager
    def kill(self):
        """The kill happens inside."""
        begun = time.monotonic()
        yield
        with self.lock:
            self.kills.append((begun, time.monotonic()))

    def under_way_at_a_kill(self, first, second):
        """The copies came at these moments: did something die between them, while the first was not long settled?"""
        return any(begun <= second and begun - first < SLACK_S and first - over < SLACK_S for begun, over in self.kills)

    def wrongs(self, place, arrived):
        """What is wrong at one place, a line each. arrived: (token, octets, moment) of every mail there; moment None: a mailbox."""
        wrong, first = [], {}
        for token, mail, moment in arrived:
            entry = self.sent.get(token)
            if entry is None or place not in entry.places:
                wrong.append(f"{token} at {place} was never sent there")
            elif not mail.replace(b"\r\n", b"\n").endswith(entry.message.replace(b"\r\n", b"\n")):
                wrong.append(f"{token} at {place} is not whole")
            elif token in first and (moment is None or not self.under_way_at_a_kill(first[token], moment)):
                wrong.append(f"{token} at {place} is there twice")
            if token in self.refused:
                wrong.append(f"{token} at {place} was refused")
            first.setdefault(token, moment)
        return wrong + [f"{token} at {place} is lost"
                        for token in sorted(self.kept) if place in self.sent[token].places and token not in first]

    def missing(self, place, tokens):
        """How many that were kept have not come yet."""
        return sum(1 for token in self.kept if place in self.sent[token].places and token not in tokens)


class Load:
    """Writers that hand in mail without a pause, each over a connection that it opens again whenever it breaks."""

    def __init__(self, ledger, port, source, writers=8):
        self.ledger, self.port, self.source = ledger, port, source
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.write, daemon=True) for _ in range(writers)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(120)
            assert not thread.is_alive(), "a writer hangs"

    def write(self):
        talk = None
        while not self.stopping.is_set():
            try:
                if talk is None:
                    talk = Talk(self.port, self.source, timeout=60)
                    talk.expect(220)
                    talk.say("EHLO client.test").expect(250)
                if not self.hand_in(talk):
                    self.stopping.wait(0.02)
            except (AssertionError, OSError):
                if talk:
                    talk.close()
                talk = None
                self.stopping.wait(0.02)
        if talk:
            talk.close()

    def hand_in(self, talk):
        """One mail. False: the station did not want one now. A broken connection leaves the mail's fate open."""
        talk.say("RSET").expect(250)
        token = self.ledger.new_mail()
        entry = self.ledger.sent[token]
        reply = talk.say("MAIL FROM:<a@src.test>").reply()
        for place in entry.places:
            if reply and reply.startswith("25"):
                reply = talk.say(f"RCPT TO:<{place}>").reply()
        if reply and reply.startswith("25"):
            reply = talk.say("DATA").reply()
        if reply and reply.startswith("354"):
            reply = talk.raw(entry.message.replace(b"\r\n.", b"\r\n..") + b".\r\n").reply()
        if reply is None:
            raise ConnectionResetError
        self.ledger.note(token, reply)
        return token in self.ledger.kept
