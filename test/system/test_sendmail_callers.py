# SPDX-License-Identifier: Apache-2.0
"""Programs that call sendmail, unchanged where Debian has them, else by their exact command lines; each mail arrives as it was meant."""
import email
import email.policy
import os
import pwd
import shutil
import subprocess

import pytest

from sendmails import Person
from talk import body, reverse_path

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def person(station):
    with Person(station) as person:
        yield person


def parsed(mail):
    return email.message_from_bytes(mail, policy=email.policy.default)


def needs(program):
    path = shutil.which(program, path="/usr/bin:/usr/sbin:/bin")
    return path or pytest.skip(f"needs Debian's {program}")


def run(person, *command, text=b""):
    done = subprocess.run(command, input=text, capture_output=True, timeout=60, env=person.environment, cwd=person.directory)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")


# ── as they are ──

CRON = """\
set -e
mount --bind "$1/bin-root/sendmail" /usr/sbin/sendmail
mount --bind "$1/crontabs" /var/spool/cron/crontabs
mount -t tmpfs none /etc/cron.d
mount --bind /dev/null /etc/crontab
mount -t tmpfs none /run
mount --bind "$1/pam" /etc/pam.d/cron
exec cron -f
"""


def test_cron(station, person, as_root):
    """Debian's cron with a spool of its own; the name /usr/sbin/sendmail is compiled into it. A job of @reboot runs at once."""
    needs("cron"), needs("unshare")
    if not os.path.exists("/usr/sbin/sendmail"):
        pytest.skip("no /usr/sbin/sendmail to put ours over")
    (person.directory / "bin-root").mkdir()
    (person.directory / "bin-root/sendmail").write_text(
        f'#!/bin/sh\nPOSTHOUSE_CONFIG={station.config}\nexport POSTHOUSE_CONFIG\nexec {person.sendmail_path} "$@"\n')
    (person.directory / "bin-root/sendmail").chmod(0o755)
    (person.directory / "pam").write_text("auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n")
    (person.directory / "crontabs").mkdir(mode=0o700)
    tab = person.directory / "crontabs/root"
    tab.write_text(f"MAILTO=bob\n@reboot HOME={person.home} sh -c 'echo it ran; echo .; echo and on'\n")
    tab.chmod(0o600)
    cron = subprocess.Popen(["unshare", "-m", "sh", "-c", CRON, "sh", person.directory], env=person.environment,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        mail = station.wait_mails("bob", 1)[0]
    finally:
        cron.kill()
        cron.communicate(timeout=60)
    message = parsed(mail)
    assert reverse_path(mail) == "root@example.org" and body(mail) == b"it ran\r\n.\r\nand on\r\n"
    assert message["From"].addresses[0].addr_spec == "root@example.org" and message["To"].addresses[0].addr_spec == "bob@example.org"
    assert message["Subject"].startswith("Cron <root@")


def test_php_mail(station, person):
    needs("php")
    script = "exit(mail('Bob <bob@example.org>', 'von PHP', \"Zeile eins\\n.\\nZeile zwei\", \"From: alice@example.org\\r\\nBcc: alice@example.org\")"\
             " ? 0 : 1);"
    run(person, "php", "-d", f"sendmail_path={person.sendmail_path} -t -i", "-r", script)
    mail = station.wait_mails("bob", 1)[0]
    assert reverse_path(mail) == f"{ME}@example.org" and parsed(mail)["From"] == "alice@example.org"
    assert body(mail) == b"Zeile eins\r\n.\r\nZeile zwei\r\n" and b"Bcc" not in mail
    station.wait_mails("alice", 1)


@pytest.mark.parametrize("setting", ["sendemail.sendmailCmd", "sendemail.smtpServer"])
def test_git_send_email(station, person, setting):
    needs("git")
    repository = person.directory / "repository"
    for command in (["init", "-q", repository], ["-C", repository, "config", "user.name", "Alice"],
                    ["-C", repository, "config", "user.email", "alice@example.org"],
                    ["-C", repository, "config", setting, person.sendmail_path],
                    ["-C", repository, "commit", "-q", "--allow-empty", "-m", "nothing"]):
        run(person, "git", *command)
    (repository / "file").write_text("líne\n")
    for command in ["add", "file"], ["commit", "-q", "-m", "a patch"]:
        run(person, "git", "-C", repository, *command)
    run(person, "git", "-C", repository, "send-email", "-1", "--to=bob@example.org", "--confirm=never", "--envelope-sender=auto",
        "--suppress-cc=all", "--8bit-encoding=UTF-8")
    mail = station.wait_mails("bob", 1)[0]
    assert reverse_path(mail) == "alice@example.org" and parsed(mail)["Subject"] == "[PATCH] a patch"
    assert "+líne" in parsed(mail).get_content()


def test_mutt(station, person):
    needs("mutt")
    (person.home / ".muttrc").write_text(
        f'set sendmail="{person.sendmail_path} -oem -oi"\nset from="Alice <alice@example.org>"\nset use_envelope_from\nunset record\n')
    run(person, "mutt", "-s", "Grüße", "-b", "alice@example.org", "bob@example.org", text="von mutt: ü\n.\nEnde\n".encode())
    mail = station.wait_mails("bob", 1)[0]
    assert reverse_path(mail) == "alice@example.org" and "ende" in parsed(mail).get_content().lower() and b"Bcc" not in mail
    station.wait_mails("alice", 1)


def test_s_nail(station, person):
    """What smartd and many scripts call as mail(1)."""
    needs("s-nail")
    run(person, "s-nail", "-n", "-S", f"mta={person.sendmail_path}", "-S", "ttycharset=utf-8", "-s", "SMART error", "bob@example.org",
        text=b"This message was generated by the smartd daemon\n")
    mail = station.wait_mails("bob", 1)[0]
    assert reverse_path(mail) == f"{ME}@example.org" and parsed(mail)["Subject"] == "SMART error"
    assert body(mail).startswith(b"This message was generated by the smartd daemon\r\n")


def test_python_as_a_pipe(station, person):
    """Django's and Python's own recipe: -t -oi, fields with names that are not ASCII."""
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = "Älice <alice@example.org>", "Bób <bob@example.org>", "你好"
    message.set_content("text\n")
    person.sendmail("-t", "-oi", text=bytes(message))
    assert parsed(station.wait_mails("bob", 1)[0])["Subject"] == "你好"


# ── exact command lines ──

CRONIE = (b"From: \"(Cron Daemon)\" <root>\nTo: bob\nSubject: Cron <root@host> run-parts\nMIME-Version: 1.0\n"
          b"Content-Type: text/plain; charset=UTF-8\nAuto-Submitted: auto-generated\nPrecedence: bulk\nX-Cron-Env: <LANG=C>\n\nit ran\n")
LOGWATCH = b"To: bob\nFrom: root\nSubject: Logwatch for host (Linux)\nAuto-Submitted: auto-generated\nPrecedence: bulk\n\n ### Logwatch ###\n.\n"
FAIL2BAN = (b"Subject: [Fail2Ban] sshd: banned 192.0.2.1 from host\nDate: Mon, 23 Nov 2026 05:19:00 +0000\nFrom: Fail2Ban <fail2ban@example.org>\n"
            b"To: bob@example.org\n\nHi,\n\nThe IP 192.0.2.1 has just been banned.\n")

CALLS = {
    "cronie": (["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root"], CRONIE, "root@example.org"),
    "cronie-without-sender": (["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "<>"], CRONIE, ""),
    "cronie-before-1.5": (["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-froot"], CRONIE, "root@example.org"),
    "debian-cron": (["-i", "-FCronDaemon", "-B8BITMIME", "-oem", "bob"], CRONIE, f"{ME}@example.org"),
    "fail2ban": (["-f", "fail2ban@example.org", "bob@example.org"], FAIL2BAN, "fail2ban@example.org"),
    "logwatch": (["-t"], LOGWATCH.replace(b".\n", b""), f"{ME}@example.org"),
    "smartd-by-sendmail": (["-i", "-t"], b"To: bob\nSubject: SMART error\n\nx\n", f"{ME}@example.org"),
    "symfony-t": (["-t"], b"To: bob@example.org\nFrom: alice@example.org\nSubject: s\n\nx\n", f"{ME}@example.org"),
    "wordpress": (["-oi", "-falice@example.org", "-t"], b"To: bob@example.org\nFrom: a@example.net\n\nx\n", "alice@example.org"),
    "nagios": (["-oi", "-t", "-r", "alice@example.org"], b"To: bob@example.org\n\nx\n", "alice@example.org"),
    "exim-cron": (["-i", "-FCronDaemon", "-oem", "bob@example.org"], b"Subject: x\n\nx\n", f"{ME}@example.org"),
}


@pytest.mark.parametrize("arguments,text,sender", CALLS.values(), ids=CALLS)
def test_exact_command_line(station, person, arguments, text, sender):
    assert person.sendmail(*arguments, text=text) == ""
    mail = station.wait_mails("bob", 1)[0]
    head, _, sent = text.partition(b"\n\n")
    assert reverse_path(mail) == sender and body(mail) == sent.replace(b"\n", b"\r\n")
    for line in head.split(b"\n"):
        if line.split(b":")[0] not in (b"From", b"To"):
            assert line in mail
    assert parsed(mail)["To"].addresses[0].addr_spec == "bob@example.org" if b"\nTo: " in mail else True


SYMFONY = ("EHLO [127.0.0.1]", "MAIL FROM:<alice@example.org>", "RCPT TO:<bob@example.org>", "DATA", None, "QUIT")
ALPINE = ("EHLO host", "MAIL FROM:<alice@example.org> BODY=8BITMIME", "RCPT TO:<bob@example.org>", "DATA", None, "QUIT")


@pytest.mark.parametrize("arguments,script", [(["-bs"], SYMFONY), (["-bs", "-odb", "-oem"], ALPINE), (["-bs", "-odi"], SYMFONY)],
                         ids=["symfony", "alpine", "pine"])
def test_a_dialogue_in_step(station, person, arguments, script):
    """They wait for each reply before they say the next line."""
    with subprocess.Popen([person.sendmail_path, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=person.environment) as server:
        def reply():
            while (line := server.stdout.readline())[3:4] == b"-":
                pass
            return line[:3]
        assert reply() == b"220"
        for line, code in zip(script, (b"250", b"250", b"250", b"354", b"250", b"221")):
            server.stdin.write(b"Subject: in step\r\n\r\n..x\r\n.\r\n" if line is None else line.encode() + b"\r\n")
            server.stdin.flush()
            assert reply() == code
        server.stdin.close()
        assert server.wait(60) == 0
    mail = station.wait_mails("bob", 1)[0]
    assert reverse_path(mail) == "alice@example.org" and body(mail) == b".x\r\n"
