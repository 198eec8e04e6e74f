# SPDX-License-Identifier: Apache-2.0
"""Real clients hand in real mail: swaks, curl, msmtp, mutt, Python's smtplib, git send-email."""
import os
import shutil
import smtplib
import subprocess

import pytest

from certificates import Authority, tls_option
from talk import added_fields, body, crlf

MESSAGE = b"From: Alice <alice@example.org>\nTo: Bob <bob@example.org>\nSubject: from a client\n\nGr\xc3\xbc\xc3\x9fe\n.\n..\n"


def run(*command, text=b"", **more):
    done = subprocess.run(command, input=text, capture_output=True, timeout=60, **more)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return done.stdout.decode(errors="replace")


def test_swaks(station):
    for mechanism in "PLAIN", "LOGIN":
        said = run("swaks", "--server", f"127.0.0.1:{station.submission_port}", "--auth", mechanism, "--auth-user",
                   "alice@example.org", "--auth-password", "wonderland", "--from", "alice@example.org", "--to",
                   "bob@example.org,alice@example.org", "--header", f"Subject: swaks {mechanism}", "--body", "a body")
        assert "<~  250" in said or "<-  250" in said
    mails = station.wait_mails("bob", 2)
    assert {b"PLAIN", b"LOGIN"} == {m for mail in mails for m in (b"PLAIN", b"LOGIN") if b"Subject: swaks " + m in mail}
    assert all(body(mail).startswith(b"a body\r\n") for mail in mails)


def test_swaks_shows_the_refusal_of_a_wrong_password(station):
    done = subprocess.run(["swaks", "--server", f"127.0.0.1:{station.submission_port}", "--auth", "LOGIN", "--auth-user",
                           "alice@example.org", "--auth-password", "guess", "--to", "bob@example.org"], capture_output=True, timeout=60)
    assert done.returncode != 0 and b"535" in done.stdout
    assert station.mailbox("bob") == []


def test_curl(station, tmp_path):
    mail = tmp_path / "mail"
    mail.write_bytes(crlf(MESSAGE))
    run("curl", "-sS", f"smtp://127.0.0.1:{station.submission_port}/client.test", "--user", "alice@example.org:wonderland",
        "--mail-from", "alice@example.org", "--mail-rcpt", "bob@example.org", "--mail-rcpt", "alice@example.org",
        "--upload-file", str(mail))
    added_fields(station.wait_mails("bob", 1)[0], crlf(MESSAGE))
    station.wait_mails("alice", 1)


def test_msmtp(station):
    run("msmtp", "--host=127.0.0.1", f"--port={station.submission_port}", "--auth=plain", "--user=alice@example.org",
        "--passwordeval=echo wonderland", "--tls=off", "--from=alice@example.org", "bob@example.org", text=MESSAGE)
    added_fields(station.wait_mails("bob", 1)[0], crlf(MESSAGE))


@pytest.fixture
def sealed(make_station, tmp_path):
    """A station that proves to be localhost, and whose word for that is good."""
    authority = Authority(tmp_path / "authority")
    station = make_station(tls=tls_option(authority.issue("mail.example.org", "localhost")))
    station.add_user("alice", "wonderland")
    station.add_user("bob", "builder")
    station.trust = authority.trust
    return station


def mutt(station, directory, scheme, port, trust):
    """mutt without a person: it sends what is on its standard input."""
    if not shutil.which("mutt"):
        pytest.skip("mutt is not here")
    settings = {"smtp_url": f"{scheme}://alice@example.org@localhost:{port}/", "smtp_pass": "wonderland", "from": "alice@example.org",
                "ssl_ca_certificates_file": trust, "certificate_file": directory / "accepted", "record": "", "ssl_force_tls": "yes"}
    (directory / "muttrc").write_text("".join(f'set {name}="{value}"\n' for name, value in settings.items()) + "unset ssl_usesystemcerts\n")
    return subprocess.run(["mutt", "-F", directory / "muttrc", "-s", "from mutt: 你好", "--", "bob@example.org"], input="Grüße\n.\n".encode(),
                          capture_output=True, timeout=60, env={**os.environ, "HOME": str(directory), "LANG": "C.UTF-8", "TERM": "dumb"})


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_mutt(sealed, tmp_path, scheme):
    port = {"smtp": sealed.submission_port, "smtps": sealed.submissions_port}[scheme]
    done = mutt(sealed, tmp_path, scheme, port, sealed.trust)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    mail, = sealed.wait_mails("bob", 1)
    assert b"with ESMTPSA" in mail and b"Subject: from mutt: =?utf-8?" in mail and b"\r\n.\r\n" in mail


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_mutt_hands_nothing_to_a_host_that_does_not_prove_its_name(sealed, tmp_path, scheme):
    port = {"smtp": sealed.submission_port, "smtps": sealed.submissions_port}[scheme]
    stranger = Authority(tmp_path / "stranger", "A stranger")
    assert mutt(sealed, tmp_path, scheme, port, stranger.trust).returncode != 0
    assert sealed.mailbox("bob") == []


def test_smtplib(station):
    with smtplib.SMTP("127.0.0.1", station.submission_port) as client:
        client.ehlo()
        assert {"pipelining", "size", "8bitmime", "enhancedstatuscodes", "chunking", "smtputf8", "auth", "help", "limits"} <= set(
            client.esmtp_features)
        client.login("alice@example.org", "wonderland")
        refused = client.sendmail("alice@example.org", ["bob@example.org", "nobody@example.org"], crlf(MESSAGE), ["BODY=8BITMIME"])
        assert list(refused) == ["nobody@example.org"] and refused["nobody@example.org"][0] == 550
        assert client.vrfy("bob")[0] in (250, 252)
    added_fields(station.wait_mails("bob", 1)[0], crlf(MESSAGE))


def test_git_send_email(station, tmp_path):
    home = {**os.environ, "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    git = ["git", "-c", "user.name=Alice", "-c", "user.email=alice@example.org"]
    run(*git, "init", "-q", ".", cwd=tmp_path, env=home)
    (tmp_path / "road").write_text("a road\n")
    run("git", "add", "road", cwd=tmp_path, env=home)
    run(*git, "commit", "-q", "-m", "road: Mend the road", cwd=tmp_path, env=home)
    run(*git, "-c", "sendemail.smtpserver=127.0.0.1", "-c", f"sendemail.smtpserverport={station.submission_port}",
        "-c", "sendemail.smtpuser=alice@example.org", "-c", "sendemail.smtppass=wonderland", "send-email", "--confirm=never",
        "--to=bob@example.org", "--root", "HEAD", cwd=tmp_path, env=home)
    mail, = station.wait_mails("bob", 1)
    assert b"Subject: [PATCH] road: Mend the road\r\n" in mail and b"+a road\r\n" in mail
