# SPDX-License-Identifier: Apache-2.0
"""posthouse probe: the dialogue step by step, what a host offers, and hosts that lie."""
import json
import re
import subprocess
import time

import pytest

from certificates import Authority, self_signed, tls_option
from peers import Scripted, Sink
from station import POSTHOUSE, free_ports
from tls_peers import TlsPeer

HELLO = "220 peer.test hello", "250-peer.test\r\n250-SIZE 1000\r\n250-X-ODD a b\r\n250 PIPELINING"


def probe(*words, text="", code=0):
    done = subprocess.run([POSTHOUSE, "probe", *map(str, words)], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, f"{done.returncode} instead of {code}:\n{done.stdout}\n{done.stderr}"
    return done


def found(*words, **more):
    return json.loads(probe(*words, "--json", **more).stdout)


def names(report):
    return [step["step"] for step in report["steps"]]


def said(report):
    return [step["said"] for step in report["steps"] if step["said"]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("probe"))


@pytest.fixture
def house(make_station, authority):
    station = make_station(tls=tls_option(authority.issue("mail.example.org", "127.0.0.1")))
    station.add_user("alice", "wonderland")
    station.add_user("bob", "builder")
    return station


# ── what a host offers ──


def test_the_whole_offer_for_people(house, authority):
    text = probe(f"127.0.0.1:{house.submission_port}", "--trust", authority.trust, "--ehlo", "tester.example.net").stdout
    for line in ("C: EHLO tester.example.net", "S: 250-STARTTLS", "C: STARTTLS", "*  TLSv1.3, TLS_AES_256_GCM_SHA384, verified",
                 "  names      mail.example.org", "  issuer     CN=Authority of a test", "  verified   yes", "  under TLS  PLAIN LOGIN",
                 "can encrypt the connection (RFC 3207); only in clear", "C: QUIT"):
        assert line in text, text
    assert "TLSv1.2    ECDHE-ECDSA-" in text and "TLSv1.3    TLS_AES_" in text


def test_the_whole_offer_as_json(house, authority):
    report = found(f"127.0.0.1:{house.submission_port}", "--trust", authority.trust)
    assert report["ok"] and report["exit"] == 0 and report["error"] == ""
    assert names(report) == ["connect", "banner", "ehlo", "starttls", "tls", "ehlo", "quit"]
    assert all(step["ms"] >= 0 for step in report["steps"])
    tls = report["tls"]
    assert tls["verified"] and tls["version"] == "TLSv1.3" and tls["certificate"]["names"] == ["mail.example.org"]
    assert tls["certificate"]["issuer"] == "CN=Authority of a test" and tls["certificate"]["until"].endswith("Z")
    assert all(tls["versions"][version]["ok"] for version in ("TLSv1.2", "TLSv1.3"))
    assert tls["versions"]["TLSv1.2"]["version"] == "TLSv1.2"
    assert "STARTTLS" in report["extensions_in_clear"] and "STARTTLS" not in report["extensions"]
    assert report["extensions"]["SIZE"].isdigit() and "PLAIN" in report["extensions"]["AUTH"].split()


def test_a_certificate_of_nobody_s(make_station, tmp_path):
    station = make_station(tls=tls_option(self_signed(tmp_path, "mail.example.org", "127.0.0.1")))
    report = found(f"127.0.0.1:{station.smtp_port}")
    assert report["ok"] and not report["tls"]["verified"] and "self-signed" in report["tls"]["why_not"]
    report = found(f"127.0.0.1:{station.smtp_port}", "--tls", "require", code=75)
    assert "certificate is not good for 127.0.0.1" in report["error"] and names(report)[-2:] == ["tls", "quit"]
    assert "under TLS  not asked" in probe(f"127.0.0.1:{station.smtp_port}", "--tls", "require", code=75).stdout


def test_tls_before_the_banner(house, authority):
    for words in (f"smtps://127.0.0.1:{house.submissions_port}",), (f"127.0.0.1:{house.submissions_port}", "--tls", "first"):
        report = found(*words, "--trust", authority.trust)
        assert names(report) == ["connect", "tls", "banner", "ehlo", "quit"] and report["tls"]["verified"]
        assert report["tls"]["versions"]["TLSv1.2"]["ok"]


def test_tls_never_and_no_tls(house):
    report = found(f"127.0.0.1:{house.smtp_port}", "--tls", "never")
    assert report["tls"] is None and "starttls" not in names(report)
    with Sink() as sink:
        assert "No TLS: it is not offered" in probe(f"127.0.0.1:{sink.port}").stdout
        assert "does not offer STARTTLS" in found(f"127.0.0.1:{sink.port}", "--tls", "require", code=75)["error"]


@pytest.mark.parametrize("way, words", [("refuses", "454"), ("garbage", "TLS"), ("closes", "closed|reset"), ("leaves", "closed"), ("old", "TLS")])
def test_hosts_that_do_tls_badly(authority, way, words):
    with TlsPeer(authority.issue("127.0.0.1"), way) as peer:
        report = found(f"127.0.0.1:{peer.port}", "--trust", authority.trust, "--timeout", 10, code=75)
        # whoever closes with octets unread makes it a reset
        assert re.search(words, report["error"]) and not report["ok"]


def test_words_slipped_in_before_the_handshake(authority):
    with TlsPeer(authority.issue("127.0.0.1"), "injects") as peer:
        report = found(f"127.0.0.1:{peer.port}", "--trust", authority.trust, "--quit-after", "ehlo", "--tls", "require", code=0)
        assert report["ok"]  # it ends before STARTTLS
        report = found(f"127.0.0.1:{peer.port}", "--trust", authority.trust, code=69)
        assert "in front of the handshake" in report["error"]


# ── one mail ──


@pytest.mark.parametrize("way", ["one by one", "at once"])
def test_a_mail_goes(house, authority, tmp_path, way):
    file = tmp_path / "mail"
    file.write_bytes(b"Subject: probed\n\n.dot\n..\nend")
    report = found(f"127.0.0.1:{house.smtp_port}", "--trust", authority.trust, "--from", "carol@example.net", "--to", "alice@example.org", "--to",
                   "bob@example.org", "--data", file, "--mail-parameters", "SIZE=100 BODY=8BITMIME", *(["--pipeline"] if way == "at once" else []))
    assert names(report)[6:] == ["mail", "rcpt", "rcpt", "data", "body", "end", "quit"] and report["ok"]
    assert "MAIL FROM:<carol@example.net> SIZE=100 BODY=8BITMIME" in said(report)
    for user in "alice", "bob":
        mail, = house.wait_mails(user, 1)
        assert mail.endswith(b"Subject: probed\r\n\r\n.dot\r\n..\r\nend\r\n")


def test_our_own_line_when_no_message_is_named(house):
    probe(f"127.0.0.1:{house.smtp_port}", "--to", "alice@example.org", "--from", "")
    mail, = house.wait_mails("alice", 1)
    assert b"Subject: A probe" in mail and b"Return-Path: <>" in mail


def test_some_are_refused(house):
    report = found(f"127.0.0.1:{house.smtp_port}", "--to", "alice@example.org", "--to", "nobody@example.org", code=69)
    assert "550" in report["error"] and names(report)[-2:] == ["end", "quit"]
    house.wait_mails("alice", 1)
    report = found(f"127.0.0.1:{house.smtp_port}", "--to", "nobody@example.org", "--pipeline", code=69)
    assert "body" not in names(report)


@pytest.mark.parametrize("step, last", [
    ("connect", ["connect"]), ("banner", ["banner", "quit"]), ("ehlo", ["banner", "ehlo", "quit"]), ("starttls", ["ehlo", "starttls"]),
    ("tls", ["tls", "quit"]), ("auth", ["ehlo", "auth", "quit"]), ("mail", ["auth", "mail", "quit"]), ("rcpt", ["mail", "rcpt", "quit"]),
    ("data", ["rcpt", "data"])])
def test_it_stops_where_it_is_told(house, authority, step, last):
    report = found(f"127.0.0.1:{house.submission_port}", "--trust", authority.trust, "--user", "alice", "--password-stdin", "--from", "alice@example.org",
                   "--to", "bob@example.org", "--quit-after", step, text="wonderland\n")
    assert names(report)[-len(last):] == last and report["ok"]


def test_a_mail_that_was_stopped_is_no_mail(house):
    probe(f"127.0.0.1:{house.smtp_port}", "--to", "alice@example.org", "--quit-after", "data")
    probe(f"127.0.0.1:{house.smtp_port}", "--to", "alice@example.org")
    assert len(house.wait_mails("alice", 1)) == 1


# ── logins ──


def test_logins(house, authority):
    for mechanism in "PLAIN", "LOGIN":
        report = found(f"127.0.0.1:{house.submission_port}", "--trust", authority.trust, "--user", "alice", "--auth", mechanism, "--password-stdin",
                       text="wonderland\n")
        assert report["ok"] and f"AUTH {mechanism}" in " ".join(said(report)) and "d29uZGVybGFuZA" not in json.dumps(report)
    done = probe(f"127.0.0.1:{house.submission_port}", "--user", "alice", "--password-stdin", text="wrong\n", code=77)
    assert "AUTH PLAIN ********" in done.stdout and "535" in done.stderr and "C: QUIT" in done.stdout


def test_an_empty_password_is_none():
    with Sink() as sink:
        assert "the password is empty" in probe(f"127.0.0.1:{sink.port}", "--user", "a", "--password-stdin", text="", code=64).stderr


def test_a_login_needs_a_way_and_a_password(house):
    assert "no way to log in is called FOO" in found(f"127.0.0.1:{house.submission_port}", "--user", "alice", "--auth", "FOO", "--password-stdin",
                                                     text="x\n", code=77)["error"]
    assert "whose password" in probe("127.0.0.1", "--auth", "PLAIN", code=64).stderr
    with Sink() as sink:
        assert "no login" in found(f"127.0.0.1:{sink.port}", "--user", "a", "--password-stdin", text="x\n", code=77)["error"]


# ── what is said is what was asked for ──


@pytest.mark.parametrize("option", ["--ehlo", "--from", "--to", "--mail-parameters", "--rcpt-parameters", "--user", "--auth"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_no_line_end_gets_into_a_command(option, end):
    done = probe("127.0.0.1:1", option, f"x{end}RSET", code=64)
    assert f"{option}: a line end in it" in done.stderr


def test_no_line_end_in_the_host_either():
    probe("127.0.0.1:1\nx", code=64)


def test_lines_as_a_tester_wants_them():
    with Scripted(*HELLO, "500 what?", "250 again", "221 bye") as host:
        report = found(f"127.0.0.1:{host.port}", "--helo", "--ehlo", "me", "--raw-line", "XYZZY  1 ", "--raw-line", "NOOP", code=69)
        assert host.heard == ["HELO me", "XYZZY  1 ", "NOOP", "QUIT"] and "500 what?" in report["error"]
        assert report["extensions"]["X-ODD"] == "a b"


def test_lmtp_has_a_reply_for_each():
    replies = ["220 l", "250 l", "250 mail", "250 a", "250 b", "354 go", "250 one\r\n452 two", "221 bye"]
    with Scripted(*replies) as host:
        report = found(f"lmtp://127.0.0.1:{host.port}", "--ehlo", "me", "--to", "a@x.test", "--to", "b@x.test", code=75)
        assert host.heard[0] == "LHLO me"
        assert [s["answers"] for s in report["steps"] if s["step"] == "end"] == [["250 one"], ["452 two"]]


# ── hosts that lie ──


@pytest.mark.parametrize("banner, code, words", [
    ("HTTP/1.1 400 Bad Request", 69, "no reply of SMTP"), ("220 " + "x" * 5000, 69, "no reply of SMTP"), ("554 go away", 69, "554"),
    ("421 later", 75, "421"), ("220-a\r\n250 b", 69, "no reply of SMTP"), ("\r\n".join(["220-x"] * 200), 69, "no reply of SMTP"), ("", 75, "closed")],
    ids=["web", "long", "refused", "later", "two codes", "many lines", "closed"])
def test_banners(banner, code, words):
    with Scripted(banner) as host:
        assert words in found(f"127.0.0.1:{host.port}", code=code)["error"]


def test_what_it_says_cannot_move_the_cursor():
    with Scripted("220 a\x1b[2Jb\u202ec", "250 \x07", "221 bye") as host:
        text = probe(f"127.0.0.1:{host.port}").stdout
        assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text and "220 a?[2Jb" in text


def test_silence_has_an_end():
    with Scripted("220 hello") as host:
        begin = time.monotonic()
        report = found(f"127.0.0.1:{host.port}", "--timeout", 1, code=75)
        assert "no answer in time" in report["error"] and time.monotonic() - begin < 30


def test_nobody_there():
    port, = free_ports(1)
    assert "Connection refused" in found(f"127.0.0.1:{port}", code=75)["error"]


def test_wrong_words():
    for words in (), ("a", "b"), ("x", "--tls", "maybe"), ("x", "--quit-after", "lunch"), ("x", "--timeout", "0"), ("x", "--foo"), ("ftp://x",):
        probe(*words, code=64)
    probe("127.0.0.1", "--to", "a@b.c", "--data", "/nonexistent", code=66)
    probe("127.0.0.1", "--trust", "/nonexistent", code=66)
    assert "Example" in probe("--help").stdout


def test_data_without_a_mail():
    done = probe("mail.test", "--data", "nofile", code=64)
    assert "to whom" in done.stderr
