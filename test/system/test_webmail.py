# SPDX-License-Identifier: Apache-2.0
"""docs/webmail.md: its files are good, its commands answer, its proxy lets the page and JMAP through. (Its Dovecot: test_dovecot_reading.py.)"""
import contextlib
import http.client
import json
import pathlib
import re
import shutil
import ssl
import subprocess
import xml.etree.ElementTree

import pytest

from certificates import Authority
from jmap import MAIL, OURS, Jmap
from station import PATIENCE, POSTHOUSE, Station, free_ports, until
from test_filter_peers import answers

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs/webmail.md").read_text()
BLOCKS = re.findall(r"^```posthouse\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PROXY = "127.0.0.9"  # the page's, which the file names
COMMANDS = re.findall(r"^    (curl .*(?:\n        .*)*)", PAGE, re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split()[0] for block in BLOCKS])
def test_a_block_of_the_page(tmp_path, block):
    file = tmp_path / "posthouse.conf"
    house = "" if "hostname" in block else 'hostname = "mail.example.org"\nlisten smtp { on = "*:2525" }\ndomain "example.org" {}\n'
    file.write_text(f'state = "{tmp_path}/state"\nspool = "{tmp_path}/spool"\n{house}{block}')
    done = subprocess.run([POSTHOUSE, "check", "--config", file], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "good" in done.stdout, done.stdout + done.stderr


@pytest.fixture(scope="module")
def leaf(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority")).issue("localhost", "mail.example.org")


@pytest.fixture(scope="module")
def station(leaf):
    s = Station(web=f'proxy = {{"{PROXY}/32"}}', tls=f'certificate = "{leaf.chain}" key = "{leaf.key}"', filters=next(block for block in BLOCKS if block.startswith("web ")))
    try:
        s.add_user("alice", "wonderland")
        s.start()
        until(lambda: answers(s.web_port), "the door for browsers")
        yield s
        s.end()
        assert not s.complaints()
    finally:
        s.clean_up()


@pytest.fixture(scope="module")
def context(leaf):
    return ssl.create_default_context(cafile=leaf.chain)


def test_jmap_over_tls(station, context):
    """With an app password; every URL that a program is told leads back here."""
    url = f"https://localhost:{station.web_port}"
    password = station.run("app-password", "add", "alice@example.org", "phone").stdout.strip()
    phone = Jmap(url, "alice@example.org", password, context)
    session = phone.session()
    assert all(session[name].startswith(url + "/jmap/") for name in ("apiUrl", "downloadUrl", "uploadUrl", "eventSourceUrl"))
    assert session["username"] == "alice@example.org" and {MAIL, OURS} <= set(session["capabilities"])
    assert phone.mailbox("inbox") and phone.call("Contact/suggest", text="li", limit=8)["list"] == []


def test_limits_are_those_of_the_page(station, context):
    core = Jmap(f"https://localhost:{station.web_port}", "alice@example.org", "wonderland", context).session()["capabilities"]["urn:ietf:params:jmap:core"]
    assert "10 MB, 64 calls, 1,000 objects in a get or set; 16 at once" in PAGE
    assert (core["maxCallsInRequest"], core["maxObjectsInGet"], core["maxObjectsInSet"], core["maxConcurrentRequests"]) == (64, 1000, 1000, 16)
    assert core["maxSizeRequest"] == 10 * 1000 * 1000 and core["maxSizeUpload"] == 50 * 1000 * 1000


@pytest.mark.parametrize("command", COMMANDS, ids=["session", "query"])
def test_the_commands_of_the_page(station, leaf, command):
    command = command.replace("https://mail.example.org", f"https://localhost:{station.web_port}").replace("-u alice@example.org", "-u alice@example.org:wonderland")
    done = subprocess.run(["bash", "-c", command.replace("curl", f"curl -sSf --noproxy '*' --cacert {leaf.chain}", 1)], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert "apiUrl" in answer or answer["methodResponses"][0][0] == "Email/query", answer


def test_thunderbird_is_told_the_doors_and_imap(station, context):
    connection = http.client.HTTPSConnection("localhost", station.web_port, timeout=PATIENCE, context=context)
    connection.request("GET", "/mail/config-v1.1.xml?emailaddress=alice%40example.org")
    provider = xml.etree.ElementTree.fromstring(connection.getresponse().read()).find("emailProvider")
    connection.close()
    imap = provider.find("incomingServer")
    assert (imap.get("type"), imap.findtext("hostname"), imap.findtext("port"), imap.findtext("socketType")) == ("imap", "mail.example.org", "993", "SSL")
    assert [int(s.findtext("port")) for s in provider.findall("outgoingServer")] == [station.submissions_port, station.submission_port]


@pytest.fixture
def proxy(station, leaf, tmp_path):
    """The page's HAProxy in front of the station: its port."""
    if not shutil.which("haproxy"):
        pytest.skip("no haproxy: package haproxy")
    text, = re.findall(r"^```haproxy\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    port, = free_ports(1)
    for old, new in ((":443", f"127.0.0.1:{port}"), ("127.0.0.1:8443", f"127.0.0.1:{station.web_port}"), ("/etc/haproxy/mail.pem", leaf.both),
                     ("send-proxy-v2", f"send-proxy-v2 source {PROXY}")):
        assert old in text
        text = text.replace(old, str(new), 1)
    file = tmp_path / "haproxy.cfg"
    file.write_text(text)
    process = subprocess.Popen(["haproxy", "-db", "-f", file], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(port) or process.poll() is not None, "HAProxy to listen")
        assert process.poll() is None
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)


def test_behind_a_proxy(station, proxy, context):
    """The page signs in as from its own origin; a program's URLs and news come through."""
    url = f"https://localhost:{proxy}"
    connection = http.client.HTTPSConnection("localhost", proxy, timeout=PATIENCE, context=context)
    connection.request("POST", "/session", json.dumps({"login": "alice@example.org", "password": "wonderland"}),
                       {"Content-Type": "application/json", "X-Posthouse": "1", "Origin": url, "Sec-Fetch-Site": "same-origin"})
    answer = connection.getresponse()
    assert answer.status == 200 and "Secure" in answer.headers["Set-Cookie"], answer.read()
    connection.close()
    program = Jmap(url, "alice@example.org", "wonderland", context)
    assert program.session()["apiUrl"] == url + "/jmap/api"
    with program.events() as news:
        before = len(news)
        program.set(create={"k": {"mailboxIds": {program.mailbox("drafts"): True}, "subject": "news"}})
        until(lambda: len(news) > before, "news through the proxy")


def test_behind_a_proxy_each_client_has_limits_of_its_own(station, proxy, context):
    def sign_in(client, password):
        connection = http.client.HTTPSConnection("localhost", proxy, timeout=PATIENCE, context=context, source_address=(client, 0))
        with contextlib.closing(connection):
            connection.request("POST", "/session", json.dumps({"login": "alice@example.org", "password": password}),
                               {"Content-Type": "application/json", "X-Posthouse": "1"})
            return connection.getresponse().status
    assert [sign_in("127.0.0.7", "wrong") for _ in range(6)] == [401] * 5 + [429]
    assert sign_in("127.0.0.7", "wonderland") == 429
    assert sign_in("127.0.0.8", "wonderland") == 200, "somebody else has guessed, and nobody behind the proxy may sign in"
    until(lambda: "login-refused client=127.0.0.7" in station.log_text(), "the log to name who guessed")
