# SPDX-License-Identifier: Apache-2.0
"""Sent now, released later (RFC 4865): nothing leaves before its moment, whatever happens in between. Who may ask for how long is in
test_dsn_server.py."""
import calendar
import json
import time

import pytest

from peers import Sink
from station import TRUSTED, until

MESSAGE = b"Subject: later\r\n\r\ntext\r\n"
LONG = 3600


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Watch(Sink):
    """A next host that notes when each mail came, in seconds of the wall clock."""

    def __init__(self):
        super().__init__(answer_data=self.note)
        self.came = []

    def note(self, octets):
        self.came.append(time.time())


@pytest.fixture
def later(make_station):
    with Watch() as sink:
        station = make_station(routes=f'route "*" {{ via = "smtp://127.0.0.1:{sink.port}" }}', queue='warn = "1s" expire = "2s"')
        station.add_user("alice", "wonderland")
        station.sink = sink
        yield station


def hand_in(station, wish, *recipients):
    """Returns the moment from which on the queue may know of it."""
    talk = station.hello(source=TRUSTED)
    before = time.time()
    talk.envelope("alice@example.org", *(recipients or ["b@dst.test"]), options=wish)
    talk.data(MESSAGE)
    talk.close()
    return before


def waiting(station, n=1):
    return until(lambda: (items := station.queue()) and len(items) == n and items, f"{n} recipients in the list")


def due(item):
    return calendar.timegm(time.strptime(item["next"], "%Y-%m-%dT%H:%M:%SZ"))


def deed(station, *words):
    done = station.run("queue", *words, "--yes", "--json")
    return [json.loads(line) for line in done.stdout.splitlines()][-1]["recipients"]


def test_not_before_the_seconds_are_over(later):
    before = hand_in(later, " HOLDFOR=2")
    later.sink.wait_mails(1)
    assert later.sink.came[0] >= before + 2
    later.wait_drained()


def test_not_before_the_moment(later):
    moment = int(time.time()) + 3
    hand_in(later, f" HOLDUNTIL={stamp(moment)}")
    later.sink.wait_mails(1)
    assert later.sink.came[0] >= moment


def test_others_go_at_once(later):
    hand_in(later, f" HOLDFOR={LONG}")
    hand_in(later, "", "now@dst.test")
    assert later.sink.wait_mails(1)[0][1] == ["now@dst.test"]
    until(lambda: [item["to"] for item in later.queue()] == ["b@dst.test"], "only the late one to wait")


def test_a_mailbox_here_gets_it_later_too(later):
    before = hand_in(later, " HOLDFOR=2", "alice@example.org")
    later.wait_mails("alice", 1)
    arrived, = later.mail_files("alice")
    assert arrived.stat().st_mtime >= before + 2


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restart_in_between(later, end):
    """Those whose moment has come meanwhile go then; those whose has not wait on."""
    before = hand_in(later, " HOLDFOR=3", "soon@dst.test")
    hand_in(later, f" HOLDFOR={LONG}", "late@dst.test")
    [first] = [item for item in waiting(later, 2) if item["to"] == "late@dst.test"]
    if end == "stop":
        assert later.stop() == 0
    else:
        later.kill("all")
    later.start()
    assert later.sink.wait_mails(1)[0][1] == ["soon@dst.test"] and later.sink.came[0] >= before + 3
    until(lambda: len(later.queue()) == 1, "only the late one to wait")
    [item] = later.queue()
    assert item["to"] == "late@dst.test" and due(item) == due(first)


def test_the_list_says_until_when(later):
    before = hand_in(later, f" HOLDFOR={LONG}")
    [item] = waiting(later)
    assert before + LONG - 1 < due(item) <= time.time() + LONG + 1 and item["tries"] == 0
    assert "its sender" in later.run("why", item["id"]).stdout


def test_waiting_so_is_no_delay(later):
    """Neither a warning nor the end of patience (here 1 s and 2 s): age counts from the release."""
    hand_in(later, " HOLDFOR=4")
    later.sink.wait_mails(1)
    later.wait_drained()
    assert later.mailbox("alice") == []


def test_dropped_it_never_goes(later):
    before = hand_in(later, " HOLDFOR=5")
    waiting(later)
    assert deed(later, "to:b@", "drop") == 1
    hand_in(later, " HOLDFOR=6", "after@dst.test")
    assert later.sink.wait_mails(1)[0][1] == ["after@dst.test"]
    assert later.sink.came[0] >= before + 6


@pytest.mark.parametrize("away, back", [("drop", "undo"), ("hold", "release")])
def test_brought_back_it_still_waits(later, away, back):
    """Its sender's wish outlives the operator's: brought back, it goes at its moment and not before."""
    before = hand_in(later, " HOLDFOR=6")
    [first] = waiting(later)
    assert deed(later, "to:b@", away) == 1
    assert deed(later, back) == 1
    [item] = waiting(later)
    assert item["state"] == first["state"] and due(item) == due(first)
    later.sink.wait_mails(1)
    assert later.sink.came[0] >= before + 6


def test_the_operator_can_hurry_it(later):
    hand_in(later, f" HOLDFOR={LONG}")
    waiting(later)
    assert deed(later, "retry") == 1
    later.sink.wait_mails(1)
    later.wait_drained()


def test_brought_back_when_its_moment_is_over(later):
    hand_in(later, " HOLDFOR=2")
    waiting(later)
    assert deed(later, "hold") == 1
    hand_in(later, " HOLDFOR=3", "after@dst.test")
    later.sink.wait_mails(1)
    assert deed(later, "release") == 1
    assert [r for _, r, _ in later.sink.wait_mails(2)] == [["after@dst.test"], ["b@dst.test"]]
    assert later.mailbox("alice") == []
