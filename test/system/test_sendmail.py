# SPDX-License-Identifier: Apache-2.0
"""sendmail(1): letters, headers, recipients, exit codes, bad input."""
import email
import email.policy
import pwd
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from sendmails import Person
from station import POSTHOUSE, until
from talk import body, reverse_path

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def person(station):
    with Person(station) as person:
        yield person


def parsed(mail):
    return email.message_from_bytes(mail, policy=email.policy.SMTP)


def only(station, user="bob"):
    return station.wait_mails(user, 1)[0]


def test_missing_fields_are_added(station, person):
    person.sendmail("-F", "Cron Daemon", "bob@example.org", text=b"Subject: hello\n\na body\n")
    mail = only(station)
    message = parsed(mail)
    assert reverse_path(mail) == f"{ME}@example.org"
    assert message["From"].addresses[0].display_name == "Cron Daemon" and message["From"].addresses[0].addr_spec == f"{ME}@example.org"
    assert message["Date"].datetime and re.fullmatch(r"<[0-9a-f]{32}@example\.org>", message["Message-ID"])
    assert message["Subject"] == "hello" and body(mail) == b"a body\r\n"


def test_what_is_there_stays(station, person):
    text = b"From: Alice <alice@example.org>\nDate: Mon, 23 Nov 2026 05:19:00 +0000\nMessage-ID: <1@x>\nX-Own: a\n b\n\n..two dots\n.x\n"
    person.sendmail("bob@example.org", text=text)
    mail = only(station)
    assert mail.endswith(text.replace(b"\n", b"\r\n"))


def test_local_names_in_the_header_are_made_whole(station, person):
    person.sendmail("bob", text=b"From: root (Cron Daemon)\nTo: bob, \"A, B\" <alice>,\n Eve <eve@example.net>, team: x;\nCc: <bob >\nReply-To: \n\nx\n")
    message = only(station)
    assert b"\r\nFrom: root@example.org (Cron Daemon)\r\n" in message
    assert (b'To: bob@example.org, "A, B" <alice@example.org>,\r\n Eve <eve@example.net>, team: x@example.org;\r\n'
            b"Cc: <bob@example.org >\r\nReply-To: \r\n\r\n") in message


@pytest.mark.parametrize("arguments", [["-f", "alice@example.org"], ["-falice@example.org"], ["-r", "Alice <alice@example.org>"], ["-falice"]])
def test_sender(station, person, arguments):
    person.sendmail(*arguments, "bob@example.org")
    mail = only(station)
    assert reverse_path(mail) == "alice@example.org" and parsed(mail)["From"].addresses[0].addr_spec == "alice@example.org"


@pytest.mark.parametrize("arguments", [["-f", "<>"], ["-f", ""], ["-f<>"]])
def test_null_sender(station, person, arguments):
    person.sendmail(*arguments, "bob@example.org")
    mail = only(station)
    assert reverse_path(mail) == "" and parsed(mail)["From"].addresses[0].addr_spec == f"{ME}@example.org"


def test_letters_of_tradition(station, person):
    person.sendmail("-odi", "-oem", "-oi", "-ti", "-B8BITMIME", "-B", "7BIT", "-O", "DeliveryMode=b", "-OMaxHop=3", "-Am", "-d0.1", "-h", "3",
                    "-L", "tag", "-p", "SMTP:host", "-X", "/dev/null", "-C", "/etc/mail/x", "-em", "-mns", "-U", "-G", "-bm", "--",
                    text=b"To: bob@example.org\n\nall letters\n.\nand a dot\n")
    assert body(only(station)) == b"all letters\r\n.\r\nand a dot\r\n"


def test_t_takes_recipients_and_hides_bcc(station, person):
    person.sendmail("-t", "-i", text=b'To: "Bo, B" <bob@example.org>, (x, y) people: ;\nBcc: alice@example.org,\n bob@example.org\n'
                    b"Return-Path: <evil@example.net>\nSubject: t\n\nx\n")
    for mail in station.wait_mails("bob", 1), station.wait_mails("alice", 1):
        assert b"\r\nbcc" not in mail[0].lower() and b"evil@" not in mail[0]
        assert parsed(mail[0])["To"] is not None


@pytest.mark.parametrize("text", [b"To: bob\nnot a field\nBcc: alice\n\nx\n", b"no field\nTo: bob\nresent-bcc: alice\n",
                                  b"To: bob\nnot a field\nx\rBcc: alice\n\nx\n"])
def test_t_shows_nobody_a_bcc_that_stands_too_late(station, person, text):
    assert "Bcc" in person.sendmail("-t", "bob", text=text, code=65)
    assert not station.queue() and not station.mailbox("bob")
    person.sendmail("-t", text=b"To: bob\nnot a field\n\nBcc: this is text\n")
    assert b"Bcc: this is text" in only(station)


def test_t_with_resent_fields_and_arguments(station, person):
    person.sendmail("-t", "-oi", "alice", text=b"To: nobody@example.org\nResent-To: bob\nResent-Bcc: bob\n\nx\n")
    assert b"Resent-Bcc" not in only(station)
    station.wait_mails("alice", 1)


def test_bcc_never_goes_out_without_t_either(station, person):
    person.sendmail("bob@example.org", text=b"Bcc: alice@example.org\n\nx\n")
    assert b"alice@" not in only(station)
    assert station.mailbox("alice") == []


def test_a_list_in_one_word(station, person):
    person.sendmail("bob, <>, ,Alice (x, \\) y) <alice@example.org>")
    only(station, "bob"), only(station, "alice")


@pytest.mark.parametrize("words", ["bob alice", "bob@example.org\talice@example.org.", "Bob <bob@example.org> \"Al, ice\" <alice> (x)"])
def test_commas_that_were_forgotten(station, person, words):
    person.sendmail(words)
    only(station, "bob"), only(station, "alice")
    person.sendmail("-t", text=f"To: {words}\n\nx\n".encode())
    station.wait_mails("bob", 2), station.wait_mails("alice", 2)


@pytest.mark.parametrize("word", [":include:/etc/passwd", "|cat", "|cat x", '"|cat /etc/passwd"', "/etc/passwd", "<|cat>"])
def test_what_only_aliases_may_say(make_station, word):
    station = make_station(domain='catch-all = "bob"')
    station.add_user("bob", "builder")
    with Person(station) as person:
        assert "no :include: lists" in person.sendmail(word, code=65)
        assert "no :include: lists" in person.sendmail("-t", text=f"To: {word}\n\nx\n".encode(), code=65)
        assert not station.mailbox("bob") and not station.queue()
        person.sendmail('"|cat"@example.org')  # a mailbox may have this name
    only(station)


def test_one_bad_address_in_the_header(station, person):
    said = person.sendmail("-t", text=b"To: bob, b@@example.org\n\nx\n")
    assert "b@@example.org: this is not an address" in said
    only(station)
    person.sendmail("-t", text=b"To: b@@example.org\n\nx\n", code=65)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\r\n"])
def test_a_dot_ends_the_message(station, person, end):
    """Nobody closes the input: the dot alone must do."""
    process = subprocess.Popen([person.sendmail_path, "bob"], stdin=subprocess.PIPE, env=person.environment)
    process.stdin.write(end.join([b"Subject: dot", b"", b"one", b".", b"not this", b""]))
    process.stdin.flush()
    assert process.wait(60) == 0
    process.stdin.close()
    assert body(only(station)) == b"one\r\n"


@pytest.mark.parametrize("text,expected", [
    (b"", b""),
    (b"no header at all\nsecond line: x\n", b"no header at all\r\nsecond line: x\r\n"),
    (b"Subject: header only", b""),
    (b"Subject: header only\n\n", b""),
    (b"\njust a body\n", b"just a body\r\n"),
    (b"From root Mon Nov 23 05:19:00 2026\nSubject: mbox\n\nx\n", b"x\r\n"),
    (b">From alice Mon Nov 23 05:19:00 2026\n remote from root\nSubject: quoted\n\nx\n", b"x\r\n"),
    (b"From root Mon\n folded\n>From root Tue\nSubject: two\n\n>From here on\n", b">From here on\r\n"),
    (b"Subject: s\r\r\nBcc: alice@example.org\r\r\n\r\nx\r\r\n", b"x\r\n"),
    (b"Subject: \xff\xfe eight bits\n\n\xe9t\xe9\n", b"\xe9t\xe9\r\n"),
    (b"Subject: s\n\na\rb\n", b"a\r\nb\r\n"),
    (b"Subject: s\n\nno end", b"no end\r\n"),
    (b"Subject: s\n\n" + b"x" * 10_000_000 + b"\n", b"x" * 10_000_000 + b"\r\n"),
    (b"Subject: s\n\na\0b\n", b"a\0b\r\n"),
], ids=["empty", "no-header", "header-only", "header-only-ended", "empty-header", "mbox", "mbox-quoted", "mbox-folded",
        "cr-cr-lf", "8-bit", "bare-cr", "no-end", "long-line", "nul"])
def test_odd_messages(station, person, text, expected):
    person.sendmail("-i", "bob", text=text)
    mail = only(station)
    assert body(mail) == expected
    message = parsed(mail.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    assert message["From"] and message["Date"] and message["Message-ID"] and b"From root" not in mail


def test_nothing_is_injected(station, person):
    person.sendmail("-F", "Eve\r\nBcc: alice@example.org\nX-Evil: 1", "bob@example.org")
    mail = only(station)
    assert not re.search(rb"(?m)^(X-Evil|Bcc)", mail)
    person.sendmail("bob@example.org\r\nRCPT TO:<alice@example.org>", code=65)
    person.sendmail("-f", "a@example.org>\r\nRCPT TO:<alice@example.org", "bob", code=65)
    assert station.mailbox("alice") == []


def test_a_bare_cr_begins_no_field(station, person):
    text = b"To: bob@example.org\nSubject: hi\rBcc: alice@example.org\rX-Evil: 1\r\n\nb\n"
    person.sendmail("-t", text=text)
    mail = only(station)
    assert b"\r\nSubject: hi Bcc: alice@example.org X-Evil: 1\r\n" in mail
    assert station.mailbox("alice") == []


def test_line_ends_where_the_input_is_cut(station, person):
    """Each octet comes in a read of its own."""
    process = subprocess.Popen([person.sendmail_path, "bob"], stdin=subprocess.PIPE, env=person.environment)
    for octet in b"Subject: a\rb\r\r\n\n.x\n..\r\n.\ry\n\r.\n.\r":
        process.stdin.write(bytes([octet]))
        process.stdin.flush()
        time.sleep(0.002)
    process.stdin.close()
    assert process.wait(60) == 0
    mail = only(station)
    assert b"\r\nSubject: a b\r\n" in mail and body(mail) == b".x\r\n..\r\n.\r\ny\r\n\r\n.\r\n"


# ── what the caller left us ──


def test_nobody_reads_what_it_says(station, person):
    """The mail goes, though the word on the other recipient goes into a pipe that is closed."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([person.sendmail_path, "-v", "nobody@example.org", "bob"], input=b"Subject: s\n\nx\n", stdout=write, stderr=write,
                          env=person.environment, timeout=60)
    os.close(write)
    assert done.returncode == 67
    only(station)


def test_bs_whose_client_is_gone(station, person):
    """Its mail waits, and somebody tends it."""
    station.stop()
    person.sendmail("bob")
    for pid in person.tenders():
        os.kill(pid, signal.SIGKILL)
    until(lambda: not person.tenders(), "the process that was left behind to be gone")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([person.sendmail_path, "-bs"], input=b"NOOP\r\n", stdout=write, env=person.environment, timeout=60)
    os.close(write)
    assert done.returncode == 0
    until(person.tenders, "a process that tends the outbox")


def test_a_command_for_the_password_has_the_signals_of_a_shell(person):
    """It is ended by SIGPIPE, as at a prompt: 128 and 13."""
    status, profiles = person.directory / "status", person.home / ".config/posthouse/profiles"
    profiles.parent.mkdir(parents=True)
    profiles.write_text('profile "p" { via = "smtp://alice@127.0.0.1:1" from = "alice@example.org" '
                        f'password = "cmd:{{ yes; echo $? >{status}; }} | head -1" }}\n')
    subprocess.run([POSTHOUSE, "send", "bob@example.org", "-m", "x", "--no-outbox", "--profile", "p"], env=person.environment, timeout=60)
    until(lambda: status.exists() and status.read_text(), "the end of the command")
    assert status.read_text() == "141\n"


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors(station, person, closed):
    """What -v says must not go into the socket that got the number of standard error."""
    is_silent = "<" in closed
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", person.sendmail_path, "-v", "bob"], input=b"Subject: s\n\nx\n",
                          env=person.environment, timeout=60)
    assert done.returncode == (74 if is_silent else 0)
    if not is_silent:
        only(station)


def test_a_mask_that_leaves_the_owner_nothing(station, person):
    station.stop()
    person.call("sendmail", "bob", text=b"Subject: s\n\nx\n", umask=0o777)
    assert len(person.waiting()) == 1
    assert person.outbox.stat().st_mode & 0o777 == 0o700


def test_whoever_borrows_rights_names_no_files(station, person, as_root):
    """As a program with another group's rights: what the environment names is not opened. Nor is the true home filled by a test."""
    copy = person.directory / "group-bin/sendmail"
    copy.parent.mkdir()
    shutil.copy(POSTHOUSE, copy)
    os.chown(copy, -1, 65534)
    copy.chmod(0o2755)
    hidden = f'mount -t tmpfs tmpfs {pwd.getpwuid(0).pw_dir} && exec "$@"'
    done = subprocess.run(["unshare", "-m", "sh", "-c", hidden, "sh", copy, "bob"], input=b"Subject: s\n\nx\n", env=person.environment,
                          capture_output=True, timeout=60)
    assert done.returncode == 0 and str(station.config).encode() not in done.stderr
    assert not station.queue() and not station.mailbox("bob") and not person.waiting()


def test_exit_codes(station, person):
    assert "nobody@example.org: 550" in person.sendmail("nobody@example.org", code=67)
    assert "nobody@example.org: 550" in person.sendmail("nobody@example.org", "bob@example.org", code=67)
    only(station)
    person.sendmail(code=64)
    assert "no such letter" in person.sendmail("-Z", "bob", code=64)
    person.sendmail("-bd", code=64)
    person.sendmail("-f", code=64)
    person.sendmail("-N", "sometimes", "bob", code=64)
    assert "not an address" in person.sendmail("-oi", "bob b@@example.org", code=65)
    assert "-f: this is not an address" not in person.sendmail("--", "-f@example.org", code=67)
    person.sendmail("-t", text=b"Subject: nobody\n\nx\n", code=65)
    person.environment["POSTHOUSE_CONFIG"] = "/nonexistent"
    person.sendmail("--config", "/nonexistent", "bob@example.org", code=78)
    assert len(station.mailbox("bob")) == 1


def test_too_large_for_the_station(make_station):
    station = make_station(limits='message = "20K"')
    station.add_user("bob", "builder")
    with Person(station) as person:
        person.sendmail("bob", text=b"Subject: s\n\n" + b"x\n" * 20000, code=65)
        assert not person.waiting()


def test_reports(station, person):
    person.sendmail("-N", "success,failure", "-R", "hdrs", "-V", "id=1", "-f", "alice@example.org", "bob@example.org")
    only(station)
    report = only(station, "alice")
    assert b"multipart/report" in report and b"id=1" in report


@pytest.mark.parametrize("name", ["x" * 101, "caf\u00e9", "a\tb", ""])
def test_a_name_for_the_mail_that_cannot_be(station, person, name):
    assert "the mail goes without" in person.sendmail("-V", name, "bob")
    only(station)


def test_v_shows_the_dialogue(station, person):
    said = person.sendmail("-v", "bob")
    assert "RCPT TO:<bob@example.org>" in said and "250" in said


def test_bv(station, person):
    said = person.sendmail("-bv", "bob", "nobody@example.org", code=67)
    assert "bob@example.org... deliverable" in said and "nobody@example.org... undeliverable: 550" in said
    person.sendmail("-bv", "alice", "bob")
    assert not station.queue() and not station.mailbox("bob")


def test_other_names(station, person):
    assert "no rebuilding" in person.call("newaliases") and "no rebuilding" in person.sendmail("-bi")
    assert "outbox is empty" in person.call("mailq") and "outbox is empty" in person.sendmail("-bp")
    assert "0 mails" in person.call("mailq") if os.geteuid() == 0 else True
    assert "posthouse explain" in person.sendmail("-bt", code=64)
    assert "Exit codes" in person.sendmail("--help")
    person.sendmail("-q"), person.sendmail("-q30m")


def test_many_recipients(make_station):
    station = make_station(domain='catch-all = "bob"')
    station.add_user("bob", "builder")
    with Person(station) as person:
        said = person.sendmail("-t", text=b"Bcc: " + b",\n ".join(b"r%d@example.org" % i for i in range(2500)) + b"\n\nx\n")
        assert said == ""
    station.wait_drained()
    assert len(station.mailbox("bob")) == 2500


# ── -bs ──


def session(person, script, code=0):
    return person.sendmail("-bs", text=script.replace("\n", "\r\n").encode(), code=code)


def codes(said):
    return [line[:3] for line in said.splitlines() if re.match(r"\d\d\d ", line)]


def test_bs(station, person):
    said = session(person, "EHLO x\nMAIL FROM:<alice@example.org>\nRCPT TO:<nobody@example.org>\nRCPT TO:<bob@example.org>\n"
                           "DATA\nSubject: s\n\n..dot\n.\nNOOP\nRSET\nQUIT\n")
    assert codes(said) == ["220", "250", "250", "550", "250", "354", "250", "250", "250", "221"]
    mail = only(station)
    assert reverse_path(mail) == "alice@example.org" and body(mail) == b".dot\r\n"


def test_bs_two_mails_and_an_end_in_between(station, person):
    one = "MAIL FROM:<>\nRCPT TO:<bob@example.org>\nDATA\n\nx\n.\n"
    said = session(person, "HELO x\n" + one + one + "MAIL FROM:<>\nRCPT TO:<bob@example.org>\nDATA\nhalf a mail\n")
    assert codes(said) == ["220", "250", "250", "250", "354", "250", "250", "250", "354", "250", "250", "250", "354"]
    station.wait_drained()
    station.wait_mails("bob", 2)


def test_bs_says_what_the_station_says(make_station):
    station = make_station(limits='message = "20K"')
    station.add_user("bob", "builder")
    with Person(station) as person:
        said = session(person, "EHLO x\nMAIL FROM:<>\nRCPT TO:<bob@example.org>\nDATA\n" + "x\n" * 20000 + ".\nQUIT\n")
        assert codes(said)[-2:] == ["552", "221"]


KINDS = ("EHLO x\nMAIL FROM:<alice@example.org>\nRCPT TO:<bob@example.org> NOTIFY=NEVER\nRCPT TO:<alice@example.org> NOTIFY=FAILURE\n"
         "DATA\nSubject: kinds\n\nx\n.\nQUIT\n")


def test_bs_sends_to_nobody_what_cannot_be_kept_for_all(station, person):
    """The client is told one thing of both, and what is said later must not need room."""
    person.outbox.mkdir(parents=True, mode=0o700)
    person.outbox.chmod(0o755)
    place = f"/var/tmp/posthouse-{os.geteuid()}"
    if os.path.exists(place):
        pytest.skip(f"{place} is there already")
    with open(place, "w"):
        pass
    try:
        assert codes(session(person, KINDS, code=75))[-2:] == ["451", "221"]
        station.wait_drained()
        assert not station.mailbox("bob") and not station.mailbox("alice")
    finally:
        os.unlink(place)
    person.outbox.chmod(0o700)
    assert codes(session(person, KINDS))[-2:] == ["250", "221"]
    station.wait_mails("bob", 1), station.wait_mails("alice", 1)
    assert [f.name for f in person.outbox.iterdir()] == ["refused"]


def test_bs_says_the_enhanced_code_once(station, person):
    said = session(person, "EHLO x\nMAIL FROM:<>\nRCPT TO:<nobody@example.org>\nQUIT\n")
    assert said.count("5.1.1") == 1
    hostname = re.search(r'hostname *= *"?([^"\s]+)', station.config.read_text())[1]
    assert said.startswith(f"220 {hostname} ")


def test_bs_keeps_what_the_station_cannot_take(station, person):
    station.stop()
    said = session(person, "EHLO x\nMAIL FROM:<alice@example.org>\nRCPT TO:<bob@example.org>\nDATA\nSubject: kept\n\nx\n.\nQUIT\n")
    assert codes(said)[-2:] == ["250", "221"] and len(person.waiting()) == 1
    station.start()
    person.sendmail("-q")
    assert b"Subject: kept" in only(station)
