# SPDX-License-Identifier: Apache-2.0
"""Addresses and headers in all scripts (RFC 6531, RFC 6532), and eight bits (RFC 6152), on their way to hosts of every age. One plain
case of each is in test_hops.py."""
import email
import email.policy

import pytest

from peers import Scripted, Sink
from reports import FAILED, reports

RECIPIENT = "b@dst.test"
TEXTS = {
    "Subject": "Grüße aus 北京 — und eine lange Zeile, die über mehr als eine Zeile geht, damit sie gefaltet werden muss: 驿站",
    "Comments": "plain",
    "X-Note": "naïve café",
}
PEOPLE = {"From": ("Jürgen Groß", "alice@example.org"), "To": ("李伟, \"驿\"", RECIPIENT), "Cc": ("Zoë", "zoe@far.test")}
NAME = "résumé 简历.txt"


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def international():
    """A message as a modern client writes it: UTF-8 wherever people write, ASCII addresses."""
    lines = [f"{field}: {quoted(name)} <{address}>" for field, (name, address) in PEOPLE.items()]
    lines += [f"{field}: {text}" for field, text in TEXTS.items()]
    lines += ["MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=x", "",
              "--x", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", "", "Schöne Grüße, 再见", ".", "",
              "--x", f'Content-Type: text/plain; charset=us-ascii; name="{NAME}"', f'Content-Disposition: attachment; filename="{NAME}"', "", "cv",
              "--x--", ""]
    return "\r\n".join(lines).encode()


def house_for(make_station, port, **sections):
    station = make_station(routes=f'route "*" {{ via = "smtp://127.0.0.1:{port}" }}', **sections)
    station.add_user("alice", "wonderland")
    return station


def hand_in(station, message, recipient=RECIPIENT, sender="alice@example.org", options=" SMTPUTF8 BODY=8BITMIME"):
    talk = station.logged_in()
    talk.envelope(sender, recipient, options=options)
    talk.data(message)
    talk.close()


# ── SMTPUTF8 ──


def test_a_host_that_offers_it_gets_it_as_it_is(make_station):
    with Sink() as sink:
        station = house_for(make_station, sink.port)
        hand_in(station, international())
        assert sink.wait_mails(1)[0][2].endswith(international())


def test_all_texts_read_the_same_where_it_is_not_offered(make_station):
    """Subject, names, fields of any kind in ASCII, and no reader sees a difference. The body, its parts' own headers too, is not touched."""
    with Sink(enable_SMTPUTF8=False) as sink:
        station = house_for(make_station, sink.port)
        hand_in(station, international())
        [(_, _, octets)] = sink.wait_mails(1)
        station.wait_drained()
        header, body = octets.split(b"\r\n\r\n", 1)
        mail = email.message_from_bytes(octets, policy=email.policy.SMTP)
        assert header.isascii() and max(map(len, header.split(b"\r\n"))) <= 78
        assert {field: mail[field] for field in TEXTS} == TEXTS
        assert {field: [(a.display_name, a.addr_spec) for a in mail[field].addresses] for field in PEOPLE} == {
            field: [person] for field, person in PEOPLE.items()}
        text, attachment = mail.get_payload()
        assert text.get_content().splitlines() == ["Schöne Grüße, 再见", "."]
        assert attachment.get_filename() == NAME
        assert station.mailbox("alice") == []


def test_a_plain_header_stays_as_it_is(make_station):
    """What was announced as SMTPUTF8 and needs none of it is not touched."""
    message = b"Subject:   odd \t spacing\r\nX-Long: " + b"x" * 200 + b"\r\nSUBJECT: twice\r\n\r\nh\xc3\xa4\r\n"
    with Sink(enable_SMTPUTF8=False) as sink:
        station = house_for(make_station, sink.port)
        hand_in(station, message)
        assert sink.wait_mails(1)[0][2].endswith(message)


@pytest.mark.parametrize("message, recipient", [
    (b"Subject: s\r\n\r\nx\r\n", "grüße@dst.test"),
    (b"Subject: s\r\n\r\nx\r\n", "b@例え.test"),
    ("To: grüße@dst.test\r\nSubject: s\r\n\r\nx\r\n".encode(), RECIPIENT),
], ids=["local part", "domain", "only in the header"])
def test_an_address_that_the_host_cannot_say(make_station, message, recipient):
    """Nothing is made up: it comes back, and says why and what to do (RFC 6531 §3.2)."""
    with Sink(enable_SMTPUTF8=False) as sink:
        station = house_for(make_station, sink.port)
        hand_in(station, message, recipient)
        [report] = reports(station, "alice", 1)
        station.wait_drained()
        assert report.verdicts() == [(recipient, FAILED, "5.6.7")] and sink.mails == []
        assert recipient in report.words and "not ASCII" in report.words and "only ASCII letters" in report.words
        if not recipient.isascii():
            assert report.recipients[0]["final-recipient"] == "utf-8; " + recipient
            assert report.mail.get_payload()[1].get_content_type() == "message/global-delivery-status"


def test_the_one_beside_it_gets_the_mail(make_station):
    """Of two recipients one has an address that the host cannot take."""
    with Sink(enable_SMTPUTF8=False) as old, Sink() as new:
        station = make_station(routes=f'route "old.test" {{ via = "smtp://127.0.0.1:{old.port}" }}\n'
                                      f'route "new.test" {{ via = "smtp://127.0.0.1:{new.port}" }}')
        station.add_user("alice", "wonderland")
        talk = station.logged_in()
        talk.envelope("alice@example.org", "grün@old.test", "grün@new.test", options=" SMTPUTF8")
        talk.data("Subject: Grüße\r\n\r\nx\r\n".encode())
        assert new.wait_mails(1)[0][1] == ["grün@new.test"]
        [report] = reports(station, "alice", 1)
        assert report.verdicts() == [("grün@old.test", FAILED, "5.6.7")] and old.mails == []
        assert report.original.get_content_type() == "message/global-headers"
        assert "Grüße" in report.words


def test_smtputf8_is_said_where_it_is_offered(make_station):
    with Scripted("220 mx", "250-mx\r\n250-8BITMIME\r\n250 SMTPUTF8", "250 ok", "250 ok", "354 go", "250 kept") as host:
        station = house_for(make_station, host.port)
        hand_in(station, "Subject: Grüße\r\n\r\nx\r\n".encode(), "grün@dst.test")
        station.wait_drained()
        mail, recipient = [line for line in host.heard if line.startswith(("MAIL", "RCPT"))]
        assert mail.startswith("MAIL FROM:<alice@example.org>") and "SMTPUTF8" in mail.split() and "BODY=8BITMIME" in mail.split()
        assert recipient == "RCPT TO:<grün@dst.test>" and "Subject: Grüße" in host.heard


# ── eight bits ──


@pytest.mark.parametrize("body", ["hä".encode(), b"h\xe4 \xff\x80", "驿站".encode() * 300], ids=["UTF-8", "of no charset", "a long line"])
def test_eight_bits_arrive_as_they_are(make_station, body):
    """At a host that does not offer 8BITMIME: the text is what was signed and sent, to the last octet."""
    message = b"Subject: s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + body[:998] + b"\r\n"
    with Sink() as sink:
        del_8bitmime(sink)
        station = house_for(make_station, sink.port)
        hand_in(station, message, options=" BODY=8BITMIME")
        assert sink.wait_mails(1)[0][2].endswith(message)
        station.wait_drained()
        assert station.mailbox("alice") == []


def del_8bitmime(sink):
    """aiosmtpd always offers it, but lets its handler say what is offered."""
    async def handle_EHLO(server, session, envelope, hostname, responses):
        session.host_name = hostname
        return [line for line in responses if "8BITMIME" not in line]
    sink.handle_EHLO = handle_EHLO


def test_eight_bits_come_back_where_the_file_says_so(make_station):
    with Sink() as old, Sink() as new:
        del_8bitmime(old)
        station = make_station(queue="bounce-8bit = true", routes=f'route "old.test" {{ via = "smtp://127.0.0.1:{old.port}" }}\n'
                                                                  f'route "new.test" {{ via = "smtp://127.0.0.1:{new.port}" }}')
        station.add_user("alice", "wonderland")
        for name in "old", "new":
            hand_in(station, "Subject: s\r\n\r\nhä\r\n".encode(), f"b@{name}.test", options=" BODY=8BITMIME")
        hand_in(station, b"Subject: plain\r\n\r\nha\r\n", "b@old.test", options=" BODY=8BITMIME")
        new.wait_mails(1)
        assert b"plain" in old.wait_mails(1)[0][2]
        [report] = reports(station, "alice", 1)
        station.wait_drained()
        assert report.verdicts() == [("b@old.test", FAILED, "5.6.3")] and len(old.mails) == 1
        assert "8-bit" in report.words and "Send it in another form" in report.words
