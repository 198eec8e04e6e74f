# SPDX-License-Identifier: Apache-2.0
"""Exim and OpenSMTPD as next hosts: Debian's packages, which cannot be installed beside Postfix, unpacked by `./do` into
build/mta. Each runs in a mount namespace of its own, where the users exist and the directories lie that are built into it, and
relays all it takes to one port of loopback. With a certificate it does TLS, with people only who logs in may send."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

from station import free_ports, until

UNPACKED = pathlib.Path(os.environ.get("POSTHOUSE_MTAS", pathlib.Path(__file__).resolve().parents[2] / "build/mta"))

EXIM = """\
exim_path = {program}
keep_environment =
primary_hostname = exim.test
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
{tls}
acl_smtp_rcpt = {rcpt}
acl_smtp_data = accept
spool_directory = {directory}/spool
log_file_path = {directory}/log/%slog
pid_file_path = {directory}/exim.pid
smtp_accept_max = 0
dsn_advertise_hosts = *
begin acl
people:
  accept authenticated = *
  deny message = log in first
begin authenticators
{people}
begin routers
on:
  driver = manualroute
  self = send
  route_list = * 127.0.0.1 byname
  transport = on
begin transports
on:
  driver = smtp
  allow_localhost
  port = {relay_port}
"""
EXIM_TLS = "tls_advertise_hosts = *\ntls_certificate = {directory}/chain.pem\ntls_privatekey = {directory}/key.pem"
EXIM_PEOPLE = """\
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{%(user)s}}{eq{$auth3}{%(password)s}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if and{{eq{$auth1}{%(user)s}}{eq{$auth2}{%(password)s}}}}
  server_set_id = $auth1
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${if eq{$auth1}{%(user)s}{%(password)s}fail}
  server_set_id = $auth1
"""
OPENSMTPD = """\
{tls}
listen on 127.0.0.1 port {port} hostname opensmtpd.test {how}
action "on" relay host smtp://127.0.0.1:{relay_port}
match from any for any action "on"
"""
# The shell of the namespace: what is bound there is seen by nobody else, and gone with it.
NAMESPACE = """\
set -e
mount --bind {directory}/passwd /etc/passwd
mount --bind {directory}/group /etc/group
for hidden in /var/spool /var/lib /run; do mount -t tmpfs tmpfs $hidden; done
mkdir -p /var/spool/smtpd /var/lib/opensmtpd/empty
chmod 711 /var/spool/smtpd
exec {command}
"""


class Mta:
    """`with Exim(relay_port, leaf, people) as host: … host.port`. leaf: of certificates.py; person: (user, password), for which TLS may be
    needed. Users: (name, id) that its executable wants to find."""

    name, program, users, configuration = "", "", (), ""
    keeper = 0  # who must own the key

    def __init__(self, relay_port, leaf=None, person=None):
        program = UNPACKED / self.program
        if not program.exists():
            pytest.skip(f"no {self.name}: {program} is not there (./do unpacks it)")
        if subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True).returncode != 0:
            pytest.skip("needs a mount namespace of its own: root, and a kernel that lets it")
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"posthouse-{self.name}."))
        self.directory.chmod(0o755)
        self.port = free_ports(1)[0]
        for part in "spool", "log":
            (self.directory / part).mkdir()
            os.chown(self.directory / part, self.users[0][1], self.users[0][1])
        for file, line in ("passwd", "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin\n"), ("group", "{0}:x:{1}:\n"):
            (self.directory / file).write_text(pathlib.Path("/etc", file).read_text() + "".join(line.format(*u) for u in self.users))
        if leaf:
            self.take_certificate(leaf)
        (self.directory / "conf").write_text(self.configuration.format(
            directory=self.directory, port=self.port, relay_port=relay_port, program=program, **self.settings(leaf, person)))
        self.command = self.arguments(program)

    def take_certificate(self, leaf):
        for file, source in ("chain.pem", leaf.chain), ("key.pem", leaf.key):
            (self.directory / file).write_bytes(source.read_bytes())
            (self.directory / file).chmod(0o600)
            os.chown(self.directory / file, self.keeper, self.keeper)

    def arguments(self, program):
        raise NotImplementedError

    def settings(self, leaf, person):
        raise NotImplementedError

    def answers(self):
        assert self.process.poll() is None, f"{self.name} ended: {self.log_text()}"
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def log_text(self):
        return (self.directory / "output").read_text(errors="replace")

    def __enter__(self):
        script = NAMESPACE.format(directory=self.directory, command=self.command)
        with (self.directory / "output").open("wb") as output:
            self.process = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=output, start_new_session=True)
        until(self.answers, f"{self.name} to answer")
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Exim(Mta):
    name, program, users, configuration = "exim", "exim4-daemon-light/usr/sbin/exim4", (("Debian-exim", 499),), EXIM
    keeper = 499

    def settings(self, leaf, person):
        return {"tls": EXIM_TLS.format(directory=self.directory) if leaf else "tls_advertise_hosts =",
                "rcpt": "people" if person else "accept",
                "people": EXIM_PEOPLE % {"user": person[0], "password": person[1]} if person else ""}

    def arguments(self, program):
        return f"{program} -C {self.directory}/conf -bdf -q5s"


class OpenSmtpd(Mta):
    name, program, configuration = "opensmtpd", "opensmtpd/usr/sbin/smtpd", OPENSMTPD
    users = ("opensmtpd", 498), ("opensmtpq", 497)

    def arguments(self, program):
        return f"{program} -d -f {self.directory}/conf"

    def settings(self, leaf, person):
        lines = [f'pki opensmtpd.test cert "{self.directory}/chain.pem"', f'pki opensmtpd.test key "{self.directory}/key.pem"'] if leaf else []
        if person:
            hashed = subprocess.run(["openssl", "passwd", "-6", person[1]], capture_output=True, text=True, check=True).stdout.strip()
            (self.directory / "people").write_text(f"{person[0]} {hashed}\n")
            lines.append(f"table people file:{self.directory}/people")
        return {"tls": "\n".join(lines), "how": ("tls pki opensmtpd.test" if leaf else "") + (" auth <people>" if person else "")}
