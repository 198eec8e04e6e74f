# SPDX-License-Identifier: Apache-2.0
"""Dovecot's submission service, with TLS and all the ways to log in that it has for a password; what it takes it relays to one port."""
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile

import pytest

from peers import dovecot_program
from station import free_ports, until
from test_filter_peers import answers

CONFIG = """\
base_dir = {directory}/run
state_dir = {directory}/run
log_path = {directory}/log
protocols = submission
hostname = dovecot.test
ssl = required
ssl_cert = <{leaf.chain}
ssl_key = <{leaf.key}
auth_mechanisms = plain login cram-md5 scram-sha-256
auth_failure_delay = 0
mail_location = maildir:{directory}/mail/%n
submission_relay_host = 127.0.0.1
submission_relay_port = {relay_port}
submission_relay_ssl = no
default_internal_user = {internal}
default_internal_group = {internal}
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
service submission-login {{
  chroot =
  inet_listener submission {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service anvil {{
  chroot =
}}
"""


class Submission:
    """`with Submission(relay_port, leaf) as server: … server.port`. alice logs in with wonderland. For root alone."""

    def __init__(self, relay_port, leaf):
        self.program = dovecot_program()
        if os.geteuid() != 0 or not os.path.exists("/usr/lib/dovecot/submission"):
            pytest.skip("needs root and Debian's dovecot-submissiond")
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-dovecot."))
        self.directory.chmod(0o755)
        owner = pwd.getpwnam("nobody")
        (self.directory / "mail").mkdir()
        os.chown(self.directory / "mail", owner.pw_uid, owner.pw_gid)
        self.port = free_ports(1)[0]
        (self.directory / "users").write_text(
            f"alice:{{PLAIN}}wonderland:{owner.pw_uid}:{owner.pw_gid}::{self.directory}/mail/alice::\n")
        (self.directory / "dovecot.conf").write_text(CONFIG.format(
            directory=self.directory, leaf=leaf, relay_port=relay_port, port=self.port, uid=owner.pw_uid, gid=owner.pw_gid,
            internal="dovecot", login="dovenull"))

    def log_text(self):
        return (self.directory / "log").read_text(errors="replace")

    def __enter__(self):
        self.process = subprocess.Popen([self.program, "-F", "-c", self.directory / "dovecot.conf"], stdin=subprocess.DEVNULL, start_new_session=True)
        until(lambda: answers(self.port) or self.process.poll() is not None, "Dovecot to listen")
        assert self.process.poll() is None, self.log_text()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
