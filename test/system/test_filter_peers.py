# SPDX-License-Identifier: Apache-2.0
"""Content filters as people run them: rspamd and OpenDKIM of Debian, each started by the test with files of its own."""
import contextlib
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile

import pytest

from station import BUILD, free_ports, until

MESSAGE = b"From: Alice <alice@example.org>\r\nTo: bob@example.org\r\nSubject: a folded\r\n\tsubject\r\n\r\nhello  \r\n\r\n"
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

RSPAMD = """\
options {{
  pidfile = "{directory}/pid"; temp_dir = "{directory}"; control_socket = "{directory}/control mode=0600";
  filters = []; hs_cache_dir = "{cache}"; dns {{ nameserver = ["127.0.0.1:1"]; }}
}}
logging {{ type = "console"; level = "warning"; }}
actions {{ reject = 15; add_header = 6; }}
lua = "{directory}/rules.lua";
worker "rspamd_proxy" {{
  bind_socket = "127.0.0.1:{port}"; milter = yes; timeout = 10s; count = 1; spam_header = "X-Spam";
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
"""
RULE = """\
rspamd_config.DOUBTFUL = {
  callback = function(task) return (task:get_header('Subject') or ''):find('doubtful') ~= nil end,
  score = 8.0
}
"""
OPENDKIM = """\
Socket inet:{port}@127.0.0.1
Mode {mode}
Domain example.org
Selector s1
KeyFile {directory}/s1.private
TestPublicKeys {directory}/keys
RequireSafeKeys no
Background no
AutoRestart no
Syslog no
TemporaryDirectory {directory}
{more}
"""


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def speaks(port):
    """Does it answer an offer of Milter? One that listens may still be reading its rules."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(struct.pack(">IcIII", 13, b"O", 6, 0xFF, 0x1FF7FF))
            return connection.recv(5)[4:] == b"O"
    except OSError:
        return False


@contextlib.contextmanager
def program(name, *arguments, directory, port):
    """Runs until the end of the block; it has its own directory and one port of loopback."""
    path = shutil.which(name, path="/usr/bin:/usr/sbin")
    if not path:
        pytest.skip(f"{name} is not installed")
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen([path, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)
    try:
        until(lambda: speaks(port) or process.poll() is not None, f"{name} to answer", patience=150)
        assert process.poll() is None, (directory / "log").read_text(errors="replace")
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def directory():
    path = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-peer."))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def rspamd():
    """Its port. It reads much before it is ready: one for all tests."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-peer."))
    port, = free_ports(1)
    cache = BUILD / "rspamd-cache"  # what it compiles of its rules, which takes long
    with contextlib.suppress(OSError):
        cache.mkdir(exist_ok=True)
    cache = cache if os.access(cache, os.W_OK) else directory
    (directory / "rspamd.conf").write_text(RSPAMD.format(directory=directory, port=port, cache=cache))
    (directory / "rules.lua").write_text(RULE)
    with program("rspamd", "-f", *(["-i"] if os.geteuid() == 0 else []), "-c", directory / "rspamd.conf", directory=directory, port=port):
        yield port
    shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def opendkim(directory, mode, more=""):
    if not (directory / "s1.private").exists():
        if not shutil.which("opendkim-genkey", path="/usr/bin:/usr/sbin"):
            pytest.skip("opendkim-genkey is not installed")
        subprocess.run(["opendkim-genkey", "-b", "1024", "-d", "example.org", "-s", "s1", "-D", directory], check=True, capture_output=True,
                       env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin"})
        record = "".join(re.findall(r'"([^"]*)"', (directory / "s1.txt").read_text()))
        (directory / "keys").write_text(f"s1._domainkey.example.org {record}\n")
    port, = free_ports(1)
    name = directory / f"opendkim-{mode}.conf"
    name.write_text(OPENDKIM.format(directory=directory, port=port, mode=mode, more=more))
    with program("opendkim", "-f", "-x", name, directory=directory, port=port):
        yield port


def with_filters(make_station, *ports, **sections):
    station = make_station(
        filters="\n".join(f'filter "f{i}" {{ at = "127.0.0.1:{port}" }}' for i, port in enumerate(ports)), **sections)
    station.add_user("alice", "wonderland")
    station.add_user("bob", "builder")
    return station


def test_rspamd(make_station, rspamd):
    station = with_filters(make_station, rspamd)
    with station.hello() as talk:
        talk.envelope("ann@example.net", "bob@example.org")
        said = talk.data(b"From: ann@example.net\r\nSubject: bad\r\n\r\n" + GTUBE + b"\r\n", 554)
        assert "Gtube" in said
        talk.mail("ann@example.net", "bob@example.org", b"From: ann@example.net\r\nSubject: doubtful\r\n\r\nhello\r\n")
        talk.mail("ann@example.net", "bob@example.org", b"From: ann@example.net\r\nSubject: good\r\n\r\nhello\r\n")
    mails = station.wait_mails("bob", 2)
    marked = {re.search(rb"Subject: (\w+)", mail)[1]: b"\r\nX-Spam: Yes\r\n" in mail for mail in mails}
    assert marked == {b"doubtful": True, b"good": False}


def test_opendkim_signs_what_is_delivered(make_station, directory):
    """The signature covers what the station adds, and holds for the mail as it lies in the mailbox."""
    with opendkim(directory, "s") as signer, opendkim(directory, "v", "InternalHosts 192.0.2.1\nAlwaysAddARHeader yes") as verifier:
        station = with_filters(make_station, signer)
        with station.logged_in() as talk:
            talk.mail("alice@example.org", "bob@example.org", MESSAGE)
        mail, = station.wait_mails("bob", 1)
        signature = re.search(rb"DKIM-Signature:(?:.*\r\n)(?:[ \t].*\r\n)*", mail)[0]
        assert b"d=example.org" in signature and b"date" in signature.lower()
        signed = mail[mail.index(b"DKIM-Signature:"):]
        other = with_filters(make_station, verifier)
        for message in signed, signed.replace(b"hello", b"hallo"):
            with other.hello() as talk:
                talk.mail("alice@example.org", "bob@example.org", message)
        results = sorted(re.search(rb"dkim=(\w+)", m)[1] for m in other.wait_mails("bob", 2))
        assert results == [b"fail", b"pass"]


def test_both_in_order(make_station, rspamd, directory):
    """rspamd marks the mail, then OpenDKIM signs what rspamd has made of it."""
    with opendkim(directory, "s", "OversignHeaders From,X-Spam") as signer:
        station = with_filters(make_station, rspamd, signer)
        with station.logged_in() as talk:
            talk.mail("alice@example.org", "bob@example.org", b"From: alice@example.org\r\nSubject: doubtful\r\n\r\nhello\r\n")
        mail, = station.wait_mails("bob", 1)
        signature = re.search(rb"DKIM-Signature:(?:.*\r\n)(?:[ \t].*\r\n)*", mail)[0]
        assert b"\r\nX-Spam: Yes\r\n" in mail and re.search(rb"h=[^;]*x-spam", signature, re.I)


def test_a_filter_on_a_unix_socket_that_is_killed(make_station, directory):
    """Gone in the middle of a session: the mail waits at its sender's; back again: it goes through."""
    with opendkim(directory, "s"):
        pass  # makes the key
    conf = directory / "unix.conf"
    conf.write_text(re.sub(r"Socket .*", f"Socket local:{directory}/socket", (directory / "opendkim-s.conf").read_text()))
    directory.chmod(0o755)

    def run():
        return subprocess.Popen([shutil.which("opendkim", path="/usr/bin:/usr/sbin"), "-f", "-x", conf], stdin=subprocess.DEVNULL)

    process = run()
    try:
        until(lambda: (directory / "socket").exists(), "OpenDKIM to listen")
        station = make_station(filters=f'filter "dkim" {{ at = "unix:{directory}/socket" }}')
        station.add_user("alice", "wonderland")
        with station.logged_in() as talk:
            talk.mail("alice@example.org", "alice@example.org", MESSAGE)
            process.kill()
            process.wait()
            talk.say("MAIL FROM:<alice@example.org>").expect(451)
            process = run()

            def taken():
                return talk.say("MAIL FROM:<alice@example.org>").reply().startswith("250")
            until(taken, "the filter to be asked again")
            talk.say("RCPT TO:<alice@example.org>").expect(250)
            talk.data(MESSAGE)
        assert all(b"DKIM-Signature:" in mail for mail in station.wait_mails("alice", 2))
    finally:
        process.kill()
        process.wait()
