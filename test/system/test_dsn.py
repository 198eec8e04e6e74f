# SPDX-License-Identifier: Apache-2.0
"""An honest answer: what a sender reads in the mailbox when a mail failed, is late, or arrived (RFC 3461, RFC 3464). The grammar of the
requests is in test/dialog/dsn.smtp, what goes on to a next host that reports by itself in test_hops.py."""
import email.utils
import re
import time
from collections import Counter

import pytest

from nameservers import Knot
from peers import Scripted, Sink
from reports import DELAYED, FAILED, Report, reports
from station import TRUSTED, free_ports, until

MESSAGE = b"From: Alice <alice@example.org>\r\nSubject: tea at five\r\nMessage-ID: <tea@example.org>\r\n\r\nwith milk\r\n"
QUICK = 'retry-first = "200ms" retry-most = "1s"'
ENDS = QUICK + ' expire = "2s"'


def house_for(make_station, port, queue=QUICK, **sections):
    station = make_station(routes=f'route "*" {{ via = "smtp://127.0.0.1:{port}" }}', queue=queue, **sections)
    station.add_user("alice", "wonderland")
    station.add_user("bob", "builder")
    return station


def hand_in(station, recipients, message=MESSAGE, sender="alice@example.org", options=""):
    """recipients: {address: what follows it in RCPT}."""
    talk = station.hello(source=TRUSTED)
    talk.say(f"MAIL FROM:<{sender}>{options}").expect(250)
    for address, wish in recipients.items():
        talk.say(f"RCPT TO:<{address}>{wish}").expect(25)  # 251 where one alias leads elsewhere
    talk.data(message)
    talk.close()


def refusing(reply="550 5.1.1 no such person"):
    return Sink(answer=lambda recipient: reply)


def moment(text):
    return email.utils.parsedate_to_datetime(text).timestamp()


# ── the fields ──


def test_a_failure_to_the_letter(make_station):
    with refusing() as sink:
        station = house_for(make_station, sink.port)
        before = int(time.time())
        hand_in(station, {"gone@dst.test": " NOTIFY=FAILURE ORCPT=rfc822;sales+2Bx@far.test"}, options=" ENVID=QQ+2B314+3D1")
        [report] = reports(station, "alice", 1)
        mail = report.mail
        assert mail["Return-Path"] == "<>" and mail["To"] == "alice@example.org" and mail["Auto-Submitted"] == "auto-replied"
        assert mail["From"].addresses[0].addr_spec == "postmaster@mail.example.org"
        assert mail["Subject"] == "Not delivered: your mail to gone@dst.test"
        assert mail["In-Reply-To"] == mail["References"] == "<tea@example.org>" != mail["Message-ID"]
        assert before <= moment(mail["Date"]) <= time.time()
        id, arrived = report.about.pop("x-posthouse-mail"), report.about.pop("arrival-date")
        assert report.about == {"original-envelope-id": "QQ+314=1", "reporting-mta": "dns; mail.example.org"}
        assert before <= moment(arrived) <= time.time()
        station.wait_log(f"id={id}")
        assert report.recipients == [{
            "original-recipient": "rfc822; sales+x@far.test", "final-recipient": "rfc822; gone@dst.test", "action": FAILED,
            "status": "5.1.1", "remote-mta": "dns; [127.0.0.1]", "diagnostic-code": "smtp; 550 5.1.1 no such person"}]
        assert "(you wrote to sales+x@far.test)" in report.words and "tea at five" in report.words
        station.wait_drained()


def test_nothing_is_said_that_nobody_knows(make_station):
    """No ENVID, no ORCPT, no host: no such fields."""
    station = house_for(make_station, free_ports(1)[0], queue=ENDS)
    hand_in(station, {"b@dst.test": ""})
    [report] = reports(station, "alice", 1)
    assert set(report.about) == {"reporting-mta", "x-posthouse-mail", "arrival-date"}
    assert {"original-recipient", "diagnostic-code"}.isdisjoint(report.recipients[0])


def test_those_who_fail_together_are_in_one_report(make_station):
    words = {"a@dst.test": "550 5.1.1 no a here", "b@dst.test": "552 5.2.2 b is full", "c@dst.test": "550 5.7.1 c is not for you"}
    with Sink(answer=words.get) as sink:
        station = house_for(make_station, sink.port)
        hand_in(station, {**dict.fromkeys(words, ""), "good@dst.test": ""})
        sink.wait_mails(1)
        station.wait_drained()
        [report] = reports(station, "alice", 1)
        assert report.verdicts() == [(a, FAILED, w.split()[1]) for a, w in words.items()]
        assert [r["diagnostic-code"] for r in report.recipients] == ["smtp; " + w for w in words.values()]
        assert report.mail["Subject"] == "Not delivered: your mail to a@dst.test and 2 more"
        assert all(w in report.words for w in words.values()) and "good@dst.test" not in report.words


def assert_told_once(found, recipients):
    """Each recipient in one report, with no more than fifty in any, and not one report for each."""
    assert Counter(a for report in found for a, action, _ in report.verdicts() if action == FAILED) == Counter(recipients)
    assert all(len(report.recipients) <= 50 for report in found) and len(found) <= len(recipients) / 50 + 5


def all_reports(station, recipients):
    until(lambda: sum(len(Report(m).recipients) for m in station.mailbox("alice")) >= len(recipients), "a report of all of them")
    station.wait_drained()
    return [Report(m) for m in station.mailbox("alice")]


def test_a_thousand_who_fail(make_station):
    """More than fits into one report: several."""
    station = house_for(make_station, free_ports(1)[0], queue=ENDS)
    recipients = [f"someone-with-a-name-{i}@a-domain-of-usual-length.dst.test" for i in range(1000)]
    hand_in(station, dict.fromkeys(recipients, ""))
    assert_told_once(all_reports(station, recipients), recipients)


def test_many_words_and_a_large_mail(make_station):
    """Together they would be more than a report may be: the header goes back, not the whole that was asked for."""
    recipients = [f"someone-with-a-name-{i}@{'a-label-of-length.' * 8}dst.test" for i in range(100)]
    wish = f" ORCPT=rfc822;{'a-name-of-length-' * 20}@src.test"
    with refusing("550 5.1.1 " + "no such person, " * 11) as sink:
        station = house_for(make_station, sink.port)
        hand_in(station, dict.fromkeys(recipients, wish), MESSAGE + (b"milk" * 15 + b"\r\n") * 3060, options=" RET=FULL")
        found = all_reports(station, recipients)
        assert_told_once(found, recipients)
        for report in found:
            assert report.original.get_content_type() == "text/rfc822-headers" and "tea at five" in report.words


def test_a_domain_that_there_is_not(make_station):
    """What fails before any host is tried is gathered as well, over several domains too."""
    recipients = [f"b{i}@no{i % 5}.here.test" for i in range(100)]
    with Knot({"here.test": "@ MX 0 ."}) as knot:
        station = make_station(resolver=f'forward = "{knot.forward}"', queue=QUICK)
        station.add_user("alice", "wonderland")
        hand_in(station, dict.fromkeys(recipients, ""))
        assert_told_once(all_reports(station, recipients), recipients)


def test_all_given_back_by_hand(make_station):
    station = house_for(make_station, free_ports(1)[0], queue='retry-first = "1h"')
    recipients = [f"b{i}@dst.test" for i in range(100)]
    hand_in(station, dict.fromkeys(recipients, ""))
    until(lambda: any(i["tries"] for i in station.queue()), "a try in vain")
    station.run("queue", "bounce", "--yes")
    assert_told_once(all_reports(station, recipients), recipients)


# ── aliases (RFC 3461 §5.2.7) ──

ALIASES = 'alias one { to = "b@far.test" } alias team { to = {"b@far.test", "c@far.test"} } alias staff { to = {"one", "bob"} }'


def test_one_behind_an_alias_has_the_wishes_of_the_alias(make_station):
    with Scripted("220 mx", "250-mx\r\n250 DSN", "250 ok", "250 ok", "354 go", "250 kept") as host:
        station = house_for(make_station, host.port, domain=ALIASES)
        hand_in(station, {"one@example.org": " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@src.test"})
        until(lambda: any(line.startswith("DATA") for line in host.heard), "the mail to go on")
        assert "RCPT TO:<b@far.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@src.test" in host.heard


def test_of_several_behind_an_alias_nothing_is_told_but_failures(make_station):
    """That it was passed on to them is the success; who they are is nobody's business, unless one fails."""
    with Sink(answer=lambda recipient: "550 5.1.1 nobody" if recipient.startswith("c@") else None) as sink:
        station = house_for(make_station, sink.port, domain=ALIASES)
        hand_in(station, {"team@example.org": " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;us@src.test"})
        station.wait_drained()
        found = {report.recipients[0]["action"]: report for report in reports(station, "alice", 2)}
        assert found["expanded"].verdicts() == [("team@example.org", "expanded", "2.0.0")]
        assert found["failed"].verdicts() == [("c@far.test", "failed", "5.1.1")]
        assert [report.recipients[0]["original-recipient"] for report in found.values()] == ["rfc822; us@src.test"] * 2
        assert "passed on to every member" in found["expanded"].words


def test_members_know_the_wishes_after_a_crash(make_station):
    station = house_for(make_station, free_ports(1)[0], domain=ALIASES, queue=QUICK + ' expire = "6s"')
    hand_in(station, {"team@example.org": " NOTIFY=NEVER", "staff@example.org": " NOTIFY=FAILURE ORCPT=rfc822;us@src.test"})
    until(lambda: sum(i["tries"] > 0 for i in station.queue()) == 3, "all to be tried")
    station.kill("all")
    station.start()
    station.wait_drained()
    [report] = reports(station, "alice", 1)
    assert report.verdicts() == [("b@far.test", FAILED, "5.4.7")]
    assert report.recipients[0]["original-recipient"] == "rfc822; us@src.test"


# ── words ──

NO_MAILBOX, FULL, POLICY = "550 5.1.1 <gone> who is that?", "552 5.2.2 this box is over quota", "550 5.7.1 your sort is unwelcome"
CASES = {  # recipient: status, why, what the other host said (or what we found), what to do
    "gone@dst.test": ("5.1.1", "There is no mailbox of this name.", NO_MAILBOX, "Check the address for a slip"),
    "full@dst.test": ("5.2.2", "The mailbox is full.", FULL, "Reach the person some other way"),
    "boss@dst.test": ("5.7.1", "You are not allowed to send this mail to there.", POLICY, "to let your mail in"),
    "b@nowhere.test": ("5.1.2", "takes no mail, or does not exist", "nowhere.test", "behind the @"),
    "b@nomail.test": ("5.1.10", "says that it takes no mail at all", "nomail.test", "behind the @"),
    "b@shut.test": ("5.4.7", "has been given up", "refused", "Reach the person some other way"),
}


def test_the_words_for_people(make_station):
    """Who; why, in plain words; what the other host said; what to do. For each reason that people meet."""
    answers = {"gone@dst.test": NO_MAILBOX, "full@dst.test": FULL, "boss@dst.test": POLICY}
    shut, = free_ports(1)
    with Sink(answer=answers.get) as sink, Knot({"nomail.test": "@ MX 0 ."}) as knot:
        station = make_station(resolver=f'forward = "{knot.forward}"', queue=ENDS,
                               routes=f'route "dst.test" {{ via = "smtp://127.0.0.1:{sink.port}" }}\n'
                                      f'route "shut.test" {{ via = "smtp://127.0.0.1:{shut}" }}')
        station.add_user("alice", "wonderland")
        for recipient in CASES:
            hand_in(station, {recipient: ""})
        found = {report.recipients[0]["final-recipient"].removeprefix("rfc822; "): report for report in reports(station, "alice", len(CASES))}
        station.wait_drained()
        assert found.keys() == CASES.keys()
        for recipient, (status, why, said, advice) in CASES.items():
            report = found[recipient]
            assert report.verdicts() == [(recipient, FAILED, status)]
            for part in recipient, why, said, advice, "will not be tried again", "The header of your mail is below":
                assert part in report.words, f"{recipient}: no {part!r} in\n{report.words}"
            assert "try again" not in report.words and "try later" not in report.words


def test_chinese_first_then_english(make_station):
    with refusing("552 5.2.2 over quota") as sink:
        station = house_for(make_station, sink.port, queue=QUICK + ' language = "zh"')
        hand_in(station, {"box@dst.test": ""})
        [report] = reports(station, "alice", 1)
        chinese, _, english = report.words.partition("――――――――――")
        assert "邮箱已满。" in chinese and "box@dst.test" in chinese and "over quota" in chinese and "tea at five" in chinese
        assert "The mailbox is full." in english and "box@dst.test" in english and "over quota" in english
        assert "未送达" in report.mail["Subject"] and report.verdicts() == [("box@dst.test", FAILED, "5.2.2")]
        assert station.mailbox("alice")[0].partition(b"\r\n\r\n")[0].isascii()


def test_words_that_are_not_ascii(make_station):
    """The sender's in the subject, the other host's in its reply: whole for people; for programs a field has ASCII only."""
    with Scripted("220 mx", "250 mx", "250 ok", "550 5.1.1 Postfach unbekannt: gr\u00fcn") as host:
        station = house_for(make_station, host.port)
        message = "Subject: 晚饭 Gr\u00fc\u00dfe\r\n\r\nh\u00e4\r\n".encode()
        hand_in(station, {"b@dst.test": ""}, message, options=" SMTPUTF8 BODY=8BITMIME")
        [report] = reports(station, "alice", 1)
        assert "晚饭 Gr\u00fc\u00dfe" in report.words and "Postfach unbekannt: gr\u00fcn" in report.words
        assert report.recipients[0]["diagnostic-code"].startswith("smtp; 550 5.1.1 Postfach unbekannt: gr")
        assert report.recipients[0]["diagnostic-code"].isascii()
        assert report.original.get_content_type() == "message/global-headers"
        assert "晚饭 Gr\u00fc\u00dfe".encode() in station.mailbox("alice")[0]


# ── who hears of what ──


def test_never_means_never(make_station):
    """And the one beside it, who asked for nothing, is told of."""
    with refusing() as sink:
        station = house_for(make_station, sink.port)
        hand_in(station, {"quiet@dst.test": " NOTIFY=NEVER"})
        hand_in(station, {"quiet@dst.test": " NOTIFY=NEVER", "loud@dst.test": "", "success@dst.test": " NOTIFY=SUCCESS"})
        station.wait_drained()
        [report] = reports(station, "alice", 1)
        assert report.verdicts() == [("loud@dst.test", FAILED, "5.1.1")]


def test_a_delay_is_told_to_those_who_want_it(make_station):
    """RFC 3461 §4.1: who asks for failures alone hears of no delay; the end is told to both."""
    station = house_for(make_station, free_ports(1)[0], queue=QUICK + ' warn = "1s" expire = "4s"')
    hand_in(station, {"plain@dst.test": "", "wants@dst.test": " NOTIFY=DELAY,FAILURE", "ends@dst.test": " NOTIFY=FAILURE"})
    found = reports(station, "alice", 2)
    station.wait_drained()
    [late], [over] = ([r for r in found if r.recipients[0]["action"] == action] for action in (DELAYED, FAILED))
    assert {a for a, _, _ in late.verdicts()} == {"plain@dst.test", "wants@dst.test"}
    assert {a for a, _, _ in over.verdicts()} == {"plain@dst.test", "wants@dst.test", "ends@dst.test"}
    assert late.mail["Return-Path"] == "<>" and late.mail["Subject"] == "Not delivered yet: your mail to plain@dst.test and 1 more"
    for fields in late.recipients:
        assert fields["status"][0] == "4" and moment(fields["will-retry-until"]) == moment(late.about["arrival-date"]) + 4
    assert "You need not send it again" in late.words and "We try until" in late.words
    assert late.original.get_content_type() == "text/rfc822-headers"


def test_success_is_told_where_it_was_asked_for(make_station):
    """`delivered` for a mailbox here, `relayed` where the next host sends no reports, nothing where it does."""
    with Sink() as plain, Scripted("220 mx", "250-mx\r\n250 DSN", "250 ok", "250 ok", "354 go", "250 kept") as reporting:
        station = make_station(routes=f'route "plain.test" {{ via = "smtp://127.0.0.1:{plain.port}" }}\n'
                                      f'route "*" {{ via = "smtp://127.0.0.1:{reporting.port}" }}')
        station.add_user("alice", "wonderland")
        station.add_user("bob", "builder")
        hand_in(station, {"bob@example.org": " NOTIFY=SUCCESS", "b@plain.test": " NOTIFY=SUCCESS,FAILURE", "b@reporting.test": " NOTIFY=SUCCESS"},
                options=" ENVID=42 RET=FULL")
        hand_in(station, {"bob@example.org": "", "b@plain.test": " NOTIFY=FAILURE"})
        station.wait_mails("bob", 2)
        plain.wait_mails(2)
        station.wait_drained()
        found = sorted(reports(station, "alice", 2), key=lambda r: r.recipients[0]["action"])
        assert [r.verdicts() for r in found] == [[("bob@example.org", "delivered", "2.0.0")], [("b@plain.test", "relayed", "2.0.0")]]
        assert [r.mail["Subject"].partition(":")[0] for r in found] == ["Delivered", "Passed on"]
        for report in found:
            assert report.mail["Return-Path"] == "<>" and report.about["original-envelope-id"] == "42"
            assert report.original.get_content_type() == "text/rfc822-headers"  # RFC 3461 §4.3: whole only when it failed
        assert [r.recipients[0].get("remote-mta") for r in found] == [None, "dns; [127.0.0.1]"]
        assert "It is in the mailbox." in found[0].words
        assert "sends no reports" in found[1].words
        assert [line for line in reporting.heard if line.startswith(("MAIL", "RCPT"))] == [
            "MAIL FROM:<alice@example.org> RET=FULL ENVID=42", "RCPT TO:<b@reporting.test> NOTIFY=SUCCESS"]


def test_no_report_of_a_report(make_station):
    """To a sender whom nobody knows, here or there: a line in the log is the end of it. A null sender hears nothing at all."""
    with refusing("550 5.1.1 nobody") as sink:
        station = house_for(make_station, sink.port, domain='catch-all = "bob"')
        wishes = {"b@dst.test": " NOTIFY=SUCCESS,FAILURE,DELAY"}
        hand_in(station, wishes, sender="stranger@src.test")
        hand_in(station, wishes, sender="")
        station.wait_drained()
        failures = until(lambda: len(found := re.findall(r"failed id=\S+ to=(\S+)", station.log_text())) >= 3 and found, "three failures in the log")
        assert sorted(failures) == ["b@dst.test", "b@dst.test", "stranger@src.test"]
        assert station.mailbox("bob") == [] and sink.mails == []


def test_a_report_that_goes_to_another_house(make_station):
    """With the null reverse-path, as 8-bit when it is, to a sender who is not here."""
    with Sink(answer=lambda recipient: None if recipient.startswith("wei") else "550 5.1.1 nobody") as sink:
        station = house_for(make_station, sink.port)
        hand_in(station, {"b@dst.test": ""}, b"Subject: s\r\n\r\nh\xc3\xa4\r\n", sender="wei@src.test", options=" RET=FULL BODY=8BITMIME")
        [(sender, recipients, octets)] = sink.wait_mails(1)
        report = Report(octets)
        assert (sender, recipients) == ("<>", ["wei@src.test"]) and report.is_whole()
        assert report.original.get_content_type() == "message/rfc822" and "h\u00e4".encode() in octets
        assert report.verdicts() == [("b@dst.test", FAILED, "5.1.1")]


# ── what goes back ──


@pytest.mark.parametrize("asked, kind", [("", "text/rfc822-headers"), (" RET=HDRS", "text/rfc822-headers"), (" RET=FULL", "message/rfc822")])
def test_the_header_or_the_whole(make_station, asked, kind):
    message = MESSAGE + b"--=_bounce_\r\n.\r\n..\r\n" + b"milk\r\n" * 1000
    with refusing() as sink:
        station = house_for(make_station, sink.port)
        hand_in(station, {"b@dst.test": ""}, message, options=asked)
        [report] = reports(station, "alice", 1)
        assert report.original.get_content_type() == kind
        whole, head = message in station.mailbox("alice")[0], message.partition(b"\r\n\r\n")[0]
        assert whole == (kind == "message/rfc822") and head in station.mailbox("alice")[0]
        assert whole or b"with milk" not in station.mailbox("alice")[0]
        assert ("Your mail is below." if whole else "The header of your mail is below.") in report.words


def test_of_a_large_mail_its_header(make_station):
    """It lies in a file of its own; whole it would be more than anybody wants back."""
    header = MESSAGE.partition(b"\r\n\r\n")[0]
    with refusing() as sink:
        station = house_for(make_station, sink.port)
        hand_in(station, {"b@dst.test": ""}, header + b"\r\n\r\n" + (b"milk" * 15 + b"\r\n") * 10000, options=" RET=FULL")
        [report] = reports(station, "alice", 1)
        octets, = station.mailbox("alice")
        assert report.original.get_content_type() == "text/rfc822-headers" and header in octets
        assert b"milkmilk" not in octets and "The header of your mail is below." in report.words


# ── beside those of others ──


def test_ours_say_all_that_others_say(make_station, testdata):
    """629 bounces of many kinds of hosts, and one of ours, through the same reader: what more than half of those that it can read have,
    ours has."""
    others = [Report(path.read_bytes()) for path in sorted((testdata / "bounces" / "bounce").iterdir())]
    readable = [report for report in others if report.verdicts()]
    assert len(others) == 629 and len(readable) > 300, f"{len(readable)} of {len(others)} can be read"
    usual = {name for name, n in Counter(name for r in readable for name in {*r.about, *r.recipients[0]}).items() if n > len(readable) / 2}
    assert {"reporting-mta", "final-recipient", "action", "status", "diagnostic-code"} <= usual
    with refusing() as sink:
        station = house_for(make_station, sink.port)
        hand_in(station, {"b@dst.test": ""})
        [report] = reports(station, "alice", 1)
        assert report.verdicts() == [("b@dst.test", FAILED, "5.1.1")]
        assert usual <= {*report.about, *report.recipients[0]}
