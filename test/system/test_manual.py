# SPDX-License-Identifier: Apache-2.0
"""The manual pages and docs/sending.md against the commands that they are about, and where `meson install` puts them."""
import json
import os
import pathlib
import re
import shutil
import string
import subprocess

import pytest

from station import BUILD, POSTHOUSE

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted((SOURCE / "docs/man").iterdir())
SENDING = (SOURCE / "docs/sending.md").read_text()
OVERVIEW = (SOURCE / "docs/man/posthouse.1").read_text()


def page_of(command):
    return (SOURCE / f"docs/man/posthouse-{command}.1").read_text()


def run(*words, program=POSTHOUSE, expect=None):
    """Without a home, so that no profile and no outbox of the person who tests is touched."""
    done = subprocess.run([program, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
                          env=os.environ | {"XDG_CONFIG_HOME": "/nonexistent", "XDG_STATE_HOME": "/nonexistent"})
    assert expect is None or done.returncode == expect, done
    return done


def help_of(command):
    return run(*command.split(), "--help", expect=os.EX_OK).stdout


def said(text):
    """Options of a help text."""
    return set(re.findall(r"(?<![\w/-])(--[a-z][a-z-]+|-[a-zA-Z]{1,2}\b)", text))


def told(page):
    """Options of a page's source."""
    return {"-" + word for word in re.findall(r"\bFl (-?[\w-]+)", page)}


def codes(text):
    return {int(code) for code in re.findall(r"(?<!\d)(0|[67]\d)(?= )", text)}


def commands():
    return re.findall(r"^  ([\w-]+) ", run("--help", expect=os.EX_OK).stdout, re.MULTILINE)


@pytest.mark.parametrize("command", ["send", "probe"])
def test_a_page_has_the_options_of_the_help(command):
    options = told(page_of(command))
    assert options == said(help_of(command)) | {"--help"}
    for option in options:  # and each is one that the command knows
        assert "no such option" not in run(command, option).stderr, option


@pytest.mark.parametrize("command", ["send", "probe", "sendmail"])
def test_a_page_has_the_exit_codes_of_the_help(command):
    listed = {int(code) for code in re.findall(r"^\.It Li (\d+)", page_of(command).partition(".Sh EXIT STATUS")[2], re.MULTILINE)}
    assert listed == codes(help_of(command).partition("Exit codes:")[2].partition("\n\n")[0])


def test_the_page_of_sendmail_has_every_letter():
    """A word that is nothing stands behind each letter, so that nothing is done: it is its value, or a mistake."""
    known = {letter for letter in string.ascii_letters
             if f"-{letter}: there is no such letter" not in run("sendmail", f"-{letter}", "-@").stderr}
    options = told(page_of("sendmail"))
    assert {option[1] for option in options if not option.startswith("--")} == known
    assert said(help_of("sendmail")) - {"-oe"} <= options  # which is -o with a value


@pytest.mark.parametrize("name, word", [("sendmail", "-t"), ("mailq", "outbox"), ("newaliases", "posthouse alias")])
def test_each_name_has_its_help(tmp_path, name, word):
    (tmp_path / name).symlink_to(POSTHOUSE)
    text = run("--help", program=tmp_path / name, expect=os.EX_OK).stdout
    assert text.startswith(name) and word in text
    assert "Example" in text and (name == "sendmail" or len(text.splitlines()) < 12)


def test_the_overview_has_every_command_with_its_options_and_an_example():
    listed = dict(re.findall(r"^\.Ss ([\w-]+)\n(.*?)(?=^\.S[sh] )", OVERVIEW, re.MULTILINE | re.DOTALL))
    assert list(listed) == commands()
    common = told(OVERVIEW.partition(".Sh COMMANDS")[0])
    for command, text in listed.items():
        assert f"\n.Dl posthouse {command}" in text, command
        if f"Xr posthouse-{command} 1" not in text and command != "mailq":
            assert told(text) - common == said(help_of(command)) - common - {"-s"}, command  # of `posthouse send` in an example


def test_the_first_screen_names_every_command():
    listed = re.search(r"`(serve [a-z -]+)`", (SOURCE / "README.md").read_text())[1]
    assert set(listed.split()) == set(commands())


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_mandoc_likes(page):
    if not shutil.which("mandoc"):
        pytest.skip("no mandoc")
    done = subprocess.run(["mandoc", "-Tlint", "-W", "style", page], capture_output=True, text=True, timeout=60)
    # whether those of others are installed here says nothing about the page
    assert [line for line in done.stdout.splitlines() if "referenced manual not found" not in line] == []
    ours = {path.name for path in PAGES}
    for name, section in re.findall(r"^\.Xr (\S*posthouse\S*) (\d)", page.read_text(), re.MULTILINE):
        assert f"{name}.{section}" in ours


def test_what_is_installed():
    done = subprocess.run(["meson", "introspect", BUILD, "--installed"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    where = {pathlib.Path(os.path.normpath(source)): pathlib.Path(place) for source, place in json.loads(done.stdout).items()}
    for page in PAGES:
        assert where[page].parts[-3:-1] == ("man", f"man{page.suffix[1:]}")
    for source in SOURCE / "docs/sending.md", SOURCE / "docs/operating.md", SOURCE / "dist/posthouse.conf.example":
        assert where[source].parts[-4:-1] == ("share", "doc", "posthouse")
    for source in (SOURCE / "examples").glob("*.c"):
        assert where[source].parts[-5:-1] == ("share", "doc", "posthouse", "examples")


# ── docs/sending.md ──


@pytest.fixture
def desk(tmp_path):
    """desk(command line): a person's directory with the files that the page speaks of, and what a command prints there."""
    (tmp_path / "menu.pdf").write_bytes(b"%PDF-1.4")
    (tmp_path / "guests.csv").write_text("name,email\nAnn,ann@example.org\n")
    (tmp_path / "invitation.txt").write_text("Come, {name}.\n")
    profiles = tmp_path / "config/posthouse/profiles"
    profiles.parent.mkdir(parents=True)
    profiles.write_text(re.search(r"^```conf\n(.*?)^```", SENDING, re.MULTILINE | re.DOTALL)[1])

    def say(line):
        done = subprocess.run(line, shell=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, cwd=tmp_path,
                              env=os.environ | {"PATH": f"{BUILD}:{os.environ['PATH']}", "HOME": str(tmp_path),
                                                "XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path / "state")})
        assert done.returncode == 0, (line, done)
        return done.stdout
    return say


LINES = re.findall(r"^    (.*posthouse send .*)$", SENDING, re.MULTILINE)


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_a_line_of_the_page_makes_a_mail(desk, line):
    assert "\nSubject: " in desk(f"{line} --dry-run")


def test_the_profile_of_the_page_is_the_default(desk):
    assert "From: =?UTF-8?" in desk("posthouse send bob@example.net -m 'At noon?' --dry-run")
    assert "<wei@example.org>" in desk("posthouse send bob@example.net -m 'At noon?' --dry-run")


def test_the_program_of_the_page_compiles(tmp_path):
    body = re.search(r"^```c\n(.*?)^```", SENDING, re.MULTILINE | re.DOTALL)[1]
    (tmp_path / "send.c").write_text("#include <posthouse.h>\n#include <stdio.h>\n#include <stdlib.h>\nint main(void)\n{\n" + body + "}\n")
    done = subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", SOURCE / "include", tmp_path / "send.c"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_what_the_page_asks_for_is_an_option():
    for command in "send", "probe":
        spoken = {option for line in re.findall(rf"posthouse {command} ([^`\n]*)", SENDING) for option in said(line)}
        assert spoken <= told(page_of(command))
