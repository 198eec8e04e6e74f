# SPDX-License-Identifier: Apache-2.0
"""DNS for tests, on loopback and on a port of its own: `Knot`, a real server with zones that the test writes, and `LyingDns`, for
answers that no real server gives. Both are what `resolver { forward = "127.0.0.1@PORT" }` leads to: `.forward`.

    knot = Knot({"abc.com": "sh CNAME shmail\\nshmail MX 5 shmail\\nshmail A 192.0.2.5"})
    knot.start(); knot.write("abc.com", …); knot.reload(); knot.stop(); knot.start()
"""
import contextlib
import pathlib
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading

import pytest

from station import free_ports, until

A, NS, CNAME, SOA, MX, AAAA = 1, 2, 5, 6, 15, 28
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
RESPONSE, TRUNCATED, RECURSION = 0x8000, 0x0200, 0x0180

# ── packets (RFC 1035 §4) ──


def wire_name(name):
    """A name as labels; bytes are taken as one label each when they come in a list."""
    labels = name if isinstance(name, list) else [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def query(name, kind, number=0x4242):
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + wire_name(name) + struct.pack("!2H", kind, 1)


class Question:
    """What was asked, read out of a query: .name "abc.com", .kind MX."""

    def __init__(self, packet):
        self.packet = packet
        at, labels = 12, []
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode("latin-1"))
            at += packet[at] + 1
        self.name = ".".join(labels).lower()
        self.kind = struct.unpack_from("!H", packet, at + 1)[0]
        self.end = at + 5
        self.section = packet[12:self.end]


def record(name, kind, data, ttl=300):
    return wire_name(name) + struct.pack("!2HIH", kind, 1, ttl, len(data)) + data


def mx(name, preference, host, ttl=300):
    return record(name, MX, struct.pack("!H", preference) + wire_name(host), ttl)


def a(name, address, ttl=300):
    return record(name, A, socket.inet_aton(address), ttl)


def cname(name, to, ttl=300):
    return record(name, CNAME, wire_name(to), ttl)


def answer(question, *records, rcode=NOERROR, flags=0):
    """A well-formed answer with these records."""
    head = struct.pack("!2s5H", question.packet[:2], RESPONSE | RECURSION | flags | rcode, 1, len(records), 0, 0)
    return head + question.section + b"".join(records)


def ask_server(port, name, kind=SOA):
    """The rcode that the server gives, or None when it does not answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.5)
        try:
            s.connect(("127.0.0.1", port))
            s.send(query(name, kind))
            return struct.unpack_from("!2H", s.recv(65536))[1] & 15
        except OSError:
            return None


# ── a real server ──

KNOT_CONF = """\
server:
    rundir: {directory}
    listen: {address}@{port}
log:
  - target: stderr
    any: info
database:
    storage: {directory}
template:
  - id: default
    storage: {directory}
    zonefile-load: whole
zone:
{zones}"""
ZONE = """\
$ORIGIN {origin}
$TTL {ttl}
@ SOA ns.test. hostmaster.test. {serial} 3600 600 86400 {ttl}
@ NS ns.test.
{text}
"""


class Knot:
    """A knotd in the foreground. zones: {domain: records, a line each, relative to the domain}. `signed` ones get keys of their own;
    `broken` ones are configured and cannot be loaded, so that the server answers SERVFAIL. Whatever is in no zone does not exist: there
    is an empty root, too."""

    def __init__(self, zones, ttl=300, signed=(), broken=(), address="127.0.0.1", port=None, namespace=None):
        if not shutil.which("knotd"):
            pytest.skip("no knotd: package knot")
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-knot."))
        self.conf = self.directory / "knot.conf"
        self.log = self.directory / "log"
        self.address, self.port = address, port or free_ports(1)[0]
        self.prefix = ["ip", "netns", "exec", namespace] if namespace else []
        self.forward = f"{address}@{self.port}"
        self.ttl, self.signed, self.serial = ttl, signed, 0
        self.zones = {".": "", **zones}
        self.broken = broken
        self.process = None
        for zone, text in self.zones.items():
            self.write(zone, text)
        for zone in broken:
            self.file(zone).write_text("this is no zone\n")
        lines = []
        for zone in [*self.zones, *broken]:
            lines += [f"  - domain: {self.origin(zone)}", f"    file: {self.file(zone).name}"]
            if zone in signed:
                lines += ["    dnssec-signing: on", "    zonefile-sync: -1"]
        self.conf.write_text(KNOT_CONF.format(directory=self.directory, address=address, port=self.port, zones="\n".join(lines) + "\n"))

    @staticmethod
    def origin(zone):
        return zone.rstrip(".") + "."

    def file(self, zone):
        return self.directory / f"{zone.strip('.') or 'root'}.zone"

    def write(self, zone, text):
        """Takes effect at start() or reload()."""
        self.serial += 1
        self.zones[zone] = text
        self.file(zone).write_text(ZONE.format(origin=self.origin(zone), ttl=self.ttl, serial=self.serial, text=text))

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*self.prefix, "knotd", "-c", self.conf], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def answers():
            if self.process.poll() is not None:
                pytest.fail("knotd ended: " + self.log.read_text())
            if self.prefix:  # the port is not ours to see
                return "server started" in self.log.read_text()
            return all(ask_server(self.port, zone) == NOERROR for zone in self.zones)
        until(answers, "knotd to answer for its zones")
        return self

    def control(self, *words):
        done = subprocess.run(["knotc", "-b", "-s", self.directory / "knot.sock", "-c", self.conf, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def reload(self):
        """Returns when the zones as they are written now are served."""
        self.control("zone-reload", *(self.origin(zone) for zone in self.zones))

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.clean_up()

    def stop(self):
        """The port answers nothing from here on."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def trust_anchor(self, zone):
        """One DS record of a signed zone, as a resolver takes it."""
        done = subprocess.run(["keymgr", "-c", self.conf, self.origin(zone), "ds"], capture_output=True, text=True, check=True)
        return next(line for line in done.stdout.splitlines() if line.split()[3:5] == ["13", "2"])

    def clean_up(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


# ── a server that lies ──


class LyingDns:
    """tell(question, is_tcp) → the packet to answer with, or None for silence. Everything asked is in .seen, as (name, kind)."""

    def __init__(self, tell):
        self.tell, self.seen = tell, []
        self.port, = free_ports(1)
        self.forward = f"127.0.0.1@{self.port}"
        outer = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                packet, s = self.request
                told = outer.told(packet, False)
                if told is not None:
                    with contextlib.suppress(OSError):  # the test is over, or the packet is more than one can be
                        s.sendto(told, self.client_address)

        class Tcp(socketserver.StreamRequestHandler):
            def handle(self):
                head = self.rfile.read(2)
                if len(head) == 2:
                    told = outer.told(self.rfile.read(struct.unpack("!H", head)[0]), True)
                    if told is not None:
                        self.wfile.write(struct.pack("!H", len(told)) + told)

        class UdpServer(socketserver.ThreadingUDPServer):
            daemon_threads, block_on_close = True, False

        class TcpServer(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads, block_on_close = True, True, False

        self.servers = [UdpServer(("127.0.0.1", self.port), Udp), TcpServer(("127.0.0.1", self.port), Tcp)]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.clean_up()

    def told(self, packet, is_tcp):
        question = Question(packet)
        self.seen.append((question.name, question.kind))
        return self.tell(question, is_tcp)

    def clean_up(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()


@pytest.fixture
def make_knot():
    """make_knot(zones, ttl=…, signed=…, broken=…) starts a server, which is ended after the test."""
    made = []

    def make(zones, **options):
        made.append(Knot(zones, **options))
        return made[-1].start()

    yield make
    for knot in made:
        knot.clean_up()


@pytest.fixture
def make_liar():
    made = []

    def make(tell):
        made.append(LyingDns(tell))
        return made[-1]

    yield make
    for liar in made:
        liar.clean_up()
