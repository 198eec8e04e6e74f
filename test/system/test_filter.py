# SPDX-License-Identifier: Apache-2.0
"""Content filters: what a Milter of any behaviour can do to a mail, and what it cannot do to the station."""
import os
import re
import resource
import signal
import threading
import time

import pytest

import milters
from milters import ACCEPT, CONTINUE, DIE, DISCARD, GARBAGE, LIE, Milter, PROGRESS, REJECT, SHUTDOWN, SKIP_BODY, STALL, TEMPFAIL
from milters import add_header, change_header, insert_header, reply, with_text
from station import TRUSTED, free_ports, until
from talk import body, reverse_path

MESSAGE = b"From: ann@example.net\r\nSubject: hello\r\n\twide world\r\nX-Two: 1\r\nX-Two: 2\r\n\r\nThe body.\r\n.dot\r\n"


def filters(*found, down="tempfail", timeout="30s", more=""):
    return "\n".join(f'filter "f{i}" {{ at = "127.0.0.1:{m if isinstance(m, int) else m.port}"  when-down = "{down}"  timeout = "{timeout}" {more} }}'
                     for i, m in enumerate(found))


@pytest.fixture
def with_milters(make_station):
    """with_milters(milter…, down=…) is a station with alice and bob whose mails they filter."""
    started = []

    def make(*found, down="tempfail", timeout="30s", more="", **sections):
        started.extend(m for m in found if isinstance(m, Milter))
        station = make_station(filters=filters(*found, down=down, timeout=timeout, more=more), **sections)
        station.add_user("alice", "wonderland")
        station.add_user("bob", "builder")
        return station

    yield make
    for m in started:
        m.__exit__()


def send(station, code=250, to="bob", message=MESSAGE):
    with station.hello() as talk:
        return talk.envelope("ann@example.net", f"{to}@example.org").data(message, code)


def fields(mail, name):
    """Values of the fields of this name, whole, in their order."""
    header = mail.partition(b"\r\n\r\n")[0] + b"\r\n"
    return re.findall(rb"(?mi)^" + name + rb":((?:.*\r\n)(?:[ \t].*\r\n)*)", header)


def test_it_hears_the_whole_mail(with_milters):
    m = Milter()
    station = with_milters(m)
    reply_text = send(station)
    mail, = station.wait_mails("bob", 1)
    assert mail.endswith(MESSAGE)
    assert m.letters().replace("D", "") .startswith("OCHMRTLLLLNBE")
    assert m.data_of("C")[0].startswith(b"[127.0.0.1]\x004") and m.data_of("C")[0].endswith(b"127.0.0.1\0")
    assert m.data_of("H") == [b"client.test\0"]
    assert m.data_of("M") == [b"<ann@example.net>\0"] and m.data_of("R") == [b"<bob@example.org>\0"]
    assert m.data_of("L") == [b"From\0ann@example.net\0", b"Subject\0hello\n\twide world\0", b"X-Two\0001\0", b"X-Two\0002\0"]
    assert b"".join(m.data_of("B")) == b"The body.\r\n.dot\r\n"
    told = m.macros()
    assert told[b"j"] == b"mail.example.org" and told[b"{client_addr}"] == b"127.0.0.1" and told[b"{daemon_name}"] == b"smtp"
    assert told[b"{mail_addr}"] == b"ann@example.net" and told[b"{rcpt_addr}"] == b"bob@example.org"
    assert told[b"i"].decode() in reply_text and int(told[b"{client_port}"]) > 0


def test_a_session_without_a_mail_costs_no_connection(with_milters):
    m = Milter()
    station = with_milters(m)
    with station.hello() as talk:
        talk.say("NOOP").expect(250)
        talk.say("QUIT").expect(221)
    assert m.connections == 0
    with station.hello() as talk:
        for _ in range(3):
            talk.mail("ann@example.net", "bob@example.org", MESSAGE)
    station.wait_mails("bob", 3)
    assert m.connections == 1 and m.letters().count("E") == 3 and m.letters().count("H") == 1


def test_a_new_hello_is_told(with_milters):
    m = Milter()
    station = with_milters(m)
    with station.hello() as talk:
        talk.mail("ann@example.net", "bob@example.org", MESSAGE)
        talk.say("EHLO other.test").expect(250)
        talk.mail("ann@example.net", "bob@example.org", MESSAGE)
    assert m.data_of("H") == [b"client.test\0", b"other.test\0"]


def test_a_message_without_header_and_a_people_s_one(with_milters):
    m = Milter()
    station = with_milters(m)
    send(station, message=b"no header at all\r\n")
    mail, = station.wait_mails("bob", 1)
    assert body(mail) == b"no header at all\r\n" and m.data_of("B") == [b"no header at all\r\n"]
    with station.logged_in() as talk:
        talk.mail("alice@example.org", "bob@example.org", b"Subject: from a person\r\n\r\nhi\r\n")
    until(lambda: len(station.mail_files("bob")) == 2, "the second mail")
    told = [d.split(b"\0")[0] for d in m.data_of("L")]
    assert b"Date" in told and b"Message-ID" in told, "what we add is seen by who signs"
    mail = next(m for m in station.mailbox("bob") if b"from a person" in m)
    assert len(fields(mail, b"Date")) == 1 and len(fields(mail, b"Message-ID")) == 1
    assert m.macros()[b"{auth_authen}"] == b"alice@example.org" and m.macros()[b"{auth_type}"] == b"PLAIN"


@pytest.mark.parametrize("door", ["starttls", "submissions"])
def test_it_is_told_of_tls(with_milters, door):
    m = Milter()
    station = with_milters(m)
    talk = station.talk("submissions" if door == "submissions" else "submission")
    talk.expect(220)
    talk.say("EHLO client.test").expect(250)
    if door == "starttls":
        talk.starttls().say("EHLO client.test").expect(250)
    version, (cipher, _, bits) = talk.socket.version(), talk.socket.cipher()
    with talk:
        talk.login("alice@example.org", "wonderland").envelope("alice@example.org", "bob@example.org").data(MESSAGE)
    told = m.macros()
    assert (told[b"{tls_version}"], told[b"{cipher}"], told[b"{cipher_bits}"]) == (version.encode(), cipher.encode(), str(bits).encode())


def test_it_is_told_of_no_tls_in_clear(with_milters):
    m = Milter()
    send(with_milters(m))
    assert not {b"{tls_version}", b"{cipher}", b"{cipher_bits}"} & {name for name, value in m.macros().items() if value}


@pytest.mark.parametrize("letter", "CHMRTLNBE")
@pytest.mark.parametrize("answer, code, words", [
    (REJECT, 550, "5.7.1"), (TEMPFAIL, 451, "4.7.1"), (reply(b"554 5.6.6 no %% of that"), 554, "5.6.6 no % of that"),
    (reply(b"452-4.3.1 wait\r\n452 4.3.1 a while"), 452, "4.3.1 wait a while")])
def test_its_no_is_said_where_it_was_given(with_milters, letter, answer, code, words):
    station = with_milters(Milter(**{letter: answer}))
    with station.hello() as talk:
        if letter in "CHM":
            talk.say("MAIL FROM:<ann@example.net>").expect(code, words)
            return
        talk.say("MAIL FROM:<ann@example.net>").expect(250)
        if letter == "R":
            talk.say("RCPT TO:<bob@example.org>").expect(code, words)
            return
        talk.say("RCPT TO:<bob@example.org>").expect(250)
        if letter == "T":
            talk.say("DATA").expect(code, words)
            return
        talk.data(MESSAGE, code)
        talk.say("RSET").expect(250)
    assert station.mail_files("bob") == []


def test_a_no_to_one_recipient_concerns_that_one(with_milters):
    station = with_milters(Milter(R=lambda data: REJECT if b"alice" in data else CONTINUE))
    with station.hello() as talk:
        talk.say("MAIL FROM:<ann@example.net>").expect(250)
        talk.say("RCPT TO:<alice@example.org>").expect(550)
        talk.say("RCPT TO:<bob@example.org>").expect(250)
        talk.data(MESSAGE)
    station.wait_mails("bob", 1)
    assert station.mail_files("alice") == []


def test_a_no_to_the_client_holds_for_all_its_mails(with_milters):
    m = Milter(C=REJECT)
    station = with_milters(m)
    with station.hello() as talk:
        talk.say("MAIL FROM:<ann@example.net>").expect(550)
        talk.say("MAIL FROM:<bea@example.net>").expect(550)
    assert m.letters().count("C") == 1


def test_shutdown_closes_the_session(with_milters):
    station = with_milters(Milter(R=SHUTDOWN))
    with station.hello() as talk:
        talk.say("MAIL FROM:<ann@example.net>").expect(250)
        talk.say("RCPT TO:<bob@example.org>").expect(421)
        assert talk.closed()


def test_a_yes_ends_the_questions(with_milters):
    m = Milter(M=lambda data: ACCEPT if b"ann" in data else CONTINUE)
    station = with_milters(m)
    with station.hello() as talk:
        talk.mail("ann@example.net", "bob@example.org", MESSAGE)
        assert "R" not in m.letters() and "E" not in m.letters()
        talk.mail("bea@example.net", "bob@example.org", MESSAGE)
    assert m.letters().count("E") == 1
    station.wait_mails("bob", 2)


@pytest.mark.parametrize("letter", "MRTLNBE")
def test_discard_says_yes_and_keeps_nothing(with_milters, letter):
    station = with_milters(Milter(**{letter: DISCARD}))
    said = send(station)
    until(lambda: "discarded id=" in station.log_text(), "the log to tell of it")
    station.wait_log("discarded id=")
    assert re.search(r"discarded id=(\w+)", station.log_text())[1] in said
    assert station.queue() == [] and station.mail_files("bob") == []


CHANGES = [
    ("added", [add_header(b"X-Spam", b"no\n\tscore 1")], lambda m: fields(m, b"X-Spam") == [b" no\r\n\tscore 1\r\n"]),
    ("added last", [add_header(b"X-Spam", b"no")], lambda m: m.partition(b"\r\n\r\n")[0].endswith(b"\r\nX-Two: 2\r\nX-Spam: no")),
    ("inserted first", [insert_header(1, b"X-Top", b"yes")], lambda m: b"\r\nX-Top: yes\r\nFrom: ann" in m),
    ("inserted third", [insert_header(3, b"X-Mid", b"yes")], lambda m: b"\r\nX-Mid: yes\r\nX-Two: 1" in m),
    ("changed", [change_header(2, b"x-two", b"two")], lambda m: b"X-Two: 1\r\nx-two: two\r\n" in m),
    ("removed", [change_header(1, b"X-Two", b"")], lambda m: fields(m, b"X-Two") == [b" 2\r\n"]),
    ("no header ends by it", [add_header(b"X-Evil", b"a\n\nbody\r\rX: y")], lambda m: body(m) == body(MESSAGE) and len(fields(m, b"X")) == 0),
    ("not a name", [add_header(b"X Y", b"a"), add_header(b"", b"a"), add_header(b"A:B", b"a")], lambda m: m.endswith(MESSAGE)),
    ("body", [b"bnew ", b"bbody\r\nof two lines\n"], lambda m: body(m) == b"new body\r\nof two lines\r\n"),
    ("sender", [with_text(b"e", b"<zoe@example.com>")], lambda m: reverse_path(m) == "zoe@example.com"),
    ("null sender", [with_text(b"e", b"<>")], lambda m: reverse_path(m) == ""),
    ("no sender", [with_text(b"e", b"<zoe@@>")], lambda m: reverse_path(m) == "ann@example.net"),
    ("strangers' mail stays here", [with_text(b"+", b"<zoe@example.com>")], lambda m: True),
]


@pytest.mark.parametrize("what, changes, holds", CHANGES, ids=[c[0] for c in CHANGES])
def test_it_may_change(with_milters, what, changes, holds):
    station = with_milters(Milter(E=[*changes, CONTINUE]))
    send(station)
    mail, = station.wait_mails("bob", 1)
    assert holds(mail), mail
    station.wait_drained()


def test_recipients_come_and_go(with_milters):
    station = with_milters(Milter(E=[with_text(b"+", b"<alice@example.org>"), with_text(b"-", b"<bob@example.org>"), CONTINUE]))
    send(station)
    station.wait_mails("alice", 1)
    assert station.mail_files("bob") == []
    station.wait_log("recipient-added")
    station.wait_log("recipient-removed")


def test_without_recipients_nothing_is_left(with_milters):
    station = with_milters(Milter(E=[with_text(b"-", b"bob@example.org"), ACCEPT]))
    send(station)
    until(lambda: "discarded id=" in station.log_text(), "the log to tell of it")
    assert station.queue() == []


def test_quarantine_waits_for_a_person(with_milters):
    station = with_milters(Milter(E=[with_text(b"q", b"looks bad"), CONTINUE]))
    send(station)
    item, = until(station.queue, "the mail to be listed")
    assert item["state"] == "held"
    station.restart()
    item, = until(station.queue, "the mail to be listed again")
    assert item["state"] == "held" and station.mail_files("bob") == []
    station.wait_log("looks bad")
    station.run("queue", "release", f"id:{item['id']}", "--yes")
    station.wait_mails("bob", 1)
    station.wait_drained()


def test_each_sees_what_those_before_made_of_it(with_milters):
    first = Milter(E=[add_header(b"X-First", b"was here"), b"bchanged\r\n", CONTINUE])
    second = Milter(E=[add_header(b"X-Second", b"too"), CONTINUE])
    station = with_milters(first, second)
    send(station)
    mail, = station.wait_mails("bob", 1)
    assert b"X-First\0was here\0" in second.data_of("L") and second.data_of("B") == [b"changed\r\n"]
    assert body(mail) == b"changed\r\n" and fields(mail, b"X-Second") == [b" too\r\n"]


def test_a_no_of_the_first_spares_the_second(with_milters):
    second = Milter()
    send(with_milters(Milter(E=REJECT), second), 550)
    assert "E" not in second.letters()


@pytest.mark.parametrize("letter", "OCHMRTLNBE")
@pytest.mark.parametrize("answer", [STALL, DIE, GARBAGE, LIE])
def test_when_it_is_down(with_milters, letter, answer):
    """In each stage: mail goes on without it, or is to be tried again; nobody else waits."""
    station = with_milters(Milter(**{letter: answer}), down="accept", timeout="300ms")
    send(station)
    mail, = station.wait_mails("bob", 1)
    told = until(lambda: re.search(r"filter-down filter=(\S+) at=(\S+) .* why=(\S+)", station.log_text()), "the log to tell")
    assert mail.endswith(MESSAGE) and told[2].startswith(("unix:/", "127.0.0.1:")) and told[3] != '""'


@pytest.mark.parametrize("letter", "OMTBE")
@pytest.mark.parametrize("answer", [STALL, DIE, LIE])
def test_when_it_is_down_and_needed(with_milters, letter, answer):
    station = with_milters(Milter(**{letter: answer}), timeout="300ms")
    with station.hello() as talk:
        said = [talk.say("MAIL FROM:<ann@example.net>").reply()]
        if said[-1].startswith("250"):
            talk.say("RCPT TO:<bob@example.org>").expect(250)
            said.append(talk.say("DATA").reply())
        if said[-1].startswith("354"):
            said.append(talk.raw(MESSAGE.replace(b"\r\n.", b"\r\n..") + b".\r\n").reply())
        assert said[-1].startswith("451 4.7.1"), said
        talk.say("NOOP").expect(250)
    assert station.queue() == [] and station.mail_files("bob") == []


def test_half_a_change_is_none(with_milters):
    """One that dies in the middle of its changes has changed nothing."""
    station = with_milters(Milter(E=lambda _: [add_header(b"X-Half", b"yes"), with_text(b"+", b"<alice@example.org>"), b"bother\r\n", b"?"]),
                           down="accept")
    send(station)
    mail, = station.wait_mails("bob", 1)
    assert mail.endswith(MESSAGE) and b"X-Half" not in mail and station.mail_files("alice") == []


def test_more_than_it_may(with_milters):
    """A change that was not negotiated is a lie."""
    send(with_milters(Milter(actions=0, E=[add_header(b"X-A", b"b"), CONTINUE])), 451)


def test_none_is_there(with_milters):
    station = with_milters(*free_ports(1))
    with station.hello() as talk:
        talk.say("MAIL FROM:<ann@example.net>").expect(451, "4.7.1")


def test_it_comes_back(with_milters):
    """A filter that closes idle connections, or was restarted between two mails, costs no mail."""
    m = Milter()
    station = with_milters(m)
    m.answers["E"] = CONTINUE
    with station.hello() as talk:
        talk.mail("ann@example.net", "bob@example.org", MESSAGE)
        m.answers["M"] = lambda data: DIE if m.connections == 1 else CONTINUE
        talk.mail("ann@example.net", "bob@example.org", MESSAGE)
    station.wait_mails("bob", 2)
    assert m.connections == 2 and "filter-down" not in station.log_text()
    assert m.letters().replace("D", "").rsplit("O", 1)[1].startswith("CHMR"), "the new connection is asked from the beginning"


SILENT = sum(milters.NO_REPLY.values())


@pytest.mark.parametrize("steps", [SILENT, *milters.NO_REPLY.values()])
def test_it_promised_no_answer(with_milters, steps):
    """It hears of each step when it is due, not only when the next answer is awaited."""
    m = Milter(steps=steps, E=[add_header(b"X-Seen", b"yes"), CONTINUE])
    station = with_milters(m)
    with station.hello() as talk:
        for letter, command, code in ("M", "MAIL FROM:<ann@example.net>", 250), ("R", "RCPT TO:<bob@example.org>", 250), ("T", "DATA", 354):
            talk.say(command).expect(code)
            until(lambda: letter in m.letters(), f"{letter} to be heard")
        talk.raw(MESSAGE + b".\r\n").expect(250)
    mail, = station.wait_mails("bob", 1)
    assert b"X-Seen: yes" in mail and m.letters().replace("D", "").startswith("OCHMRTLLLLNBE")


def test_it_promised_no_answer_and_reads_nothing(with_milters):
    """What it is told gathers only so far; then its time begins, and then the mail is to be tried again later."""
    m = Milter(steps=milters.NO_REPLY["M"] | milters.NO_REPLY["R"], M=STALL)
    station = with_milters(m, timeout="1s", limits="recipients = 5000", domain='catch-all = "bob"')
    before = station.pid("receive")
    recipients = "".join(f"RCPT TO:<{'x' * 59}{i:05}@example.org>\r\n" for i in range(500)).encode()
    codes = set()
    with station.hello(source=TRUSTED) as talk:
        for i in range(120):  # more than OUT_MAX and both sockets hold
            if i % 10 == 0:
                talk.say("RSET").expect(250)
                codes.add(talk.say("MAIL FROM:<ann@example.net>").reply()[:3])
            if codes == {"250"}:
                talk.raw(recipients)
                codes |= {talk.reply()[:3] for _ in range(500)}
    assert codes == {"250", "451"}
    until(lambda: "did not answer in time" in station.log_text(), "the log to tell of it")
    assert station.pid("receive") == before


def test_progress_extends_its_time(with_milters):
    class Slow(Milter):
        def say(self, connection, answer):
            if answer == "slow":
                for _ in range(10):
                    time.sleep(0.2)  # the filter's own pace
                    super().say(connection, PROGRESS)
                answer = CONTINUE
            return super().say(connection, answer)

    station = with_milters(Slow(E="slow"), timeout="1500ms")
    send(station)
    station.wait_mails("bob", 1)


def test_nobody_waits_for_another_s_filter(with_milters):
    """One client's mail hangs in the filter; the next one is served."""
    m = Milter(E=CONTINUE, M=lambda data: STALL if b"slow" in data else CONTINUE)
    station = with_milters(m, timeout="30s")
    slow = station.hello()
    slow.say("MAIL FROM:<slow@example.net>")
    until(lambda: b"<slow@example.net>\0" in m.data_of("M"), "the filter to be asked")
    for _ in range(3):
        send(station)
    station.wait_mails("bob", 3)
    slow.close()


@pytest.mark.parametrize("steps", [0, milters.NO_REPLY["L"] | milters.SKIP | milters.KEEP_BLANK])
def test_a_large_mail(with_milters, steps):
    m = Milter(steps=steps, E=[add_header(b"X-Large", b" yes" if steps else b"yes"), CONTINUE])
    station = with_milters(m)
    content = b"Subject: large\r\n\r\n" + b"0123456789012345678901234567890123456789012345678901234567890123\r\n" * 310000
    send(station, message=content)
    mail, = station.wait_mails("bob", 1)
    assert body(mail) == body(content) == b"".join(m.data_of("B"))
    assert fields(mail, b"X-Large") == [b" yes\r\n"]
    assert m.data_of("L")[0] == (b"Subject\0 large\0" if steps else b"Subject\0large\0")


def test_it_need_not_see_all_of_it(with_milters):
    m = Milter(steps=milters.SKIP, B=SKIP_BODY)
    station = with_milters(m)
    content = b"Subject: large\r\n\r\n" + b"x" * 70 + b"\r\n" + b"y" * 70 + b"\r\n" * 100000
    send(station, message=content)
    mail, = station.wait_mails("bob", 1)
    assert body(mail) == body(content) and len(m.data_of("B")) == 1


def test_a_header_beyond_measure(with_milters):
    station = with_milters(Milter())
    huge = b"".join(b"X-%06d: %s\r\n" % (i, b"v" * 900) for i in range(1300))
    with station.hello() as talk:
        talk.envelope("ann@example.net", "bob@example.org").data(huge + b"\r\nbody\r\n", 552)


def test_more_at_once_than_memory_has(with_milters):
    """What filters look at is held in memory: its sum has a limit, which is a 452 and no crash."""
    m = Milter(E=CONTINUE)
    station = with_milters(m, limits='memory = "16M" message = "15M"')
    talks = [station.hello() for _ in range(2)]
    for talk in talks:
        talk.envelope("ann@example.net", "bob@example.org")
        talk.say("DATA").expect(354)
    half = b"z" * 70 + b"\r\n"
    for talk in talks:
        talk.raw(b"Subject: half\r\n\r\n" + half * 140000)
    for talk in talks:
        talk.raw(b".\r\n")
    replies = sorted(talk.reply()[:3] for talk in talks)
    assert replies == ["250", "452"]
    send(station)
    station.wait_mails("bob", 2)


def test_what_it_changes_is_counted_too(with_milters):
    """A new body that memory has no room for: the filter is not heard, and the mail is not taken without it."""
    m = Milter(E=[b"b" + b"z" * 70 + b"\r\n"] + [b"b" + b"z" * 1000000] * 9 + [CONTINUE])
    station = with_milters(m, limits='memory = "16M" message = "15M"')
    send(station, 451)
    until(lambda: re.search('filter-unheard filter="?f0.*memory', station.log_text()), "the log to tell of it")
    assert "filter-down" not in station.log_text()
    m.answers["E"] = [add_header(b"X-Seen", b"yes"), CONTINUE]
    with station.hello() as talk:
        for _ in range(3):  # all of it was given back
            talk.mail("ann@example.net", "bob@example.org", MESSAGE + b"z" * 70 + b"\r\n" * 7000000)
    assert all(b"X-Seen: yes" in mail for mail in station.wait_mails("bob", 3))


def chunk(talk, octets):
    talk.raw(b"BDAT %d\r\n" % octets + b"Subject: large\r\n\r\n".ljust(octets, b"x"))
    return talk.reply()[:3]


def test_strangers_leave_memory_to_others(with_milters):
    """Mails that never end hold what one network may, then what all strangers may; the rest is for those we know."""
    station = with_milters(Milter(), limits='memory = "16M" message = "2M"', gate="greylist = false")

    def begins(source):
        talk = station.hello(source=source)
        talk.envelope("ann@example.net", "bob@example.org")
        return talk, chunk(talk, 1900000)

    network = [begins(f"127.0.5.{i}") for i in range(1, 9)]
    assert [code for _, code in network] == ["250"] + ["452"] * 7
    others = [begins(f"127.0.{i}.1") for i in range(6, 12)]
    assert [code for _, code in others] == ["250"] * 3 + ["452"] * 3
    known = [begins(TRUSTED) for _ in range(4)]
    assert [code for _, code in known] == ["250"] * 4
    for talk, _ in network + others + known:
        talk.close()
    until(lambda: [code for _, code in [begins("127.0.5.1"), begins("127.0.6.1")]] == ["250"] * 2, "memory to be given back")


class Busy(Milter):
    """Says to "busy" that it needs more time, `packets` at once each `pause` seconds, until the test ends it."""
    packets, pause = 1, 0.1
    is_over = False

    def say(self, connection, answer):
        if answer != "busy":
            return super().say(connection, answer)
        while not self.ended.is_set() and not self.is_over:
            connection.sendall((b"\0\0\0\1" + PROGRESS) * self.packets)
            self.ended.wait(self.pause)
        return super().say(connection, CONTINUE)


def test_one_that_never_stops_talking_stops_nobody(with_milters):
    m = Busy(M=lambda data: "busy" if b"slow" in data else CONTINUE)
    m.packets, m.pause = 13000, 0
    station = with_milters(m)
    slow = station.hello()
    slow.say("MAIL FROM:<slow@example.net>")
    until(lambda: b"<slow@example.net>\0" in m.data_of("M"), "the filter to be asked")
    talk = station.talk()
    talk.socket.settimeout(10)
    talk.expect(220)
    for _ in range(5):
        talk.say("NOOP").expect(250)
    m.is_over = True
    slow.expect(250)


def test_progress_for_ever(with_milters):
    station = with_milters(Busy(M="busy"), timeout="600ms")
    with station.hello() as talk:
        began = time.monotonic()
        talk.say("MAIL FROM:<ann@example.net>").expect(451, "4.7.1")
        assert 2 < time.monotonic() - began < 30
    until(lambda: "did not answer in time" in station.log_text(), "the log to tell of it")


def test_closing_down_waits_for_no_filter(with_milters):
    m = Busy(M="busy")
    station = with_milters(m, down="accept", timeout="60s")
    with station.hello() as talk:
        talk.say("MAIL FROM:<ann@example.net>")
        until(lambda: "M" in m.letters(), "the filter to be asked")
        station.process.send_signal(signal.SIGTERM)
        talk.expect(451, "4.7.1")
        talk.expect(421)
        assert station.process.wait(30) == 0


def restart_receive(station, descriptors):
    resource.prlimit(station.process.pid, resource.RLIMIT_NOFILE, (descriptors, descriptors))
    before = station.pid("receive")
    station.kill("receive")
    until(lambda: station.pids().get("receive") not in (None, before), "a receiver with few descriptors")


def test_descriptors_are_left_for_it(with_milters):
    """No more come in than the filters can be asked for."""
    station = with_milters(Milter())
    restart_receive(station, 200)
    crowd = [station.talk() for _ in range(150)]
    inside = [talk for talk in crowd if talk.reply()[:3] == "220"]
    assert 30 < len(inside) < 100
    for talk in inside:
        talk.say("EHLO client.test").expect(250)
        talk.say("MAIL FROM:<ann@example.net>").expect(250)
    assert "filter-unheard" not in station.log_text()


@pytest.mark.parametrize("down", ["tempfail", "accept"])
def test_no_descriptor_for_it(with_milters, down):
    """That is the station's own want: nobody blames the filter, and nobody gets past it so."""
    m = Milter()
    station = with_milters()
    restart_receive(station, 200)
    guest = station.hello()
    crowd = [station.talk() for _ in range(150)]
    assert {talk.reply()[:3] for talk in crowd} == {"220", "421"}
    with m:
        reload(station, m, down=down)

        def asked():
            talk_says = guest.say("MAIL FROM:<ann@example.net>").reply()[:3]
            guest.say("RSET").expect(250)
            return talk_says
        until(lambda: asked() == "451", "the filter to be missed")
        until(lambda: 'why="no descriptor is left' in station.log_text(), "the log to tell of it")
        assert asked() == "451" and "filter-down" not in station.log_text()
        for talk in crowd:
            talk.close()
        until(lambda: asked() == "250", "the filter to be asked")


def test_many_at_once(with_milters):
    m = Milter(E=[add_header(b"X-Seen", b"yes"), CONTINUE])
    station = with_milters(m)
    failures = []

    def client(i):
        try:
            with station.hello() as talk:
                for n in range(5):
                    talk.mail("ann@example.net", "bob@example.org", b"Subject: %d.%d\r\n\r\nhi\r\n" % (i, n))
        except AssertionError as e:
            failures.append(e)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(40)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not failures, failures[0]
    mails = station.wait_mails("bob", 200)
    assert len({fields(mail, b"Subject")[0] for mail in mails}) == 200 and all(b"X-Seen: yes" in mail for mail in mails)


def test_only_strangers(with_milters):
    m = Milter(M=REJECT)
    station = with_milters(m, more="only-strangers = true")
    with station.hello(source=TRUSTED) as talk:
        talk.mail("ann@example.net", "bob@example.org", MESSAGE)
    with station.logged_in() as talk:
        talk.mail("alice@example.org", "bob@example.org", MESSAGE)
    station.wait_mails("bob", 2)
    assert m.connections == 0
    with station.hello() as talk:
        talk.say("MAIL FROM:<ann@example.net>").expect(550)


def test_reload_brings_a_filter(with_milters):
    m = Milter(M=REJECT)
    station = with_milters()
    send(station)
    with m:
        station.configure(filters=filters(m))
        station.reload()
        until(lambda: "reloaded" in station.log_text(), "the reload")

        def refused():
            with station.hello() as talk:
                return talk.say("MAIL FROM:<ann@example.net>").reply().startswith("550")
        until(refused, "the filter to be asked")


def reload(station, *found, **sections):
    seen = station.log_text().count("reloaded")
    station.configure(filters=filters(*found, **sections))
    station.reload()
    until(lambda: station.log_text().count("reloaded") > seen, "the reload")


def test_reload_under_a_session(with_milters):
    """A session that goes on asks the filters of the new file from its next mail on; a mail under way ends with those it began with."""
    old, new = Milter(), Milter(R=REJECT)
    station = with_milters(old)
    with new, station.hello() as talk:
        talk.mail("ann@example.net", "bob@example.org", MESSAGE)
        talk.envelope("ann@example.net", "bob@example.org")
        reload(station, new)
        talk.data(MESSAGE)
        assert old.letters().count("E") == 2 and new.connections == 0

        def asked():
            talk.say("RSET").expect(250)
            talk.say("MAIL FROM:<ann@example.net>").expect(250)
            return talk.say("RCPT TO:<bob@example.org>").reply()[:3] == "550"
        until(asked, "the new filter to be asked")
        heard = len(old.data_of("M"))
        assert asked() and len(old.data_of("M")) == heard
        reload(station)

        def spared():
            return not asked()
        until(spared, "no filter to be asked")
        heard = len(new.data_of("M"))
        talk.data(MESSAGE)
        talk.mail("ann@example.net", "bob@example.org", MESSAGE)
        assert len(new.data_of("M")) == heard
    station.wait_mails("bob", 4)
    assert "filter-down" not in station.log_text()


def test_reload_before_the_connection(with_milters):
    """The file changes between the session's wish for a connection and master's answer."""
    m = Milter(M=REJECT)
    station = with_milters(m)
    with station.hello() as talk:
        os.kill(station.process.pid, signal.SIGSTOP)
        try:
            station.configure(filters="")
            station.reload()
            talk.say("MAIL FROM:<ann@example.net>")
        finally:
            os.kill(station.process.pid, signal.SIGCONT)
        talk.expect(250)
        talk.say("RCPT TO:<bob@example.org>").expect(250)
        talk.data(MESSAGE)
    station.wait_mails("bob", 1)
    assert "filter-down" not in station.log_text()


def test_receive_dies_while_it_waits(with_milters):
    m = Milter(E=lambda _: STALL if m.letters().count("E") == 1 else CONTINUE)
    station = with_milters(m)
    with station.hello() as talk:
        talk.envelope("ann@example.net", "bob@example.org").say("DATA").expect(354)
        talk.raw(MESSAGE + b".\r\n")
        until(lambda: "E" in m.letters(), "the filter to be asked")
        station.may_end = "role=receive"
        os.kill(station.pids()["receive"], signal.SIGKILL)
        assert talk.reply() is None

    def served():
        try:
            send(station)
            return True
        except (OSError, AssertionError):
            return False
    until(served, "the next client to be served")
    station.wait_mails("bob", 1)
