# SPDX-License-Identifier: Apache-2.0
"""The operator's hand: what waits is seen, held, hurried, sent back, dropped and brought back; and every mail can be explained."""
import json
import os
import pty
import select
import signal
import subprocess

import pytest

from peers import Scripted, Sink
from station import POSTHOUSE, TRUSTED, free_ports, until

MESSAGE = b"Subject: s\r\n\r\nbody\r\n"
SLOW = 'retry-first = "1h" retry-most = "1h"'  # what is deferred stays so, unless somebody acts
QUICK = 'retry-first = "200ms" retry-most = "1s"'


def house_for(make_station, port, queue=SLOW, **sections):
    station = make_station(routes=f'route "*" {{ via = "smtp://127.0.0.1:{port}" }}', queue=queue, **sections)
    station.add_user("alice", "wonderland")
    return station


def deferred(station, n):
    return until(lambda: (items := station.queue()) and len(items) == n and all(i["tries"] for i in items) and items,
                 f"{n} recipients that were tried")


def objects(text):
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def listed(station, *words):
    return objects(station.run("queue", *words, "list", "--json").stdout)


def deed(station, *words):
    done, = objects(station.run("queue", *words, "--yes", "--json").stdout)[-1:]
    return done


@pytest.fixture
def busy(make_station):
    """Three mails of two senders that a host put off, in different words."""
    words = {"a@one.test": "450 4.2.1 mailbox is busy", "b@two.test": "451 4.7.1 Greylisted, come back", "c@two.test": "451 4.7.1 Greylisted, come back"}
    with Sink(answer=lambda recipient: words.get(recipient)) as sink:
        station = house_for(make_station, sink.port)
        talk = station.hello(source=TRUSTED)
        talk.mail("x@src.test", "a@one.test", MESSAGE)
        talk.mail("y@src.test", ["b@two.test"], MESSAGE)
        talk.mail("y@src.test", ["c@two.test"], b"Subject: large\r\n\r\n" + b"x" * 70 + b"\r\n" * 1000)
        deferred(station, 3)
        station.words, station.sink = words, sink
        yield station


@pytest.mark.parametrize("words, found", [
    (["to:a@one.test"], "a"), (["to:*@two.test"], "bc"), (["from:y@"], "bc"), (["domain:two.test"], "bc"), (["domain:*.test", "!to:b@"], "ac"),
    (["err:~greylisted"], "bc"), (["err:4.7.1"], "bc"), (["err:450"], "a"), (["size>1K"], "c"), (["tries>3"], ""), (["age<1h"], "abc"), (["age>1h"], ""),
    (["state:deferred", "err:4.7", "size<1K"], "b"), (["hold:yes"], ""), (["dest:127.0.0.1"], "abc"), (["dest:two.test"], "bc"), ([], "abc"), (["err:~\"come back\""], "bc")], ids=str)
def test_the_filter(busy, words, found):
    assert "".join(sorted(item["to"][0] for item in listed(busy, *words))) == found


def test_the_filter_does_not_guess(busy):
    for words, says in (["form:x"], "from:"), (["stat:held"], "state:"), (["age>2"], "age>2h"), (["x@y"], "to:"), (["to:" + "x" * 1100], "1024"):
        done = busy.run("queue", *words, "drop", "--yes", check=False)
        assert done.returncode == 64 and says in done.stderr and len(done.stderr.splitlines()) == 1
    for words, says in (["to:a@", "hodl"], "`hold`"), (["drpo"], "`drop`"), (["show"], "first digits of an id"), (["suspend"], "one domain"):
        done = busy.run("queue", *words, check=False)
        assert done.returncode == 64 and says in done.stderr and len(done.stderr.splitlines()) == 1
    assert len(busy.queue()) == 3


def test_half_a_word_lets_no_deed_loose(busy):
    for half in "--y", "--ye", "--dry":
        done = busy.run("queue", "drop", half, check=False)
        assert done.returncode == 64 and half in done.stderr
    assert len(listed(busy, "state:deferred")) == 3
    assert deed(busy, "to:a@", "--dry-run", "drop")["dry_run"] is True
    assert len(listed(busy, "state:deferred")) == 3


def test_groups(busy):
    groups = {by: {g["name"]: (g["recipients"], g["mails"]) for g in objects(busy.run("queue", "list", "--by", by, "--json").stdout)}
              for by in ("sender", "recipient", "age", "destination")}
    assert groups["sender"] == {"x@src.test": (1, 1), "y@src.test": (2, 2)}
    assert groups["recipient"] == {name: (1, 1) for name in ("a@one.test", "b@two.test", "c@two.test")}
    assert sum(n for n, _ in groups["age"].values()) == 3
    assert sum(n for n, _ in groups["destination"].values()) == 3
    for name, (recipients, _) in groups["destination"].items():
        assert len(listed(busy, f"dest:{name}")) == recipients, name
    shown = busy.run("queue").stdout
    assert "destination" in shown and "3 mails, 3 recipients" in shown
    assert busy.run("queue", "list", "--by", "colour", check=False).returncode == 64


def test_a_deed_is_shown_before_it_is_done(busy):
    dry = busy.run("queue", "domain:two.test", "drop", "--dry-run").stdout
    assert "2 mails, 2 recipients" in dry and "b@two.test" in dry and "c@two.test" in dry and "a@one.test" not in dry
    refused = busy.run("queue", "domain:two.test", "drop", check=False)
    assert refused.returncode == 64 and "--yes" in refused.stderr
    assert len(busy.queue()) == 3


def test_a_deed_asks_on_a_terminal(busy):
    def on_terminal(answer):
        master, terminal = pty.openpty()
        process = subprocess.Popen([POSTHOUSE, "queue", "domain:two.test", "drop", "--config", busy.config], stdin=terminal, stdout=terminal,
                                   stderr=terminal)
        os.close(terminal)
        said = b""
        while select.select([master], [], [], 30)[0]:
            try:
                piece = os.read(master, 4096)
            except OSError:
                break
            said += piece
            if b"(y/N)" in piece:
                os.write(master, answer)
        os.close(master)
        assert process.wait(30) == 0
        return said

    assert b"2 mails, 2 recipients" in on_terminal(b"\n") and len(listed(busy, "state:deferred")) == 3
    said = on_terminal(b"y\n")
    assert b"dropped: 2 mails, 2 recipients" in said and b"undo" in said
    assert len(listed(busy, "state:deferred")) == 1


def test_hold_and_release(busy):
    assert deed(busy, "domain:two.test", "hold")["recipients"] == 2
    assert {i["to"] for i in listed(busy, "hold:yes")} == {"b@two.test", "c@two.test"}
    assert busy.restart() == 0
    assert {i["to"] for i in listed(busy, "hold:yes")} == {"b@two.test", "c@two.test"}
    busy.words.clear()
    assert deed(busy, "retry")["recipients"] == 1  # not those that are held
    busy.sink.wait_mails(1)
    assert deed(busy, "to:b@", "release")["recipients"] == 1
    assert {r for _, rs, _ in busy.sink.wait_mails(2) for r in rs} == {"a@one.test", "b@two.test"}
    until(lambda: [i["state"] for i in busy.queue()] == ["held"], "only the one that is held to be left")
    deed(busy, "release")
    busy.sink.wait_mails(3)
    busy.wait_drained()


def test_retry_tries_a_host_that_is_down(make_station):
    """At once: who asks knows more than the pause does."""
    port = free_ports(1)[0]
    station = house_for(make_station, port, queue='retry-first = "1h"')
    station.hello(source=TRUSTED).mail("x@src.test", ["a@one.test"], MESSAGE)
    deferred(station, 1)
    station.hello(source=TRUSTED).mail("x@src.test", ["b@one.test"], MESSAGE)
    until(lambda: "cannot be reached" in station.run("why", "b@one.test").stdout, "the second to wait for the first")
    with Sink(port) as sink:
        assert deed(station, "retry")["recipients"] == 2
        sink.wait_mails(2)
        station.wait_drained()


def test_what_is_under_way_is_not_tried_again(make_station):
    """Nor does asking for it undo what was wanted before; and the story tells a deed when it is done."""
    with Scripted("220 mx", "250 mx", "250 ok", "250 ok", "354 go") as host:
        station = house_for(make_station, host.port)
        station.hello(source=TRUSTED).mail("x@src.test", "a@one.test", MESSAGE)
        until(lambda: "DATA" in host.heard, "the attempt to be under way")
        held = deed(station, "hold")
        assert (held["recipients"], held["later"]) == (1, 1)
        assert deed(station, "retry")["recipients"] == 0
        assert "held by" not in station.run("why", "a@one.test").stdout
        station.may_end = "role=send"
        station.kill("send")
        until(lambda: [i["state"] for i in station.queue()] == ["held"], "it to be held when it came back")
        assert "held by" in station.run("why", "a@one.test").stdout


def test_a_mail_under_way_whenever_send_dies(make_station):
    """Once is chance: a little later again, and no try is counted. Twice may be its fault: its pauses grow as those of any other."""
    with Scripted("220 mx", "250 mx", "250 ok", "250 ok", "354 go") as host:
        station = house_for(make_station, host.port)
        station.may_end = "role=send"
        station.hello(source=TRUSTED).mail("x@src.test", "a@one.test", MESSAGE)
        until(lambda: host.heard.count("DATA") == 1, "the attempt to be under way")
        station.kill("send")
        said = until(lambda: "process was restarted" in (why := station.run("why", "a@one.test").stdout) and why, "it to be put off")
        assert "tried again in" in said and "its sender asked" not in said
        until(lambda: host.heard.count("DATA") == 2, "the next attempt to be under way")
        assert [i["tries"] for i in station.queue()] == [0]
        station.kill("send")
        deferred(station, 1)
        assert "(1 so far) from 60 min" in station.run("why", "a@one.test").stdout


def test_drop_can_be_undone(busy):
    dropped = deed(busy, "domain:two.test", "drop")
    assert (dropped["mails"], dropped["recipients"]) == (2, 2)
    assert {i["to"] for i in listed(busy, "state:dropped")} == {"b@two.test", "c@two.test"}
    assert deed(busy, "release")["recipients"] == 0  # that is not what brings them back
    busy.words.clear()
    deed(busy, "undo")
    assert {r for _, rs, _ in busy.sink.wait_mails(2) for r in rs} == {"b@two.test", "c@two.test"}
    until(lambda: len(busy.queue()) == 1, "only the mail that was not dropped to wait")


def test_bounce_tells_the_sender(make_station):
    with Sink(answer=lambda recipient: "450 4.2.1 busy") as sink:
        station = house_for(make_station, sink.port)
        station.logged_in().mail("alice@example.org", ["b@dst.test", "c@dst.test"], MESSAGE)
        deferred(station, 2)
        assert deed(station, "to:b@", "bounce")["recipients"] == 1
        mail, = station.wait_mails("alice", 1)
        assert b"b@dst.test" in mail and b"c@dst.test" not in mail.split(b"rfc822-headers")[0]
        until(lambda: [i["to"] for i in station.queue()] == ["c@dst.test"], "the other one to wait on")


def test_suspend_and_resume(make_station):
    with Sink() as sink:
        station = house_for(make_station, sink.port, queue=QUICK)
        assert "suspended until" in station.run("queue", "suspend", "127.0.0.1", "--until", "2h").stdout
        station.hello(source=TRUSTED).mail("x@src.test", "a@one.test", MESSAGE)
        assert station.restart() == 0
        until(lambda: "suspended" in station.run("why", "a@one.test").stdout, "the mail to wait for the end of it")
        suspended, = objects(station.run("queue", "suspended", "--json").stdout)
        assert suspended["name"] == "127.0.0.1" and sink.mails == []
        station.run("queue", "resume", "127.0.0.1")
        sink.wait_mails(1)
        assert station.run("queue", "suspended").stdout == ""
        assert station.run("queue", "resume", "127.0.0.1", check=False).returncode == 65
        assert station.run("queue", "suspend", "one.test", check=False).returncode == 64


def test_suspend_a_domain(make_station):
    """It waits; another one that goes to the same host does not."""
    with Sink() as sink:
        station = house_for(make_station, sink.port, queue=QUICK)
        station.run("queue", "suspend", "ONE.test", "--until", "2h")
        station.hello(source=TRUSTED).mail("x@src.test", ["a@one.test", "b@two.test"], MESSAGE)
        assert sink.wait_mails(1)[0][1] == ["b@two.test"]
        assert station.restart() == 0
        until(lambda: "one.test is suspended" in station.run("why", "a@one.test").stdout, "the mail to wait for the end of it")
        assert [i["to"] for i in listed(station, "state:waiting")] == ["a@one.test"]
        station.run("queue", "resume", "one.test")
        assert sink.wait_mails(2)[1][1] == ["a@one.test"]
        station.wait_drained()


def test_suspend_what_waits_in_line(make_station):
    port = free_ports(1)[0]
    station = house_for(make_station, port, queue=QUICK)
    station.hello(source=TRUSTED).mail("x@src.test", [f"r{i}@one.test" for i in range(300)], MESSAGE)
    until(lambda: [i for i in station.queue() if i["tries"]], "a first try that failed")
    station.run("queue", "suspend", "one.test", "--until", "2h")
    until(lambda: all(i["next"] for i in station.queue()), "all of them to wait for the end of it")
    with Sink(port) as sink:
        station.run("queue", "resume", "one.test")
        until(lambda: sum(len(r) for _, r, _ in sink.mails) == 300, "all to set out")
        station.wait_drained()


@pytest.mark.parametrize("name", ["127.0.0.1", "one.test"])
def test_a_suspension_ends_by_itself(make_station, name):
    with Sink() as sink:
        station = house_for(make_station, sink.port, queue=QUICK)
        station.run("queue", "suspend", name, "--until", "2s")
        station.hello(source=TRUSTED).mail("x@src.test", "a@one.test", MESSAGE)
        sink.wait_mails(1)
        assert objects(station.run("queue", "suspended", "--json").stdout) == []


def test_why(make_station):
    answers = {"a@one.test": "450 4.2.1 mailbox is busy"}
    with Sink(answer=lambda recipient: answers.get(recipient)) as sink:
        station = house_for(make_station, sink.port)
        station.logged_in().mail("alice@example.org", "a@one.test", MESSAGE)
        waiting, = deferred(station, 1)
        shown = station.run("why", waiting["id"][:8]).stdout
        for word in (waiting["id"], "arrived", "alice@example.org", "attempt", "127.0.0.1", "rcpt", "ms", "mailbox is busy", "deferred", "1 try",
                     "tried again in", "doubles", "means", "to do"):
            assert word in shown, word
        assert station.run("why", "A@ONE.test").stdout == station.run("why", "a@one.test").stdout != ""
        now, = [o for o in objects(station.run("why", waiting["id"], "--json").stdout) if o["event"] == "now"]
        assert now["state"] == "deferred" and now["code"] == "4.2.1" and now["tries"] == 1 and now["why_next"] and now["meaning"]
        assert "other way" in now["sender"] and now["operator"] in shown and now["sender"] not in shown
        answers.clear()
        deed(station, "retry")
        sink.wait_mails(1)
        station.wait_drained()
        station.restart()
        events = [o["event"] for o in objects(station.run("why", waiting["id"], "--json").stdout)]
        assert events == ["arrived", "attempt", "deferred", "hurried by the operator", "attempt", "delivered", "settled"]
        settled = station.run("why", "a@one.test").stdout
        assert "delivered" in settled and "settled for this address" in settled
        assert not [line for line in settled.splitlines() if line != line.rstrip()]
        whole = station.run("why", waiting["id"][:8]).stdout
        assert "It is settled: nothing more happens." in whole and not [line for line in whole.splitlines() if line != line.rstrip()]
        done = station.run("why", waiting["id"][:5], check=False)
        assert done.returncode == 65 and "eight or more digits" in done.stderr
        assert "posthouse queue domain:" in station.run("why", "one.test", check=False).stderr
        for nobody in "nobody@one.test", "0" * 32:
            done = station.run("why", nobody, check=False)
            assert done.returncode == 65 and nobody in done.stderr


def test_why_tells_what_the_sender_was_told(make_station):
    """Also of what is settled: what the refusal means, and where the report stands."""
    with Sink(answer=lambda recipient: "550 5.1.1 no such mailbox") as sink:
        station = house_for(make_station, sink.port)
        station.logged_in().mail("alice@example.org", "a@one.test", MESSAGE)
        report, = station.wait_mails("alice", 1)
        station.wait_drained()
        shown = station.run("why", "a@one.test").stdout
        assert "told the sender of the failure, as mail" in shown
        assert "There is no mailbox of this name." in shown and "to do" in shown
        event, = [o for o in objects(station.run("why", "a@one.test", "--json").stdout) if o["event"] == "bounced"]
        own = station.run("why", event["how"]).stdout
        assert "arrived from this station itself:" in own and b"no such mailbox" in report


def test_why_tells_what_an_alias_stands_for(make_station):
    station = make_station(domain='alias team { to = {"alice", "bob"} }')
    station.add_user("alice", "wonderland")
    station.add_user("bob", "builder")
    station.hello(source=TRUSTED).mail("x@src.test", "team@example.org", MESSAGE)
    station.wait_mails("bob", 1)
    station.wait_drained()
    shown = station.run("why", "team@example.org").stdout
    assert "expanded <team@example.org> into <alice@example.org>, <bob@example.org>" in shown


def test_why_of_greylisting(busy):
    shown = busy.run("why", "b@two.test").stdout
    assert "many do so at the first try" in shown and "Nothing: the next try usually passes." in shown


def test_why_of_several(make_station):
    with Sink(answer=lambda recipient: "450 4.2.1 busy") as sink:
        station = house_for(make_station, sink.port)
        talk = station.hello(source=TRUSTED)
        for _ in range(3):
            talk.mail("x@src.test", "a@one.test", MESSAGE)
        items = deferred(station, 3)
        shown = station.run("why", "a@one.test").stdout
        assert all(i["id"] in shown for i in items) and shown.count("means") == 1 and shown.count(" waits") == 2


def test_a_damaged_history_costs_words_only(make_station):
    with Sink() as sink:
        station = house_for(make_station, sink.port)
        station.hello(source=TRUSTED).mail("x@src.test", "a@one.test", MESSAGE)
        sink.wait_mails(1)
        station.wait_drained()
        station.stop()
        path = station.spool / "history" / "00000001"
        path.write_bytes(path.read_bytes()[:-7] + os.urandom(100))
        station.start()
        assert "attempt" in station.run("why", "a@one.test").stdout
        station.hello(source=TRUSTED).mail("x@src.test", "b@one.test", MESSAGE)
        sink.wait_mails(2)
        until(lambda: "delivered" in station.run("why", "b@one.test", check=False).stdout, "the story behind the damage")


def test_strangers_words_do_not_paint(make_station):
    """Escapes, C1 controls and marks that turn the direction of writing are no part of any answer."""
    with Sink(answer=lambda recipient: "450 4.2.1 \u202egnihton\u2066 \x9b31mred\u200f") as sink:
        station = house_for(make_station, sink.port)
        station.hello(source=TRUSTED).mail("x@src.test", "a@one.test", MESSAGE)
        item, = deferred(station, 1)
        for words in ["queue", "list"], ["queue", "show", item["id"]], ["why", item["id"]], ["top", "--once"], ["queue"]:
            text = station.run(*words).stdout
            assert not any(ord(c) < 32 and c != "\n" or 0x7f <= ord(c) < 0xa0 or c in "\u200f\u202e\u2066" for c in text), words


def test_explain_codes():
    def run(*words):
        return subprocess.run([POSTHOUSE, "explain", *words], capture_output=True, text=True, timeout=30)

    assert "4.7.28" in run("4.7.28").stdout and "operator" in run("4.7.28").stdout
    assert "550" in run("550").stdout
    both, = objects(run("550", "5.1.1", "--json").stdout)
    assert both["code"] == 550 and both["enhanced"] == "5.1.1" and "mailbox" in both["meaning"]
    assert run("550 5.1.1").stdout == run("550", "5.1.1").stdout
    for wrong in ["1.2.3"], ["99"], ["5.1"], ["hello"], [], ["route"]:
        assert run(*wrong).returncode == 64, wrong


def test_explain_route(make_station):
    port, special = free_ports(2)
    station = make_station(routes=f'route "dst.test" {{ via = "smtp://127.0.0.1:{port}" }}\n'
                                  f'route "*" {{ via = "smtp://127.0.0.1:{special}" from = {{"boss@example.org"}} }}')
    shown, = objects(station.run("explain", "route", "wei@dst.test", "--json").stdout)
    assert "dst.test" in shown["rule"] and [h["to"] for h in shown["hops"]] == [f"127.0.0.1:{port}"] and shown["error"] == ""
    assert f"127.0.0.1:{port}" in station.run("explain", "route", "wei@dst.test").stdout
    shown, = objects(station.run("explain", "route", "wei@other.test", "--from", "boss@example.org", "--json").stdout)
    assert [h["to"] for h in shown["hops"]] == [f"127.0.0.1:{special}"] and "boss@example.org" in shown["rule"]
    assert "this station" in station.run("explain", "route", "bob@example.org").stdout
    for wrong in "foo", "foo@":
        done = station.run("explain", "route", wrong, check=False)
        assert done.returncode == 65 and f"{wrong} is no address" in done.stderr


def test_explain_route_says_what_holds(make_station):
    """To smtps:// nothing goes in clear; without a DNS a route needs an address."""
    station = make_station(routes='route "a.test" { via = "smtps://127.0.0.1:4465" }\nroute "b.test" { port = 26 }')
    assert "as require" in station.run("explain", "route", "x@a.test").stdout
    told = station.run("explain", "route", "x@b.test", check=False).stdout
    assert 'route "b.test" of the file has no address as its `via`' in told


def test_who_may_not_ask_is_told_so(make_station, as_root):
    station = make_station()
    for command in ["queue", "list"], ["why", "x@a.test"], ["user", "list"]:
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", POSTHOUSE, *command, "--config", station.config],
                              capture_output=True, text=True, timeout=30)
        assert done.returncode and "root" in done.stderr and "start it" not in done.stderr and "cannot be made" not in done.stderr, done.stderr


def test_top(make_station):
    port = free_ports(1)[0]
    station = house_for(make_station, port)
    station.hello(source=TRUSTED).mail("x@src.test", ["a@one.test", "b@one.test"], MESSAGE)
    deferred(station, 2)
    look, = objects(station.run("top", "--json").stdout)
    assert look["mails"] == 1 and look["recipients"] == 2 and look["segments"] >= 1
    place, = [d for d in look["destinations"] if d["down_since"]]
    assert place["next_probe"] and "refused" in place["words"].lower()
    shown = station.run("top", "--once").stdout
    assert "a second" in shown and "down for" in shown and "refused" in shown.lower()


def test_a_command_that_goes_away(busy):
    """A list that nobody reads to its end holds up nothing."""
    reader = subprocess.Popen([POSTHOUSE, "queue", "list", "--config", busy.config], stdout=subprocess.PIPE)
    reader.send_signal(signal.SIGKILL)
    reader.wait()
    reader.stdout.close()
    assert len(busy.queue()) == 3
