# SPDX-License-Identifier: Apache-2.0
"""Every limit of the file is reached and answered; what is below it goes on."""
import pytest

from station import TRUSTED, until

MESSAGE = b"Subject: s\r\n\r\nb\r\n"


def house(make_station, **sections):
    station = make_station(**sections)
    station.add_user("alice", "wonderland")
    station.add_user("bob", "builder")
    return station


def test_recipients(make_station):
    """RFC 5321 §4.5.3.1.10, RFC 9422: offered in EHLO, 452 beyond; the others get the mail."""
    station = house(make_station, limits="recipients = 3")
    talk = station.talk()
    talk.expect(220)
    assert "LIMITS RCPTMAX=3" in talk.say("EHLO client.test").expect(250)
    talk.say("MAIL FROM:<a@src.test>").expect(250)
    for i in range(3):
        talk.say(f"RCPT TO:<bob+{i}@example.org>").expect(250)
    talk.say("RCPT TO:<bob+3@example.org>").expect(452, "4.5.3")
    talk.data(MESSAGE)
    station.wait_mails("bob", 3)


def test_size(make_station):
    """Told at MAIL when the client knows it, at the end when it does not; the octet that fits, fits."""
    station = house(make_station, limits='message = "10K"')
    talk = station.talk()
    talk.expect(220)
    assert "SIZE 10240" in talk.say("EHLO client.test").expect(250)
    talk.say("MAIL FROM:<a@src.test> SIZE=10241").expect(552, "5.3.4")
    fits = b"Subject: s\r\n\r\n" + (b"x" * 62 + b"\r\n") * 159
    fits += b"y" * (10240 - len(fits) - 2) + b"\r\n"
    talk.envelope("a@src.test", "bob@example.org").data(b"z" + fits, 552)
    talk.envelope("a@src.test", "bob@example.org").data(fits)
    talk.envelope("a@src.test", "bob@example.org").raw(b"BDAT %d LAST\r\n" % (len(fits) + 1) + b"z" + fits).expect(552)
    station.wait_mails("bob", 1)


def test_rate(make_station):
    """Recipients a minute: of one client address, or of one login; somebody else is not held back."""
    station = house(make_station, limits="rate = 3")
    talk = station.hello()
    talk.say("MAIL FROM:<a@src.test>").expect(250)
    codes = [talk.say(f"RCPT TO:<bob+{i}@example.org>").reply()[:3] for i in range(5)]
    assert codes == ["250"] * 3 + ["450"] * 2
    other = station.hello(source=TRUSTED)
    other.envelope("a@src.test", "bob@example.org")


def test_idle(make_station):
    """Silence, at each stage, ends with 421 and a closed connection; who speaks now and then may stay."""
    station = house(make_station, limits='idle = "3s"')
    silent = station.talk()
    silent.expect(220)
    in_mail = station.hello()
    in_mail.envelope("a@src.test", "bob@example.org")
    in_data = station.hello()
    in_data.envelope("a@src.test", "bob@example.org").say("DATA").expect(354)
    in_data.raw(b"Subject: never ended\r\n")
    for talk in silent, in_mail, in_data:
        talk.expect(421, "4.4.2")
        assert talk.closed()
    assert station.mailbox("bob") == []


def test_connections(make_station):
    station = house(make_station, limits="connections = 20")
    talks = [station.hello() for _ in range(20)]
    extra = station.talk()
    extra.expect(421)
    assert extra.closed()
    for talk in talks:
        talk.say("QUIT").expect(221)
        talk.close()

    def served():
        with station.talk() as talk:
            return talk.reply()[:3] == "220"
    until(served, "the next client to be served")


@pytest.mark.parametrize("value, codes", [("never", "502 502 502"), ("login", "502 502 250"), ("always", "250 250 250")])
def test_vrfy_and_expn(make_station, value, codes):
    """For strangers at both doors, then for somebody logged in."""
    station = house(make_station, smtp=f"vrfy = {value} expn = {value}", domain='alias team { to = {"alice", "bob"} }')
    talks = station.hello(), station.hello("submission"), station.logged_in()
    assert " ".join(talk.say("VRFY bob").reply()[:3] for talk in talks) == codes
    assert " ".join(talk.say("EXPN team").reply()[:3] for talk in talks) == codes


@pytest.mark.parametrize("value, offered", [("never", False), ("loopback", True), ("always", True)])
def test_login_in_clear(make_station, value, offered):
    station = house(make_station, smtp=f"auth-in-clear = {value}")
    talk = station.talk("submission")
    talk.expect(220)
    assert ("AUTH " in talk.say("EHLO client.test").expect(250)) == offered
    assert (talk.say("AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=").reply()[:3] == "235") == offered


@pytest.mark.parametrize("value", ["true", "false"])
def test_login_where_strangers_come_in(make_station, value):
    """In clear from this machine, and through TLS; the doors for people's programs have it in any case."""
    station = house(make_station, smtp=f"auth-on-smtp = {value}")
    for door, offered in ("smtp", value == "true"), ("submission", True):
        talk = station.talk(door)
        talk.expect(220)
        for is_secure in False, True:
            if is_secure:
                talk.starttls()
            assert ("AUTH " in talk.say("EHLO client.test").expect(250)) == offered
            assert talk.say("AUTH LOGIN").reply()[:3] == ("334" if offered else "502")
            if offered:
                talk.say("*").expect(501)
    with station.hello("submissions") as talk:
        talk.login("alice@example.org", "wonderland")


@pytest.mark.parametrize("value", ["true", "false"])
def test_repair_of_line_ends(make_station, value):
    """For whom we know: trusted networks and people logged in; never for strangers, and never so that a dot becomes an end."""
    station = house(make_station, smtp=f"repair-line-ends = {value}")
    message = b"Subject: s\n\none\rtwo\n.\nthree\r\n"
    for talk, sender, known in ((station.hello(), "a@src.test", False), (station.hello(source=TRUSTED), "a@src.test", True),
                                (station.logged_in(), "alice@example.org", True)):
        talk.envelope(sender, "bob@example.org")
        talk.say("DATA").expect(354)
        talk.raw(message + b".\r\n").expect(250 if known and value == "true" else 55)
    station.wait_drained()
    mails = station.mailbox("bob")
    assert len(mails) == (2 if value == "true" else 0)
    assert all(mail.endswith(b"Subject: s\r\n\r\none\r\ntwo\r\n.\r\nthree\r\n") for mail in mails)
