# SPDX-License-Identifier: Apache-2.0
"""The tutorials: ours, docs/tutorial, run from its first command to its last; and what those of the world show, SMTP typed into a
terminal and the first client that somebody writes in C.

A ```console block of a chapter is run: a line that begins with `$ ` is a command, those with `> ` continue it, the others are what
it prints, where `…` stands for what differs from run to run, and a line of it alone for any number of lines.
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
from select import select

import pytest

from station import BUILD, PATIENCE, free_ports, until
from talk import added_fields, crlf

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TUTORIAL = SOURCE / "docs/tutorial"
LANGUAGES = ("en", "zh")
CHAPTERS = sorted(path.name for path in (TUTORIAL / "en").glob("*.md"))
PAGES = sorted(TUTORIAL.rglob("*.md")) + [SOURCE / "README.md", SOURCE / "README.zh-CN.md"]
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORTS = (2525, 2587, 2465, 2526, 5353, 8080)  # as they are printed; the test has others
TOOLS = ("openssl", "/usr/sbin/knotd", "cc", "pkg-config", "curl")
MESSAGE = b"Subject: hello\n\nDear Bob,\n.a line with a dot in front\n"

# What only looks is done again until it shows what the page shows: a reader takes longer to type than a mail to arrive.
LOOKS = re.compile(r"(cat|ls|grep|curl) |posthouse (why|queue(?! .* retry)|status)")


# ── docs/tutorial ──


def chapter(language, name):
    return (TUTORIAL / language / name).read_text()


def headings(text):
    return re.findall(r"^#+ ", BLOCK.sub("", text), re.MULTILINE)


def steps(text):
    """[(command, what it prints)] of a chapter."""
    found = []
    for kind, block in BLOCK.findall(text):
        if kind != "console":
            continue
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append([[line[2:]], []])
            elif re.match(">( |$)", line) and not found[-1][1]:
                found[-1][0].append(line[2:])
            else:
                found[-1][1].append(line)
    return [("\n".join(command), "\n".join(output)) for command, output in found]


def shows(expected, said):
    """Whether what was said is what the page shows."""
    lines = [r"(?:.*\n)*?" if line == "…" else re.escape(line.rstrip()).replace("…", ".*") + r"\n" for line in expected.splitlines()]
    said = "".join(line.rstrip() + "\n" for line in said.splitlines())
    return re.fullmatch("".join(lines), said) is not None


class Reader:
    """A person at a shell, in a home of their own: do(command) is what it printed."""

    def __init__(self):
        # Not pytest's tmp_path: a UNIX socket's name has at most 107 octets, and each role of root's station is a user of its own.
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-test."))
        self.home.chmod(0o755)
        self.ports = dict(zip(map(str, PORTS), map(str, free_ports(len(PORTS)))))
        (self.home / "posthouse.pc").write_text(f"Name: libposthouse\nDescription: as it was built, not installed\nVersion: 0\n"
                                                f"Cflags: -I{SOURCE}/include\nLibs: -L{BUILD}/src/client -lposthouse\n")
        self.shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.home,
            start_new_session=True, env={"PATH": f"{BUILD}:{os.environ['PATH']}", "HOME": str(self.home), "LANG": "C.UTF-8",
                                         "PKG_CONFIG_PATH": str(self.home), "LD_LIBRARY_PATH": str(BUILD / "src/client")})

    def swap(self, text, ports):
        return re.sub(r"\b(" + "|".join(ports) + r")\b", lambda found: ports[found[1]], text)

    def do(self, command):
        end = f"end-of-{time.monotonic_ns()}"
        text = f"{{ {self.swap(command, self.ports)}\n}} </dev/null\nprintf '%s\\n' {end}\n"
        self.shell.stdin.write(text.encode())
        self.shell.stdin.flush()
        said = b""
        while not said.endswith(f"{end}\n".encode()):
            if not select([self.shell.stdout], [], [], PATIENCE)[0]:
                pytest.fail(f"{command!r} does not end; it said {said.decode()!r}")
            piece = os.read(self.shell.stdout.fileno(), 65536)
            assert piece, f"{command!r} ended the shell: {said.decode()!r}"
            said += piece
        return self.swap(said.decode(errors="replace").removesuffix(f"{end}\n"), {there: here for here, there in self.ports.items()})

    def try_out(self, command, expected):
        said = self.do(command)
        end = time.monotonic() + PATIENCE / 3
        while not shows(expected, said) and LOOKS.match(command) and time.monotonic() < end:
            time.sleep(0.1)
            said = self.do(command)
        return said

    def end(self):
        """All that was started at this shell is of its session; the station and the name server end at SIGTERM."""
        self.shell.stdin.close()
        for number in signal.SIGTERM, signal.SIGKILL:
            try:
                os.killpg(self.shell.pid, number)
                self.shell.wait(PATIENCE)
                until(lambda: not group_is_there(self.shell.pid), "the shell's children to be gone", patience=10)
            except ProcessLookupError:
                break
            except pytest.fail.Exception:
                continue
        shutil.rmtree(self.home, ignore_errors=True)


def group_is_there(pid):
    try:
        os.killpg(pid, 0)
        return True
    except ProcessLookupError:
        return False


@pytest.mark.slow  # a program of the reader's own cannot be linked with a library that has a sanitizer in it
def test_every_command_shows_what_the_page_shows():
    for tool in TOOLS:
        if not shutil.which(tool):
            pytest.skip(f"no {tool}")
    reader = Reader()
    try:
        for name in CHAPTERS:
            for command, expected in steps(chapter("en", name)):
                said = reader.try_out(command, expected)
                assert shows(expected, said), (f"{name}: $ {command}\n── the page ──\n{expected}\n── was said ──\n{said}\n"
                                               "── the station ──\n" + reader.do("tail -n 20 ~/station/station.log"))
    finally:
        reader.end()


@pytest.mark.parametrize("name", CHAPTERS)
def test_both_languages_have_the_same_blocks(name):
    english, chinese = chapter("en", name), chapter("zh", name)
    assert BLOCK.findall(chinese) == BLOCK.findall(english) and steps(english)
    assert len(headings(chinese)) == len(headings(english))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(SOURCE)))
def test_a_link_leads_somewhere(page):
    for target in LINK.findall(page.read_text()):
        assert "://" in target or (page.parent / target.partition("#")[0]).exists(), target


def test_the_index_has_every_chapter_in_its_order():
    listed = LINK.findall((TUTORIAL / "README.md").read_text())
    assert listed == [f"{language}/{name}" for name in CHAPTERS for language in LANGUAGES]
    assert [sorted(path.name for path in (TUTORIAL / language).iterdir()) for language in LANGUAGES] == [CHAPTERS, CHAPTERS]


# ── README ──


def without_comments(blocks):
    return [[line.partition("  # ")[0].rstrip() for line in text.splitlines()] for _, text in blocks]


def figures(text):
    """Those of the tables, row by row."""
    return [re.findall(r"(?<![A-Za-z])[×\d][\d.,–/]*", row) for row in re.findall(r"^\|.*", text, re.MULTILINE)]


def code_words(text):
    return sorted(re.findall(r"`([^`]+)`", BLOCK.sub("", text)))


def test_both_readmes_say_the_same():
    english, chinese = (SOURCE / "README.md").read_text(), (SOURCE / "README.zh-CN.md").read_text()
    assert without_comments(BLOCK.findall(chinese)) == without_comments(BLOCK.findall(english)) != []
    assert len(headings(chinese)) == len(headings(english))
    assert [sorted(row) for row in figures(chinese)] == [sorted(row) for row in figures(english)]
    assert {*LINK.findall(chinese), "README.zh-CN.md"} == {*LINK.findall(english), "README.md"}
    assert code_words(chinese) == code_words(english)


# ── the tutorials of the world ──


def test_the_terminal_dialogue_verbatim(station):
    """HELO, AUTH LOGIN in base64, a blank and no brackets, a body without a header."""
    talk = station.talk("submission")
    talk.expect(220, "mail.example.org")
    talk.say("HELO localhost").expect(250, "mail.example.org")
    talk.say("AUTH LOGIN").expect(334, "VXNlcm5hbWU6")
    talk.say("YWxpY2VAZXhhbXBsZS5vcmc=").expect(334, "UGFzc3dvcmQ6")
    talk.say("d29uZGVybGFuZA==").expect(235)
    talk.say("MAIL FROM: alice@example.org").expect(250)
    talk.say("RCPT TO: bob@example.org").expect(250)
    talk.say("DATA").expect(354)
    talk.say("Hello Bob, this has no header.").say("It has two lines.").say(".").expect(250)
    talk.say("QUIT").expect(221)
    assert talk.closed()
    mail, = station.wait_mails("bob", 1)
    names = added_fields(mail, b"Hello Bob, this has no header.\r\nIt has two lines.\r\n")
    assert names.count("received") == 1 and {"return-path", "date", "message-id"} <= set(names)


@pytest.mark.parametrize("early", [False, True], ids=["reads the greeting", "EHLO at once"])
def test_the_compiled_client(station, early):
    """One recv after each send, whatever it brings; with -e it never waits for the greeting."""
    arguments = ["-e"] * early + [str(station.submission_port), "alice@example.org", "alice@example.org", "bob@example.org"]
    done = subprocess.run([BUILD / "examples/tutorial", *arguments], input=b"wonderland\n" + MESSAGE, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for user in "alice", "bob":
        mail, = station.wait_mails(user, 1)
        added_fields(mail, crlf(MESSAGE))
