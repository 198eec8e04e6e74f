# SPDX-License-Identifier: Apache-2.0
"""Mail merge: a table, a form, one mail a row, and what became of each in a file that a later run goes on from."""
import email
import email.policy
import json
import os
import pathlib
import pty
import signal
import subprocess
import time

import pytest

from peers import Scripted, Sink
from station import POSTHOUSE, free_ports, until

TEMPORARY, REFUSED, UNSURE, USAGE, WRONG = 75, 69, 76, 64, 65


@pytest.fixture
def sink():
    with Sink() as sink:
        yield sink


class Merge:
    """One table and its results; run() is one call of the command."""

    def __init__(self, directory, port):
        self.directory, self.port = directory, port
        self.results = directory / "results.jsonl"
        self.environment = {**os.environ, "HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}

    def table(self, text, name="people.csv"):
        self.path = self.directory / name
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self

    def command(self, *more, to="{name} <{email}>"):
        return [POSTHOUSE, "send", "--merge", self.path, "--to", to, "--from", "wei@example.org", "--via", f"smtp://127.0.0.1:{self.port}",
                "--results", self.results, *([] if {"-m", "--text", "--html"} & set(map(str, more)) else ["-m", "Hello {name}"]), *more]

    def run(self, *more, code=0, **options):
        done = subprocess.run(list(map(str, self.command(*more, **options))), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120, env=self.environment)
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def start(self, *more, **options):
        return subprocess.Popen(list(map(str, self.command(*more, **options))), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True, env=self.environment)

    def lines(self):
        return [json.loads(line) for line in self.results.read_text().splitlines()]

    def of(self, result):
        return [line["row"] for line in self.lines() if line.get("result") == result]


@pytest.fixture
def merge(tmp_path, sink):
    return Merge(tmp_path, sink.port)


def parsed(octets):
    return email.message_from_bytes(octets, policy=email.policy.default)


def people(n):
    return "name,email\n" + "".join(f"Person {i},p{i}@example.net\n" for i in range(1, n + 1))


def peak_kib(pid):
    """The most memory that the process has had; 0: it is gone."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def took(sink):
    return sorted(recipient for _, recipients, _ in sink.mails for recipient in recipients)


# ── what goes where ──


def test_a_mail_a_row(merge, sink, tmp_path):
    (tmp_path / "letter.txt").write_text("Dear {name},\nyour code is {code}; {{this}} stays.\n")
    (tmp_path / "letter.html").write_text("<p>Dear {name}: {code}</p>")
    merge.table('\ufeffname,email,code,boss\r\n"Smith, ""Bob""",bob@example.net,7,\r\n魏,wei@example.net,"8 < 9 & ""x""\r\nnext","赵 <zhao@example.net>"\r\n')
    merge.run("-s", "Hello {name}", "--text", tmp_path / "letter.txt", "--html", tmp_path / "letter.html", "--cc", "{boss}",
              "--header", "X-Name: {name}")
    bob, wei = sorted((parsed(octets) for _, _, octets in sink.mails), key=lambda m: m["X-Name"])
    assert bob["To"].addresses[0].display_name == 'Smith, "Bob"' and bob["To"].addresses[0].addr_spec == "bob@example.net"
    assert bob["Subject"] == 'Hello Smith, "Bob"' and bob["Cc"] is None
    text = bob.get_body(("plain",)).get_content().replace("\r\n", "\n")
    assert text == 'Dear Smith, "Bob",\nyour code is 7; {this}} stays.\n'
    assert wei["To"].addresses[0].display_name == "魏" and wei["Subject"] == "Hello 魏"
    assert wei["Cc"].addresses[0].addr_spec == "zhao@example.net"
    assert "<p>Dear 魏: 8 &#60; 9 &#38; &#34;x&#34;" in wei.get_body(("html",)).get_content()
    assert "8 < 9 & \"x\"\nnext" in wei.get_body(("plain",)).get_content().replace("\r\n", "\n")
    assert took(sink) == ["bob@example.net", "wei@example.net", "zhao@example.net"]


def test_json_lines_and_attachments(merge, sink, tmp_path):
    (tmp_path / "7.txt").write_bytes(b"seven")
    rows = [{"name": "Bob", "email": "bob@example.net", "n": 7, "ok": True, "note": None}, {"name": "魏", "email": "wei@example.net", "n": 8}]
    merge.table("\n".join(json.dumps(row) for row in rows) + "\n", "people.jsonl")
    merge.run("-s", "{n} {ok} {note}", "-a", f"{tmp_path}/{{n}}.txt", code=REFUSED)
    (_, recipients, octets), = sink.mails
    assert recipients == ["bob@example.net"] and parsed(octets)["Subject"].strip() == "7 true"
    attached, = parsed(octets).iter_attachments()
    assert attached.get_filename() == "7.txt" and attached.get_content().strip() == "seven"
    wrong, = [line for line in merge.lines() if line.get("result") == "wrong"]
    assert wrong["row"] == 2 and "8.txt" in wrong["text"]


def test_the_results_say_what_became_of_each(merge, sink):
    sink.answer = lambda r: "550 5.1.1 nobody here" if r.startswith("p2@") else None
    done = merge.table(people(3)).run(code=REFUSED)
    head, *lines = merge.lines()
    assert len(head["table"]) == 64 and head["rows"] == 3
    ended = {line["row"]: line for line in lines if line["result"] != "begun"}
    assert merge.of("begun") == [1, 2, 3] and sorted(merge.of("sent")) == [1, 3]
    assert (ended[2]["to"], ended[2]["result"], ended[2]["code"], ended[2]["status"]) == ("p2@example.net", "refused", 550, "5.1.1")
    assert ended[1]["code"] == 250 and ended[1]["message_id"] in sink.mails[0][2].decode() + sink.mails[1][2].decode()
    assert "row 2: refused" in done.stderr and "2 sent, 1 refused" in done.stderr


# ── what is wrong ──


@pytest.mark.parametrize("more, words", [
    (("-s", "Hello {nam}"), "no column is called {nam}: there are name, email"),
    (("-s", "Hello {name"), "without its }"),
    (("--header", "X: {x}"), "no column"),
    (("--cc", "{boss}"), "no column"),
])
def test_an_unknown_column_is_an_error_before_the_first_mail(merge, sink, more, words):
    assert words in merge.table(people(3)).run(*more, code=USAGE).stderr
    assert not sink.mails and not merge.results.exists()


@pytest.mark.parametrize("table, words", [
    (b"", "empty"),
    (b"name,name,email\n", "two columns are called name"),
    (b"name,email\n\"Bob,bob@example.net\n", "quotes of a row do not end"),
    (b"name,\xff,email\n", "UTF-8"),
])
def test_a_table_that_is_none(merge, sink, table, words):
    assert words in merge.table(table).run(code=WRONG).stderr
    assert not sink.mails


def test_a_wrong_row_is_its_own_error(merge, sink):
    merge.table('name,email\nBob,bob@example.net\nAnn,\nonly one cell\n\xe9,x,y\n"a"b,c@example.net\nEve,not an address\n,eve@example.net\n')
    done = merge.run(code=REFUSED)
    assert took(sink) == ["bob@example.net", "eve@example.net"]
    assert merge.of("wrong") == [2, 3, 4, 5, 6]
    assert "row 2: wrong: <{email}> is empty" in done.stderr and "row 3: wrong: line 4: 1 cells, and 2 columns" in done.stderr


def test_cells_inject_nothing(merge, sink, tmp_path):
    (tmp_path / "secret").write_text("secret")
    evil = {
        1: ("a@example.net", "x\r\nBcc: evil@example.net", "f"),
        2: ("a@example.net>, <evil@example.net", "x", "f"),
        3: ("a@example.net, evil@example.net", "x", "f"),
        4: ("a@example.net\r\nRCPT TO:<evil@example.net>", "x", "f"),
        5: ("a@example.net", "x", "../secret"),
        6: ("a@example.net", 'x" <evil@example.net>, "y', "f"),
        7: ("a@example.net", "x <evil@example.net>,", "f"),
        8: ("a@example.net", "x\\", "f"),
        9: ("a@example.net", "{email}", "f"),
    }
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/f").write_text("f")
    quoted = "\r\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in evil.values())
    merge.table("email,name,file\r\n" + quoted + "\r\n")
    merge.run("-s", "Hello {name}", "-a", f"{tmp_path}/sub/{{file}}", "--header", "X-Name: {name}", code=REFUSED)
    assert sorted(merge.of("wrong")) == [1, 2, 3, 4, 5] and sorted(merge.of("sent")) == [6, 7, 8, 9]
    assert set(took(sink)) == {"a@example.net"}
    names = set()
    for _, _, octets in sink.mails:
        one, = parsed(octets)["To"].addresses
        assert one.addr_spec == "a@example.net" and parsed(octets)["Bcc"] is None and b"secret" not in octets
        names.add(one.display_name)
    assert names == {evil[i][1] for i in (6, 7, 8, 9)}


# ── to stop and to go on ──


def test_a_run_that_is_killed_sends_nobody_twice_and_forgets_nobody(merge, sink):
    """Killed again and again. What was under way is unsure, and never sent by itself again."""
    merge.table(people(1000))
    for goal in 150, 400, 700:
        process = merge.start("--connections", 4)
        until(lambda: len(sink.mails) >= goal or process.poll() is not None, f"{goal} mails")
        process.kill()
        process.wait()
        process.stderr.close()
    done = merge.run("--connections", 4, code=UNSURE)
    unsure, sent = set(merge.of("unsure")), merge.of("sent")
    everybody = {f"p{i}@example.net" for i in range(1, 1001)}
    assert len(unsure) <= 3 * 8, "what was under way, and no more"
    assert len(sent) == len(set(sent)) and not unsure & set(sent) and unsure | set(sent) == set(range(1, 1001))
    assert len(took(sink)) == len(set(took(sink))), "nobody twice"
    assert everybody - set(took(sink)) <= {f"p{i}@example.net" for i in unsure}, "nobody missing"
    assert unsure and f"unsure: row {min(unsure)}:" in done.stderr
    merge.run("--connections", 4, code=UNSURE)
    assert len(took(sink)) == len(set(took(sink)))
    merge.run("--again")
    assert set(took(sink)) == everybody


def test_later_is_tried_again_and_refused_is_not(merge, sink):
    seen = []

    def answer(recipient):
        seen.append(recipient)
        return {"p1": "451 4.7.1 later", "p2": "550 5.1.1 no"}.get(recipient.partition("@")[0])
    sink.answer = answer
    merge.table(people(3)).run(code=TEMPORARY)
    merge.run(code=TEMPORARY)
    sink.answer = lambda recipient: seen.append(recipient)
    merge.run(code=REFUSED)
    assert sorted(seen) == ["p1@example.net"] * 3 + ["p2@example.net", "p3@example.net"]
    merge.run("--again")
    assert sorted(seen)[3:] == ["p2@example.net"] * 2 + ["p3@example.net"]


def test_of_several_recipients_only_those_are_tried_again_who_wait(merge, sink):
    sink.answer = lambda r: "451 4.7.1 later" if r.startswith("boss") else None
    merge.table("name,email\nBob,bob@example.net\n")
    merge.run("--cc", "boss@example.net", "-s", "Grüße {name}", code=TEMPORARY)
    sink.answer = lambda r: None
    merge.run("--cc", "boss@example.net", "-s", "Grüße {name}")
    (_, first, _), (sender, second, octets) = sink.mails
    assert (first, sender, second) == (["bob@example.net"], "wei@example.org", ["boss@example.net"])
    assert "bob@example.net" in parsed(octets)["To"] and parsed(octets)["Subject"] == "Grüße Bob"
    assert "1 sent before, 0 now" in merge.run("--cc", "boss@example.net", "-s", "Grüße {name}").stderr
    assert len(sink.mails) == 2


def test_results_of_another_table_or_file_are_left_alone(merge, sink):
    merge.table(people(2)).run()
    kept = merge.results.read_bytes()
    assert "another table" in merge.table(people(3)).run(code=WRONG).stderr
    assert merge.results.read_bytes() == kept and len(sink.mails) == 2
    merge.results.write_text("my novel\n")
    assert "left alone" in merge.run(code=WRONG).stderr
    assert merge.results.read_text() == "my novel\n"


def test_a_line_that_was_cut_says_nothing(merge, sink):
    """By a full disk or a power cut: behind "begun" the row is unsure, and before it was begun it was not sent."""
    merge.table(people(3)).run("--dry-run")
    merge.run()
    head, *_ = merge.results.read_bytes().splitlines(keepends=True)
    merge.results.write_bytes(head + b'{"row":1,"result":"begun"}\n{"row":2,"result":"begun"}\n'
                              b'{"row":2,"to":"p2@example.net","result":"sent"}\n{"row":1,"to":"p1@exam')
    sink.mails.clear()
    for _ in range(2):
        assert "unsure: row 1:" in merge.run(code=UNSURE).stderr
        assert took(sink) == ["p3@example.net"]
    merge.run("--again")
    assert took(sink) == ["p1@example.net", "p3@example.net"]


def test_a_recipient_whose_line_was_cut_is_not_forgotten(merge, sink):
    """A row has a line a recipient; where one is missing, nobody knows of that one. --again tries it, and not who has the mail."""
    merge.table("name,email\nBob,bob@example.net\n")
    merge.run("--cc", "ann@example.net")
    head, begun, first, second = merge.results.read_bytes().splitlines(keepends=True)
    has = json.loads(first)["to"]
    for lost in b"", second[:20]:
        merge.results.write_bytes(head + begun + first + lost)
        sink.mails.clear()
        assert "unsure: row 1" in merge.run("--cc", "ann@example.net", code=UNSURE).stderr
        assert "unsure: row 1" in merge.run("--cc", "ann@example.net", code=UNSURE).stderr
        assert took(sink) == []
        merge.run("--cc", "ann@example.net", "--again")
        assert took(sink) == [{"bob@example.net": "ann@example.net", "ann@example.net": "bob@example.net"}[has]]


def test_a_lost_line_is_no_reason_to_try_who_waits(merge, sink):
    """Of the other nobody knows, and only --again may risk a second copy."""
    sink.answer = lambda r: "451 4.7.1 later" if r.startswith("bob") else None
    merge.table("name,email\nBob,bob@example.net\n").run("--cc", "ann@example.net", code=TEMPORARY)
    head, begun, *ended = merge.results.read_bytes().splitlines(keepends=True)
    waits = next(line for line in ended if b'"later"' in line)
    merge.results.write_bytes(head + begun + waits)
    sink.mails.clear()
    for _ in range(2):
        merge.run("--cc", "ann@example.net", code=UNSURE)
    assert not sink.mails


def test_again_leaves_out_who_has_it(merge, sink):
    def refuse(*names):
        sink.answer = lambda r: next((answer for name, answer in names if r.startswith(name)), None)
    merge.table("name,email\nBob,bob@example.net\n")
    more = "--cc", "ann@example.net, eve@example.net"
    refuse(("ann", "550 5.1.1 no"), ("eve", "451 4.7.1 later"))
    merge.run(*more, code=TEMPORARY)
    refuse(("ann", "550 5.1.1 no"))
    merge.run(*more, code=REFUSED)
    assert took(sink) == ["bob@example.net", "eve@example.net"]
    refuse()
    merge.run(*more, "--again")
    merge.run(*more, "--again")
    assert took(sink) == ["ann@example.net", "bob@example.net", "eve@example.net"]


def test_results_of_another_mail(merge, sink):
    merge.table(people(2)).run("-s", "One")
    assert "another mail" in merge.run("-s", "Two", code=WRONG).stderr
    assert "another mail" in merge.run("-s", "One", "--header", "X-A: b", code=WRONG).stderr
    assert len(sink.mails) == 2


def test_results_in_a_pipe(merge, sink):
    """Nobody waits for who might read it."""
    os.mkfifo(merge.results)
    merge.table(people(1)).run(code=73)
    merge.run("--dry-run", code=73)
    assert not sink.mails


def test_counts_of_the_bar_and_of_the_end(merge, sink):
    sink.answer = lambda r: "550 5.1.1 no" if r.startswith("p1@") else None
    said = merge.table(people(3) + "Nobody,\n").run("--cc", "p1@example.net", code=REFUSED).stderr
    assert "4 of 4, 3 refused, 1 wrong" in said and "0 sent, 3 refused, 1 wrong" in said
    assert "4 of 4, 3 refused, 1 wrong" in merge.run("--cc", "p1@example.net", code=REFUSED).stderr


def test_one_vocabulary_of_json(merge, sink):
    keys = ["to", "result", "code", "status", "stage", "text", "advice"]
    row = merge.table(people(1)).run("--json").stdout.splitlines()[-1]
    assert list(json.loads(row))[:8] == ["row", *keys]
    assert "--wait" in merge.run("--wait", code=USAGE).stderr


def test_ctrl_c_ends_behind_the_mails_under_way(merge, sink):
    merge.table(people(1000))
    process = merge.start()
    until(lambda: len(sink.mails) > 50, "some mails")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == TEMPORARY and "the same command goes on from here" in said
    assert len(sink.mails) < 1000 and not merge.of("unsure") and sorted(merge.of("begun")) == sorted(merge.of("sent"))
    merge.run()
    assert took(sink) == sorted(f"p{i}@example.net" for i in range(1, 1001))


def test_a_server_that_is_gone_costs_no_row_its_turn(merge, sink):
    port = merge.port
    merge.table(people(200)).port = free_ports(1)[0]
    done = merge.run(code=TEMPORARY)
    assert "not tried" in done.stderr and len(merge.of("begun")) < 20 and not merge.of("refused")
    merge.port = port
    merge.run()
    assert took(sink) == sorted(f"p{i}@example.net" for i in range(1, 201))


def test_a_mail_to_many_counts_once(merge):
    """A host that does not answer is given ten mails, however many recipients one has."""
    merge.table(people(30)).port = free_ports(1)[0]
    copies = [word for i in range(12) for word in ("--cc", f"c{i}@example.net")]
    done = merge.run(*copies, code=TEMPORARY)
    assert len(set(merge.of("later"))) >= 10 and "not tried" in done.stderr


def test_a_server_that_serves_nobody_refuses_no_row(merge, sink):
    port = merge.port
    with Scripted("554 5.3.2 closed today") as closed:
        merge.table(people(200)).port = closed.port
        assert "greeting: " in merge.run(code=REFUSED).stderr
    assert not merge.of("refused") and 0 < len(merge.of("later")) < 20
    merge.port = port
    merge.run()
    assert took(sink) == sorted(f"p{i}@example.net" for i in range(1, 201))


def test_two_runs_at_once(merge, sink):
    merge.table(people(1000))
    first = merge.start()
    until(lambda: sink.mails, "the first mail")
    assert "another run" in merge.run(code=73).stderr
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)


# ── what people see ──


def test_a_dry_run_sends_nothing(merge, sink):
    done = merge.table(people(4) + "Nobody,\n").run("-s", "Hello {name}", "--dry-run", code=WRONG)
    assert "Subject: Hello Person 1" in done.stdout and "Person 2" not in done.stdout
    assert "4 mails would go, 1 rows are wrong" in done.stderr and "row 5" in done.stderr
    assert not sink.mails and not merge.results.exists()


def test_a_bar_on_a_terminal(merge, sink):
    merge.table(people(300))
    master, terminal = pty.openpty()
    process = subprocess.Popen(list(map(str, merge.command())), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=terminal,
                               env=merge.environment)
    os.close(terminal)
    said = b""
    while True:
        try:
            said += os.read(master, 4096)
        except OSError:  # EIO: nobody holds the other end any more
            break
    os.close(master)
    assert process.wait(30) == 0
    assert b"[=" in said and b"300 of 300, 0 refused, 0 wrong" in said and b"a second" in said


def test_a_large_table_is_streamed(merge, sink):
    """200 MB and a process of a few MB: rows that are mails, and many that are none."""
    row = "Nobody,," + "x" * 10000 + "\n"
    with (merge.directory / "people.csv").open("w") as table:
        table.write("name,email,note\nBob,bob@example.net,\n")
        for _ in range(20):
            table.write(row * 1000)
        table.write("Ann,ann@example.net,\n")
    merge.path = merge.directory / "people.csv"
    assert merge.path.stat().st_size > 200_000_000
    merge.environment["ASAN_OPTIONS"] = "quarantine_size_mb=1:" + os.environ.get("ASAN_OPTIONS", "")  # it keeps what was given back
    process = merge.start()
    peaks = []
    while process.poll() is None:
        peaks.append(peak_kib(process.pid))
        time.sleep(0.05)
    said = process.stderr.read()
    process.stderr.close()
    assert process.returncode == REFUSED, said
    assert took(sink) == ["ann@example.net", "bob@example.net"] and "2 sent, 0 refused, 20000 wrong" in said
    assert 0 < max(peaks) < 64 << 10
    merge.path.unlink()


@pytest.mark.parametrize("connections", ["0", "65", "many"])
def test_so_many_connections_and_no_more(station, connections):
    done = station.run("send", "bob@example.org", "-m", "x", "--connections", connections, check=False)
    assert done.returncode == os.EX_USAGE and done.stderr.strip() == f"posthouse send: --connections is 1 to 64, not: {connections}"
