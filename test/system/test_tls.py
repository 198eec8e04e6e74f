# SPDX-License-Identifier: Apache-2.0
"""TLS at our doors, with other people's clients."""
import contextlib
import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time

import pytest

from certificates import Authority, openssl, tls_option
from peers import Postfix
from station import BUILD, POSTHOUSE, until
from talk import Talk, crlf

MESSAGE = b"From: Alice <alice@example.org>\nTo: Bob <bob@example.org>\nSubject: sealed\n\nhello\n"
HOST = "mail.example.org"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pairs(authority):
    """ECDSA and RSA for our name; a second name, and a pattern."""
    return {"ecdsa": authority.issue(HOST), "rsa": authority.issue(HOST, kind="rsa"),
            "other": authority.issue("mx.example.net", "*.example.net")}


@pytest.fixture
def sealed(make_station, pairs):
    """A station with certificates; alice and bob live here."""
    station = make_station(tls=tls_option(*pairs.values()))
    station.add_user("alice", "wonderland")
    station.add_user("bob", "builder")
    return station


def run(*command, text=b"", code=0):
    done = subprocess.run(list(map(str, command)), input=text, capture_output=True, timeout=60)
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == code, said
    return said


def received(mail):
    return re.search(rb"^Received: .*?\r\n(?=\S)", mail, re.MULTILINE | re.DOTALL)[0].decode()


def serves(station, context=None):
    """The next client is served at every door."""
    for door in "smtp", "submission":
        with station.hello(door) as talk:
            talk.starttls(context).say("EHLO client.test").expect(250)
    with station.hello("submissions") as talk:
        talk.say("QUIT").expect(221)


# ── clients ──


@pytest.mark.parametrize("door", ["starttls", "implicit"])
def test_python(sealed, authority, door):
    if door == "starttls":
        client = smtplib.SMTP("127.0.0.1", sealed.submission_port)
        client._host = HOST  # whose certificate is wanted
        client.starttls(context=authority.context())
    else:
        raw = socket.create_connection(("127.0.0.1", sealed.submissions_port), 30)
        client = smtplib.SMTP()
        client.sock = authority.context().wrap_socket(raw, server_hostname=HOST)
        assert client.getreply()[0] == 220
    client.ehlo()
    assert "starttls" not in client.esmtp_features
    client.login("alice@example.org", "wonderland")
    client.sendmail("alice@example.org", ["bob@example.org"], crlf(MESSAGE))
    client.quit()
    trace = received(sealed.wait_mails("bob", 1)[0])
    assert re.search(r"with ESMTPSA \(TLSv1\.3 TLS_[A-Z0-9_]+\)", trace), trace


def test_what_is_not_sealed_says_so(sealed):
    with sealed.hello() as talk:
        talk.mail("x@src.test", "bob@example.org", crlf(MESSAGE))
        talk.starttls().say("EHLO client.test").expect(250)
        talk.mail("x@src.test", "bob@example.org", crlf(MESSAGE))
    traces = [received(mail) for mail in sealed.wait_mails("bob", 2)]
    assert sorted("with ESMTPS (TLSv1.3 " in trace for trace in traces) == [False, True]
    assert all(re.search(r"with ESMTPS? ?[(\r]", trace) for trace in traces)


@pytest.mark.parametrize("way", ["--tls", "--tls-on-connect"])
def test_swaks(sealed, authority, way):
    port = sealed.submission_port if way == "--tls" else sealed.submissions_port
    knows_names = "tls-verify-target" in pathlib.Path(shutil.which("swaks")).read_text()  # from 20240103 on it holds the name against the certificate
    said = run("swaks", "--server", f"127.0.0.1:{port}", way, "--tls-verify", *(["--tls-verify-target", HOST] if knows_names else []),
               "--tls-ca-path", authority.trust, "--tls-sni", HOST, "--auth", "PLAIN", "--auth-user", "alice@example.org", "--auth-password", "wonderland", "--from",
               "alice@example.org", "--to", "bob@example.org")
    assert "TLS started with cipher TLSv1.3" in said
    assert "ESMTPSA" in received(sealed.wait_mails("bob", 1)[0])


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
def test_curl(sealed, authority, tmp_path, scheme):
    mail = tmp_path / "mail"
    mail.write_bytes(crlf(MESSAGE))
    port = sealed.submissions_port if scheme == "smtps" else sealed.submission_port
    run("curl", "-sS", f"{scheme}://{HOST}:{port}/client.test", "--resolve", f"{HOST}:{port}:127.0.0.1", "--ssl-reqd", "--cacert",
        authority.trust, "--user", "alice@example.org:wonderland", "--mail-from", "alice@example.org", "--mail-rcpt", "bob@example.org",
        "--upload-file", mail)
    assert "ESMTPSA" in received(sealed.wait_mails("bob", 1)[0])


@pytest.mark.parametrize("way", ["on", "off"])
def test_msmtp(sealed, way):
    certificate = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", sealed.submissions_port)))
    run("msmtp", "--host=127.0.0.1", f"--port={sealed.submission_port if way == 'on' else sealed.submissions_port}", "--tls=on",
        f"--tls-starttls={way}", "--tls-fingerprint=" + hashlib.sha256(certificate).digest().hex(":"), "--auth=plain",
        "--user=alice@example.org", "--passwordeval=echo wonderland", "--from=alice@example.org", "bob@example.org", text=MESSAGE)
    assert "ESMTPSA" in received(sealed.wait_mails("bob", 1)[0])


def test_postfix_with_encrypt(sealed):
    with Postfix(relay_port=sealed.smtp_port, settings="smtp_tls_security_level = encrypt\n") as postfix:
        talk = Talk(postfix.port)
        talk.expect(220)
        talk.say("EHLO client.test").expect(250)
        for _ in range(5):
            talk.mail("x@src.test", "bob@example.org", crlf(MESSAGE))
        assert all("with ESMTPS (TLSv1.3 " in received(mail) for mail in sealed.wait_mails("bob", 5))


def test_posttls_finger(sealed, authority):
    tool = shutil.which("posttls-finger", path="/usr/sbin:/usr/bin")
    if not tool:
        pytest.skip("no posttls-finger")
    said = run(tool, "-c", "-F", authority.trust, "-l", "secure", "-o", "inet_protocols=ipv4", f"[127.0.0.1]:{sealed.smtp_port}", HOST)
    assert "Verified TLS connection established" in said


# ── which certificate ──


def leaf(port, *more):
    """What `openssl s_client` gets: (subject, what its key is, verify return code, protocol)."""
    said = run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", *more, text=b"QUIT\r\n")
    return (re.search(r"subject=CN = (\S+)", said)[1], re.search(r"Peer signature type: (\S+)", said)[1],
            re.search(r"Verif\w+(?: return code)?: (.*)", said)[1], re.search(r"New, (\S+),", said)[1])


def test_names_and_kinds_of_keys(sealed, authority):
    trust = "-CAfile", authority.trust
    port = sealed.submissions_port
    assert leaf(port, *trust, "-servername", HOST) == (HOST, "ECDSA", "OK", "TLSv1.3")
    assert leaf(port, *trust, "-servername", HOST, "-sigalgs", "RSA-PSS+SHA256")[:3] == (HOST, "RSA-PSS", "OK")
    assert leaf(port, *trust, "-servername", HOST, "-tls1_2") == (HOST, "ECDSA", "OK", "TLSv1.2")
    assert leaf(port, *trust, "-servername", HOST, "-tls1_2", "-sigalgs", "RSA+SHA256")[:3] == (HOST, "RSA", "OK")
    for name in "mx.example.net", "MX.EXAMPLE.NET", "any.example.net":
        assert leaf(port, *trust, "-servername", name)[:3] == ("mx.example.net", "ECDSA", "OK")
    for name in "elsewhere.test", "two.labels.example.net":
        assert leaf(port, *trust, "-servername", name)[0] == HOST
    assert leaf(port, *trust, "-noservername")[0] == HOST
    assert leaf(sealed.smtp_port, *trust, "-starttls", "smtp", "-servername", "mx.example.net")[0] == "mx.example.net"


def test_old_versions_are_refused(sealed):
    for version in "-tls1_1", "-tls1":
        run("openssl", "s_client", "-connect", f"127.0.0.1:{sealed.submissions_port}", version, "-cipher", "ALL:@SECLEVEL=0", code=1)
    serves(sealed)


def test_alpn(sealed, authority):
    for words, chosen in (["smtp"], "smtp"), (["h2", "smtp"], "smtp"), ([], None):
        context = authority.context()
        if words:
            context.set_alpn_protocols(words)
        with Talk(sealed.submissions_port).secure(context) as talk:
            assert talk.socket.selected_alpn_protocol() == chosen
            talk.expect(220)
    context = authority.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        Talk(sealed.submissions_port).secure(context)


@pytest.mark.parametrize("tickets", [True, False])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_resumption(make_station, authority, pairs, tickets, version):
    station = make_station(tls=tls_option(pairs["ecdsa"]) + ("" if tickets else " no-tickets = true"))
    context = authority.context(maximum_version=ssl.TLSVersion[version])

    def connect(session):
        raw = socket.create_connection(("127.0.0.1", station.submissions_port), 30)
        with context.wrap_socket(raw, server_hostname=HOST, session=session) as s:
            s.recv(1000)  # tickets of TLS 1.3 come with what is read
            s.sendall(b"QUIT\r\n")
            s.recv(1000)
            return s.session_reused, s.session

    reused, session = connect(None)
    assert not reused and session.has_ticket == tickets
    assert connect(session)[0] == tickets


# ── reload ──


def test_reload_turns_tickets_off_and_on(make_station, authority, pairs):
    """Each time, whichever of two processes hears of the new file first."""
    station = make_station(tls=tls_option(pairs["ecdsa"]))
    context = authority.context(maximum_version=ssl.TLSVersion.TLSv1_2)  # its handshake brings the ticket

    def has_ticket():
        with Talk(station.submissions_port).secure(context) as talk:
            talk.expect(220)
            return talk.socket.session.has_ticket
    assert has_ticket()
    for tickets in (False, True) * 4:
        station.configure(tls=tls_option(pairs["ecdsa"]) + ("" if tickets else " no-tickets = true"))
        station.reload()
        until(lambda: has_ticket() == tickets, f"tickets to be {tickets}")


def test_reload_with_a_new_certificate(sealed, authority, pairs):
    with sealed.hello("submissions") as old:
        new = authority.issue(HOST, called="renewed")
        serial = lambda: run("openssl", "s_client", "-connect", f"127.0.0.1:{sealed.submissions_port}", "-servername", HOST,  # noqa: E731
                             text=b"QUIT\r\n").split("-----BEGIN CERTIFICATE-----")[1].split("-----END")[0]
        before = serial()
        sealed.configure(tls=tls_option(new))
        sealed.reload()
        until(lambda: serial() != before, "the new certificate to be shown")
        old.login("alice@example.org", "wonderland")
        old.mail("alice@example.org", "bob@example.org", crlf(MESSAGE))  # the session stays
    # the same file with other contents, nothing else changed
    before = serial()
    for to, other in zip(new, authority.issue(HOST, called="renewed-again")):
        to.write_bytes(other.read_bytes())
    sealed.reload()
    until(lambda: serial() != before, "the new contents to be shown")
    # a pair that does not belong together: all stays as it was
    before = serial()
    new[1].write_bytes(pairs["rsa"][1].read_bytes())
    sealed.reload()
    until(lambda: "do not belong together" in sealed.log_text() and "reload-refused" in sealed.log_text(), "the refusal")
    assert serial() == before
    sealed.wait_mails("bob", 1)


def test_a_vault_that_was_killed_signs_again(sealed):
    sealed.may_end = "role=vault"
    serves(sealed)
    sealed.kill("vault")
    serves(sealed)


def test_private_keys_are_in_no_other_process(as_root, sealed, pairs):
    """Nor their files open."""
    key = pairs["ecdsa"][1].read_text()
    der = ssl.PEM_cert_to_DER_cert(key.replace("PRIVATE KEY", "CERTIFICATE"))
    scalar = der[36:68]  # of PKCS #8 for P-256
    serves(sealed)
    for role, pid in {**sealed.pids(), "master": sealed.process.pid}.items():
        found = False
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                begin, end = (int(x, 16) for x in line.split()[0].split("-"))
                if line.split()[1].startswith("rw") and end - begin < 1 << 28:
                    memory.seek(begin)
                    octets = memory.read(end - begin)
                    found |= scalar in octets or scalar[::-1] in octets
        assert found == (role == "vault"), role


# ── our own certificate ──


def test_a_station_without_certificate_makes_one(make_station):
    station = make_station()
    station.wait_log("self-signed hostname=mail.example.org made=now")
    file = next(station.state.rglob("self-signed.pem"))
    assert file.stat().st_mode & 0o777 == 0o600
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.load_verify_locations(cadata=file.read_text())
    with Talk(station.submissions_port).secure(trusting) as talk:  # good for our name
        talk.expect(220)
    before = file.read_bytes()
    station.restart()
    assert file.read_bytes() == before
    station.wait_log("made=earlier")
    station.hostname = "mx.example.org"
    station.configure()
    station.reload()
    until(lambda: "hostname=mx.example.org made=now" in station.log_text(), "a certificate for the new name")


# ── files that are wrong ──


def test_wrong_files_are_refused(authority, pairs, make_station, tmp_path):
    locked = tmp_path / "locked.key"
    openssl("pkey", "-in", pairs["ecdsa"][1], "-aes256", "-passout", "pass:x", "-out", locked)
    small = tmp_path / "small.key", tmp_path / "small.pem"
    openssl("req", "-x509", "-newkey", "rsa:1024", "-nodes", "-keyout", small[0], "-out", small[1], "-subj", "/CN=x")
    cases = [
        ((pairs["ecdsa"][0], pairs["rsa"][1]), "do not belong together (renewed one without the other?)"),
        ((tmp_path / "none.pem", pairs["ecdsa"][1]), "tls.certificate: " + str(tmp_path / "none.pem") + ": there is no such file"),
        ((pairs["ecdsa"][0], tmp_path / "none.key"), "tls.key: " + str(tmp_path / "none.key") + ": there is no such file"),
        ((pairs["ecdsa"][1], pairs["ecdsa"][1]), "no certificate in it"),
        ((pairs["ecdsa"][0], pairs["ecdsa"][0]), "no private key in it; name its key: tls { key = "),
        ((pairs["ecdsa"][1], pairs["ecdsa"][0]), "is a private key, and stands where the certificate is wanted: swap certificate and key"),
        ((pairs["ecdsa"][0], pairs["rsa"][0]), "is a certificate, and stands where the key is wanted: swap certificate and key"),
        ((pairs["ecdsa"][0], locked), "locked with a password"),
        ((pairs["ecdsa"][0], tmp_path), "is a directory; name the PEM file in it"),
        ((small[1], small[0]), "2048 bits"),
        (authority.issue(*(f"host{i}.example.org" for i in range(1025)), called="many"), "more than 1024 names in one certificate"),
    ]
    station = make_station(start=False)
    for pair, words in cases:
        station.configure(tls=tls_option(pair))
        for command in "check", "serve":
            done = subprocess.run([POSTHOUSE, command, "--config", station.config], capture_output=True, text=True, timeout=60)
            assert done.returncode == 78 and words in done.stderr and done.stderr.count("\n") == 1, done.stderr
            assert str(pair[0]) in done.stderr or str(pair[1]) in done.stderr
            assert str(station.config) in done.stderr


def check(station, **run):
    return subprocess.run([POSTHOUSE, "check", "--config", station.config], capture_output=True, text=True, timeout=60, **run)


def test_notes_of_the_check(authority, pairs, make_station, tmp_path):
    """What does not keep the station from starting, and will be missed."""
    open_key = tmp_path / "open.key"
    open_key.write_bytes(pairs["ecdsa"][1].read_bytes())
    open_key.chmod(0o644)
    cases = [
        (dict(tls=tls_option(authority.issue(HOST, days=5, called="soon"))), r"soon\.pem for mail\.example\.org expires in [45] days"),
        (dict(tls=tls_option(pairs["other"])), r"no certificate is for mail\.example\.org \(this one: mx\.example\.net,\*\.example\.net\)"),
        (dict(tls=tls_option((pairs["ecdsa"][0], open_key))), "everybody may read this key: chmod 600"),
        (dict(tls=tls_option(pairs["ecdsa"]) + f' trust = "{tmp_path}/none.pem"'), r"tls\.trust: .*there is no such file"),
        (dict(filters=f'filter f {{ at = "unix:{tmp_path}/none.sock" }}'), r"filter f: .*none\.sock: No such file.*is the filter running"),
    ]
    station = make_station(start=False)
    for sections, words in cases:
        station.configure(**{"tls": "", "filters": "", **sections})
        done = check(station)
        assert done.returncode == 0 and re.search(words, done.stderr) and done.stdout.rstrip().endswith("; but"), done
    station.configure(tls=tls_option(pairs["ecdsa"]), filters="")
    done = check(station)
    assert done.returncode == 0 and done.stderr == "" and "but" not in done.stdout


def test_the_check_of_somebody_else_than_root(as_root, pairs, make_station):
    """The keys are root's: that is no mistake in the file."""
    station = make_station(start=False)
    with tempfile.TemporaryDirectory(prefix="posthouse-keys.") as directory:
        os.chmod(directory, 0o755)
        copies = []
        for path in pairs["ecdsa"][0], pairs["ecdsa"][1]:
            copies.append(os.path.join(directory, path.name))
            shutil.copy(path, copies[-1])
        os.chmod(copies[0], 0o644)
        os.chmod(copies[1], 0o600)
        station.configure(tls=tls_option(copies))
        done = check(station, user=65534, group=65534, extra_groups=[])
        assert done.returncode == 0 and "not looked at: only root may read it" in done.stderr, done
        assert check(station).stderr == ""


@pytest.mark.parametrize("days, at, words, event", [
    (10, "2020-01-01 00:00:00", "has expired on 2020-01-11: used all the same", "certificate-expired"),
    (10, "2120-01-01 00:00:00", "is not valid yet, but from 2120-01-01", "certificate-not-yet"),
    (5, None, "expires in ", "certificate-expires"),
], ids=["expired", "early", "soon"])
def test_a_certificate_of_another_time_serves(authority, make_station, days, at, words, event):
    """A renewal that was missed must not keep the station from starting, nor from reloading."""
    station = make_station(tls=tls_option(authority.issue(HOST, days=days, at=at, called=event)))
    station.wait_log(words)
    station.wait_log(f"vault: {event} names=mail.example.org")
    station.wait_log("vault: certificate names=mail.example.org key=ECDSA until=")
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    serves(station, trusting)
    station.reload()
    until(lambda: "station: reloaded" in station.log_text(), "the reload")
    done = check(station)
    assert done.returncode == 0 and words in done.stderr


def test_status_tells_of_certificates(authority, make_station):
    def shown():
        return [line for line in station.run("status").stdout.splitlines() if line.startswith("certificate ")]
    station = make_station()
    until(lambda: shown() and re.fullmatch(r"certificate mail\.example\.org self-signed until \S+ \(36\d\d d\) .*self-signed\.pem", shown()[0]),
          "our own certificate")
    pair = authority.issue(HOST, kind="rsa", days=20, called="shown")
    station.configure(tls=tls_option(pair, authority.issue("mx.example.net", at="2020-01-01 00:00:00", called="shown-late")))
    station.reload()
    until(lambda: len(shown()) == 2, "the new ones")
    assert re.fullmatch(rf"certificate mail\.example\.org RSA until 2\S+ \((19|20) d\) {re.escape(str(pair[0]))}", shown()[0]), shown()
    assert re.search(r"certificate mx\.example\.net ECDSA until 2020-03-31 \(EXPIRED\) ", shown()[1]), shown()
    lines = [json.loads(line) for line in station.run("status", "--json").stdout.splitlines()]
    assert [line["kind"] for line in lines if "certificate" in line] == ["RSA", "ECDSA"]


# ── bad input ──


def raw_hello():
    """A ClientHello as octets."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def says_and_sees_the_end(port, octets):
    """Whatever the server says, it closes."""
    with socket.create_connection(("127.0.0.1", port), 30) as s:
        try:
            s.sendall(octets)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass
        except OSError as e:
            assert e.errno == errno.ENOTCONN  # it was faster


def test_cut_and_broken_handshakes(sealed):
    hello = raw_hello()
    for cut in range(0, len(hello), 7):
        says_and_sees_the_end(sealed.submissions_port, hello[:cut])
    for at in range(0, len(hello), 11):
        says_and_sees_the_end(sealed.submissions_port, hello[:at] + bytes([hello[at] ^ 0xff]) + hello[at + 1:])
    for octets in os.urandom(5000), b"\x16\x03\x01" + os.urandom(2000), b"\0" * 5000, b"\x80\x2e\x01\0\x02":
        says_and_sees_the_end(sealed.submissions_port, octets)
    with sealed.hello() as talk:  # a whole hello, and then silence for good
        talk.say("STARTTLS").expect(220)
        talk.raw(hello)
    serves(sealed)


def test_what_is_no_tls_at_465(sealed):
    for words in b"EHLO client.test\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"QUIT\r\n" * 100:
        says_and_sees_the_end(sealed.submissions_port, words)
    until(lambda: 'why="TLS: http request"' in sealed.log_text() and 'why="TLS: wrong version number"' in sealed.log_text(),
          "the log to say it")
    serves(sealed)


def heard(port, octets, first=b""):
    """All that a client hears, to a clean end: a reset would have taken words back."""
    with socket.create_connection(("127.0.0.1", port), 60) as s:
        if first:
            s.recv(1000)
            s.sendall(first)
            s.recv(1000)
        with contextlib.suppress(BrokenPipeError):
            s.sendall(octets)
        said = b""
        while more := s.recv(65536):  # ConnectionResetError fails the test
            said += more
        return said


def test_what_is_said_to_who_speaks_no_tls_arrives(sealed):
    assert heard(sealed.submissions_port, b"EHLO client.test\r\n" * 10000) == b""
    assert heard(sealed.submissions_port, b"\x16\x03\x01\0\x20" + b"x" * 100000)[:1] == b"\x15"  # an alert
    assert heard(sealed.smtp_port, b"STARTTLS\r\n" + b"NOOP\r\n" * 30000, first=b"EHLO client.test\r\n").startswith(b"220 ")
    talk = Talk(sealed.submissions_port).raw(b"EHLO client.test\r\n")  # and who does not close is closed
    assert talk.closed()
    with pytest.raises(OSError):
        for _ in range(10000):
            talk.raw(b"x" * 1000)
    serves(sealed)


def test_nothing_said_in_clear_behind_starttls_counts(sealed):
    with sealed.hello() as talk:
        talk.raw(b"STARTTLS\r\nMAIL FROM:<evil@src.test>\r\nRCPT TO:<bob@example.org>\r\n")
        talk.expect(220)
        talk.rest = b""
        talk.secure()
        talk.say("RCPT TO:<bob@example.org>").expect(503)
        talk.say("EHLO client.test").expect(250)
        talk.say("NOOP").expect(250)
    serves(sealed)


def test_renegotiation_is_refused(sealed):
    with subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{sealed.submissions_port}", "-tls1_2", "-crlf"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        while b"220 " not in client.stdout.readline():  # nothing of ours is under way any more
            pass
        client.stdin.write(b"R\n")
        client.stdin.flush()
        said, _ = client.communicate(timeout=60)
    assert b"no renegotiation" in said, said[-500:]
    serves(sealed)


def test_a_crowd_hangs_in_the_handshake(sealed):
    talks = [Talk(sealed.submissions_port) for _ in range(200)]
    for talk in talks:
        talk.raw(raw_hello()[:100])
    serves(sealed)
    for talk in talks:
        talk.close()
    serves(sealed)


def is_quiet(pid):
    """Does this process go to sleep less often than fifty times a second?"""
    def switches():
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])
    began, before = time.monotonic(), switches()
    time.sleep(0.5)
    return switches() - before < 50 * (time.monotonic() - began)


def test_who_waits_for_others_handshakes_waits_quietly_and_gets_its_turn(make_station):
    station = make_station(limits="connections = 2000", gate="connections = 0 network = 0")
    vault, receive = station.pid("vault"), station.pid("receive")
    hello = raw_hello()
    os.kill(vault, signal.SIGSTOP)  # nothing is signed
    try:
        talks = [Talk(station.submissions_port).raw(hello) for _ in range(600)]
        until(lambda: is_quiet(receive), "receive to wait quietly")
    finally:
        os.kill(vault, signal.SIGCONT)
    for talk in talks:
        assert talk.socket.recv(5)[:1] in (b"\x16", b"\x15")  # a ServerHello; or an alert, where it took too long
        talk.close()
    serves(station)


# ── a scanner ──


def test_testssl(sealed, authority, tmp_path):
    if not shutil.which("testssl"):
        pytest.skip("no testssl.sh")
    if "sanitize" in BUILD.name:
        pytest.skip("what is offered is the same without sanitizers, where it is looked at")
    report = tmp_path / "report.json"
    # Protocols, server defaults and preferences, forward secrecy, standard ciphers, and what is quick of the known weaknesses.
    subprocess.run(["testssl", "--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--add-ca", authority.trust, "--ip",
                    "127.0.0.1", "--jsonfile", report, "-t", "smtp", "-p", "-S", "-s", "-f", "-I", "-R", "-C", "-Z",
                    f"{HOST}:{sealed.smtp_port}"], capture_output=True, timeout=300)
    findings = json.loads(report.read_text())
    assert {"TLS1_2", "TLS1_3", "PFS", "secure_renego"} <= {f["id"] for f in findings}
    bad = [f for f in findings if f["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")]
    assert not bad, bad
