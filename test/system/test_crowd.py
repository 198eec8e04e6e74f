# SPDX-License-Identifier: Apache-2.0
"""A thousand people with a mailbox each, a hundred of them sending at once."""
import concurrent.futures
import sqlite3

import pytest

from talk import reverse_path

PEOPLE, SENDERS = 1000, 100
pytestmark = pytest.mark.slow


def people_like(station, name, names):
    """More accounts with the password of `name`: hashing a thousand passwords is no part of this test."""
    with sqlite3.connect(station.state / "vault" / "users.db") as db:
        db.executemany("INSERT INTO users (name, hash) SELECT ?, hash FROM users WHERE name = ?",
                       [(f"{other}@example.org", f"{name}@example.org") for other in names])


def test_a_thousand_people_a_hundred_sending_at_once(station):
    people = [f"p{i}" for i in range(PEOPLE)]
    people_like(station, "alice", people)

    def send(i):
        """To ten people, one mail each, over one connection."""
        talk = station.logged_in(f"p{i}")
        for j in range(i * PEOPLE // SENDERS, (i + 1) * PEOPLE // SENDERS):
            talk.mail(f"p{i}@example.org", f"p{j}@example.org", b"Subject: to %d\r\n\r\nbody\r\n" % j)
        talk.say("QUIT").expect(221)

    with concurrent.futures.ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(send, range(SENDERS)))
    for j in range(PEOPLE):
        mail, = station.wait_mails(f"p{j}", 1)
        assert b"\r\nSubject: to %d\r\n\r\nbody\r\n" % j in mail
        assert reverse_path(mail) == f"p{j * SENDERS // PEOPLE}@example.org"


def test_one_mail_to_a_thousand_people(station):
    people = [f"p{i}" for i in range(PEOPLE)]
    people_like(station, "alice", people)
    talk = station.logged_in()
    talk.mail("alice@example.org", [f"{name}@example.org" for name in people], b"Subject: to all\r\n\r\nbody\r\n")
    for name in people:
        station.wait_mails(name, 1)
    station.wait_drained()
