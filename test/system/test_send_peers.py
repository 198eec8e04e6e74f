# SPDX-License-Identifier: Apache-2.0
"""What `posthouse send` writes goes through other people's servers, in clear, through TLS and behind a login, and is at the other end what
was written, as Python's email package reads it."""
import base64
import email
import email.policy
import json
import socket
import ssl
import subprocess

import pytest
from aiosmtpd.smtp import AuthResult

from certificates import Authority
from mtas import Exim, OpenSmtpd
from peers import Postfix, Sink
from station import POSTHOUSE, until
from dovecot_submission import Submission
from tls_peers import context

ALICE = ("alice", "wonderland")
SUBJECT = "午饭：十二点，在老地方见面，好吗？ 带上 Grüße 🍜 und alles, was sonst noch in eine lange Zeile passt"
TEXT = "魏，你好！\n\n.一个点\n..zwei Punkte\nFrom hier an: " + "长" * 400 + "\n\nbis dann  \n"
HTML = "<p>中午 <b>十二点</b> <img src='cid:map'></p>\n"
PICTURE = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")
OCTETS = bytes(range(256)) * 700 + b"\r\n.\r\n\0end"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def leaf(authority):
    return authority.issue("localhost", "127.0.0.1", kind="rsa")


def send(*words, password=None, code=0):
    done = subprocess.run([POSTHOUSE, "send", *map(str, words), "--json", *(["--password-stdin"] if password else [])],
                          input=f"{password}\n" if password else "", capture_output=True, text=True, timeout=120)
    assert done.returncode == code, f"{done.returncode} instead of {code}: {done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


def parts(mail):
    return {part.get_filename() or part.get_content_type(): part for part in mail.walk() if not part.is_multipart()}


def text_of(part):
    """The lines of a text end in CRLF on the way (RFC 2046 §4.1.1), base64 or not."""
    return part.get_content().replace("\r\n", "\n")


def arrived(sink, recipients):
    """The one mail for all of these, in as many copies as the host between split it into."""
    def taken():
        return sorted(r for _, several, _ in list(sink.mails) for r in several)

    until(lambda: len(taken()) >= len(recipients), f"{len(recipients)} recipients behind the host (there are {taken()})")
    assert taken() == sorted(recipients)
    return [email.message_from_bytes(octets, policy=email.policy.default) for _, _, octets in sink.mails]


def send_and_compare(via, sink, tmp_path, *words, password=None):
    """Text, HTML with a picture, two attachments, to people in every field."""
    for name, octets in ("午餐 菜单.bin", OCTETS), ("map.png", PICTURE), ("page.html", HTML.encode()):
        (tmp_path / name).write_bytes(octets)
    report = send("Bob <bob@far.test>", "--cc", "李四 <li@far.test>", "--bcc", "secret@far.test", "--from", "魏 <alice@src.test>", "-s", SUBJECT, "-m", TEXT,
                  "--html", tmp_path / "page.html", "--inline", f"map={tmp_path}/map.png", "-a", tmp_path / "午餐 菜单.bin", "-a", tmp_path / "map.png",
                  "--via", via, *words, password=password)
    assert [r["result"] for r in report["recipients"]] == ["sent"] * 3, report
    for mail in arrived(sink, ["bob@far.test", "li@far.test", "secret@far.test"]):
        assert str(mail["Subject"]) == SUBJECT and not any(part.defects for part in mail.walk())
        assert [(a.display_name, a.addr_spec) for field in ("From", "To", "Cc") for a in mail[field].addresses] == [
            ("魏", "alice@src.test"), ("Bob", "bob@far.test"), ("李四", "li@far.test")]
        assert "secret" not in mail.as_string() and mail["Date"].datetime and mail["Message-ID"]
        found = parts(mail)
        assert text_of(found["text/plain"]) == TEXT and text_of(found["text/html"]) == HTML
        assert found["午餐 菜单.bin"].get_content() == OCTETS and found["午餐 菜单.bin"].is_attachment()
        assert [p.get_content() for p in mail.walk() if p.get_content_type() == "image/png"] == [PICTURE] * 2
        assert [p["Content-ID"] for p in mail.walk() if p["Content-ID"]] == ["<map>"]
    return report


def send_to_many(via, sink, *words, password=None):
    people = [f"p{i}@far.test" for i in range(230)]
    report = send(*people, "--from", "alice@src.test", "-s", "To many", "-m", "one text\n", "--via", via, *words, password=password)
    assert {r["result"] for r in report["recipients"]} == {"sent"} and len(report["recipients"]) == len(people)
    for mail in arrived(sink, people):
        assert text_of(mail) == "one text\n"


def shakes_hands(port):
    """Whether an ordinary client gets TLS there; OpenSMTPD 6.8 of Debian 12, on OpenSSL 3, only offers it."""
    with socket.create_connection(("127.0.0.1", port), 30) as s, s.makefile("rb") as lines:
        for line in b"", b"EHLO test\r\n", b"STARTTLS\r\n":
            s.sendall(line)
            while lines.readline()[3:4] == b"-":
                pass
        try:
            ssl._create_unverified_context().wrap_socket(s, server_hostname="localhost").close()
            return True
        except OSError:
            return False


def postfix_with_tls(relay_port, leaf):
    return Postfix(relay_port, f"smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {leaf.both}\n")


HOSTS = {"postfix": lambda port, leaf: postfix_with_tls(port, leaf) if leaf else Postfix(port), "exim": Exim, "opensmtpd": OpenSmtpd}


@pytest.fixture(params=["in clear", "through TLS"])
def tls(request):
    return request.param == "through TLS"


@pytest.fixture(params=HOSTS)
def host(request, tls, leaf):
    """(host, what it relays to, words that reach it)"""
    with Sink() as sink, HOSTS[request.param](sink.port, leaf if tls else None) as host:
        if tls and not shakes_hands(host.port):
            pytest.skip(f"this {request.param} cannot do TLS with anybody")
        yield host, sink


def test_a_mail_with_everything(host, tls, authority, tmp_path):
    host, sink = host
    report = send_and_compare(f"smtp://127.0.0.1:{host.port}", sink, tmp_path, "--trust", authority.trust)
    assert ("TLSv1." in report["tls"] and "not verified" not in report["tls"]) if tls else report["tls"] == ""


def test_many_recipients(host, authority):
    host, sink = host
    send_to_many(f"smtp://127.0.0.1:{host.port}", sink, "--trust", authority.trust)


def test_exim_wants_a_login(authority, leaf, tmp_path):
    with Sink() as sink, Exim(sink.port, leaf, ALICE) as host:
        via = f"smtp://alice@127.0.0.1:{host.port}"
        refused = send("bob@far.test", "-m", "x", "--from", "alice@src.test", "--via", via, "--trust", authority.trust, password="wrong", code=77)
        assert refused["recipients"][0]["stage"] == "auth" and not sink.mails
        send_and_compare(via, sink, tmp_path, "--trust", authority.trust, password="wonderland")


# ── aiosmtpd is the far end itself ──


def check_person(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"alice", b"wonderland"))


def test_aiosmtpd_in_clear(tmp_path):
    with Sink() as sink:
        send_and_compare(f"smtp://127.0.0.1:{sink.port}", sink, tmp_path)
    with Sink() as sink:
        send_to_many(f"smtp://127.0.0.1:{sink.port}", sink)


def test_aiosmtpd_with_tls_and_a_login(authority, leaf, tmp_path):
    with Sink(tls_context=context(leaf), require_starttls=True, auth_required=True, authenticator=check_person) as sink:
        send_and_compare(f"smtp://alice@127.0.0.1:{sink.port}", sink, tmp_path, "--trust", authority.trust, password="wonderland")
        sink.mails.clear()
        send_to_many(f"smtp://alice@127.0.0.1:{sink.port}", sink, "--trust", authority.trust, password="wonderland")


# ── Dovecot's submission service knows more ways to log in ──


@pytest.fixture(scope="module")
def dovecot(leaf):
    with Sink() as sink, Submission(sink.port, leaf) as server:
        yield server, sink


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"])
def test_each_way_to_log_in(dovecot, authority, mechanism):
    server, _ = dovecot
    words = [POSTHOUSE, "probe", f"localhost:{server.port}", "--trust", str(authority.trust), "--user", "alice", "--auth", mechanism, "--password-stdin"]
    done = subprocess.run(words, input="wonderland\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and f"AUTH {mechanism}" in done.stdout and "S: 235" in done.stdout, done.stdout + done.stderr
    done = subprocess.run(words, input="wrong\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == 77 and "535" in done.stdout, done.stdout + done.stderr


def test_dovecot_gets_a_mail_by_its_best_way(dovecot, authority, tmp_path):
    server, sink = dovecot
    send_and_compare(f"smtp://alice@localhost:{server.port}", sink, tmp_path, "--trust", authority.trust, password="wonderland")
