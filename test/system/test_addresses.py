# SPDX-License-Identifier: Apache-2.0
"""Who gets what: mailboxes, plus-addresses, aliases of the file and of run time, loops, catch-all, people who moved."""
import base64

import pytest

from peers import Sink
from station import TRUSTED, until

MESSAGE = b"Subject: s\r\n\r\nb\r\n"
DOMAIN = """
	alias team    { to = {"alice", "bob"} }
	alias sales   { to = "bob@partner.example" }
	alias loop-a  { to = {"loop-b", "bob"} }
	alias loop-b  { to = "loop-a" }
	alias postmaster { to = "alice" }
	moved old     { to = "new@elsewhere.example" }
"""


@pytest.fixture
def house(make_station):
    with Sink() as sink:
        station = make_station(domain=DOMAIN, routes=f'route "partner.example" {{ via = "smtp://127.0.0.1:{sink.port}" }}')
        station.sink = sink
        station.add_user("alice", "wonderland")
        station.add_user("bob", "builder")
        yield station


def answer(station, recipient, source=None):
    with station.hello(source=source) as talk:
        talk.say("MAIL FROM:<a@src.test>").expect(250)
        return talk.say(f"RCPT TO:<{recipient}>").reply()


@pytest.mark.parametrize("recipient, code", [
    ("bob@example.org", "250"), ("BOB@EXAMPLE.ORG", "250"), ("bob+tag@example.org", "250"), ("team@example.org", "250"),
    ("sales@example.org", "251"), ("old@example.org", "551"), ("nobody@example.org", "550"), ("nobody+bob@example.org", "550"),
    ("a/b@example.org", "553"), ("x@elsewhere.example", "550"), ("postmaster", "250"), ("postmaster@example.org", "250"),
    ("PostMaster", "250")])
def test_replies_to_a_stranger(house, recipient, code):
    assert answer(house, recipient)[:3] == code


def test_words_of_the_refusals(house):
    assert "new@elsewhere.example" in answer(house, "old@example.org")
    assert "bob@partner.example" in answer(house, "sales@example.org")
    assert answer(house, "x@elsewhere.example").startswith("550 5.7.1")
    assert answer(house, "nobody@example.org").startswith("550 5.1.1")


def test_one_refused_recipient_never_ends_the_transaction(house):
    talk = house.hello()
    talk.say("MAIL FROM:<a@src.test>").expect(250)
    for recipient, code in [("nobody@example.org", 550), ("bob@example.org", 250), ("x@elsewhere.example", 550),
                            ("alice@example.org", 250), ("old@example.org", 551)]:
        talk.say(f"RCPT TO:<{recipient}>").expect(code)
    talk.data(MESSAGE)
    house.wait_mails("alice", 1)
    house.wait_mails("bob", 1)


def test_plus_addresses_keep_what_was_written(house):
    house.hello().mail("a@src.test", "bob+Tag@example.org", MESSAGE)
    mail, = house.wait_mails("bob", 1)
    assert b"Delivered-To: " in mail and b"ob+Tag@example.org" in mail


def test_an_alias_leads_to_all_its_members_once(house):
    house.hello().mail("a@src.test", ["team@example.org", "bob@example.org"], MESSAGE)
    house.wait_mails("alice", 1)
    house.wait_drained()
    assert len(house.mailbox("bob")) in (1, 2)  # as a member and by his own name: never more


def test_an_alias_that_leads_elsewhere_is_forwarded(house):
    house.hello().mail("a@src.test", "sales@example.org", MESSAGE)
    (sender, recipients, message), = house.sink.wait_mails(1)
    assert recipients == ["bob@partner.example"] and message.endswith(MESSAGE)


def test_a_loop_of_aliases_is_found(house):
    """Whoever is in it and is a mailbox gets one copy; nothing turns for ever."""
    reply = answer(house, "loop-a@example.org")
    assert reply[0] in "25"
    if reply[0] == "2":
        house.hello().mail("a@src.test", "loop-a@example.org", MESSAGE)
        house.wait_drained()
        assert len(house.mailbox("bob")) <= 1


def test_catch_all(make_station):
    station = make_station(domain='catch-all = "bob"')
    station.add_user("bob", "builder")
    station.hello().mail("a@src.test", "whoever@example.org", MESSAGE)
    mail, = station.wait_mails("bob", 1)
    assert b"whoever@example.org" in mail


def test_aliases_of_run_time(house):
    """They count at once, without a reload, and go away at once."""
    assert answer(house, "club@example.org")[:3] == "550"
    house.run("alias", "add", "club@example.org", "alice@example.org", "bob@example.org")
    until(lambda: answer(house, "club@example.org")[:3] == "250", "the new alias")
    assert "club@example.org" in house.run("alias", "list").stdout
    house.hello().mail("a@src.test", "club@example.org", MESSAGE)
    house.wait_mails("alice", 1)
    house.wait_mails("bob", 1)
    house.run("alias", "remove", "club@example.org")
    until(lambda: answer(house, "club@example.org")[:3] == "550", "the alias to be gone")


def test_accounts_of_run_time(house):
    assert answer(house, "carol@example.org")[:3] == "550"
    house.add_user("carol", "first")
    until(lambda: answer(house, "carol@example.org")[:3] == "250", "carol's mailbox")
    house.logged_in("carol", "first").close()
    house.run("user", "passwd", "carol@example.org", "--password-stdin", text="second\n")

    def takes(password):
        with house.hello("submission") as talk:
            talk.say("AUTH LOGIN Y2Fyb2xAZXhhbXBsZS5vcmc=").expect(334)
            return talk.say(base64.b64encode(password)).reply()[:3] == "235"
    until(lambda: takes(b"second"), "the new password")
    until(lambda: not takes(b"first"), "the old password to be refused")
    house.run("user", "suspend", "carol@example.org")
    until(lambda: answer(house, "carol@example.org")[:3] == "450", "450 for a suspended mailbox")
    house.run("user", "remove", "carol@example.org")
    until(lambda: answer(house, "carol@example.org")[:3] == "550", "550 for a removed mailbox")


def test_nobody_writes_in_another_name(house):
    talk = house.logged_in("bob", "builder")
    talk.say("MAIL FROM:<alice@example.org>").expect(55)
    for own in "bob@example.org", "bob+list@example.org", "team@example.org":
        talk.say(f"MAIL FROM:<{own}>").expect(250)
        talk.say("RSET").expect(250)


def test_who_may_relay(house):
    """Strangers never; trusted networks and people logged in."""
    assert answer(house, "x@partner.example")[:3] == "550"
    assert answer(house, "x@partner.example", source=TRUSTED)[:3] == "250"
    house.logged_in().mail("alice@example.org", "x@partner.example", MESSAGE)
    assert house.sink.wait_mails(1)[0][:2] == ("alice@example.org", ["x@partner.example"])


def test_local_parts_keep_their_case(house):
    house.logged_in().mail("Alice@Example.org", "MixedCase@partner.example", MESSAGE)
    sender, recipients, _ = house.sink.wait_mails(1)[0]
    assert sender.startswith("Alice@") and recipients == ["MixedCase@partner.example"]
