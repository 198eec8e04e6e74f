# SPDX-License-Identifier: Apache-2.0
"""Hundreds of mails of other people, with every oddity, arrive as they were sent; what no mail may be is refused cleanly."""
import re

from talk import added_fields, crlf, reverse_path


def real_mails(testdata):
    """(name, octets as on the wire) of every mail in the test data."""
    files = sorted(f for f in (testdata / "mail").iterdir() if f.is_file())
    for pattern in "*.msg", "*.eml", "msg_*.txt":
        files += sorted((testdata / "mime").rglob(pattern))
    mails = [(str(f.relative_to(testdata)), crlf(f.read_bytes())) for f in files]
    assert len(mails) > 150
    return mails


def bare_line_end(message):
    return re.search(rb"\r(?!\n)|(?<!\r)\n", message)


def outlawed_in_data(message):
    return b"\0" in message or bare_line_end(message) or any(len(line) > 998 for line in message.split(b"\r\n"))


def arrivals(station, n):
    """{sender: mail}: each mail was sent from an address of its own."""
    mails = station.wait_mails("bob", n)
    assert len({reverse_path(mail) for mail in mails}) == n
    return {reverse_path(mail): mail for mail in mails}


def test_by_data(station, testdata):
    mails = real_mails(testdata)
    talk, kept, refused = station.hello(), {}, 0
    for i, (name, message) in enumerate(mails):
        talk.envelope(f"m{i}@src.test", "bob@example.org", options=" BODY=8BITMIME")
        if outlawed_in_data(message):
            talk.data(message, 55)
            refused += 1
        else:
            talk.data(message)
            kept[f"m{i}@src.test"] = message
    assert refused > 0 and len(kept) > 150
    for sender, mail in arrivals(station, len(kept)).items():
        added_fields(mail, kept[sender])


def test_by_bdat(station, testdata):
    """NUL and long lines are content here; a bare CR or LF is not, for whoever gets the mail next may have no BDAT."""
    mails = real_mails(testdata)
    talk, kept = station.hello(), {}
    for i, (name, message) in enumerate(mails):
        talk.envelope(f"m{i}@src.test", "bob@example.org", options=" BODY=8BITMIME")
        half = len(message) // 2
        talk.raw(b"BDAT %d\r\n" % half + message[:half])
        talk.raw(b"BDAT %d LAST\r\n" % (len(message) - half) + message[half:])
        talk.expect(250)
        if bare_line_end(message):
            talk.expect(55)
        else:
            talk.expect(250)
            kept[f"m{i}@src.test"] = message
    assert any(outlawed_in_data(message) for message in kept.values())
    for sender, mail in arrivals(station, len(kept)).items():
        added_fields(mail, kept[sender])


def test_large(station):
    """From one octet to more than is held in memory, and 20 MB, in one session."""
    talk, kept = station.hello(), {}
    for i, size in enumerate([1, 4095, 4096, 65536, 262143, 262144, 262145, 1 << 20, 20_000_000]):
        line = b"%06d " % i + b"x" * 70 + b"\r\n"
        message = b"Subject: large\r\n\r\n" + line * (size // len(line)) + b"e" * (size % len(line)) + b"\r\n"
        talk.mail(f"m{i}@src.test", "bob@example.org", message)
        kept[f"m{i}@src.test"] = message
    for sender, mail in arrivals(station, len(kept)).items():
        added_fields(mail, kept[sender])


def test_trace_fields(station):
    """Return-Path first, the envelope's sender; one Received with who, by whom, how."""
    talk = station.hello()
    talk.mail("a@src.test", "bob@example.org", b"Subject: s\r\n\r\nb\r\n")
    mail, = station.wait_mails("bob", 1)
    head = mail.partition(b"\r\n\r\n")[0] + b"\r\n"
    assert head.startswith(b"Return-Path: <a@src.test>\r\n")
    received, = re.findall(rb"^Received: (?:[^\r\n]|\r\n[ \t])*", head, re.MULTILINE)
    for part in b"from client.test", b"127.0.0.1", b"by mail.example.org", b"with ESMTP", b"id ", b";":
        assert part in received, received


def test_submitted_mail_gets_what_it_lacks_and_relayed_mail_does_not(station):
    station.logged_in().mail("alice@example.org", "bob@example.org", b"Subject: submitted\r\n\r\nb\r\n")
    assert {"date", "message-id"} <= set(added_fields(station.wait_mails("bob", 1)[0], b"Subject: submitted\r\n\r\nb\r\n"))
    station.hello().mail("a@src.test", "alice@example.org", b"Subject: relayed\r\n\r\nb\r\n")
    assert not {"date", "message-id"} & set(added_fields(station.wait_mails("alice", 1)[0], b"Subject: relayed\r\n\r\nb\r\n"))
