# SPDX-License-Identifier: Apache-2.0
"""LMTP to a real Dovecot, over TCP and over its UNIX socket; what arrived is read back by IMAP."""
import getpass
import imaplib
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

import pytest

from peers import dovecot_program
from station import TRUSTED, free_ports, until
from test_filter_peers import answers

CONFIG = """\
base_dir = {directory}/run
state_dir = {directory}/run
log_path = {directory}/log
protocols = imap lmtp
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{directory}/mail/%n
default_internal_user = {internal}
default_internal_group = {internal_group}
default_login_user = {login}
first_valid_uid = {uid}
first_valid_gid = {gid}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {directory}/users
}}
userdb {{
  driver = passwd-file
  args = {directory}/users
}}
service lmtp {{
  chroot =
  unix_listener lmtp {{
    mode = 0666
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp_port}
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
"""
PEOPLE = {"bob": "builder", "carol": "singer"}
MESSAGE = b"From: ann@example.net\r\nSubject: for %s\r\n\r\nFirst line.\r\n.dot\r\n.\r\n..\r\nlast\r\n"


class Dovecot:
    """One as an ordinary process, with everything in a directory of its own: as whoever runs the test, or with Debian's users for root."""

    def __init__(self):
        path = dovecot_program()
        is_root = os.geteuid() == 0
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-dovecot."))
        self.directory.chmod(0o755)
        (self.directory / "mail").mkdir()
        owner = pwd.getpwnam("nobody" if is_root else getpass.getuser())
        os.chown(self.directory / "mail", owner.pw_uid, owner.pw_gid)
        group = subprocess.run(["id", "-gn"], capture_output=True, text=True, check=True).stdout.strip()
        self.lmtp_port, self.imap_port = free_ports(2)
        (self.directory / "dovecot.conf").write_text(CONFIG.format(
            directory=self.directory, lmtp_port=self.lmtp_port, imap_port=self.imap_port, uid=owner.pw_uid, gid=owner.pw_gid,
            internal="dovecot" if is_root else owner.pw_name, internal_group="dovecot" if is_root else group,
            login="dovenull" if is_root else owner.pw_name))
        (self.directory / "users").write_text("".join(
            f"{name}@example.com:{{PLAIN}}{password}:{owner.pw_uid}:{owner.pw_gid}::{self.directory}/mail/{name}::\n"
            for name, password in PEOPLE.items()))
        self.process = subprocess.Popen([path, "-F", "-c", self.directory / "dovecot.conf"], stdin=subprocess.DEVNULL, start_new_session=True)
        until(lambda: (answers(self.lmtp_port) and answers(self.imap_port)) or self.process.poll() is not None, "Dovecot to listen")
        assert self.process.poll() is None, self.log()

    @property
    def lmtp_socket(self):
        return self.directory / "run" / "lmtp"

    def log(self):
        return (self.directory / "log").read_text(errors="replace")

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def mails(self, name):
        with imaplib.IMAP4("127.0.0.1", self.imap_port) as imap:
            imap.login(f"{name}@example.com", PEOPLE[name])
            imap.select(readonly=True)
            numbers = imap.search(None, "ALL")[1][0].split()
            return [imap.fetch(n, "(BODY.PEEK[])")[1][0][1] for n in numbers]

    def wait_mails(self, name, n):
        until(lambda: len(self.mails(name)) >= n, f"{n} mails of {name}:\n{self.log()[-1000:]}", pause=0.1)
        mails = self.mails(name)
        assert len(mails) == n
        return mails


@pytest.fixture(scope="module")
def dovecot():
    server = Dovecot()
    yield server
    server.end()


def seen(dovecot):
    return {name: len(dovecot.mails(name)) for name in PEOPLE}


@pytest.fixture(params=["tcp", "unix"])
def via(request, dovecot):
    return f"lmtp://127.0.0.1:{dovecot.lmtp_port}" if request.param == "tcp" else f"lmtp+unix:{dovecot.lmtp_socket}"


@pytest.fixture
def station(make_station, via):
    station = make_station(routes=f'route "example.com" {{ via = "{via}" }}')
    station.add_user("alice", "wonderland")
    return station


def test_each_recipient_has_a_result_of_its_own(station, dovecot):
    """bob and carol get it, nobody@ does not exist: the sender is told of that one, and of no other."""
    before = seen(dovecot)
    message = MESSAGE % station.directory.name.encode()
    with station.logged_in() as talk:
        talk.envelope("alice@example.org", "bob@example.com", "nobody@example.com", "carol@example.com").data(message)
    for name in PEOPLE:
        mail = dovecot.wait_mails(name, before[name] + 1)[-1]
        assert mail.endswith(message.partition(b"\r\n")[2]) and b"Subject: for " + station.directory.name.encode() in mail
        assert mail.count(b"\r\nDelivered-To: ") + mail.startswith(b"Delivered-To: ") <= 1
    bounce, = station.wait_mails("alice", 1)
    assert b"Final-Recipient: rfc822; nobody@example.com" in bounce and b"bob@example.com" not in bounce.partition(b"Content-Type: text/rfc822-headers")[0]
    assert b"Status: 5.1.1" in bounce
    station.wait_drained()


def test_a_stranger_s_null_sender_and_many_lines(make_station, dovecot, via):
    before = seen(dovecot)["bob"]
    station = make_station(routes=f'route "example.com" {{ via = "{via}" }}')
    message = b"Subject: large\r\n\r\n" + b"".join(b"%06d %s\r\n" % (i, b"x" * 60) for i in range(20000))
    with station.hello(source=TRUSTED) as talk:
        talk.envelope("", "bob@example.com").data(message)
    mail = dovecot.wait_mails("bob", before + 1)[-1]
    assert mail.partition(b"\r\n\r\n")[2] == message.partition(b"\r\n\r\n")[2]
    station.wait_drained()


def test_it_is_away_for_a_while(make_station):
    """What is taken while Dovecot is down is there when it is up."""
    own = Dovecot()
    try:
        station = make_station(routes=f'route "example.com" {{ via = "lmtp://127.0.0.1:{own.lmtp_port}" }}', queue='retry-first = "1s" retry-most = "1s"')
        own.process.terminate()
        own.process.wait(20)
        with station.hello(source=TRUSTED) as talk:
            talk.mail("ann@example.net", "bob@example.com", MESSAGE % b"later")
        until(lambda: any(item["state"] == "deferred" for item in station.queue()), "the first try to fail")
        own.process = subprocess.Popen([dovecot_program(), "-F", "-c", own.directory / "dovecot.conf"],
                                       stdin=subprocess.DEVNULL, start_new_session=True)
        until(lambda: answers(own.imap_port), "Dovecot to listen again")
        own.wait_mails("bob", 1)
        station.wait_drained()
    finally:
        own.end()
