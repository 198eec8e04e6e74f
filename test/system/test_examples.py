# SPDX-License-Identifier: Apache-2.0
"""The programs of examples/ against hosts on loopback: built with the tree, built by others from what `meson install` leaves (shared, static,
in C++), and under valgrind."""
import contextlib
import email
import email.policy
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from aiosmtpd.smtp import AuthResult

from certificates import Authority
from peers import Sink
from station import BUILD, free_ports
from tls_peers import context

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
EXAMPLES = BUILD / "examples"
VALGRIND = ["valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect,possible"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def tls_sink(authority):
    """tls_sink(**options): a Sink called localhost that wants STARTTLS and, of everybody, wei's password."""
    with contextlib.ExitStack() as stack:
        def make(**options):
            def check(_server, _session, _envelope, _mechanism, data):
                return AuthResult(success=(data.login, data.password) == (b"wei", b"wonderland"))

            leaf = authority.issue("localhost", "127.0.0.1")
            return stack.enter_context(Sink(tls_context=context(leaf), require_starttls=True, authenticator=check, auth_required=True,
                                            **options))
        yield make


def run(program, *arguments, text=b"", before=(), expect=0, **environment):
    done = subprocess.run([*before, program, *map(str, arguments)], input=text, capture_output=True, timeout=120,
                          env=os.environ | {name: str(value) for name, value in environment.items()})
    assert done.returncode == expect, f"exit {done.returncode}: {(done.stdout + done.stderr).decode(errors='replace')}"
    return done.stdout.decode()


def parsed(mail):
    return email.message_from_bytes(mail[2], policy=email.policy.default)


def trusting(authority, **more):
    return {"PASSWORD": "wonderland", "SSL_CERT_FILE": authority.trust, **more}


def one_refused(recipient):
    return "550 5.1.1 nobody here" if recipient.startswith("ann") else None


def check_send(sink, authority, tmp_path, program=EXAMPLES / "send", before=(), **more):
    """Three recipients of whom one is refused, over verified TLS, with a login, a text and an attachment."""
    menu = tmp_path / "菜单.pdf"
    menu.write_bytes(bytes(range(256)) * 40)
    said = run(program, f"smtp://wei@localhost:{sink.port}", menu, before=before, expect=1, **trusting(authority, **more))
    assert re.fullmatch(r"bob@example\.net: 250 .*kept\nann@example\.net: 550 .*nobody here\ncarol@example\.com: 250 .*kept\n", said), said
    (sender, recipients, _), = sink.mails
    message = parsed(sink.mails[0])
    assert sender == "wei@example.org" and recipients == ["bob@example.net", "carol@example.com"]
    assert message["subject"] == "午餐 · Lunch" and message["from"].addresses[0].display_name == "魏"
    attachment, = message.iter_attachments()
    assert message.get_body().get_content().splitlines() == ["See you at noon."]
    assert attachment.get_filename() == "菜单.pdf" and attachment.get_content() == menu.read_bytes()


def test_send(tls_sink, authority, tmp_path):
    check_send(tls_sink(answer=one_refused), authority, tmp_path)


def test_send_is_at_most_twenty_lines_of_code():
    """Of its body: what is neither blank nor comment. It must do all that is promised of so few."""
    source = (SOURCE / "examples/send.c").read_text()
    body = re.search(r"^\{\n(.*?)^\}\n", source, re.DOTALL | re.MULTILINE)[1]
    code = [line for line in re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL).splitlines() if line.strip()]
    assert len(code) <= 20, len(code)
    assert {"ph_login", "ph_to", "ph_text", "ph_attach", "ph_send", "ph_result"} <= set(re.findall(r"ph_\w+", body))
    assert len(re.findall(r"\w+@[\w.]+", re.search(r"ph_to\(m, (.*)\);", body)[1])) == 3 and "ph_tls" not in body


def test_send_trusts_nobody_it_does_not_know(tls_sink, authority, tmp_path):
    sink = tls_sink()
    stranger = Authority(tmp_path / "stranger", "Another")
    said = run(EXAMPLES / "send", f"smtp://wei@localhost:{sink.port}", __file__, expect=1, PASSWORD="wonderland",
               SSL_CERT_FILE=stranger.trust)
    assert said.count("certificate is not good") == 3 and not sink.mails


def test_send_says_what_is_wrong(tmp_path):
    done = subprocess.run([EXAMPLES / "send", "smtp://wei@localhost:1", tmp_path / "absent.pdf"], capture_output=True, text=True, timeout=60,
                          env=os.environ | {"PASSWORD": "x"})
    assert done.returncode == 1 and "absent.pdf" in done.stderr


def test_poll(authority):
    """Without a login: whoever offers TLS that can be believed."""
    with Sink(tls_context=context(authority.issue("localhost")), require_starttls=True) as sink:
        said = run(EXAMPLES / "poll", f"smtp://localhost:{sink.port}", "wei@example.org", "bob@example.net", "午餐", text="Grüße\n.\n".encode(),
                   SSL_CERT_FILE=authority.trust)
        assert re.fullmatch(r"sent\nbob@example\.net: .*kept\n", said), said
        message = parsed(sink.mails[0])
        assert message["subject"] == "午餐" and message.get_content().splitlines() == ["Grüße", "."]


def test_poll_with_nobody_there(authority):
    port, = free_ports(1)
    said = run(EXAMPLES / "poll", f"smtp://localhost:{port}", "wei@example.org", "bob@example.net", "x", expect=1)
    assert re.fullmatch(r"later\nbob@example\.net: .*refused.*\n", said), said


def test_uv(authority):
    """Three servers at once: one takes it, one has no TLS, one is not there."""
    leaf, gone = authority.issue("localhost"), free_ports(1)[0]
    with Sink(tls_context=context(leaf), require_starttls=True) as sink, Sink() as clear:
        said = run(EXAMPLES / "uv", "wei@example.org", "bob@example.net",
                   *(f"smtp://localhost:{port}" for port in (sink.port, clear.port, gone)), expect=1, SSL_CERT_FILE=authority.trust)
        said = dict(re.findall(r"smtp://localhost:(\d+): (.*)", said))
        assert said[str(sink.port)].startswith("sent: ") and len(sink.mails) == 1
        assert "TLS" in said[str(clear.port)] and not clear.mails
        assert said[str(gone)].startswith("later: ") and "refused" in said[str(gone)]


def test_bulk(tls_sink, authority):
    """A list over three connections; who is refused is named."""
    sink = tls_sink(answer=one_refused)
    people = [f"p{i}@example.net" for i in range(150)] + ["ann@example.net"]
    said = run(EXAMPLES / "bulk", f"smtp://wei@localhost:{sink.port}", 3, "wei@example.org", "To all", "Hello.", expect=1,
               text="\n".join(people).encode() + b"\n", **trusting(authority))
    assert re.fullmatch(r"ann@example\.net: refused: .*nobody here\n150 sent, 1 not\n", said), said
    assert sorted(recipients for _, recipients, _ in sink.mails) == sorted([person] for person in people[:-1])
    assert all(parsed(mail)["to"] == mail[1][0] for mail in sink.mails)
    assert sink.sessions == 1 + 2 * 3  # one of aiosmtpd's own, and it counts a connection again behind its TLS


def test_core():
    with Sink() as sink:
        said = run(EXAMPLES / "core", sink.port, "wei@example.org", "bob@example.net", text=b"Subject: core\n\n.a dot\n..\n")
        assert re.fullmatch(r"bob@example\.net: sent 250 .*kept\n", said), said
        assert sink.mails == [("wei@example.org", ["bob@example.net"], b"Subject: core\r\n\r\n.a dot\r\n..\r\n")]


# ── as others have it ──


def sanitized():
    return "libasan" in subprocess.run(["ldd", EXAMPLES / "send"], capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What `meson install` leaves, under a directory."""
    if sanitized():
        pytest.skip("a sanitizer build is not for installing")
    root = tmp_path_factory.mktemp("installed")
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", root], check=True, capture_output=True, timeout=120)
    return root


def flags(installed, *options):
    """Those of pkg-config, for that directory."""
    file, = installed.rglob("posthouse.pc")
    done = subprocess.run(["pkg-config", *options, "posthouse"], capture_output=True, text=True, timeout=60,
                          env=os.environ | {"PKG_CONFIG_PATH": str(file.parent), "PKG_CONFIG_SYSROOT_DIR": str(installed)})
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def library_directory(installed):
    return next(installed.rglob("libposthouse.so")).parent


def build(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_installed_shared(installed, tls_sink, authority, tmp_path):
    program = tmp_path / "send"
    build("cc", "-std=c17", "-Wall", "-Wextra", "-Werror", SOURCE / "examples/send.c", "-o", program, *flags(installed, "--cflags", "--libs"))
    assert "libposthouse.so.0" in subprocess.run(["readelf", "-d", program], capture_output=True, text=True).stdout
    check_send(tls_sink(answer=one_refused), authority, tmp_path, program, LD_LIBRARY_PATH=library_directory(installed))


def test_installed_static(installed, tls_sink, authority, tmp_path):
    """The archive alone: the shared one is not there."""
    program, alone = tmp_path / "send", tmp_path / "lib"
    alone.mkdir()
    shutil.copy(next(installed.rglob("libposthouse.a")), alone)
    words = [word for word in flags(installed, "--static", "--cflags", "--libs") if word != f"-L{library_directory(installed)}"]
    build("cc", SOURCE / "examples/send.c", "-o", program, f"-L{alone}", *words)
    assert "libposthouse" not in subprocess.run(["readelf", "-d", program], capture_output=True, text=True).stdout
    check_send(tls_sink(answer=one_refused), authority, tmp_path, program)


IN_C_PLUS_PLUS = """\
#include <posthouse.h>
#include <cstdio>
#include <memory>

struct Free {
    void operator()(ph_mail *m) const { ph_mail_free(m); }
    void operator()(ph_session *s) const { ph_session_free(s); }
};

int main(int, char **argv)
{
    std::unique_ptr<ph_session, Free> session(ph_session_new(argv[1]));
    std::unique_ptr<ph_mail, Free> mail(ph_mail_new());
    ph_tls(session.get(), PH_TLS_NEVER);
    ph_from(mail.get(), "wei@example.org");
    ph_to(mail.get(), "bob@example.net");
    ph_subject(mail.get(), "C++");
    ph_text(mail.get(), "Hello.\\n");
    ph_status status = ph_send(session.get(), mail.get());
    std::printf("%s\\n", ph_status_name(status));
    return status != PH_SENT;
}
"""


def test_installed_for_c_plus_plus(installed, tmp_path):
    source, program = tmp_path / "hello.cc", tmp_path / "hello"
    source.write_text(IN_C_PLUS_PLUS)
    build("g++", "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", source, "-o", program, *flags(installed, "--cflags", "--libs"))
    with Sink() as sink:
        assert run(program, f"smtp://127.0.0.1:{sink.port}", LD_LIBRARY_PATH=library_directory(installed)) == "sent\n"
        assert parsed(sink.mails[0])["subject"] == "C++"


@pytest.mark.parametrize("standard", ["c11", "c17"])
def test_the_header_alone(installed, tmp_path, standard):
    """It needs nothing before it, and no extension of a compiler."""
    source = tmp_path / "alone.c"
    source.write_text("#include <posthouse.h>\nint main(void) { return ph_version() == NULL; }\n")
    build("cc", f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Wstrict-prototypes", "-Werror", "-fsyntax-only", source,
          *flags(installed, "--cflags"))


# ── memory ──


@pytest.fixture
def valgrind():
    if not shutil.which("valgrind") or sanitized():
        pytest.skip("needs valgrind, and a build without sanitizers")
    return VALGRIND


@pytest.mark.slow
def test_send_under_valgrind(valgrind, tls_sink, authority, tmp_path):
    check_send(tls_sink(answer=one_refused), authority, tmp_path, before=valgrind)


@pytest.mark.slow
def test_core_under_valgrind(valgrind):
    with Sink() as sink:
        run(EXAMPLES / "core", sink.port, "wei@example.org", "bob@example.net", text=b"Subject: core\n\nx\n", before=valgrind)
        assert len(sink.mails) == 1


@pytest.mark.slow
def test_bulk_under_valgrind(valgrind, tls_sink, authority):
    sink = tls_sink(answer=one_refused)
    people = [f"p{i}@example.net" for i in range(20)] + ["ann@example.net"]
    run(EXAMPLES / "bulk", f"smtp://wei@localhost:{sink.port}", 2, "wei@example.org", "To all", "Hello.", expect=1,
        text="\n".join(people).encode() + b"\n", before=valgrind, **trusting(authority))
    assert len(sink.mails) == 20


# ── the manual ──


def declared():
    """Functions of the header."""
    header = re.sub(r"/\*.*?\*/", "", (SOURCE / "include/posthouse.h").read_text(), flags=re.DOTALL)
    return set(re.findall(r"\b(ph_\w+)\(", header))


def test_every_function_is_in_the_manual():
    page = (SOURCE / "docs/man/libposthouse.3").read_text()
    synopsis, _, rest = page.partition(".Sh DESCRIPTION")
    assert set(re.findall(r"^\.Fn (ph_\w+)", synopsis, re.MULTILINE)) == declared()
    assert declared() - set(re.findall(r"Fn (ph_\w+)", rest)) == set()


def test_every_constant_is_in_the_manual():
    header = (SOURCE / "include/posthouse.h").read_text()
    constants = set(re.findall(r"\bPH_[A-Z_]+\b", re.sub(r"#define[^\n]*|/\*.*?\*/", "", header, flags=re.DOTALL)))
    assert constants and constants <= set(re.findall(r"PH_[A-Z_]+", (SOURCE / "docs/man/libposthouse.3").read_text()))


def test_mandoc_likes_the_manual():
    if not shutil.which("mandoc"):
        pytest.skip("no mandoc")
    done = subprocess.run(["mandoc", "-Tlint", "-W", "style", SOURCE / "docs/man/libposthouse.3"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stdout, done.stdout


def test_the_example_of_the_manual_compiles(tmp_path):
    page = (SOURCE / "docs/man/libposthouse.3").read_text()
    source = tmp_path / "example.c"
    source.write_text(re.search(r"^\.Sh EXAMPLES\n\.Bd -literal\n(.*?)^\.Ed", page, re.DOTALL | re.MULTILINE)[1].replace("\\e", "\\"))
    build("cc", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", SOURCE / "include", source)
