# SPDX-License-Identifier: Apache-2.0
"""The commands as a person and a script use them: --help with an example, --json, exit codes of sysexits(3), one-line errors."""
import json
import re
import subprocess

import pytest

from peers import Sink
from station import POSTHOUSE, free_ports, until
from talk import body

COMMANDS = ["serve", "check", "send", "user", "alias", "queue", "why", "explain", "top"]


def run(*arguments, text=""):
    return subprocess.run([POSTHOUSE, *arguments], input=text, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    done = run(command, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert f"posthouse {command}" in done.stdout and "xample" in done.stdout


def test_the_list_of_commands():
    done = run("--help")
    assert run("-h").stdout == run("help").stdout == done.stdout
    assert run("help", "send").stdout == run("send", "--help").stdout
    assert done.returncode == 0
    for command in COMMANDS:
        assert command in done.stdout
    columns = {re.match(r"  [\w-]+ +", line).end() for line in done.stdout.splitlines() if line.startswith("  ")}
    assert len(columns) == 1, "the explanations do not stand below each other"
    for arguments in [], ["no-such-command"], ["queue", "no-such-thing"], ["send", "--no-such-option"]:
        done = run(*arguments)
        assert done.returncode == 64 and done.stderr.strip()


def test_send_by_the_stations_own_socket(station):
    """No port, no password: the socket knows who is calling."""
    done = station.run("send", "bob@example.org", "alice@example.org", "-s", "Grüße", text="Lieber Bob,\nalles gut?\n")
    assert "bob@example.org" in done.stdout and "250" in done.stdout
    mail, = station.wait_mails("bob", 1)
    assert b"\r\nSubject: =?" in mail and b"alles gut?" in body(mail)
    station.wait_mails("alice", 1)


def test_send_tells_what_became_of_each(station):
    done = station.run("send", "bob@example.org", "nobody@example.org", "--json", text="x\n", check=False)
    assert done.returncode != 0
    said = json.loads(done.stdout)
    assert "nobody@example.org" in json.dumps(said) and "550" in json.dumps(said)
    station.wait_mails("bob", 1)


def test_send_by_a_login(station):
    via = f"smtp://alice@example.org@127.0.0.1:{station.submission_port}"
    arguments = ["send", "bob@example.org", "--from", "alice@example.org", "--via", via, "-m", "the text", "-v", "--password-stdin"]
    done = station.run(*arguments, text="wonderland\n")
    shown = done.stdout + done.stderr
    assert "C: MAIL FROM:<alice@example.org>" in shown and "S: 250" in shown
    assert "wonderland" not in shown and "d29uZGVybGFuZA" not in shown
    station.wait_mails("bob", 1)
    assert station.run(*arguments, text="guess\n", check=False).returncode == 77


def test_send_a_finished_message(station, tmp_path):
    raw = tmp_path / "message"
    raw.write_bytes(b"From: a@src.test\r\nSubject: finished\r\n\r\n.dot\r\n")
    station.run("send", "bob@example.org", "--raw", raw)
    assert station.wait_mails("bob", 1)[0].endswith(b"From: a@src.test\r\nSubject: finished\r\n\r\n.dot\r\n")


def test_send_where_nobody_listens():
    done = run("send", "bob@example.org", "--via", f"smtp://127.0.0.1:{free_ports(1)[0]}", text="x\n")
    assert done.returncode in (69, 75) and len(done.stdout.splitlines()) == 1
    assert done.stderr == "not kept in your outbox: the outbox knows the station and profiles, and no --via\n"


def two_deferred(station):
    items = [item for item in station.queue() if item["state"] == "deferred"]
    return items if len(items) == 2 else None


def test_queue(make_station):
    """A mail that waits: in the list with whom and why, by its id with every recipient; both for scripts too."""
    port = free_ports(1)[0]
    station = make_station(routes=f'route "*" {{ via = "smtp://127.0.0.1:{port}" }}', queue='retry-first = "300ms" retry-most = "1s"')
    station.add_user("alice", "wonderland")
    assert station.queue() == [] and station.run("queue", "list").returncode == 0
    station.logged_in().mail("alice@example.org", ["b@dst.test", "c@dst.test"], b"Subject: s\r\n\r\nb\r\n")
    mail, other = until(lambda: two_deferred(station), "both recipients in the list, after a try")
    assert {mail["to"], other["to"]} == {"b@dst.test", "c@dst.test"}
    assert mail["id"] == other["id"] and mail["from"] == "alice@example.org" and mail["size"] > 20 and mail["tries"] >= 1
    listed = until(lambda: "deferred" in (said := station.run("queue", "list").stdout) and said, "the list to be asked for between two tries")
    for word in mail["id"][:12], "b@dst.test", "c@dst.test", "deferred", "1 mail, 2 recipients":
        assert word in listed
    shown = station.run("queue", "show", mail["id"]).stdout
    for word in "alice@example.org", "b@dst.test", "c@dst.test", "refused":
        assert word in shown.lower()
    as_json = station.run("queue", "show", mail["id"], "--json").stdout
    assert "b@dst.test" in as_json and all(json.loads(line) for line in as_json.splitlines() if line)
    missing = station.run("queue", "show", "0" * 32, check=False)
    assert missing.returncode != 0 and missing.stderr.strip()
    with Sink(port):
        station.wait_drained()


def test_queue_of_a_station_that_is_down(make_station):
    station = make_station(start=False)
    done = station.run("queue", "list", check=False)
    assert done.returncode == 69 and len(done.stderr.strip().splitlines()) == 1


def test_user(station):
    assert {"alice@example.org", "bob@example.org"} <= set(station.run("user", "list").stdout.split())
    listed = station.run("user", "list", "--json").stdout
    assert "alice@example.org" in listed and "$y$" not in listed
    for arguments, text, code, words in [
            (["user", "add", "alice@example.org", "--password-stdin"], "x\n", None, "alice@example.org"),
            (["user", "add", "carol@elsewhere.example", "--password-stdin"], "x\n", None, "example.org"),
            (["user", "add", "a/b@example.org", "--password-stdin"], "x\n", None, "a/b"),
            (["user", "remove", "nobody@example.org"], "", None, "nobody@example.org"),
            (["user", "add"], "", 64, "")]:
        done = station.run(*arguments, text=text, check=False)
        assert done.returncode == (code or done.returncode) != 0, arguments
        assert words in done.stderr and "Traceback" not in done.stderr


def test_accounts_without_a_running_station(make_station):
    station = make_station()
    station.stop()
    station.add_user("carol", "secret")
    station.run("alias", "add", "club@example.org", "carol@example.org")
    station.start()
    station.logged_in("carol", "secret").mail("carol@example.org", "club@example.org", b"Subject: s\r\n\r\nb\r\n")
    station.wait_mails("carol", 1)
