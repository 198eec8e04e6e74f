# SPDX-License-Identifier: Apache-2.0
"""docs/operating.md and the example that is installed: what they tell people to write is good, and what they tell people to ask is answered."""
import os
import pathlib
import re
import subprocess

import pytest

from certificates import Authority
from station import POSTHOUSE

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PAGE = (SOURCE / "docs/operating.md").read_text()
EXAMPLE = (SOURCE / "dist/posthouse.conf.example").read_text()
BLOCKS = re.findall(r"^```conf\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
NAMES = re.findall(r"^\s*(tls|smtp|route|gate|filter|listen)\b", "".join(BLOCKS), re.MULTILINE)
LIVE = "/etc/letsencrypt/live/mail.example.org"


def check(directory, text):
    """The text as a file, with a certificate and a login where it says that they are."""
    leaf = Authority(directory).issue("mail.example.org")
    for name, path in ("fullchain.pem", leaf.certificate), ("privkey.pem", leaf.key):
        text = text.replace(f"{LIVE}/{name}", str(path))
    login = directory / "login"
    login.write_text("house\nsecret\n")
    text = text.replace("/etc/posthouse/relay.login", str(login))
    file = directory / "posthouse.conf"
    file.write_text(text)
    return subprocess.run([POSTHOUSE, "check", "--config", file], capture_output=True, text=True, timeout=30)


def test_the_page_has_what_is_tried_here():
    assert set(NAMES) == {"tls", "smtp", "route", "gate", "filter", "listen"}


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split()[0] for block in BLOCKS])
def test_a_block_of_the_page(tmp_path, block):
    house = f'hostname = "mail.example.org"\nstate = "{tmp_path}/state"\nspool = "{tmp_path}/spool"\ndomain "example.org" {{}}\n'
    if "listen" not in block:
        house += 'listen smtp { on = "*:2525" }\n'
    done = check(tmp_path, house + block)
    assert done.returncode == 0 and "good" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("all_of_it", [False, True], ids=["as it is", "with what is commented out"])
def test_the_example(tmp_path, all_of_it):
    text = re.sub(r"(?m)^# ((tls|route) .*\{.*|\t.*|\})$", r"\1", EXAMPLE) if all_of_it else EXAMPLE
    assert ("\nroute" in text) == ("\ntls" in text) == all_of_it
    done = check(tmp_path, f'state = "{tmp_path}/state"\nspool = "{tmp_path}/spool"\n' + text)
    assert done.returncode == 0 and "good" in done.stdout, done.stdout + done.stderr


def test_the_commands_of_the_page(station):
    """Those that need no service manager; options and words are what counts."""
    said = [line.split("#")[0].split() for line in re.findall(r"^    posthouse (.*)$", PAGE, re.MULTILINE)]
    said += [words.split() for words in re.findall(r"`posthouse ([^`&]*)`", PAGE)]
    assert {words[0] for words in said} == {"check", "user", "status", "top", "why", "queue", "explain"}
    for words in said:
        words = ["wei@example.net" if word == "ADDRESS" else word for word in words]
        words += {"top": ["--once"], "user": ["--password-stdin"]}.get(words[0], [])
        words += ["--yes"] if words[-1] == "retry" else []
        words = [word.replace("alice@", "carol@") for word in words]
        done = station.run(*words, text="secret\n", check=False)
        assert done.returncode in (os.EX_OK, os.EX_DATAERR, os.EX_NOHOST), (words, done)
