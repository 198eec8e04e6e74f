# SPDX-License-Identifier: Apache-2.0
"""Hostile and broken clients: a reply code or a clean close, bounded memory, nothing half-delivered, the next client unaffected."""
import pytest

from station import memory_kib, until
from talk import added_fields

MESSAGE = b"Subject: whole\r\n\r\nbody\r\n"
GROWTH_KIB = 32 * 1024  # what one connection may cost at most, by a wide margin, with a sanitizer's quarantine


@pytest.fixture
def watched(station):
    """The station; afterwards it must be the same processes, hardly larger, and serve the next client."""
    before = station.pids()
    talk = station.hello()
    talk.mail("first@src.test", "alice@example.org", MESSAGE)
    size = memory_kib(before["receive"])
    yield station
    talk = station.hello()
    talk.mail("next@src.test", "alice@example.org", MESSAGE)
    for mail in station.wait_mails("alice", 2):
        added_fields(mail, MESSAGE)
    station.wait_drained()
    assert station.pids() == before, "a role died:\n" + station.log_text()[-2000:]
    assert memory_kib(before["receive"]) < size + GROWTH_KIB


def nothing_for_bob(station):
    station.wait_drained()
    assert station.mailbox("bob") == []


def send_without_end(talk, piece, octets):
    """As much as the server takes; it may close the connection, and it may answer."""
    try:
        for _ in range(octets // len(piece)):
            talk.raw(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass


def test_a_command_line_without_end(watched):
    talk = watched.talk()
    talk.expect(220)
    send_without_end(talk, b"x" * 65536, 64 << 20)
    assert memory_kib(watched.pid("receive")) < 256 * 1024
    try:
        talk.raw(b"\r\n")
        talk.expect(500)
        talk.say("NOOP").expect(250)
    except (BrokenPipeError, ConnectionResetError):
        pass


@pytest.mark.parametrize("line", [b"NO\0OP", b"\0", b"\xff\xfe\xfd", b"N\xc3\x96\xc3\x96P", b"MAIL FROM:<a\0@src.test>",
                                  b"MAIL FROM:<\xff@src.test>", b"HELO \xff", b"", b" ", b"\t", b"250 OK",
                                  b"RCPT TO:" + b"<" * 500, b"MAIL FROM:<" + b"@a" * 200 + b":b@c>", b"AUTH " + b"=" * 400])
def test_what_is_no_command(watched, line):
    talk = watched.hello()
    talk.say(line)
    assert talk.reply()[0] == "5"
    talk.say("NOOP").expect(250)


@pytest.mark.parametrize("line, code", [("MAIL FROM:<a@src.test>", 503), ("RCPT TO:<bob@example.org>", 503), ("DATA", 503),
                                        ("BDAT 0 LAST", 503), ("NOOP", 250), ("RSET", 250), ("HELP", 211), ("QUIT", 221)])
def test_before_helo(watched, line, code):
    talk = watched.talk()
    talk.expect(220)
    talk.say(line).expect(code)


def test_ten_thousand_recipients(watched):
    """1,000 are taken (the limit), the others refused one by one, and the mail goes to those who were taken."""
    talk = watched.hello()
    talk.say("MAIL FROM:<a@src.test>").expect(250)
    talk.raw(b"".join(b"RCPT TO:<bob+%d@example.org>\r\n" % i for i in range(10_000)))
    codes = [talk.reply()[:3] for _ in range(10_000)]
    assert codes == ["250"] * 1000 + ["452"] * 9000
    talk.data(MESSAGE)
    watched.wait_mails("bob", 1000)


def test_bdat_of_nothing(watched):
    talk = watched.hello()
    talk.envelope("a@src.test", "bob@example.org")
    for _ in range(100):
        talk.say("BDAT 0").expect(250)
    talk.raw(b"BDAT %d\r\n" % len(MESSAGE) + MESSAGE).expect(250)
    talk.say("BDAT 0 LAST").expect(250)
    added_fields(watched.wait_mails("bob", 1)[0], MESSAGE)


@pytest.mark.parametrize("size", [2**64, 2**64 + 5, 10**40, -1])
def test_bdat_of_what_is_no_size(watched, size):
    talk = watched.hello()
    talk.envelope("a@src.test", "bob@example.org")
    talk.say(f"BDAT {size} LAST").expect(501)
    nothing_for_bob(watched)


@pytest.mark.parametrize("size", [2**63, 2**63 - 1, 2**62])
def test_bdat_of_more_than_there_is(watched, size):
    """Nobody will ever send so much: no memory is taken for it, and when the client gives up nothing is kept."""
    talk = watched.hello()
    talk.envelope("a@src.test", "bob@example.org")
    talk.say(f"BDAT {size} LAST")
    send_without_end(talk, b"x" * 65536, 16 << 20)
    assert memory_kib(watched.pid("receive")) < 256 * 1024
    talk.close()
    nothing_for_bob(watched)


def test_data_that_never_ends(make_station):
    """The limit is reached, the rest swallowed; the message is refused when it ends, and memory stays as it is."""
    station = make_station(limits='message = "1M"')
    station.add_user("bob", "builder")
    talk = station.hello()
    talk.envelope("a@src.test", "bob@example.org")
    talk.say("DATA").expect(354)
    size = memory_kib(station.pid("receive"))
    line = b"x" * 70 + b"\r\n"
    send_without_end(talk, line * 1000, 64 << 20)
    assert memory_kib(station.pid("receive")) < size + GROWTH_KIB
    talk.say(".").expect(552)
    talk.mail("a@src.test", "bob@example.org", MESSAGE)
    station.wait_mails("bob", 1)


def test_many_that_never_end(make_station):
    """A hundred clients hold a message open each: the sum has a limit too, and files take what memory does not."""
    station = make_station(limits='memory = "16M" message = "4M"')
    station.add_user("bob", "builder")
    size = memory_kib(station.pid("receive"))
    talks = [station.hello() for _ in range(100)]
    for talk in talks:
        talk.envelope("a@src.test", "bob@example.org")
        talk.say("DATA").expect(354)
        talk.raw((b"x" * 70 + b"\r\n") * 7000)
    assert memory_kib(station.pid("receive")) < size + 16 * 1024 + GROWTH_KIB
    for talk in talks:
        talk.say(".").reply()
    station.hello().mail("a@src.test", "bob@example.org", MESSAGE)
    until(lambda: any(mail.endswith(MESSAGE) for mail in station.mailbox("bob")), "the last mail")


def test_a_client_gone_at_every_octet(watched):
    transaction = b"EHLO client.test\r\nMAIL FROM:<gone@src.test> BODY=8BITMIME\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n"
    transaction += MESSAGE + b".\r\n"
    for n in range(len(transaction)):
        talk = watched.talk()
        talk.raw(transaction[:n])
        talk.close()
    nothing_for_bob(watched)


def test_a_client_gone_at_every_octet_of_bdat(watched):
    transaction = b"EHLO client.test\r\nMAIL FROM:<gone@src.test>\r\nRCPT TO:<bob@example.org>\r\nBDAT %d LAST\r\n" % len(MESSAGE) + MESSAGE
    for n in range(len(transaction)):
        talk = watched.talk()
        talk.raw(transaction[:n])
        talk.close()
    nothing_for_bob(watched)


@pytest.mark.parametrize("end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n\n.\r\n", b"\r\n\0.\r\n"])
def test_smuggling(watched, end):
    """Only CR LF . CR LF ends a message: what follows anything else is content, and content with bare line ends is refused."""
    inner = b"MAIL FROM:<smuggled@src.test>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\n"
    talk = watched.hello()
    talk.envelope("a@src.test", "bob@example.org")
    talk.say("DATA").expect(354)
    talk.raw(b"Subject: outer\r\n\r\nbody" + end + inner + b".\r\n")
    talk.expect(55)
    talk.say("NOOP").expect(250)
    nothing_for_bob(watched)


def test_too_many_mistakes_end_the_session(watched):
    talk = watched.hello()
    codes = []
    for _ in range(1000):
        try:
            talk.say("WHAT")
        except (BrokenPipeError, ConnectionResetError):
            break
        reply = talk.reply()
        if reply is None:
            break
        codes.append(reply[:3])
    assert codes[-1] == "421" and set(codes[:-1]) == {"500"} and len(codes) < 1000
