# SPDX-License-Identifier: Apache-2.0
"""250 means kept: kills and failing syncs under load, and the proof that the ledger would see a loss. `./do crash` is the long form."""
import itertools
import os
import random
import re
import shutil
import time

import pytest

from ledger import LOCAL, REMOTE, Ledger, Load, message_for, token_in
from peers import Sink
from station import PATIENCE, ROLES, TRUSTED, alive, until
from strace import SYNCS, Strace

VICTIMS = [*ROLES, "master", "all", "queue, store"]  # the last: what store still says to a queue that died is not believed by the next
ROUNDS = 2 * len(VICTIMS)  # between two closings of the books


class House:
    """A station with a local mailbox and a next host, a ledger, and what arrived at both."""

    def __init__(self, make_station, sink, seed):
        self.sink = sink
        self.station = make_station(routes=f'route "dst.test" {{ via = "smtp://127.0.0.1:{sink.port}" }}',
                                    queue='retry-first = "100ms" retry-most = "500ms"')
        self.station.add_user("bob", "builder")
        self.ledger = Ledger(seed)
        self.mails = {}  # file → octets: read once

    def load(self):
        return Load(self.ledger, self.station.smtp_port, TRUSTED)

    def arrived(self):
        for file in self.station.mail_files("bob"):
            if file not in self.mails:
                self.mails[file] = file.read_bytes()
        local = [(token_in(mail), mail, None) for file, mail in self.mails.items() if file.exists()]
        remote = [(token_in(mail), mail, moment) for mail, moment in list(self.sink.arrivals)]
        return {LOCAL: local, REMOTE: remote}

    def settle(self):
        """Waits until nothing is under way, then for what was promised; returns what is wrong."""
        until(lambda: not self.station.queue(), "the queue to be empty", patience=2 * PATIENCE)
        deadline = time.monotonic() + 5  # an empty queue means delivered: this only gives a slow reader its time
        while time.monotonic() < deadline:
            if not any(self.ledger.missing(place, {t for t, _, _ in mails}) for place, mails in self.arrived().items()):
                break
            time.sleep(0.05)
        return [w for place, mails in self.arrived().items() for w in self.ledger.wrongs(place, mails)]

    def kill(self, victim):
        station = self.station
        with self.ledger.kill():
            if victim == "master":
                station.pids()
                station.process.kill()
                station.process.wait()
                until(lambda: not any(map(alive, station.ours)), "the roles to end after their master")
            else:
                for role in victim.split(", "):
                    station.kill(role)
                    time.sleep(self.ledger.random.random() * 0.1 if role != victim else 0)
        if victim in ("master", "all"):
            station.start()


class TimedSink(Sink):
    def __init__(self):
        super().__init__(answer_data=self.note_arrival)
        self.arrivals = []

    def note_arrival(self, octets):
        self.arrivals.append((octets, time.monotonic()))


@pytest.fixture
def house(make_station, request):
    seed = int(os.environ.get("POSTHOUSE_SEED", time.time()))
    print(f"POSTHOUSE_SEED={seed}")
    with TimedSink() as sink:
        yield House(make_station, sink, seed)


def test_kills_under_load(house, request, capsys):
    """Each role, master, and all at once, in turn, at random moments; the books are closed every 16 kills."""
    rounds = request.config.getoption("--rounds")
    chance = random.Random(house.ledger.random.random())
    victims = list(itertools.islice(itertools.cycle(VICTIMS), rounds))
    chance.shuffle(victims)
    for start in range(0, rounds, ROUNDS):
        with house.load():
            for victim in victims[start:start + ROUNDS]:
                kept = len(house.ledger.kept)
                until(lambda: len(house.ledger.kept) > kept + 3, f"mail to be taken before {victim} is killed")
                time.sleep(chance.random() * 0.25)  # the moment of the kill, not a wait for anything
                house.kill(victim)
        wrong = house.settle()
        assert not wrong, wrong[:20]
    twice = len(house.sink.arrivals) - len({token_in(m) for m, _ in house.sink.arrivals})
    with capsys.disabled():
        print(f"{rounds} kills; {len(house.ledger.sent)} mails begun, {len(house.ledger.kept)} kept, {len(house.ledger.refused)} refused: "
              f"none lost, none refused that came, {twice} twice at the next host, under way at a kill")
    assert len(house.ledger.kept) > 3 * rounds


def test_a_sync_that_fails_is_never_a_250(house):
    """The disk of the receiver fails for a while: 451, no delivery of those, ever; then it goes on without a restart."""
    with house.load():
        until(lambda: len(house.ledger.kept) > 20, "mail to be taken")
        with Strace(house.station.pid("receive"), "-e", f"trace={SYNCS}", "-e", f"inject={SYNCS}:error=EIO"):
            until(lambda: len(house.ledger.refused) >= 5, "refusals while the disk fails")
            kept, refused = len(house.ledger.kept), len(house.ledger.refused)
            until(lambda: len(house.ledger.refused) >= refused + 10, "more refusals")
            assert len(house.ledger.kept) == kept, "a 250 without a sync"
        until(lambda: len(house.ledger.kept) > kept + 20, "mail to be taken when the disk works again")
    wrong = house.settle()
    assert not wrong, wrong[:20]
    house.kill("all")  # what recovery reads must agree with what was said
    wrong = house.settle()
    assert not wrong, wrong[:20]


def test_a_sync_that_fails_now_and_then(house):
    """Every seventh: groups before and after a failed one keep their promises."""
    with house.load():
        with Strace(house.station.pid("receive"), "-e", f"trace={SYNCS}", "-e", f"inject={SYNCS}:error=EIO:when=7+7"):
            until(lambda: len(house.ledger.refused) >= 5 and len(house.ledger.kept) > 50, "both replies")
    house.kill("all")
    wrong = house.settle()
    assert not wrong, wrong[:20]


@pytest.mark.parametrize("role", ["queue", "store"])
def test_a_sync_that_fails_elsewhere_loses_nothing(house, role):
    house.station.may_end = f"role={role}"  # queue gives up when its own log cannot be kept, and begins again
    with house.load():
        until(lambda: len(house.ledger.kept) > 20, "mail to be taken")
        pid = house.station.pid(role)
        with Strace(pid, "-e", f"trace={SYNCS}", "-e", f"inject={SYNCS}:error=EIO:when=3+5"):
            kept = len(house.ledger.kept)
            until(lambda: len(house.ledger.kept) > kept + 20 or not alive(pid), "mail to be taken meanwhile, or the role to give up")
        house.kill("all")
        kept = len(house.ledger.kept)
        until(lambda: len(house.ledger.kept) > kept + 20, "mail to be taken afterwards")
    wrong = house.settle()
    assert not wrong, wrong[:20]


# ── the order itself, seen from outside: between the final dot and its 250 lies a sync ──

CALLS = "read,recvfrom,recvmsg,readv,write,writev,sendto,sendmsg," + SYNCS


def unsynced_replies(trace):
    """Replies to a final dot that left without a true, successful sync since the dot was read."""
    bad, synced = [], False
    for line in trace.splitlines():
        if re.search(r"(read|recv\w*)(\(| resumed>).*\\r\\n\.\\r\\n\"", line):
            synced = False
        elif re.search(r"sync\w*(\(| resumed>).*= 0$", line) and "INJECTED" not in line:
            synced = True
        elif re.search(r"(write|writev|send\w*)\(.*\"250 2\.0\.0 ", line) and not synced:
            bad.append(line)
    return bad


def trace_of_mails(house, *options):
    """One mail after another, so that each sync belongs to one."""
    talk = house.station.hello(source=TRUSTED)
    with Strace(house.station.pid("receive"), "-s", "1000000", "-e", f"trace={CALLS}", *options) as strace:
        for size in 10, 4000, 400_000, 10, 4000:
            talk.mail("a@src.test", LOCAL, message_for(b"order", size))
    assert strace.trace.count('"250 2.0.0 ') >= 5, "the trace shows no replies: this test sees nothing"
    return strace.trace


def test_the_sync_comes_before_the_reply(house):
    assert unsynced_replies(trace_of_mails(house)) == []


# ── the battery itself: planted bugs must be found ──

def test_a_reply_before_its_sync_would_be_found(house):
    """Planted: the kernel is told to skip each sync and say that it was done."""
    assert len(unsynced_replies(trace_of_mails(house, "-e", f"inject={SYNCS}:retval=0"))) == 5


@pytest.fixture
def closed_books(house):
    with house.load():
        until(lambda: len(house.ledger.kept) > 30, "mail to be taken")
    assert house.settle() == []
    return house


def a_local_mail(house):
    return next(file for file in house.station.mail_files("bob") if token_in(file.read_bytes()) in house.ledger.kept)


def test_a_lost_mail_would_be_found(closed_books):
    a_local_mail(closed_books).unlink()
    assert any("is lost" in w for w in closed_books.settle())


def test_half_a_mail_would_be_found(closed_books):
    file = a_local_mail(closed_books)
    file.with_name("half").write_bytes(file.read_bytes()[:-3])
    file.unlink()
    assert any("is not whole" in w for w in closed_books.settle())


def test_a_mail_twice_would_be_found(closed_books):
    file = a_local_mail(closed_books)
    shutil.copy(file, file.with_name("again"))
    assert any("is there twice" in w for w in closed_books.settle())


def test_a_second_copy_at_the_next_host_without_a_kill_would_be_found(closed_books):
    closed_books.sink.arrivals.append(closed_books.sink.arrivals[0])
    assert any("is there twice" in w for w in closed_books.settle())


def test_a_refused_mail_that_arrives_would_be_found(closed_books):
    token = closed_books.ledger.new_mail()
    closed_books.ledger.note(token, "451 4.3.0 no")
    a_local_mail(closed_books).with_name("refused").write_bytes(closed_books.ledger.sent[token].message)
    assert any("was refused" in w for w in closed_books.settle())
