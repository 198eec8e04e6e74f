# SPDX-License-Identifier: Apache-2.0
"""One whole station on loopback, in a directory of its own: the fixture under every system test.

It is driven only as a person would drive it: a configuration file, `posthouse serve`, commands, signals, sockets, and Maildirs
that are read. Everything that waits is bounded and polls. Processes are ended by their ids, and only those started here.
"""
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from talk import Talk

BUILD = pathlib.Path(os.environ.get("POSTHOUSE_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
POSTHOUSE = BUILD / "posthouse"
ROLES = ("receive", "queue", "send", "store", "vault", "resolve")
# A sanitizer build is several times slower; no test asserts on time, they only have to wait long enough.
PATIENCE = 60

CONFIG = """\
hostname = "{hostname}"
state    = "{state}"
spool    = "{spool}"
{top}
listen smtp        {{ on = "{address}:{smtp_port}" {listen_smtp} }}
listen submission  {{ on = "{address}:{submission_port}" {listen_submission} }}
listen submissions {{ on = "{address}:{submissions_port}" }}
{web}
tls {{ {tls} }}
gate {{ {gate} }}
{filters}
domain "{local}" {{ {domain} }}
{routes}
resolver {{ {resolver} }}
smtp   {{ {smtp} }}
queue  {{ segment-size = "{segment_size}" {queue} }}
limits {{ {limits} }}
"""
COMPLAINT = re.compile(r"Sanitizer|runtime error:|must\(|role-ended .*(signal=(?!9\b|15\b)|exit=(?!0\b))")
TRUSTED, REFUSED = "127.0.0.2", "127.0.0.3"  # clients take these source addresses to be somebody else
TOP = f'trusted = {{"{TRUSTED}/32"}}\nrefuse = {{"{REFUSED}/32"}}\n'


# Below the range that outgoing connections are given; each worker of one run has a thousand of its own, another run begins elsewhere.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
FIRST_PORT = 10000 + 5000 * (os.getppid() % 4) + 1000 * (WORKER % 5)
PORTS = itertools.cycle(range(FIRST_PORT, FIRST_PORT + 1000))


def free_ports(n):
    """n ports of 127.0.0.1 that were free a moment ago, and that no earlier call gave."""
    found = []
    while len(found) < n:
        port = next(PORTS)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    return found


def until(condition, what, patience=PATIENCE, pause=0.02, told=lambda: ""):
    """Polls until condition() is true and returns its value; the failure says what was waited for, and how told() finds it then."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"waited {patience} s: {what} {told()}")
        time.sleep(pause)


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def children(pid):
    try:
        return [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def alive(pid):
    """A killed process whose first thread is gone may still have others, and with them its sockets."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


def memory_kib(pid):
    """Memory of this process alone, its share of what it shares included (PSS)."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise LookupError(pid)


def inhabited(people, **sections):
    """For a fixture of a module: a station with a page for these people ({name: password}), which has nothing to complain of in the end."""
    station = Station(web="no-tls = true", **sections)
    try:
        for name, password in people.items():
            station.add_user(name, password)
        station.start()
        yield station
        station.end()
        assert not station.complaints()
    finally:
        station.clean_up()


class Station:
    """Station(domain='catch-all = "bob"', limits='message = "100K"', …): sections are text put into CONFIG."""

    def __init__(self, top=TOP, domain="", routes="", resolver="off = true", smtp="", queue="", limits="", segment_size="4M", spool=None,
                 environment=None, address="127.0.0.1", ports=None, namespace=None, hostname="mail.example.org", local="example.org",
                 tls="", gate="", filters="", listen_smtp="", listen_submission="", web=None):
        """web: the options of a door for browsers: "no-tls = true" (HTTP), "" (HTTPS); None: none."""
        # Not pytest's tmp_path: a UNIX socket's name has at most 107 octets.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-test."))
        self.directory.chmod(0o755)
        self.state = self.directory / "state"
        self.spool = pathlib.Path(spool or self.directory / "spool")
        self.config = self.directory / "posthouse.conf"
        self.log = self.directory / "log"
        self.sections = dict(top=top, domain=domain, routes=routes, resolver=resolver, smtp=smtp, queue=queue, limits=limits,
                             tls=tls, gate=gate, filters=filters, listen_smtp=listen_smtp, listen_submission=listen_submission)
        self.segment_size = segment_size
        self.environment = {**os.environ, **(environment or {})}
        self.address, self.hostname, self.local = address, hostname, local
        self.smtp_port, self.submission_port, self.submissions_port = ports or free_ports(3)
        self.web_port = free_ports(1)[0] if web is not None else None
        self.sections["web"] = "" if web is None else f'listen web {{ on = "{address}:{self.web_port}" {web} }}'
        self.prefix = ["ip", "netns", "exec", namespace] if namespace else []
        self.process = None
        self.may_end = "no role"  # what a test makes end: "role=queue"
        self.ours = set()  # every process id that was seen below our own
        self.configure()

    # ── life ──

    def configure(self, **sections):
        """Writes the file (anew, with other sections); a running station takes it up by reload()."""
        self.sections.update(sections)
        self.config.write_text(CONFIG.format(
            state=self.state, spool=self.spool, segment_size=self.segment_size,
            address=self.address, hostname=self.hostname, local=self.local, smtp_port=self.smtp_port, submission_port=self.submission_port,
            submissions_port=self.submissions_port, **self.sections))

    def start(self):
        seen = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*self.prefix, POSTHOUSE, "serve", "--config", self.config], stderr=log,
                                            stdin=subprocess.DEVNULL, env=self.environment)

        def ready():
            if self.process.poll() is not None:
                pytest.fail(f"the station ended with {self.process.returncode}:\n{self.log_text()[seen:]}")
            return "station: ready" in self.log_text()[seen:]
        until(ready, "the station to get ready")
        self.pids()

    def stop(self):
        """SIGTERM, as an operator does it; its exit code."""
        self.pids()
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail("the station did not drain:\n" + self.log_text()[-2000:])

    def restart(self):
        code = self.stop()
        self.start()
        return code

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def pids(self):
        """{role: process id} of the roles that are alive."""
        found = {}
        for pid in children(self.process.pid):
            line = command_line(pid)
            for role in ROLES:
                if role in line and alive(pid):
                    found[role] = pid
            self.ours.add(pid)
        return found

    def pid(self, role):
        return until(lambda: self.pids().get(role), f"role {role} to be there")

    def kill(self, role):
        """SIGKILL, no time for anything; "all" is master and roles at once."""
        if role == "all":
            pids = [self.process.pid, *self.pids().values()]
        else:
            pids = [self.pid(role)]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if role == "all":
            self.process.wait()
            until(lambda: not any(map(alive, self.ours)), "the killed roles to be gone")

    def end(self):
        """However it stands with it: afterwards no process of it is there."""
        if self.process:
            self.pids()
            if self.process.poll() is None:
                self.process.terminate()
                try:
                    self.process.wait(10)
                except subprocess.TimeoutExpired:
                    self.pids()
                    self.process.kill()
                    self.process.wait()
            for pid in self.ours:
                if "posthouse" in command_line(pid):  # the id may be somebody else's by now
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass

    def clean_up(self):
        self.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_log(self, text):
        """What a role has said comes here by way of master, a moment after all else that it did."""
        until(lambda: text in self.log_text(), f"{text} in the log")

    def complaints(self):
        """What no test may leave in a log: a sanitizer's report, a role that ended in another way than by our hand."""
        lines = self.log_text().splitlines()
        found = [line for line in lines if COMPLAINT.search(line) and self.may_end not in line]
        return found and [*found[:20], "the log's last lines:", *lines[-40:]]

    # ── commands ──

    def run(self, *arguments, text="", check=True):
        done = subprocess.run([POSTHOUSE, *arguments, "--config", self.config], input=text, capture_output=True, text=True,
                              timeout=PATIENCE)
        if check and done.returncode != 0:
            pytest.fail(f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def add_user(self, name, password, domain="example.org"):
        self.run("user", "add", f"{name}@{domain}", "--password-stdin", text=password + "\n")

    def queue(self):
        """`queue list --json`: a dictionary a recipient."""
        return [json.loads(line) for line in self.run("queue", "list", "--json").stdout.splitlines() if line.strip()]

    def wait_drained(self):
        until(lambda: not self.queue(), "the queue to be empty")

    # ── mail ──

    def talk(self, door="smtp", source=None):
        """A connection that has not read the greeting; at the door "submissions" through TLS."""
        talk = Talk({"smtp": self.smtp_port, "submission": self.submission_port, "submissions": self.submissions_port}[door], source)
        return talk.secure() if door == "submissions" else talk

    def hello(self, door="smtp", source=None):
        """A connection that has said EHLO."""
        talk = self.talk(door, source)
        talk.expect(220)
        talk.say("EHLO client.test").expect(250)
        return talk

    def logged_in(self, user="alice", password="wonderland", domain="example.org"):
        return self.hello("submission").login(f"{user}@{domain}", password)

    def mail_files(self, user, domain="example.org"):
        """Each once: a reader moves what is new to cur/, and what it moves between our two looks is seen in both."""
        box = self.state / "mail" / domain / user
        files = {f.name.partition(":2,")[0]: f for part in ("new", "cur") for f in (box / part).glob("*")}
        return list(files.values())

    def mailbox(self, user, domain="example.org"):
        def octets():
            try:
                return [[f.read_bytes() for f in self.mail_files(user, domain)]]
            except FileNotFoundError:
                return None  # a reader was faster
        return until(octets, f"{user}'s files to stay where they are")[0]

    def wait_mails(self, user, n, domain="example.org", patience=PATIENCE):
        """Exactly n mails: waits for the n-th, and it is a failure when there are more."""
        until(lambda: len(self.mail_files(user, domain)) >= n, f"{n} mails for {user} (there are {len(self.mail_files(user, domain))})",
              patience)
        mails = self.mailbox(user, domain)
        assert len(mails) == n
        return mails
