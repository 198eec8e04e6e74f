# SPDX-License-Identifier: Apache-2.0
"""On to the next host: what it says to each recipient is that recipient's fate; retry, bounce, reuse."""
import email

import pytest
from aiosmtpd.smtp import AuthResult

from peers import Scripted, Sink
from station import TRUSTED, free_ports, until
from talk import added_fields

MESSAGE = b"Subject: s\r\n\r\n.b\r\n..\r\nGr\xc3\xbc\xc3\x9fe\r\n"
QUICK = 'retry-first = "200ms" retry-most = "1s"'


def house_for(make_station, port, queue=QUICK, **sections):
    station = make_station(routes=f'route "*" {{ via = "smtp://127.0.0.1:{port}" }}', queue=queue, **sections)
    station.add_user("alice", "wonderland")
    return station


def bounce_for(station, user="alice"):
    """(the notice's words, fields of the report for each recipient) of the one bounce in the mailbox."""
    mail, = station.wait_mails(user, 1)
    assert mail.startswith(b"Return-Path: <>\r\n")
    parsed = email.message_from_bytes(mail)
    assert parsed.get_content_type() == "multipart/report" and parsed.get_param("report-type") == "delivery-status"
    words, report, original = parsed.get_payload()
    assert original.get_content_type() in ("text/rfc822-headers", "message/global-headers")
    return words.get_payload(decode=True).decode(), report.get_payload()[1:]


def test_byte_for_byte_and_one_connection_for_many(make_station):
    with Sink() as sink:
        station = house_for(make_station, sink.port)
        talk = station.hello(source=TRUSTED)
        for i in range(50):
            talk.mail(f"s{i}@src.test", f"r{i}@dst.test", MESSAGE)
        mails = sink.wait_mails(50)
        station.wait_drained()
        assert {(s, r[0]) for s, r, _ in mails} == {(f"s{i}@src.test", f"r{i}@dst.test") for i in range(50)}
        for _, _, message in mails:
            assert added_fields(message, MESSAGE) == ["received"]
        assert sink.sessions < 50


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 300_000, 20_000_000])
def test_large(make_station, size):
    line = b"x" * 70 + b"\r\n"
    message = b"Subject: large\r\n\r\n" + line * (size // len(line))
    with Sink(data_size_limit=None) as sink:
        station = house_for(make_station, sink.port)
        station.hello(source=TRUSTED).mail("a@src.test", "b@dst.test", message)
        assert sink.wait_mails(1)[0][2].endswith(message)


@pytest.mark.parametrize("host", [{"helo_only": True}, {"enable_SMTPUTF8": False}, {"data_size_limit": None}], ids=str)
def test_a_host_that_offers_less(make_station, host):
    with Sink(**host) as sink:
        station = house_for(make_station, sink.port)
        station.hello(source=TRUSTED).mail("a@src.test", ["b@dst.test", "c@dst.test"], MESSAGE)
        until(lambda: sum(len(r) for _, r, _ in sink.mails) == 2, "both recipients served")
        assert all(message.endswith(MESSAGE) for _, _, message in sink.mails)


def test_larger_than_the_host_takes(make_station):
    """It says so in EHLO: the mail comes back without being sent."""
    with Sink(data_size_limit=100_000) as sink:
        station = house_for(make_station, sink.port)
        station.logged_in().mail("alice@example.org", "b@dst.test", b"Subject: s\r\n\r\n" + (b"x" * 70 + b"\r\n") * 3000)
        _, (report,) = bounce_for(station)
        assert report["Status"] == "5.3.4" and sink.mails == []


def test_an_address_the_host_cannot_take(make_station):
    """RFC 6531 §3.1: not without SMTPUTF8."""
    with Sink(enable_SMTPUTF8=False) as sink:
        station = house_for(make_station, sink.port)
        talk = station.logged_in()
        talk.envelope("alice@example.org", "gr\u00fc\u00dfe@dst.test", options=" SMTPUTF8")
        talk.data(MESSAGE)
        bounce_for(station)
        assert sink.mails == []


def test_each_recipient_has_its_own_fate(make_station):
    answers = {"gone@dst.test": "550 5.1.1 no such person", "later@dst.test": "450 4.2.1 busy"}
    with Sink(answer=lambda recipient: answers.get(recipient)) as sink:
        station = house_for(make_station, sink.port)
        station.logged_in().mail("alice@example.org", ["good@dst.test", "gone@dst.test", "later@dst.test"], MESSAGE)
        assert sink.wait_mails(1)[0][1] == ["good@dst.test"]
        words, (report,) = bounce_for(station)
        assert "gone@dst.test" in words and "no such person" in words
        assert report["Final-Recipient"].endswith("gone@dst.test") and report["Status"] == "5.1.1" and report["Action"] == "failed"
        assert "550" in report["Diagnostic-Code"]
        waiting = until(lambda: [m for m in station.queue() if "450" in str(m) or "busy" in str(m)], "the deferred recipient in the list")
        assert "later@dst.test" in str(waiting) and "good@dst.test" not in str(waiting)
        answers.clear()
        sink.wait_mails(2)
        station.wait_drained()
        assert sorted(r for _, recipients, _ in sink.mails for r in recipients) == ["good@dst.test", "later@dst.test"]


def test_retry_when_the_host_comes_back(make_station):
    port = free_ports(1)[0]
    station = house_for(make_station, port)
    station.hello(source=TRUSTED).mail("a@src.test", "b@dst.test", MESSAGE)
    waiting, = until(lambda: [m for m in station.queue() if "refused" in str(m).lower()], "a first try that failed")
    assert "b@dst.test" in str(waiting)
    with Sink(port) as sink:
        sink.wait_mails(1)
        station.wait_drained()
        assert len(sink.mails) == 1


def test_waiting_mail_survives_a_restart(make_station):
    port = free_ports(1)[0]
    station = house_for(make_station, port)
    station.hello(source=TRUSTED).mail("a@src.test", "b@dst.test", MESSAGE)
    assert station.restart() == 0
    assert len(station.queue()) == 1
    with Sink(port) as sink:
        sink.wait_mails(1)
        station.wait_drained()
        assert len(sink.mails) == 1


def test_a_refused_message_comes_back(make_station):
    with Sink(answer_data=lambda octets: "554 5.6.0 we do not like it") as sink:
        station = house_for(make_station, sink.port)
        station.logged_in().mail("alice@example.org", ["b@dst.test", "c@dst.test"], MESSAGE)
        words, reports = bounce_for(station)
        assert len(reports) == 2 and "we do not like it" in words
        station.wait_drained()


def test_mail_that_expires_comes_back(make_station):
    station = house_for(make_station, free_ports(1)[0], queue=QUICK + ' expire = "2s"')
    station.logged_in().mail("alice@example.org", "b@dst.test", MESSAGE)
    words, (report,) = bounce_for(station)
    assert report["Action"] == "failed" and report["Status"][0] in "45"
    station.wait_drained()


def test_a_bounce_is_never_bounced(make_station):
    """The null sender: what cannot be delivered then ends there."""
    with Sink(answer=lambda recipient: "550 5.1.1 nobody") as sink:
        station = house_for(make_station, sink.port)
        station.hello(source=TRUSTED).mail("", "b@dst.test", MESSAGE)
        station.wait_drained()
        station.hello(source=TRUSTED).mail("stranger@src.test", "b@dst.test", MESSAGE)
        station.wait_drained()
        assert station.mailbox("alice") == [] and sink.mails == []


def test_mail_that_turns_in_circles_ends(make_station):
    """We are our own next host: the Received fields are counted, and the mail comes back to its sender."""
    port = free_ports(1)[0]
    station = make_station(start=False, top='trusted = {"127.0.0.0/8"}\n')
    station.configure(routes=f'route "*" {{ via = "smtp://127.0.0.1:{station.smtp_port}" }}', queue=QUICK)
    station.start()
    station.add_user("alice", "wonderland")
    station.logged_in().mail("alice@example.org", f"b@port{port}.test", MESSAGE)
    words, _ = bounce_for(station)
    assert "circles" in words
    station.wait_drained()


def test_a_route_for_names_below_a_domain(make_station):
    with Sink() as one, Sink() as other:
        station = make_station(routes=f'route ".dst.test" {{ via = "smtp://127.0.0.1:{one.port}" }}\n'
                                      f'route "*" {{ via = "smtp://127.0.0.1:{other.port}" }}')
        station.hello(source=TRUSTED).mail("a@src.test", ["x@deep.dst.test", "x@far.test"], MESSAGE)
        assert one.wait_mails(1)[0][1] == ["x@deep.dst.test"] and other.wait_mails(1)[0][1] == ["x@far.test"]


def test_no_route(make_station):
    """A mail for which the file names no road is told so at once, or comes back."""
    station = make_station()
    station.add_user("alice", "wonderland")
    talk = station.logged_in()
    talk.say("MAIL FROM:<alice@example.org>").expect(250)
    reply = talk.say("RCPT TO:<b@dst.test>").reply()
    if reply[:3] == "250":
        talk.data(MESSAGE)
        bounce_for(station)
    else:
        assert reply[0] == "5"


def test_login_at_the_next_host(make_station, tmp_path):
    seen = []

    def check(server, session, envelope, mechanism, login):
        seen.append((login.login, login.password))
        return AuthResult(success=login.password == b"secret")

    login = tmp_path / "login"
    login.write_text("house\nsecret\n")
    with Sink(authenticator=check, auth_require_tls=False, auth_required=True) as sink:
        station = make_station(
            routes=f'route "*" {{ via = "smtp://127.0.0.1:{sink.port}" login = "file:{login}" }}', queue=QUICK)
        station.hello(source=TRUSTED).mail("a@src.test", "b@dst.test", MESSAGE)
        sink.wait_mails(1)
    assert seen[0] == (b"house", b"secret")
    assert "secret" not in station.log_text()


def deferred_words(station, address):
    """What `why` says of a mail that waits; None: it has not been tried."""
    said = station.run("why", address, check=False).stdout
    assert "failed" not in said
    return said if "deferred" in said else None


def test_a_wrong_login_at_the_next_host_costs_no_mail(make_station, tmp_path):
    """The fault is in our file: the mail waits until it is put right, and is not tried with a wrong password again and again."""
    passwords = []

    def check(server, session, envelope, mechanism, login):
        passwords.append(login.password)
        return AuthResult(success=login.password == b"secret", handled=False)

    login = tmp_path / "login"
    login.write_text("house\nsecet\n")
    with Sink(authenticator=check, auth_require_tls=False, auth_required=True) as sink:
        station = make_station(routes=f'route "*" {{ via = "smtp://127.0.0.1:{sink.port}" login = "file:{login}" }}')
        for name in "bcdefghi":
            station.hello(source=TRUSTED).mail("a@src.test", f"{name}@dst.test", MESSAGE)
        said = until(lambda: deferred_words(station, "b@dst.test"), "the mail to be put off")
        assert "this station's login is not taken: 535" in said
        assert "correct it, reload" in said and "block list" not in said
        station.wait_log(f"file={login}")
        assert passwords.count(b"secet") < 4
        login.write_text("house\nsecret\n")
        station.reload()
        until(lambda: "station: reloaded" in station.log_text(), "the new file")
        station.run("queue", "dest:127.0.0.1", "retry", "--yes")
        sink.wait_mails(8)
    assert "secret" not in station.log_text()


@pytest.mark.parametrize("at", ["MAIL", "RCPT"])
def test_a_relay_that_wants_a_login(make_station, at):
    """A host that the file names: the file is to blame. Of a host that the DNS names it is a plain no."""
    no = "530 5.7.0 Authentication required"
    script = ["220 sink.test", "250 sink.test", *([no] if at == "MAIL" else ["250 yes", no]), "250 reset"]
    with Scripted(*script) as host:
        station = make_station(routes=f'route "*" {{ via = "smtp://127.0.0.1:{host.port}" }}')
        station.hello(source=TRUSTED).mail("a@src.test", "b@dst.test", MESSAGE)
        said = until(lambda: deferred_words(station, "b@dst.test"), "the mail to be put off")
        assert "must log in, or encrypt, first: 530 Authentication required" in said and 'login = "file:' in said


def test_send_takes_the_login_for_the_sender(station):
    def check(server, session, envelope, mechanism, login):
        return AuthResult(success=login.login == b"alice@example.org")

    with Sink(authenticator=check, auth_require_tls=False) as sink:
        station.run("send", "b@dst.test", "--via", f"smtp://alice@example.org@127.0.0.1:{sink.port}", "--password-stdin", text="wonderland\nhello\n")
        (sender, _, _), = sink.wait_mails(1)
        assert sender == "alice@example.org"
