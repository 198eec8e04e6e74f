# SPDX-License-Identifier: Apache-2.0
"""`posthouse send` as a person at a terminal sees it: what goes, what is told of it, and how it ends when something is wrong."""
import base64
import email
import email.policy
import fcntl
import json
import os
import pathlib
import pty
import pwd
import re
import signal
import subprocess
import termios
import threading

import pytest

from certificates import Authority
from peers import Scripted, Sink
from station import PATIENCE, POSTHOUSE, free_ports, until
from tls_peers import TlsPeer

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 20


@pytest.fixture
def home(tmp_path):
    """A home of its own, in which profiles and an outbox may lie."""
    (tmp_path / ".config/posthouse").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def send(home):
    """send("bob@example.org", …) as somebody whose home is `home`."""
    def send(*arguments, text="", environment=None, **options):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "POSTHOUSE_CONFIG", "VISUAL", "EDITOR"))}
        env |= {"HOME": str(home), "TMPDIR": str(home), **(environment or {})}
        return subprocess.run([POSTHOUSE, "send", *map(str, arguments)], input=text, capture_output=True, text=True, env=env,
                              timeout=PATIENCE, check=False, **options)
    return send


def parsed(octets):
    return email.message_from_bytes(octets if isinstance(octets, bytes) else octets.encode(), policy=email.policy.default)


def profiles(home, text, mode=0o600):
    file = home / ".config/posthouse/profiles"
    file.write_text(text)
    file.chmod(mode)
    return file


def one_line(done, code, *words):
    """It failed with this code, and said why in one line."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


# ── what goes ──


def test_all_that_a_mail_can_have(send, home):
    (home / "menu.pdf").write_bytes(PDF)
    (home / "x.csv").write_text("a,b\n")
    (home / "page.html").write_text('<p>Grüße <img src="cid:logo"></p>\n')
    (home / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with Sink() as sink:
        done = send("Bob <bob@dst.test>, eve@dst.test", "--to", "carol@dst.test", "--cc", "Änne <ann@dst.test>", "--bcc", "boss@dst.test",
                    "--reply-to", "desk@src.test", "--from", "魏 <wei@src.test>", "-s", "Menü", "-m", "Guten Appetit.\n",
                    "--html", home / "page.html", "--inline", f"logo={home}/logo.png", "-a", home / "menu.pdf",
                    "-a", f"{home}/x.csv;name=价格.csv;type=text/plain", "--header", "X-Ticket: 12", "--header", "Precedence:bulk",
                    "--via", f"smtp://127.0.0.1:{sink.port}")
        assert done.returncode == 0, done.stderr
        assert [line.split()[1] for line in done.stdout.splitlines()] == ["250"] * 5
        (sender, recipients, octets), = sink.wait_mails(1)
    assert sender == "wei@src.test"
    assert set(recipients) == {f"{who}@dst.test" for who in ("bob", "eve", "carol", "ann", "boss")}
    assert b"boss@" not in octets
    mail = parsed(octets)
    assert mail["subject"] == "Menü" and mail["from"].addresses[0].display_name == "魏" and mail["x-ticket"] == "12"
    assert [a.addr_spec for a in mail["to"].addresses] == ["bob@dst.test", "eve@dst.test", "carol@dst.test"]
    assert mail["cc"].addresses[0].display_name == "Änne" and mail["reply-to"] == "desk@src.test" and mail["precedence"] == "bulk"
    assert mail.get_body(("plain",)).get_content().strip() == "Guten Appetit." and "Grüße" in mail.get_body(("html",)).get_content()
    assert {part["content-id"] for part in mail.walk() if part.get_content_type() == "image/png"} == {"<logo>"}
    menu, prices = mail.iter_attachments()
    assert (menu.get_filename(), menu.get_content_type(), menu.get_content()) == ("menu.pdf", "application/pdf", PDF)
    assert (prices.get_filename(), prices.get_content_type()) == ("价格.csv", "text/plain")


def test_dry_run_prints_the_message_and_sends_nothing(send, home):
    done = send("bob@dst.test", "--bcc", "boss@dst.test", "--from", "a@src.test", "-s", "Lunch", "--dry-run",
                "--via", f"smtp://127.0.0.1:{free_ports(1)[0]}", text="At noon.\n")
    mail = parsed(done.stdout)
    assert done.returncode == 0 and mail["subject"] == "Lunch" and mail.get_content().strip() == "At noon." and "boss" not in done.stdout
    assert send("bob@dst.test", "--from", "a@src.test", "-m", "x", "--dry-run").returncode == 0  # nor does it need a station


@pytest.mark.parametrize("words, code", [("printf 'Hello\\n# no\\nBob\\n' >\"$1\"; true", 0), ("sed -i /^$/d", 65), ("false", 69)])
def test_the_text_from_an_editor(send, home, words, code):
    editor = home / "editor"
    editor.write_text("#!/bin/sh\n" + (words if "$1" in words else words + ' "$1"') + "\n")
    editor.chmod(0o755)
    done = send("bob@dst.test", "--from", "a@src.test", "--edit", "--dry-run", environment={"EDITOR": str(editor)})
    if code:
        one_line(done, code, "nothing is sent")
    else:
        assert parsed(done.stdout).get_content().strip() == "Hello\nBob"
    assert not list(home.glob("posthouse.*")), "the draft is left behind"


def test_the_text_from_an_editor_is_not_lost_with_the_mail(send, home):
    editor = home / "editor"
    editor.write_text("#!/bin/sh\nprintf 'Hello\\n# no\\nBob\\n' >\"$1\"\n")
    editor.chmod(0o755)
    words = ["bob@dst.test", "--from", "a@src.test", "--edit"]
    with Scripted("220 hi", "250 hi", "550 5.7.1 not you", "221 bye") as host:
        done = send(*words, "--via", f"smtp://127.0.0.1:{host.port}", environment={"EDITOR": str(editor)})
    draft, = home.glob("posthouse.*")
    one_line(done, 69, str(draft))
    assert draft.read_text() == "Hello\nBob\n" and draft.stat().st_mode & 0o777 == 0o600
    draft.unlink()
    with Sink() as sink:
        assert send(*words, "--via", f"smtp://127.0.0.1:{sink.port}", environment={"EDITOR": str(editor)}).returncode == 0
    assert not list(home.glob("posthouse.*")), "the draft is left behind"


def test_an_attachment_of_5_gb_needs_no_memory(home):
    """The file is sparse; what becomes of it is counted, a part of it for the sake of time."""
    if "asan" in subprocess.run(["ldd", POSTHOUSE], capture_output=True, text=True, check=False).stdout:
        pytest.skip("a sanitizer wants its address space")
    big = home / "big.bin"
    with big.open("wb") as file:
        file.truncate(5 << 30)
    command = f"ulimit -v 400000; '{POSTHOUSE}' send b@dst.test --from a@src.test -m x -a '{big}' --dry-run | head -c 300000000 | wc -c"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=300, check=False)
    assert int(done.stdout) == 300000000, done.stderr


def test_a_finished_message_from_standard_input(send):
    with Sink() as sink:
        done = send("b@dst.test", "--from", "", "--raw", "-", "--via", f"smtp://127.0.0.1:{sink.port}", text="Subject: s\n\n.x\n")
        assert done.returncode == 0, done.stderr
        assert sink.wait_mails(1) == [("<>", ["b@dst.test"], b"Subject: s\r\n\r\n.x\r\n")]


# ── bad input ──


@pytest.mark.parametrize("option", ["--to", "--cc", "--bcc", "--reply-to", "--from", "-s", "--header", "--envelope-id", "--inline", "-a"])
@pytest.mark.parametrize("poison", ["x\nBcc: eve@dst.test", "x\r\nBcc: eve@dst.test", "x\rBcc: eve@dst.test"])
def test_no_option_injects_a_field(send, home, option, poison):
    (home / "f").write_text("x")
    page = home / "page.html"
    page.write_text("<p>x</p>")
    values = {"--to": f"{poison} <b@dst.test>", "--cc": f"{poison} <b@dst.test>", "--bcc": f"b@dst.test{poison}",
              "--reply-to": f"{poison} <b@dst.test>", "--from": f"{poison} <a@src.test>", "--header": f"X-A: {poison}",
              "--inline": f"{poison}={home}/f", "-a": f"{home}/f;name={poison}"}
    arguments = ["b@dst.test", *([] if option == "--from" else ["--from", "a@src.test"]), option, values.get(option, poison), "-m", "x"]
    with Sink() as sink:
        before = sink.sessions
        done = send(*arguments, *(["--html", page] if option == "--inline" else []), "--via", f"smtp://127.0.0.1:{sink.port}")
        one_line(done, 65)
        assert sink.mails == [] and sink.sessions == before


def test_a_header_name_that_is_none(send):
    for header in "X A: b", "Bäh: b", "Content-Type: text/html\nX: y":
        one_line(send("b@dst.test", "--from", "a@src.test", "-m", "x", "--dry-run", "--header", header), 65)
    one_line(send("b@dst.test", "--from", "a@src.test", "-m", "x", "--dry-run", "--header", "nothing"), 64, "Name: value")


@pytest.mark.parametrize("option", ["-s", "-m", "--header", "--to"])
def test_what_is_not_utf_8(send, option):
    value = b"\xff\xfe" if option != "--header" else b"X: \xff"
    command = [os.fsencode(POSTHOUSE), b"send", b"b@dst.test", b"--from", b"a@src.test", option.encode(), value, b"--dry-run"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=PATIENCE)
    assert done.returncode == 65 and len(done.stderr.splitlines()) == 1, done


@pytest.mark.parametrize("option", ["-a", "--text", "--html", "--raw", "--inline"])
def test_files_that_cannot_be_read(send, home, option):
    page = home / "page.html"
    page.write_text("<p>x</p>")
    (home / "directory").mkdir()
    (home / "secret").write_text("x")
    (home / "secret").chmod(0)
    more = [] if option == "--raw" else ["-m", "x"] if option != "--text" else []
    more += ["--html", page] if option == "--inline" else []
    for name, words in ("missing", "No such file"), ("directory", "directory"), ("secret", "denied"):
        if name == "secret" and os.geteuid() == 0:
            continue
        path = f"{home}/{name}"
        done = send("b@dst.test", "--from", "a@src.test", option, f"id={path}" if option == "--inline" else path, *more, "--dry-run")
        one_line(done, 66, path, words)


def test_a_pipe_is_no_attachment(send, home):
    """Nor does anybody wait for what it may have."""
    os.mkfifo(home / "pipe")
    one_line(send("b@dst.test", "--from", "a@src.test", "-m", "x", "-a", home / "pipe", "--dry-run"), 66, "pipe", "no file")


@pytest.mark.parametrize("what", ["grows", "shrinks", "vanishes"])
def test_an_attachment_that_changes_while_it_is_sent(send, home, what):
    """Its size was said already; nobody gets half of it for the whole."""
    file = home / "log.txt"
    file.write_bytes(b"line\n" * 100000)

    def change(_):
        if what == "vanishes":
            file.unlink()
        else:
            os.truncate(file, 700000 if what == "grows" else 10)

    with Sink(answer=change) as sink:
        done = send("b@dst.test", "--from", "a@src.test", "-m", "x", "-a", file, "--via", f"smtp://127.0.0.1:{sink.port}")
        assert done.returncode in (69, 75) and "log.txt" in done.stdout and sink.mails == [], done.stdout + done.stderr


def test_options_that_cannot_be_meant(send):
    for arguments, words in [
            ([], "to whom"), (["b@dst.test", "--notify", "sometimes"], "success,failure,delay"), (["b@dst.test", "--in", "soon"], "2h30m"),
            (["b@dst.test", "--at", "yesterday"], "18:00"), (["b@dst.test", "--via", "http://x"], "smtp://"),
            (["b@dst.test", "--via", "smtp://x", "--profile", "y"], "one way"), (["b@dst.test", "--raw", "-", "-s", "x"], "--raw"),
            (["b@dst.test", "--connections", "many"], "1 to 64"), (["b@dst.test", "--from", ""], "--from"),
            (["b@dst.test", "--subject"], "needs a value")]:
        one_line(send(*arguments), 64, words)
    one_line(send("nonsense", "--from", "a@src.test", "-m", "x", "--dry-run"), 65, "nonsense")


# ── what became of it ──


def test_exit_codes_and_words_of_refusals(send):
    def answer(recipient):
        return {"no": "550 5.1.1 no such mailbox", "wait": "451 4.2.1 come again"}.get(recipient.split("@")[0])

    with Sink(answer=answer) as sink:
        def to(*names):
            return send(*(f"{name}@dst.test" for name in names), "--from", "a@src.test", "-m", "x", "--json", "--via",
                        f"smtp://127.0.0.1:{sink.port}")

        for names, code, results in [(["yes"], 0, ["sent"]), (["yes", "no"], 69, ["sent", "refused"]), (["no"], 69, ["refused"]),
                                     (["yes", "wait"], 75, ["sent", "later"]), (["no", "wait"], 69, ["refused", "later"])]:
            done = to(*names)
            said = json.loads(done.stdout)["recipients"]
            assert done.returncode == code and [r["result"] for r in said] == results, done.stdout
        refused, later = said
        assert (refused["code"], refused["status"], refused["stage"]) == (550, "5.1.1", "rcpt") and "no such mailbox" in refused["text"]
        assert refused["advice"] and later["status"] == "4.2.1"


def test_a_lost_answer_is_said_to_be_one(send):
    with Scripted("220 hi", "250 hi", "250 ok", "250 ok", "354 go", "") as host:
        done = send("b@dst.test", "--from", "a@src.test", "-m", "x", "--json", "--via", f"smtp://127.0.0.1:{host.port}")
        assert json.loads(done.stdout)["recipients"][0]["result"] == "unsure" and done.returncode == 76
        assert host.sessions == 1, "it was sent again"


def test_a_wrong_password(send):
    with Scripted("220 hi", "250-hi\r\n250 AUTH PLAIN", "535 5.7.8 wrong") as host:
        done = send("b@dst.test", "--from", "a@src.test", "-v", "--in-clear", "--password-stdin", "--via",
                    f"smtp://wei@127.0.0.1:{host.port}", text="guess\nhello\n")
        assert done.returncode == 77 and "535" in done.stdout and "Z3Vlc3M" not in done.stderr and "guess" not in done.stdout + done.stderr


def test_an_empty_password_is_none(send):
    with Sink() as sink:
        one_line(send("b@dst.test", "--from", "a@src.test", "-m", "x", "--password-stdin", "--via", f"smtp://wei@127.0.0.1:{sink.port}"), 64,
                 "the password is empty")


@pytest.mark.parametrize("end", [b"\x03", signal.SIGTERM])
def test_who_is_asked_for_a_password_can_go(home, end):
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [POSTHOUSE, "send", "b@dst.test", "--from", "a@src.test", "-m", "x", "--via", "smtp://wei@127.0.0.1:1"], stdin=terminal,
        stdout=terminal, stderr=terminal, env={**os.environ, "HOME": str(home)}, start_new_session=True,
        preexec_fn=lambda: (fcntl.ioctl(terminal, termios.TIOCSCTTY, 0), signal.signal(signal.SIGINT, signal.SIG_DFL)))
    said = b""
    while b"Password of wei" not in said:
        said += os.read(master, 4096)
    until(lambda: not termios.tcgetattr(terminal)[3] & termios.ECHO, "the terminal to be silent")
    os.write(master, b"wonder")
    if end == b"\x03":
        os.write(master, end)
    else:
        process.send_signal(end)
    try:
        assert process.wait(PATIENCE) == -(signal.SIGINT if end == b"\x03" else end)
        assert termios.tcgetattr(terminal)[3] & termios.ECHO, "the terminal is left silent"
    finally:
        process.kill()
        os.close(master)
        os.close(terminal)


def test_a_certificate_that_nobody_vouches_for(send, home):
    good = Authority(home / "ca").issue("127.0.0.1")
    profiles(home, 'profile "p" { via = "smtps://localhost:1" }\n')
    with TlsPeer(good, "first") as peer:
        done = send("b@dst.test", "--from", "a@src.test", "-m", "x", "--via", f"smtps://127.0.0.1:{peer.port}", "-v")
        assert done.returncode == 0 and "not verified" in done.stderr


def test_what_the_server_is_asked_to_report(send):
    with Scripted("220 hi", "250-hi\r\n250 DSN", "250 ok", "250 ok", "354 go", "250 kept", "221 bye") as host:
        done = send("b@dst.test", "--from", "a@src.test", "-m", "x", "--notify", "success,failure", "--envelope-id", "Q1", "--via",
                    f"smtp://127.0.0.1:{host.port}")
        assert done.returncode == 0, done.stdout
    heard = "\n".join(host.heard)
    assert "ENVID=Q1" in heard and re.search("NOTIFY=SUCCESS,FAILURE", heard)


@pytest.mark.parametrize("option, words", [(["--require-tls"], "TLS"), (["--in", "2h"], "")])
def test_what_the_server_cannot_promise(send, option, words):
    with Sink() as sink:
        done = send("b@dst.test", "--from", "a@src.test", "-m", "x", *option, "--via", f"smtp://127.0.0.1:{sink.port}")
        assert done.returncode == 69 and words in done.stdout and sink.mails == []


def test_a_host_elsewhere_proves_its_name(send, home):
    """Without a login, too; what else is wanted is said, and --tls says it."""
    words = ["b@dst.test", "--from", "a@src.test", "-m", "x"]
    with Sink() as sink:
        assert send(*words, "--require-tls", "--in-clear", "--via", "smtp://h").returncode == 64
        for near in "127.0.0.1", "localhost":
            assert send(*words, "--via", f"smtp://{near}:{sink.port}").returncode == 0
        done = send(*words, "--tls", "verify", "--via", f"smtp://127.0.0.1:{sink.port}")
        assert done.returncode == 75 and "--tls" in done.stderr
        assert len(sink.mails) == 2
        assert send(*words, "--tls", "never", "--via", f"smtp://127.0.0.1:{sink.port}").returncode == 0
        profiles(home, f'profile "p" {{ via = "smtp://127.0.0.1:{sink.port}" tls = verify }}\n')
        assert send(*words, "--profile", "p").returncode == 75
    one_line(send(*words, "--tls", "perhaps", "--via", "smtp://h"), 64, "verify, encrypt, try")
    with TlsPeer(Authority(home / "ca").issue("127.0.0.1"), "first") as peer:
        assert send(*words, "--tls", "verify", "--via", f"smtps://127.0.0.1:{peer.port}").returncode == 75
        assert send(*words, "--tls", "encrypt", "--via", f"smtps://127.0.0.1:{peer.port}").returncode == 0


def test_what_a_host_is_called_decides(send):
    """0.0.0.0 leads to this machine, but is no name of it: nothing goes there in clear."""
    with Sink() as sink:
        done = send("b@dst.test", "--from", "a@src.test", "-m", "x", "--via", f"smtp://0.0.0.0:{sink.port}")
        assert done.returncode == 75 and "--tls" in done.stderr and sink.mails == []


def test_errors_as_json(send):
    for words, code in (["--json"], 64), (["--nonsense", "--json"], 64), (["b@dst.test", "--json", "-a", "/nope"], 66):
        done = send(*words)
        said = json.loads(done.stdout)
        assert done.returncode == code == said["exit"] and said["error"] in done.stderr


def test_a_host_that_is_not_there(send):
    done = send("b@dst.test", "--from", "a@src.test", "-m", "x", "--via", "smtp://no-such-host.invalid")
    assert done.returncode in (68, 75) and "look up" in done.stdout  # 75: no DNS answers here
    one_line(send("b@dst.test", "-m", "x", "--via", "smtp://wei:geheim@mail.test"), 64, "a password does not stand in a URL")
    assert "geheim" not in send("b@dst.test", "-m", "x", "--via", "smtp://wei:geheim@mail.test").stderr


def test_a_login_that_is_an_address_in_a_url(send, home):
    done = send("b@dst.test", "-m", "x", "--dry-run", "--via", "smtp://wei%40src.test@mail.test")
    assert parsed(done.stdout)["from"].addresses[0].addr_spec == "wei@src.test"


@pytest.mark.parametrize("way", ["file", "input"])
def test_bcc_of_a_finished_message(send, home, way):
    text = "Bcc: eve@dst.test,\n boss@dst.test\nSubject: s\nresent-bcc: x@dst.test\n\nBcc: stays\n"
    (home / "mail").write_text(text)
    with Sink() as sink:
        done = send("b@dst.test", "--from", "a@src.test", "--raw", home / "mail" if way == "file" else "-", "--via",
                    f"smtp://127.0.0.1:{sink.port}", text=text)
        assert done.returncode == 0, done.stderr
        assert sink.wait_mails(1) == [("a@src.test", ["b@dst.test"], b"Subject: s\r\n\r\nBcc: stays\r\n")]


def test_the_name_of_who_sends(send):
    person = pwd.getpwuid(os.geteuid())
    sender, = parsed(send("b@dst.test", "-m", "x", "--dry-run").stdout)["from"].addresses
    assert sender.username == person.pw_name and sender.display_name == person.pw_gecos.partition(",")[0].strip()


def test_an_empty_text_from_a_terminal(home):
    master, terminal = pty.openpty()
    process = subprocess.Popen([POSTHOUSE, "send", "b@dst.test", "--dry-run"], stdin=terminal, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env={**os.environ, "HOME": str(home)})
    os.write(master, b"\x04")
    out, err = process.communicate(timeout=PATIENCE)
    os.close(master)
    os.close(terminal)
    assert process.returncode == 65 and out == "" and "the text is empty" in err


# ── profiles ──


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a home away")
def test_profiles_in_the_home_of_somebody_else(send, home):
    """As sudo -E has it: they are none, unless one is asked for."""
    profiles(home, 'default = p\nprofile "p" { via = "smtp://h" }\n')
    os.chown(home, 65534, 65534)
    assert send("b@dst.test", "--from", "a@src.test", "-m", "x", "--dry-run").returncode == 0
    one_line(send("b@dst.test", "-m", "x", "--profile", "p"), 78, "no directory of yours")


def test_a_profile(send, home):
    secret = home / "secret"
    secret.write_text("wonderland\n")
    secret.chmod(0o600)
    leaf = Authority(home / "ca").issue("127.0.0.1")
    with TlsPeer(leaf, login=True) as peer:
        places = ["file:~/secret", "env:MAIL_PASSWORD", "cmd:cat ~/secret",
                  "cmd:echo wonderland; seq 30000 || exit 1",  # more than a pipe holds
                  "cmd:yes wonderland; exit $?"]  # 141: its part that nobody read to the end
        for place in places:
            profiles(home, f"""
                # mine
                default = work
                profile "work" {{
                    via = "smtp://alice@127.0.0.1:{peer.port}"   # a comment
                    password = "{place}"
                    from = "魏 <wei@src.test>"
                    trust = '{home}/ca/authority-of-a-test.pem'
                }}""")
            for which in ["--profile", "work"], []:
                done = send("b@dst.test", "-m", "x", "-v", *which, environment={"MAIL_PASSWORD": "wonderland"})
                assert done.returncode == 0, done.stdout + done.stderr
                assert ", verified" in done.stderr and "MAIL FROM:<wei@src.test>" in done.stderr and "wonderland" not in done.stderr
        assert peer.logins == 2 * len(places)


def test_a_token_that_grew_old_is_fetched_again(send, home):
    (home / "next").write_text("#!/bin/sh\necho x >>~/asked; echo token$(wc -l <~/asked)\n")
    (home / "next").chmod(0o755)
    with Scripted("220 hi", "250-hi\r\n250 AUTH XOAUTH2", "535 5.7.8 too old", "235 in", "250 ok", "250 ok", "354 go", "250 kept",
                  "221 bye") as host:
        profiles(home, f'profile "p" {{ via = "smtp://a@127.0.0.1:{host.port}" token = "cmd:~/next" from = "a@src.test" }}\n')
        done = send("b@dst.test", "-m", "x", "--profile", "p")
        assert done.returncode == 0, done.stdout + done.stderr
    tokens = [base64.b64decode(line.split()[2]) for line in host.heard if line.startswith("AUTH XOAUTH2 ")]
    assert [b"Bearer token1\1" in tokens[0], b"Bearer token2\1" in tokens[1], len(tokens)] == [True, True, 2]
    assert (home / "asked").read_text() == "x\n" * 2


@pytest.mark.parametrize("text, place, words", [
    ('profile "p" {\n  via = smtp://h\n  pasword = "env:A"\n}\n', "3:3", "did you mean `password`"),
    ('profile "p" {\n  via = "smtp://h"\n  password = "geheim"\n}\n', "3:14", "env:NAME, file:PATH"),
    ('profile "p" { via = "smtp://h }\n', "1:21", "not closed"),
    ('profile "p" {\n', "1:1", "no }"),
    ('profil "p" { }\n', "1:1", "did you mean `profile`"),
    ('# 魏\n  "p"\n', "2:3", "not expected"),
    ('profile "p" { via = smtp://h via = smtp://i }\n', "1:30", "twice"),
    ('profile "p" { from = a@b }\n', "1:1", "no via"),
    ('profile "魏" { x = y }\n', "1:15", "no setting"),
    ("default = other\n", "", 'no profile "other"'),
])
def test_a_profile_file_that_is_wrong(send, home, text, place, words):
    file = profiles(home, text)
    done = send("b@dst.test", "--from", "a@src.test", "-m", "x")
    one_line(done, 78, words, f"{file}:{place}")
    assert "geheim" not in done.stderr


@pytest.mark.parametrize("password, mode, words", [
    ("env:NOT_THERE", 0o600, "NOT_THERE"), ("file:/nope", 0o600, "/nope"), ("file:nope", 0o600, "whole path"), ("cmd:false", 0o600, "failed"),
    ("file:~/secret", 0o600, "others may read it"), ("cmd:echo x", 0o666, "others may write it")])
def test_a_secret_that_is_not_there_or_not_secret(send, home, password, mode, words):
    (home / "secret").write_text("x")
    (home / "secret").chmod(0o644)
    profiles(home, f'profile "p" {{ via = "smtp://a@127.0.0.1:1" password = "{password}" }}\n', mode)
    one_line(send("b@dst.test", "--from", "a@src.test", "-m", "x", "--profile", "p"), 78, words)


def test_a_profile_that_is_not_there(send):
    one_line(send("b@dst.test", "--profile", "nope", "-m", "x"), 78, 'no profile "nope"')


# ── the station ──


def test_wait_until_it_is_delivered(station):
    done = station.run("send", "bob@example.org", "alice@example.org", "--from", "alice@example.org", "-m", "x", "--wait")
    assert len(re.findall(r"^(bob|alice)@example\.org +delivered", done.stdout, re.MULTILINE)) == 2, done.stdout
    station.wait_mails("bob", 1)
    told = station.run("send", "bob@example.org", "-m", "x", "--wait", "--json").stdout.splitlines()
    assert json.loads(told[0])["recipients"][0]["result"] == "sent" and json.loads(told[1])["result"] == "delivered"
    assert list(json.loads(told[0])["recipients"][0]) == list(json.loads(told[1]))[:7]


def test_wait_until_it_is_put_off_or_sent_back(make_station):
    def answer(recipient):
        return "550 5.1.1 no such mailbox" if recipient.startswith("no@") else "451 4.2.1 come again"

    with Sink(answer=answer) as sink:
        station = make_station(routes=f'route "*" {{ via = "smtp://127.0.0.1:{sink.port}" }}')
        for name, fate, code in ("wait", "put off", 75), ("no", "sent back", 69):
            done = station.run("send", f"{name}@dst.test", "-m", "x", "--wait", check=False)
            assert done.returncode == code and re.search(f"{name}@dst.test +{fate}.*(come again|no such mailbox)", done.stdout), done.stdout


def test_without_a_station_the_mail_is_kept(make_station, send, home):
    station = make_station(start=False)
    environment = {"XDG_STATE_HOME": str(home / "state")}
    done = send("bob@example.org", "--from", "alice@example.org", "-m", "x", "--config", station.config, "--no-outbox",
                environment=environment)
    assert done.returncode == 75 and "cannot connect" in done.stdout and "port" not in done.stdout  # it is a path
    done = send("bob@example.org", "--from", "alice@example.org", "-m", "patience", "--config", station.config, environment=environment)
    assert done.returncode == 0 and re.match("bob@example.org +kept", done.stdout) and "outbox" in done.stdout, done.stdout + done.stderr
    station.start()
    station.add_user("bob", "builder")
    mail, = station.wait_mails("bob", 1)
    assert b"patience" in mail


def test_what_needs_a_person_cannot_wait(send, home):
    """A password that was typed is not kept; so neither is the mail."""
    profiles(home, f'profile "p" {{ via = "smtp://wei@127.0.0.1:{free_ports(1)[0]}" from = "wei@src.test" }}\n')
    done = send("b@dst.test", "--profile", "p", "--password-stdin", "-m", "x", text="wonderland\n",
                environment={"XDG_STATE_HOME": str(home / "state")})
    assert done.returncode == 75 and "kept" not in done.stdout and not (home / "state").exists()


def test_sent_on_later(make_station):
    station = make_station(queue='hold-most = "7d"')
    station.add_user("bob", "builder")
    station.run("send", "bob@example.org", "-m", "x", "--in", "2h30m")
    waiting, = until(station.queue, "the mail to be kept")
    assert waiting["to"] == "bob@example.org" and waiting["tries"] == 0 and station.mailbox("bob") == []


# ── the help ──


def test_the_help_fits_a_screen(send):
    done = send("--help")
    assert done.returncode == 0 and len(done.stdout.splitlines()) <= 60
    for word in "--attach", "--profile", "--merge", "--wait", "Examples":
        assert word in done.stdout
