# SPDX-License-Identifier: Apache-2.0
"""Finding the road: the role `resolve` alone, asked as the queue asks it, with a real DNS server behind it and with one that lies."""
import json
import pathlib
import shutil
import struct
import subprocess
import tempfile
import threading

import pytest

import nameservers
from nameservers import A, MX, make_knot, make_liar  # noqa: F401 (fixtures)
from station import BUILD, PATIENCE, until

CONFIG = """\
hostname = "mail.example.org"
users    = ""
state    = "{directory}"
spool    = "{directory}"
listen smtp {{ on = "{door}" }}
domain "example.org" {{ }}
resolver {{ forward = {forward} {more} }}
"""
# A name that is an alias; its mail goes where the MX of the end lead.
ABC = """\
sh       CNAME shmail
shmail   MX 5 shmail
shmail   MX 10 shmail2
shmail   A 192.0.2.5
shmail2  A 192.0.2.6
"""


class Resolve:
    """The role under the program resolve-one."""

    def __init__(self, server, more="", door="192.0.2.99:25"):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-resolve."))
        self.config = self.directory / "posthouse.conf"
        self.configure(server, more, door)
        self.log = (self.directory / "log").open("w+")
        self.process = subprocess.Popen([BUILD / "test/system/resolve-one", BUILD / "posthouse-resolve", self.config],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        self.asked, self.answers, self.events = 0, {}, {}
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        until(lambda: "ready" in self.events, "the role to be ready")

    def configure(self, server, more="", door="192.0.2.99:25"):
        forward = '"' + (server if isinstance(server, str) else server.forward) + '"'
        self.config.write_text(CONFIG.format(directory=self.directory, forward=forward, more=more, door=door))

    def reload(self, server, more="", **options):
        self.configure(server, more, **options)
        self.say(f"configure {self.config}")

    def read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            if "event" in said:
                self.events[said["event"]] = said["value"]
            else:
                self.answers[said["ask"]] = said

    def say(self, line):
        self.process.stdin.write((line if isinstance(line, bytes) else line.encode()) + b"\n")
        self.process.stdin.flush()

    def ask(self, domain, verb="road"):
        """Begins; the number to wait() for."""
        self.say(verb.encode() + b" " + (domain if isinstance(domain, bytes) else domain.encode()))
        self.asked += 1
        return self.asked

    def wait(self, number):
        return until(lambda: self.answers.get(number), f"an answer to question {number}\n{self.log_text()}")

    def road(self, domain, verb="road"):
        return self.wait(self.ask(domain, verb))

    def hops(self, domain):
        return self.road(domain)["hops"]

    def log_text(self):
        return (self.directory / "log").read_text(errors="replace")

    def drain(self):
        self.say("drain")
        return until(lambda: "ended" in self.events and [self.events["ended"]], "the role to end")[0]

    def clean_up(self):
        if "ended" not in self.events:
            self.drain()
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.log.close()
        log = self.log_text()
        shutil.rmtree(self.directory, ignore_errors=True)
        return log


@pytest.fixture
def resolve():
    made = []

    def make(server, more="", **options):
        made.append(Resolve(server, more, **options))
        return made[-1]

    yield make
    logs = [role.clean_up() for role in made]
    assert all(role.events["ended"] == 0 for role in made), logs
    assert not any(word in log for log in logs for word in ("Sanitizer", "runtime error", "must(")), logs


def addresses(question, then):
    """The addresses are honest; the MX is what `then` makes of the question."""
    if question.kind == A:
        return nameservers.answer(question, nameservers.a(question.name, "192.0.2.1"))
    return then(question) if question.kind == MX else nameservers.answer(question)


# ── what the records say ──

def test_worked_example(make_knot, resolve):
    """Mail for sh.abc.com, an alias of shmail.abc.com with MX 5 and MX 10."""
    r = resolve(make_knot({"abc.com": ABC}))
    road = r.road("sh.abc.com")
    assert road["hops"] == ["shmail.abc.com 192.0.2.5:25", "shmail2.abc.com 192.0.2.6:25"]
    assert "MX sh.abc.com -> shmail.abc.com: 5 shmail.abc.com, 10 shmail2.abc.com" in road["trace"]
    assert 0 < road["ttl"] <= 300
    assert r.hops("SH.ABC.com") == road["hops"]


def test_chain_of_three(make_knot, resolve):
    r = resolve(make_knot({"abc.com": ABC + "one CNAME two.def.net.\n", "def.net": "two CNAME three\nthree CNAME sh.abc.com.\n"}))
    assert r.hops("one.abc.com") == ["shmail.abc.com 192.0.2.5:25", "shmail2.abc.com 192.0.2.6:25"]


def test_preferences_and_both_families(make_knot, resolve):
    r = resolve(make_knot({"abc.com": "@ MX 20 late\n@ MX 10 early\nlate A 192.0.2.7\nearly A 192.0.2.8\nearly AAAA 2001:db8::8\n"}))
    assert r.hops("abc.com") == ["early.abc.com [2001:db8::8]:25", "early.abc.com 192.0.2.8:25", "late.abc.com 192.0.2.7:25"]


def test_equal_ones_are_shuffled(make_knot, resolve):
    r = resolve(make_knot({"abc.com": "".join(f"@ MX 10 m{i}\nm{i} A 192.0.2.{i}\n" for i in range(1, 5))}))
    roads = [r.hops("abc.com") for _ in range(40)]
    assert {tuple(sorted(hops)) for hops in roads} == {tuple(f"m{i}.abc.com 192.0.2.{i}:25" for i in range(1, 5))}
    assert len({hops[0] for hops in roads}) > 1


def test_no_mx_is_the_host_itself(make_knot, resolve):
    r = resolve(make_knot({"abc.com": "@ A 192.0.2.9\nalias CNAME abc.com.\nnothing TXT x\n"}))
    assert r.hops("abc.com") == ["abc.com 192.0.2.9:25"]
    assert r.hops("alias.abc.com") == ["abc.com 192.0.2.9:25"]
    assert r.road("nothing.abc.com")["code"].startswith("550 5.")


def test_permanent_and_temporary(make_knot, resolve):
    r = resolve(make_knot({"abc.com": "null MX 0 .\nlost MX 5 nowhere\nliteral MX 5 192.0.2.1."}, broken=("broken.net",)))
    assert r.road("null.abc.com")["code"] == "556 5.1.10"
    assert r.road("nothing.abc.com")["code"] == "550 5.1.2"
    assert r.road("nothing.test")["code"] == "550 5.1.2"  # the DNS says it: names under test. are asked for
    assert r.road("lost.abc.com")["code"].startswith("550 5.")
    assert r.road("literal.abc.com")["code"].startswith("550 5.")
    assert r.road("broken.net")["code"] == "451 4.4.3"


def test_one_host_of_a_route(make_knot, resolve):
    """A `via` of the file: the MX of the name do not count, and it may be private."""
    r = resolve(make_knot({"abc.com": "relay MX 5 other\nrelay A 10.1.2.3\nother A 192.0.2.1"}))
    assert r.road("relay.abc.com", "host")["hops"] == ["relay.abc.com 10.1.2.3:25"]
    assert r.road("none.abc.com", "host")["code"].startswith("451 4.")


def test_literals(make_knot, resolve):
    r = resolve(make_knot({}))
    assert [hop.split()[1] for hop in r.hops("[192.0.2.17]")] == ["192.0.2.17:25"]
    assert [hop.split()[1] for hop in r.hops("[IPv6:2001:db8::17]")] == ["[2001:db8::17]:25"]
    assert r.road("[127.0.0.1]")["hops"] == []
    assert r.road("[192.0.2]")["code"].startswith("550 5.1.")


def test_other_alphabets(make_knot, resolve):
    r = resolve(make_knot({"xn--fiqs8s.test": "@ MX 5 mail\nmail A 192.0.2.3", "xn--strae-oqa.test": "@ A 192.0.2.4"}))
    assert r.hops("中国.test") == r.hops("xn--fiqs8s.test") == ["mail.xn--fiqs8s.test 192.0.2.3:25"]
    assert r.hops("straße.test") == r.hops("STRASSE.test".replace("SS", "ß")) == ["xn--strae-oqa.test 192.0.2.4:25"]


@pytest.mark.parametrize("domain", ["a\0b.test", "中\0国.test", "\u2028.test", "a" * 64 + ".test", "ä" * 64 + ".test", "a." * 130 + "test", "-", "..", b"\xff.test"])
def test_names_that_no_domain_has(make_knot, resolve, domain):
    assert resolve(make_knot({})).road(domain)["code"] == "550 5.1.2"


def test_not_to_ourselves_and_not_to_closed_networks(make_knot, resolve):
    knot = make_knot({"abc.com": """\
@ MX 5 door
@ MX 10 after
before MX 5 other
before MX 10 door
home MX 5 local
lan  MX 5 private
door A 192.0.2.99
after A 192.0.2.1
other A 192.0.2.2
local A 127.0.0.1
private A 10.0.0.1
"""})
    r = resolve(knot)
    assert r.road("abc.com")["code"].endswith("5.4.6")
    assert r.hops("before.abc.com") == ["other.abc.com 192.0.2.2:25"]
    for domain in ("home.abc.com", "lan.abc.com"):
        assert r.road(domain)["code"].startswith("550 5.")
    r.reload(knot, 'allow = {"10.0.0.0/8"}', door="*:25")
    assert r.hops("lan.abc.com") == ["private.abc.com 10.0.0.1:25"]
    assert r.road("home.abc.com")["code"].endswith("5.4.6")  # all addresses of the machine are ours now


# ── time and failure ──

@pytest.mark.slow
def test_silent_server_is_temporary_and_stale_is_better_than_nothing(make_knot, resolve):
    knot = make_knot({"abc.com": ABC}, ttl=2)
    r = resolve(knot)
    fresh = r.hops("sh.abc.com")
    knot.stop()
    # Stale answers carry a time to live of their own, which no record here has.
    stale = until(lambda: [a for a in [r.road("sh.abc.com")] if "(ttl 30)" in a["trace"]], "the answer to become stale")[0]
    assert stale["hops"] == fresh
    assert r.road("unknown.abc.com")["code"] == "451 4.4.3"
    knot.write("abc.com", ABC.replace("192.0.2.5", "192.0.2.55"))
    knot.start()
    until(lambda: "shmail.abc.com 192.0.2.55:25" in r.hops("sh.abc.com"), "the new address to be found")


def test_ttl_is_kept(make_liar, resolve):
    """Within its time to live an answer is not asked for again."""
    server = make_liar(lambda q, tcp: addresses(q, lambda q: nameservers.answer(q, nameservers.mx(q.name, 5, "m.abc.com"))))
    r = resolve(server)
    for _ in range(3):
        assert r.hops("abc.com") == ["m.abc.com 192.0.2.1:25"]
    assert server.seen.count(("abc.com", MX)) == 1


def test_reload_asks_the_other_server(make_knot, resolve):
    one, two = make_knot({"abc.com": "@ A 192.0.2.1"}), make_knot({"abc.com": "@ A 192.0.2.2"})
    r = resolve(one)
    assert r.hops("abc.com") == ["abc.com 192.0.2.1:25"]
    r.reload(two)
    assert r.hops("abc.com") == ["abc.com 192.0.2.2:25"]


def test_reload_asks_again_what_was_under_way(make_knot, make_liar, resolve):
    silent = make_liar(lambda q, tcp: None)
    r = resolve(silent)
    numbers = [r.ask(f"d{i}.abc.com") for i in range(50)]
    until(lambda: len({name for name, _ in silent.seen}) > 10, "the questions to be under way")
    r.reload(make_knot({"abc.com": "* A 192.0.2.1"}))
    assert [r.wait(n)["hops"] for n in numbers] == [[f"d{i}.abc.com 192.0.2.1:25"] for i in range(50)]


def test_more_than_may_be_under_way(make_knot, resolve):
    r = resolve(make_knot({"abc.com": "* A 192.0.2.1"}))
    numbers = [r.ask(f"d{i}.abc.com") for i in range(3000)]
    assert all(r.wait(n)["hops"] == [f"d{i}.abc.com 192.0.2.1:25"] for i, n in enumerate(numbers))


def test_a_new_queue_hears_no_old_answers(make_liar, make_knot, resolve):
    held = threading.Event()
    r = resolve(make_liar(lambda q, tcp: held.wait(PATIENCE) and nameservers.answer(q, rcode=nameservers.NXDOMAIN)))
    old = r.ask("abc.com")
    r.say("queue")
    new = r.ask("def.com")
    held.set()
    assert r.wait(new)["code"] == "550 5.1.2"
    assert old not in r.answers


def test_drain_with_questions_under_way(make_liar, resolve):
    silent = make_liar(lambda q, tcp: None)
    r = resolve(silent)
    for i in range(20):
        r.ask(f"d{i}.abc.com")
    until(lambda: silent.seen, "the questions to be under way")
    assert r.drain() == 0


def test_switched_off(make_knot, resolve):
    r = resolve(make_knot({"abc.com": "@ A 192.0.2.1"}), "off = true")
    assert r.road("abc.com")["code"].startswith("550 5.")
    assert r.road("abc.com", "host")["hops"] == ["abc.com 192.0.2.1:25"]


def test_a_bad_trust_anchor_keeps_mail_waiting(make_knot, resolve):
    knot = make_knot({"abc.com": "@ A 192.0.2.1"})
    r = resolve(knot, 'trust-anchor = "/nowhere/root.key"')
    road = r.road("abc.com")
    assert road["code"].startswith("451 4.") and "trust-anchor" in road["why"]
    assert "no-resolver" in r.log_text()
    r = resolve(knot)  # another file for the anchor begins the role anew: it may open no other
    assert r.hops("abc.com") == ["abc.com 192.0.2.1:25"]


# ── signatures ──

def test_signed(make_knot, make_liar, resolve):
    knot = make_knot({"secure.test": "@ MX 5 mail\nmail A 192.0.2.1", "abc.com": "@ A 192.0.2.2"}, signed=("secure.test",))
    anchor = f'trust-anchor = "{knot.trust_anchor("secure.test")}"'
    r = resolve(knot, anchor)
    road = r.road("secure.test")
    assert road["hops"] == ["mail.secure.test 192.0.2.1:25"] and road["secure"]
    assert r.hops("abc.com") and not r.road("abc.com")["secure"]
    forged = resolve(make_liar(lambda q, tcp: pass_on(knot.port, q.packet).replace(b"\xc0\x00\x02\x01", b"\xc6\x33\x64\x01")), anchor)
    road = forged.road("secure.test")
    assert (road["hops"], road["code"]) == ([], "451 4.4.3")
    assert "wrong DNSSEC signature" in road["trace"]


def pass_on(port, packet):
    """The real server's answer, whole: over TCP."""
    with nameservers.socket.create_connection(("127.0.0.1", port), PATIENCE) as s:
        s.sendall(struct.pack("!H", len(packet)) + packet)
        stream = s.makefile("rb")
        return stream.read(struct.unpack("!H", stream.read(2))[0])


# ── answers that lie ──

LIES = {
    "a loop of aliases": lambda q: nameservers.answer(q, nameservers.cname("abc.com", "b.com"), nameservers.cname("b.com", "abc.com")),
    "an alias of itself": lambda q: nameservers.answer(q, nameservers.cname(q.name, q.name)),
    "aliases without end": lambda q: nameservers.answer(q, nameservers.cname(q.name, "x" + q.name)),
    "a server that fails": lambda q: nameservers.answer(q, rcode=nameservers.SERVFAIL),
    "a server that refuses": lambda q: nameservers.answer(q, rcode=nameservers.REFUSED),
    "an unknown code": lambda q: nameservers.answer(q, rcode=13),
    "cut, and cut again over TCP": lambda q: nameservers.answer(q, flags=nameservers.TRUNCATED),
    "noise": lambda q: q.packet[:2] + b"\x80\x00" + bytes(range(256)),
    "two octets": lambda q: q.packet[:2],
    "the question": lambda q: q.packet,
    "more records promised than there are": lambda q: q.packet[:2] + struct.pack("!5H", 0x8180, 1, 65535, 65535, 65535) + q.section,
    "a name that points at itself": lambda q: nameservers.answer(q, b"\xc0\x0c" + struct.pack("!2HIH", MX, 1, 300, 4) + b"\0\5"
                                                         + struct.pack("!H", 0xc000 | (len(q.section) + 12 + 14))),
    "an answer to another question": lambda q: nameservers.answer(nameservers.Question(nameservers.query("other.com", MX, struct.unpack("!H", q.packet[:2])[0])),
                                                          nameservers.mx("other.com", 5, "m.other.com")),
    "silence": lambda q: None,
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_are_temporary(make_liar, resolve, lie):
    road = resolve(make_liar(lambda q, tcp: addresses(q, LIES[lie]))).road("abc.com")
    assert (road["hops"], road["code"]) == ([], "451 4.4.3"), road


def test_lies_about_addresses_only(make_liar, resolve):
    """The MX is honest; of its hosts one has silent servers: the other is gone to."""
    def tell(q, tcp):
        if q.kind == MX:
            return nameservers.answer(q, nameservers.mx(q.name, 5, "dead.abc.com"), nameservers.mx(q.name, 10, "live.abc.com"))
        if q.name == "dead.abc.com":
            return None
        return nameservers.answer(q, nameservers.a(q.name, "192.0.2.1")) if q.kind == A else nameservers.answer(q)
    assert resolve(make_liar(tell)).hops("abc.com") == ["live.abc.com 192.0.2.1:25"]


def test_cut_and_whole_over_tcp(make_liar, resolve):
    r = resolve(make_liar(lambda q, tcp: addresses(
        q, lambda q: nameservers.answer(q, nameservers.mx(q.name, 5, "m.abc.com")) if tcp else nameservers.answer(q, flags=nameservers.TRUNCATED))))
    assert r.hops("abc.com") == ["m.abc.com 192.0.2.1:25"]


def test_64_kib_of_records(make_liar, resolve):
    """Very many hosts: there is a road, and it is no longer than any may be."""
    def tell(q, tcp):
        if not tcp:
            return nameservers.answer(q, flags=nameservers.TRUNCATED)
        return nameservers.answer(q, *(nameservers.mx(q.name, i, f"m{i}.abc.com") for i in range(1500)))
    hops = resolve(make_liar(lambda q, tcp: addresses(q, lambda q: tell(q, tcp)))).hops("abc.com")
    assert 0 < len(hops) <= 40 and all(hop.endswith(".abc.com 192.0.2.1:25") for hop in hops)


def test_names_with_octets_that_no_host_has(make_liar, resolve):
    """NUL, a dot inside a label, a blank: such a record does not count, its neighbour does."""
    bad = [[b"a\0b", b"com"], [b"evil.com\r\nQUIT", b"com"], [b"a b", b"com"]]
    r = resolve(make_liar(lambda q, tcp: addresses(q, lambda q: nameservers.answer(
        q, *(nameservers.mx(q.name, i, name) for i, name in enumerate(bad)), nameservers.mx(q.name, 50, "good.com")))))
    road = r.road("abc.com")
    assert road["hops"] == ["good.com 192.0.2.1:25"]
    assert "QUIT" not in road["trace"]
