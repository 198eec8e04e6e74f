# SPDX-License-Identifier: Apache-2.0
"""TLS towards the next host: what `tls = try | never | require | verify` of a route makes of hosts that do it well, badly or not at all.
Whatever the host does, the mail is with it or waits, and a password is never said in clear to another machine."""
import base64
import json
import os
import re
import shutil
import subprocess
import tempfile

import pytest

from certificates import Authority, self_signed
from nameservers import Knot
from peers import Postfix, Sink
from station import POSTHOUSE, TRUSTED, free_ports, until
from tls_peers import TlsPeer

MESSAGE = b"Subject: s\r\n\r\n.b\r\n"
pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated")
DEMANDS = ("try", "require", "verify", "never")


@pytest.fixture(scope="module")
def authority():
    """In a directory that everybody may read, as the system's is: who verifies is not root."""
    with tempfile.TemporaryDirectory(prefix="posthouse-authority.") as directory:
        os.chmod(directory, 0o755)
        yield Authority(directory)


@pytest.fixture(scope="module")
def good(authority):
    return authority.issue("127.0.0.1", "mx.dst.test")


def trusting(authority):
    return f'trust = "{authority.trust}"'


def routes(ports, demands=DEMANDS, scheme="smtp"):
    """Domains like `try-NAME.test` for each name of `ports`."""
    return "\n".join(f'route "{demand}-{name}.test" {{ via = "{scheme}://127.0.0.1:{port}"  tls = {demand} }}'
                     for name, port in ports.items() for demand in demands)


def send_to(station, domains):
    talk = station.hello(source=TRUSTED)
    for domain in domains:
        talk.mail("a@src.test", f"b@{domain}", MESSAGE)
    talk.say("QUIT").expect(221)


def story(station, address):
    return [json.loads(line) for line in station.run("why", address, "--json", check=False).stdout.splitlines()]


def steps(station, address):
    return [step for event in story(station, address) for step in event.get("steps", [])]


def outcome(station, peer, address):
    """"TLS" or "clear": it is there; else what it waits for, the stage of the last try and its words. None: not known yet."""
    if there := [version for version, recipient, _ in list(peer.mails) if recipient == address]:
        assert len(there) == 1
        return "TLS" if there[0] else "clear"
    if any(event["event"] == "now" and event["words"] for event in story(station, address)):
        last = steps(station, address)[-1]
        return f"waits: {last['stage']}"
    return None


# How the host does it → what becomes of a mail, by the route's demand. The certificate is good, and for the right name.
WAYS = {
    "good": dict(try_="TLS", require="TLS", verify="TLS"),
    "none": dict(try_="clear", require="waits: tls", verify="waits: tls"),
    "refuses": dict(try_="clear", require="waits: tls", verify="waits: tls"),
    "garbage": dict(try_="clear", require="waits: tls", verify="waits: tls"),
    "closes": dict(try_="clear", require="waits: tls", verify="waits: tls"),
    "old": dict(try_="clear", require="waits: tls", verify="waits: tls"),
    "injects": dict(try_="TLS", require="TLS", verify="TLS"),
    "leaves": dict(try_="clear", require="waits: hello", verify="waits: hello"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_host_and_what_is_demanded_of_it(make_station, authority, good, way):
    expected = {"try": WAYS[way]["try_"], "require": WAYS[way]["require"], "verify": WAYS[way]["verify"], "never": "clear"}
    with TlsPeer(good, way) as peer:
        station = make_station(tls=trusting(authority), routes=routes({way: peer.port}))
        send_to(station, [f"{demand}-{way}.test" for demand in DEMANDS])
        for demand in DEMANDS:
            address = f"b@{demand}-{way}.test"
            found = until(lambda: outcome(station, peer, address), f"an outcome for {address}")
            assert found == expected[demand], f"{demand}: {steps(station, address)}"
        # the next mail is served, and does not have to find out again
        sessions = peer.sessions
        send_to(station, [f"try-{way}.test"])
        until(lambda: len([m for m in peer.mails if m[1] == f"b@try-{way}.test"]) == 2, "the next mail")
        assert peer.sessions <= sessions + 1
        assert all(octets.endswith(MESSAGE.rstrip().replace(b"\n.", b"\n..")) for _, _, octets in peer.mails)


def test_a_handshake_that_hangs(make_station, authority, good):
    """Where the mail may go in clear that is waited for only so long; where not, the end of the connection tells."""
    with TlsPeer(good, "hangs") as peer, Sink() as other:
        station = make_station(tls=trusting(authority), routes=routes({"host": peer.port}, ("try", "require")) +
                               f'\nroute "*" {{ via = "smtp://127.0.0.1:{other.port}" }}')
        send_to(station, ["try-host.test", "require-host.test", "dst.test"])
        other.wait_mails(1)
        [(version, recipient, _)] = peer.wait_mails(1)
        assert version is None and recipient == "b@try-host.test"
        assert outcome(station, peer, "b@require-host.test") is None
        peer.release.set()
        until(lambda: outcome(station, peer, "b@require-host.test"), "the other mail to be put off")
        assert "waits: tls" == outcome(station, peer, "b@require-host.test")


CERTIFICATES = {  # → is verified; else the words of why not
    "good": None,
    "rsa": None,
    "wrong name": "mismatch",
    "expired": "expired",
    "self-signed": "self-signed",
    "stranger": "local issuer",
}


def certificate(authority, directory, name):
    if name == "self-signed":
        return self_signed(directory, "127.0.0.1")
    if name == "stranger":
        return Authority(directory, "Somebody Else").issue("127.0.0.1")
    return authority.issue("192.0.2.1" if name == "wrong name" else "127.0.0.1", at="2020-01-01" if name == "expired" else None,
                          kind="rsa" if name == "rsa" else "ecdsa")


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_certificate_and_what_is_demanded_of_it(make_station, authority, tmp_path, name):
    why_not = CERTIFICATES[name]
    with TlsPeer(certificate(authority, tmp_path, name)) as peer:
        station = make_station(tls=trusting(authority), routes=routes({"x": peer.port}))
        send_to(station, ["try-x.test", "require-x.test", "verify-x.test"])
        for demand in "try", "require":
            assert "TLS" == until(lambda: outcome(station, peer, f"b@{demand}-x.test"), "the mail to be there")
            [step] = until(lambda: steps(station, f"b@{demand}-x.test"), "the attempt to be told of")
            assert step["tls"].startswith("TLSv1.3, TLS_")
            assert step["tls"].endswith(", verified") if not why_not else re.search(f", not verified: .*{why_not}", step["tls"])
            assert step["tls"] in station.run("why", f"b@{demand}-x.test").stdout
        found = until(lambda: outcome(station, peer, "b@verify-x.test"), "an outcome for what demands a proof")
        assert found == ("waits: tls" if why_not else "TLS")
        if why_not:
            [entry] = station.queue()
            assert why_not in entry["words"]
        assert b"b@" not in peer.clear and MESSAGE not in peer.clear


def test_nobody_is_trusted_without_a_file(make_station, authority, good, tmp_path):
    """Said in the log; encryption alone still works."""
    with TlsPeer(good) as peer:
        station = make_station(tls=f'trust = "{tmp_path}/absent.pem"', routes=routes({"x": peer.port}))
        station.wait_log("absent.pem")
        send_to(station, ["require-x.test", "verify-x.test"])
        assert "TLS" == until(lambda: outcome(station, peer, "b@require-x.test"), "the mail to be there")
        assert "waits: tls" == until(lambda: outcome(station, peer, "b@verify-x.test"), "the other to wait")
        assert "no authorities are known: tls.trust could not be read" in station.run("why", "b@verify-x.test").stdout


def test_the_name_is_that_of_the_mx(make_station, authority, good):
    """Asked for by SNI, and verified; a host that has only the other name of its address gets nothing."""
    zone = "{0} MX 5 {1}.{0}\n{1}.{0} A 127.0.0.1\n"
    with TlsPeer(good) as peer, Knot({"dst.test": zone.format("@", "mx").replace(".@", ""),
                                      "odd.test": zone.format("@", "liar").replace(".@", "")}) as dns:
        station = make_station(tls=trusting(authority), routes=f'route "*" {{ port = {peer.port}  tls = verify }}',
                               resolver=f'forward = "{dns.forward}"  allow = "127.0.0.0/8"')
        send_to(station, ["dst.test", "odd.test"])
        assert "TLS" == until(lambda: outcome(station, peer, "b@dst.test"), "the mail to be there")
        assert "waits: tls" == until(lambda: outcome(station, peer, "b@odd.test"), "the other to wait")
        assert set(peer.names) == {"mx.dst.test", "liar.odd.test"}
        shown = json.loads(station.run("explain", "route", "b@dst.test", "--json").stdout)
        assert shown["tls"] == "verify"
        assert "verify" in station.run("explain", "route", "b@dst.test").stdout


def test_the_next_hop_may_do_better(make_station, authority, good):
    """A host that cannot prove its name is passed over for one that can."""
    zone = "@ MX 5 bad\n@ MX 10 mx\nbad A 127.0.0.4\nmx A 127.0.0.1\n"
    with TlsPeer(good) as peer, Knot({"dst.test": zone}) as dns:
        bad = TlsPeer(good, "none", address="127.0.0.4", port=peer.port)
        with bad:
            station = make_station(tls=trusting(authority), routes=f'route "*" {{ port = {peer.port}  tls = verify }}',
                                   resolver=f'forward = "{dns.forward}"  allow = "127.0.0.0/8"')
            send_to(station, ["dst.test"])
            assert "TLS" == until(lambda: outcome(station, peer, "b@dst.test"), "the mail to be there")
            tried = until(lambda: steps(station, "b@dst.test"), "the attempt to be told of")
            assert bad.mails == [] and [s["host"] for s in tried] == ["bad.dst.test", "mx.dst.test"]


def test_tls_before_the_greeting(make_station, authority, good, tmp_path):
    """smtps:// has no clear form, whatever the route says; a host that speaks in clear there gets nothing."""
    with TlsPeer(good, "first") as peer, TlsPeer(self_signed(tmp_path, "127.0.0.1"), "first") as unproven, TlsPeer(good, "none") as plain:
        ports = {"good": peer.port, "unproven": unproven.port, "plain": plain.port}
        station = make_station(tls=trusting(authority), routes=routes(ports, scheme="smtps"))
        send_to(station, [f"{demand}-{name}.test" for demand in DEMANDS for name in ports])
        for demand in DEMANDS:
            for name, host in ("good", peer), ("unproven", unproven), ("plain", plain):
                address = f"b@{demand}-{name}.test"
                taken = name == "good" or (name == "unproven" and demand != "verify")
                found = until(lambda: outcome(station, host, address), f"an outcome for {address}")
                assert found == ("TLS" if taken else "waits: tls"), address
        assert b"EHLO" not in plain.clear and plain.mails == []


def test_localhost_proves_its_name(make_station, authority):
    """A name to prove like every other, though no DNS is asked where it is."""
    with TlsPeer(authority.issue("localhost"), "first") as peer, TlsPeer(authority.issue("127.0.0.1"), "first") as unnamed:
        station = make_station(tls=trusting(authority), routes="\n".join(
            f'route "{name}.test" {{ via = "smtps://localhost:{host.port}"  tls = verify }}' for name, host in (("named", peer), ("other", unnamed))))
        send_to(station, ["named.test", "other.test"])
        assert until(lambda: outcome(station, peer, "b@named.test"), "an outcome") == "TLS"
        assert until(lambda: outcome(station, unnamed, "b@other.test"), "an outcome") == "waits: tls"


@pytest.mark.parametrize("way", ["good", "none", "refuses", "garbage", "closes", "old", "leaves"])
def test_a_password_to_this_machine(make_station, authority, good, tmp_path, way):
    """There nobody listens in between: it may go in clear where it has to, and goes through TLS where it can."""
    secret = tmp_path / "secret"
    secret.write_text("alice\nwonderland\n")
    with TlsPeer(good, way, login=True) as peer:
        station = make_station(tls=trusting(authority), routes=f'route "*" {{ via = "smtp://127.0.0.1:{peer.port}"  login = "file:{secret}" }}')
        send_to(station, ["dst.test"])
        [(version, _, _)] = peer.wait_mails(1)
        assert bool(version) == (way == "good")
        assert (b"AUTH" in peer.clear) == (way != "good")


ANOTHER = "192.0.2.7"  # in the namespace below it is on the loopback device, and for a station another machine


@pytest.fixture(scope="module")
def namespace():
    name = f"ph{os.getpid()}-tls"

    def ip(*arguments):
        return subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if os.geteuid() != 0 or not shutil.which("ip") or ip("netns", "add", name).returncode != 0:
        pytest.skip("needs root, iproute2 and network namespaces")
    ip("-n", name, "link", "set", "lo", "up")
    ip("-n", name, "address", "add", f"{ANOTHER}/32", "dev", "lo")
    yield name
    ip("netns", "delete", name)


@pytest.mark.parametrize("demand", ["try", "require", "verify"])
@pytest.mark.parametrize("way", ["good", "first", "none", "refuses", "garbage", "closes", "old", "injects", "leaves"])
def test_a_password_to_another_machine(make_station, authority, namespace, tmp_path, way, demand):
    """Through TLS or not at all, whatever else the route lets be in clear; and the mail waits."""
    secret = tmp_path / "secret"
    secret.write_text("alice\nwonderland\n")
    with TlsPeer(authority.issue(ANOTHER), way, login=True, address=ANOTHER, namespace=namespace) as peer:
        scheme = "smtps" if way == "first" else "smtp"
        via = f'via = "{scheme}://{ANOTHER}:{peer.port}"'
        station = make_station(namespace=namespace, tls=trusting(authority),
                               routes=f'route "*" {{ {via}  login = "file:{secret}"  tls = {demand} }}')
        station.run("send", "b@dst.test", "--from", "a@example.org", "-m", "hello")
        found = until(lambda: outcome(station, peer, "b@dst.test"), "an outcome")
        assert found == ("TLS" if way in ("good", "first", "injects") else "waits: hello" if way == "leaves" else "waits: tls")
        assert b"AUTH" not in peer.clear and base64.b64encode(b"\0alice\0wonderland") not in peer.clear
        assert peer.logins == (found == "TLS")


# ── real hosts ──


class TlsPostfix(Postfix):
    """With STARTTLS, which `encrypts` makes a duty, and a port with TLS from the beginning."""

    def __init__(self, leaf, encrypts=False):
        self.tls_port = free_ports(1)[0]
        super().__init__(relay_port=free_ports(1)[0])
        for part in "certificate", "key":
            shutil.copy(getattr(leaf, part), self.directory / "etc" / part)
        with (self.directory / "etc/main.cf").open("a") as main:
            main.write(f"smtpd_tls_security_level = {'encrypt' if encrypts else 'may'}\n"
                       f"smtpd_tls_cert_file = {self.directory}/etc/certificate\nsmtpd_tls_key_file = {self.directory}/etc/key\n"
                       "smtpd_tls_received_header = yes\n")

    def master_cf(self):
        return super().master_cf() + f"{self.tls_port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n"


def test_postfix(make_station, authority, good):
    with TlsPostfix(good, encrypts=True) as postfix:
        station = make_station(tls=trusting(authority),
                               routes=f'route "dst.test" {{ via = "smtp://127.0.0.1:{postfix.port}"  tls = verify }}\n')
        send_to(station, ["dst.test"] * 20)
        until(lambda: len(postfix.mailbox()) == 20, "Postfix to keep them all")
        assert all(b"TLSv1.3" in mail for mail in postfix.mailbox())
        station.configure(routes=f'route "dst.test" {{ via = "smtps://127.0.0.1:{postfix.tls_port}"  tls = verify }}\n')
        station.restart()
        send_to(station, ["dst.test"] * 20)
        until(lambda: len(postfix.mailbox()) == 40, "Postfix to keep them all")
        station.wait_drained()


def test_postfix_that_demands_it_of_those_who_never_do(make_station, authority, good):
    """Postfix says 530: the file is to blame, and the mail waits until it is put right."""
    with TlsPostfix(good, encrypts=True) as postfix:
        station = make_station(routes=f'route "dst.test" {{ via = "smtp://127.0.0.1:{postfix.port}"  tls = never }}\n')
        station.add_user("alice", "wonderland")
        station.logged_in().mail("alice@example.org", "box@dst.test", MESSAGE)
        said = until(lambda: (text := station.run("why", "box@dst.test").stdout) and "deferred" in text and text, "the mail to be put off")
        assert "Must issue a STARTTLS command first" in said and 'no tls = "never"' in said
        assert postfix.mailbox() == []
        station.configure(routes=f'route "dst.test" {{ via = "smtp://127.0.0.1:{postfix.port}"  tls = require }}\n')
        station.reload()
        until(lambda: "station: reloaded" in station.log_text(), "the new file")
        station.run("queue", "dest:127.0.0.1", "retry", "--yes")
        until(lambda: len(postfix.mailbox()) == 1, "Postfix to keep it")


# ── the command ──


def test_send_uses_what_is_offered(station, authority, good):
    def send(peer, *options, scheme="smtp", user="", text="hello\n"):
        return station.run("send", "b@dst.test", "--from", "a@src.test", "--via", f"{scheme}://{user}127.0.0.1:{peer.port}", "-v", *options,
                           text=text, check=False)

    with TlsPeer(good, login=True) as peer:
        done = send(peer)
        assert done.returncode == 0 and "TLSv1.3" in done.stderr and "not verified" in done.stderr
        assert ", verified" in send(peer, "--trust", authority.trust).stderr
        assert send(peer, "--password-stdin", user="alice@", text="wonderland\nhello\n").returncode == 0
        assert [version for version, _, _ in peer.mails] == ["TLSv1.3"] * 3
        assert b"AUTH" not in peer.clear
    with TlsPeer(good, "first") as peer:
        assert json.loads(send(peer, "--json", scheme="smtps").stdout)["tls"].startswith("TLSv1.3")
        assert peer.clear == b""
    for way in "garbage", "leaves":  # in clear, on a new connection; but no password
        with TlsPeer(good, way) as peer:
            assert send(peer).returncode == 0 and peer.mails[0][0] is None
    with TlsPeer(good, "none") as peer:
        assert send(peer, scheme="smtps").returncode == os.EX_TEMPFAIL and peer.mails == []


def test_send_offers_to_go_in_clear_only_where_that_would_help(station, authority, good, namespace):
    def send(peer, *options, scheme="smtp"):
        command = ["ip", "netns", "exec", namespace, POSTHOUSE, "send", "b@dst.test", "--from", "a@src.test", "--via",
                   f"{scheme}://alice@{ANOTHER}:{peer.port}", "--password-stdin", *options]
        done = subprocess.run(command, input="wonderland\nhello\n", capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, "--in-clear" in done.stderr

    def peer(leaf, way="good"):
        return TlsPeer(leaf, way, login=True, address=ANOTHER, namespace=namespace)

    with peer(good) as host:  # for another name
        code, told, offered = send(host, "--trust", authority.trust)
        assert code == os.EX_TEMPFAIL and "not good for this host" in told and offered
    with peer(good, "none") as host:
        assert send(host)[2]
        code, told, offered = send(host, scheme="smtps")
        assert "smtps:// is for 465" in told and not offered
    for way in "garbage", "closes", "refuses":
        with peer(good, way) as host:
            assert not send(host)[2]


def test_send_wants_the_authorities_that_it_was_told_of(station):
    done = station.run("send", "b@dst.test", "--via", "smtp://127.0.0.1:1", "--trust", "/nope", text="hello\n", check=False)
    assert done.returncode == os.EX_NOINPUT and "posthouse send: --trust /nope: No such file or directory" in done.stderr
