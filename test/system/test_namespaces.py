# SPDX-License-Identifier: Apache-2.0
"""Hosts with networks of their own: store and forward A → B → C on port 25 as the DNS says, one of them cut off and coming back."""
import itertools
import os
import shutil
import subprocess

import pytest

from nameservers import Knot
from station import until

ROOM = itertools.count(1)
ADDRESS = {"a": "10.99.0.1", "b": "10.99.0.2", "c": "10.99.0.3", "dns": "10.99.0.53"}
MAILS = 20
pytestmark = pytest.mark.slow


def ip(*arguments, check=True):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr}")


class Network:
    """A bridge and one network namespace a host: no address of it exists outside."""

    def __init__(self, hosts):
        if os.geteuid() != 0 or not shutil.which("ip"):
            pytest.skip("needs root and iproute2")
        self.tag = f"ph{os.getpid()}x{next(ROOM)}"
        self.hosts = hosts

    def name(self, host):
        return f"{self.tag}-{host}"

    def __enter__(self):
        try:
            ip("netns", "add", self.name("hub"))
        except RuntimeError as e:
            pytest.skip(f"no network namespaces here: {e}")
        try:
            self.build()
        except RuntimeError as e:
            self.__exit__()
            pytest.skip(f"no bridge or veth here: {e}")
        return self

    def build(self):
        self.in_hub("link", "add", "bridge", "type", "bridge")
        self.in_hub("link", "set", "bridge", "up")
        for host in self.hosts:
            name = self.name(host)
            ip("netns", "add", name)
            self.in_hub("link", "add", f"to-{host}", "type", "veth", "peer", "name", "wire", "netns", name)
            self.in_hub("link", "set", f"to-{host}", "master", "bridge", "up")
            ip("-n", name, "address", "add", ADDRESS[host] + "/24", "dev", "wire")
            ip("-n", name, "link", "set", "wire", "up")
            ip("-n", name, "link", "set", "lo", "up")

    def in_hub(self, *arguments):
        ip("-n", self.name("hub"), *arguments)

    def cut(self, host):
        self.in_hub("link", "set", f"to-{host}", "down")

    def mend(self, host):
        self.in_hub("link", "set", f"to-{host}", "up")

    def forbid(self, host, other):
        """`host` cannot reach `other`: there is no road for it."""
        ip("-n", self.name(host), "route", "add", "prohibit", ADDRESS[other] + "/32")

    def __exit__(self, *_):
        for host in [*self.hosts, "hub"]:
            ip("netns", "delete", self.name(host), check=False)


ZONE = """\
@ MX 5 c
@ MX 10 b
b A 10.99.0.2
c A 10.99.0.3
"""


def test_store_and_forward(make_station):
    """A cannot reach C, the DNS names B as second: B keeps C's mail while C is cut off, and hands it on when C is back."""
    with Network(["a", "b", "c", "dns"]) as net, Knot({"c.test": ZONE}, address=ADDRESS["dns"], port=53, namespace=net.name("dns")):
        def host(letter, local):
            return make_station(namespace=net.name(letter), address=ADDRESS[letter], ports=(25, 587, 465), local=local,
                                hostname=f"{letter}.c.test", top='trusted = {"10.99.0.0/24"}',
                                resolver=f'forward = "{ADDRESS["dns"]}" allow = "10.99.0.0/24"',
                                queue='retry-first = "200ms" retry-most = "1s"')
        a, b, c = host("a", "a.test"), host("b", "b.test"), host("c", "c.test")
        c.add_user("carol", "builder", domain="c.test")
        net.forbid("a", "c")
        net.cut("c")
        for i in range(MAILS):
            a.run("send", "carol@c.test", "--from", "alice@a.test", "-s", f"number {i}", "-m", "text")
        until(lambda: not a.queue(), "A to hand all its mail to B")
        waiting = [e for e in b.queue() if e["to"] == "carol@c.test"]
        assert len(waiting) == MAILS
        assert c.mailbox("carol", "c.test") == []
        net.mend("c")
        mails = c.wait_mails("carol", MAILS, domain="c.test")
        assert sorted(int(m.split(b"Subject: number ")[1].split(b"\n")[0]) for m in mails) == list(range(MAILS))
        for mail in mails:
            head = mail.split(b"\n\n")[0]
            assert head.index(b"by c.c.test") < head.index(b"by b.c.test") < head.index(b"by a.c.test"), "the way it came"
        until(lambda: not b.queue(), "B to be done")
