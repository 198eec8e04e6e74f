# SPDX-License-Identifier: Apache-2.0
"""libposthouse as a program uses it: mails through ctypes to scripted hosts, to aiosmtpd, to hosts that do TLS well and badly."""
import base64
import ctypes
import email.policy
import hashlib
import hmac
import os
import select
import socket
import subprocess
import time

import pytest

from certificates import Authority
from peers import Listening, Postfix, Scripted, Sink
from station import BUILD, free_ports, until
from tls_peers import TlsPeer

PATH = BUILD / "src/client/libposthouse.so"
SENT, PARTLY, REFUSED, LATER, UNSURE, INVALID, UNDERWAY = range(7)
VERIFY, ENCRYPT, TRY, NEVER = range(4)
TRACE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t)
TOKEN = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p, ctypes.c_bool)
DONE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
WRITE = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char), ctypes.c_size_t)
WANT_INPUT, WANT_OUTPUT, WANT_TLS, READY, DONE_WITH_IT, FAILED, CLOSE = range(7)
CLEAR_LOGIN, TLS_FIRST = 8, 2
RESIZE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class Result(ctypes.Structure):
    _fields_ = [("address", ctypes.c_char_p), ("status", ctypes.c_int), ("code", ctypes.c_int), ("enhanced", ctypes.c_char_p),
                ("text", ctypes.c_char_p), ("stage", ctypes.c_char_p), ("advice", ctypes.c_char_p)]


class Memory(ctypes.Structure):
    _fields_ = [("resize", RESIZE), ("context", ctypes.c_void_p)]


def load():
    if not PATH.exists():
        pytest.skip(f"no {PATH}", allow_module_level=True)
    if "libasan" in subprocess.run(["ldd", PATH], capture_output=True, text=True).stdout and "libasan" not in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("a sanitizer build: test/client/test_sanitized.py runs this", allow_module_level=True)
    library = ctypes.CDLL(str(PATH))
    for name in ("ph_mail_new", "ph_mail_new_in", "ph_session_new", "ph_session_new_in", "ph_pool_new", "ph_core_new", "ph_core_output"):
        getattr(library, name).restype = ctypes.c_void_p
    for name in ("ph_mail_error", "ph_session_error", "ph_session_tls", "ph_mail_id", "ph_core_error", "ph_status_name"):
        getattr(library, name).restype = ctypes.c_char_p
    library.ph_result.restype = ctypes.POINTER(Result)
    library.ph_results.restype = library.ph_pool_waiting.restype = library.ph_keep_unsent.restype = ctypes.c_size_t
    library.ph_mail_write.restype = library.ph_core_mail.restype = ctypes.c_bool
    library.ph_deadline.restype = ctypes.c_int64
    return library


LIBRARY = load()


def passed(argument):
    """As ctypes wants it: text in UTF-8, objects and numbers by their width."""
    if isinstance(argument, str):
        return argument.encode()
    if isinstance(argument, os.PathLike):
        return os.fsencode(argument)
    if isinstance(argument, Object):
        return ctypes.c_void_p(argument.p)
    return argument


class Object:
    """object.verb(…) is ph_verb(object, …); what it was given is kept."""
    prefix, free = "ph_", None

    def __init__(self, p):
        self.p, self.kept = p, []
        assert p, "no memory"

    def __getattr__(self, verb):
        def call(*arguments):
            arguments = [passed(argument) for argument in arguments]
            self.kept += arguments
            return getattr(LIBRARY, self.prefix + verb)(ctypes.c_void_p(self.p), *arguments)
        return call

    def __enter__(self):
        return self

    def __exit__(self, *_):
        getattr(LIBRARY, self.free)(ctypes.c_void_p(self.p))


class Mail(Object):
    free = "ph_mail_free"

    def __init__(self, *to, text="See you at noon.\n"):
        super().__init__(LIBRARY.ph_mail_new())
        self.__dict__["prefix"] = "ph_"
        getattr(self, "from")("魏 <wei@example.org>")
        for address in to:
            self.to(address)
        self.subject("Lunch")
        if text is not None:
            self.text(text)

    def results(self):
        return [LIBRARY.ph_result(ctypes.c_void_p(self.p), ctypes.c_size_t(i)).contents for i in range(self.results_n())]

    def results_n(self):
        return LIBRARY.ph_results(ctypes.c_void_p(self.p))

    def wrong(self):
        return (LIBRARY.ph_mail_error(ctypes.c_void_p(self.p)) or b"").decode()


class Finished(Mail):
    """A mail that nothing was written into."""

    def __init__(self):
        Object.__init__(self, LIBRARY.ph_mail_new())


class Session(Object):
    free = "ph_session_free"

    def __init__(self, url, tls=NEVER, patience=20):
        super().__init__(LIBRARY.ph_session_new(url.encode()))
        self.lines = []
        hook = TRACE(lambda _, who, line, n: self.lines.append(f"{who.decode()} {ctypes.string_at(line, n).decode(errors='replace')}"))
        self.tls(tls)
        self.trace(hook, None)
        if patience:
            self.patience(patience)

    def wrong(self):
        return (LIBRARY.ph_session_error(ctypes.c_void_p(self.p)) or b"").decode()

    def secured(self):
        return LIBRARY.ph_session_tls(ctypes.c_void_p(self.p)).decode()


class Core(Object):
    free = "ph_core_free"

    def __init__(self, flags=0):
        super().__init__(LIBRARY.ph_core_new(b"client.test", flags, None))
        self.__dict__["prefix"] = "ph_core_"

    def said(self):
        n = ctypes.c_size_t()
        octets = ctypes.string_at(self.output(ctypes.byref(n)), n.value)
        self.sent(n)
        return octets.decode()

    def hear(self, *lines):
        octets = "".join(line + "\r\n" for line in lines).encode()
        self.feed(octets, ctypes.c_size_t(len(octets)))
        return self.next()

    def wrong(self):
        return LIBRARY.ph_core_error(ctypes.c_void_p(self.p)).decode()


def of(peer):
    return f"smtp://127.0.0.1:{peer.port}"


def stages(mail):
    return [(r.status, r.stage.decode(), r.code) for r in mail.results()]


def test_three_recipients_one_refused_one_later():
    answers = {"no@dst.test": "550 5.1.1 no such mailbox", "later@dst.test": "450 4.2.1 busy"}
    with Sink(answer=answers.get) as sink, Session(of(sink)) as s, Mail("bob@dst.test", "no@dst.test, later@dst.test") as m:
        assert s.send(m) == PARTLY
        assert stages(m) == [(SENT, "end", 250), (REFUSED, "rcpt", 550), (LATER, "rcpt", 450)]
        _, refused, _ = m.results()
        assert (refused.enhanced, refused.text) == (b"5.1.1", b"no such mailbox")
        assert "address" in refused.advice.decode()
        assert sink.mails[0][1] == ["bob@dst.test"]


def test_copies_stand_in_the_header_blind_ones_do_not():
    with Sink() as sink, Session(of(sink)) as s, Mail('"Doe, Bob" <bob@dst.test>, ann@dst.test (Ann, of course)') as m:
        m.cc("carl@dst.test, bob@dst.test")
        m.bcc("secret@dst.test")
        m.reply_to("desk@example.org")
        m.header("X-Ticket", "12")
        assert s.send(m) == SENT, m.wrong()
        sender, recipients, octets = sink.mails[0]
        assert (sender, recipients) == ("wei@example.org", ["bob@dst.test", "ann@dst.test", "carl@dst.test", "secret@dst.test"])
        assert b"secret" not in octets and b"carl@dst.test" in octets and b"X-Ticket: 12" in octets and b"desk@example.org" in octets


@pytest.mark.parametrize("call, arguments, word", [
    ("to", ["bob@dst.test\r\nBcc: eve@dst.test"], "To"), ("subject", ["a\nb"], "Subject"), ("to", ["bob"], "To"),
    ("header", ["X-A", "1\r\n2"], "X-A"), ("header", ["X A", "1"], "X A"), ("attach", ["/nowhere/menu.pdf"], "/nowhere/menu.pdf"),
    ("attach", ["/"], "not a file"), ("text", [b"\xff"], "text"), ("message_id", ["a\nb"], "Message-ID"), ("cc", ['"bob@dst.test'], "Cc")])
def test_what_is_wrong_sticks_and_names_the_field(call, arguments, word):
    with Scripted() as peer, Session(of(peer)) as s, Mail("bob@dst.test") as m:
        getattr(m, call)(*arguments)
        m.subject("")
        assert s.send(m) == INVALID
        assert word in m.wrong()
        assert peer.sessions == 0


def test_nobody_to_send_to():
    with Session("smtp://127.0.0.1:1") as s, Mail() as m:
        assert s.send(m) == INVALID
        assert "recipient" in m.wrong()


def test_many_mails_one_connection():
    with Sink() as sink, Session(of(sink)) as s:
        before = sink.sessions
        for _ in range(3):
            with Mail("bob@dst.test") as m:
                assert s.send(m) == SENT
        s.quit()
        assert (len(sink.mails), sink.sessions - before) == (3, 1)


def test_more_recipients_than_one_transaction_takes():
    with Sink() as sink, Session(of(sink)) as s, Mail() as m:
        for i in range(250):
            m.recipient(f"r{i}@dst.test")
        assert s.send(m) == SENT
        assert sorted(len(recipients) for _, recipients, _ in sink.mails) == [50, 100, 100]


def test_nothing_listens_there():
    with Session(f"smtp://localhost:{free_ports(1)[0]}") as s, Mail("bob@dst.test") as m:
        assert s.send(m) == LATER
        result, = m.results()
        assert result.stage == b"connect" and b"refused" in result.text and b"server runs" in result.advice


def test_a_name_that_nobody_has():
    with Session("smtp://nowhere.invalid") as s, Mail("bob@dst.test") as m:
        assert s.send(m) in (LATER, REFUSED)
        assert m.results()[0].stage == b"connect" and "nowhere.invalid" in s.wrong()


def test_the_answer_to_the_end_gets_lost():
    """Nobody knows then whether the mail is there."""
    with Scripted("220 hi", "250 hi", "250 ok", "250 ok", "354 go", "") as peer, Session(of(peer)) as s, Mail("bob@dst.test") as m:
        assert s.send(m) == UNSURE
        assert stages(m) == [(UNSURE, "end", 0)]
        assert b"before you send it again" in m.results()[0].advice
        assert peer.sessions == 1


def test_a_kept_connection_that_died_is_made_anew():
    script = ("220 hi", "250 hi", "250 ok", "250 ok", "354 go", "250 kept", "")
    with Scripted(*script) as peer, Session(of(peer)) as s:
        for _ in range(2):
            with Mail("bob@dst.test") as m:
                assert s.send(m) == SENT, m.results()[0].text
        assert peer.sessions == 2


class Ending(Scripted):
    """A host that ends each connection with 421 behind `taken` transactions; `mails` has the RCPT commands of each that it took."""

    def __init__(self, taken):
        super().__init__()
        self.taken, self.mails = taken, []

    def serve(self, connection):
        try:
            self.take(connection)
        except OSError:
            pass

    def take(self, connection):
        with connection, connection.makefile("rb") as lines:
            transactions, recipients, message = 0, [], False
            self.say(connection, "220 hi")
            for line in lines:
                if message:
                    message = line != b".\r\n"
                    if not message:
                        self.mails.append(recipients)
                        self.say(connection, "250 kept")
                    continue
                if line.startswith(b"MAIL"):
                    transactions, recipients = transactions + 1, []
                    if transactions > self.taken:
                        self.say(connection, "421 enough")
                        return
                if line.startswith(b"RCPT"):
                    recipients.append(line)
                message = line.startswith(b"DATA")
                self.say(connection, "354 go" if message else "250 ok")


def many(n):
    mail = Mail()
    for i in range(n):
        mail.recipient(f"r{i}@dst.test")
    return mail


@pytest.mark.parametrize("through_a_pool", [False, True])
def test_a_kept_connection_that_dies_among_the_recipients_brings_nobody_two(through_a_pool):
    with Ending(taken=2) as peer, Session(of(peer)) as s, Mail("bob@dst.test") as first, many(150) as m:
        if through_a_pool:
            assert [status for _, status in pooled(peer, [first, m])] == [SENT, PARTLY]
        else:
            assert s.send(first) == SENT
            assert s.send(m) == PARTLY
        assert [r.status for r in m.results()] == [SENT] * 100 + [LATER] * 50
        assert m.keep_unsent() == 50
        assert s.send(m) == SENT
        assert [len(recipients) for recipients in peer.mails] == [1, 100, 50]
        assert len({r for recipients in peer.mails for r in recipients}) == 151


def test_a_kept_connection_that_dies_before_any_recipient_has_it_is_made_anew():
    with Ending(taken=1) as peer, Session(of(peer)) as s, Mail("bob@dst.test") as first, many(60) as m:
        assert (s.send(first), s.send(m)) == (SENT, SENT)
        assert s.wrong() == ""
        assert [len(recipients) for recipients in peer.mails] == [1, 60]


def test_the_greeting_has_a_patience_of_its_own():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        with Mail("bob@dst.test") as m, Session(f"smtp://127.0.0.1:{silent.getsockname()[1]}", patience=None) as s:
            assert s.start(m) == UNDERWAY
            time.sleep(0.1)
            assert s.step() == UNDERWAY
            assert s.deadline() - time.monotonic() * 1000 > 200_000


def test_silence_ends_with_patience():
    with Scripted("220 hi", "250 hi") as peer, Session(of(peer)) as s, Mail("bob@dst.test") as m:
        s.patience(1)
        assert s.send(m) == LATER
        assert m.results()[0].stage == b"mail" and b"in time" in m.results()[0].text


@pytest.mark.parametrize("script, stage", [
    (["554 5.7.1 go away"], "greeting"), (["hello"], "greeting"), (["220 hi", "250 hi", "999 what"], "mail"), ([""], "greeting"),
    (["220 hi", "250 hi", "250 ok", "250 ok", "550 5.7.1 no"], "data")])
def test_a_server_that_refuses_or_lies(script, stage):
    with Scripted(*script) as peer, Session(of(peer)) as s, Mail("bob@dst.test") as m:
        assert s.send(m) in (LATER, REFUSED)
        result, = m.results()
        assert (result.stage.decode(), bool(result.text), bool(result.advice)) == (stage, True, True)


def test_postfix_takes_it(tmp_path):
    (tmp_path / "菜单.pdf").write_bytes(os.urandom(100000))
    with Postfix(free_ports(1)[0]) as postfix, Session(of(postfix)) as s, Mail("box@dst.test") as m:
        m.attach(tmp_path / "菜单.pdf")
        assert s.send(m) == SENT, m.results()[0].text
        until(postfix.mailbox, "the mail in Postfix's mailbox")
        attached, = email.message_from_bytes(postfix.mailbox()[0], policy=email.policy.default).iter_attachments()
        assert attached.get_filename() == "菜单.pdf"
        assert attached.get_content() == (tmp_path / "菜单.pdf").read_bytes()


# ── files ──

def test_a_file_that_grew_since_it_was_named_is_not_sent(tmp_path):
    menu = tmp_path / "menu.pdf"
    menu.write_bytes(b"soup" * 1000)
    with Sink() as sink, Session(of(sink)) as s, Mail("bob@dst.test") as m:
        m.attach(menu)
        menu.write_bytes(b"soup" * 2000)
        assert s.send(m) == LATER
        assert b"menu.pdf changed" in m.results()[0].text and m.results()[0].stage == b"body"
        assert sink.mails == []


def test_a_file_that_is_gone(tmp_path):
    menu = tmp_path / "menu.pdf"
    menu.write_bytes(b"soup")
    with Sink() as sink, Session(of(sink)) as s, Mail("bob@dst.test") as m:
        m.attach(menu)
        menu.unlink()
        assert s.send(m) == LATER
        assert b"menu.pdf" in m.results()[0].text and sink.mails == []


@pytest.mark.parametrize("from_file", [True, False])
def test_a_finished_message_arrives_octet_for_octet(tmp_path, from_file):
    octets = b"From: wei@example.org\nSubject: finished\n\n.dot\n" + b"line\n" * 50000
    (tmp_path / "mail.eml").write_bytes(octets)
    with Sink() as sink, Session(of(sink)) as s, Finished() as m:
        m.recipient("bob@dst.test")
        m.return_path("wei@example.org")
        if from_file:
            m.message_file(tmp_path / "mail.eml")
        else:
            m.message_data(octets, ctypes.c_size_t(len(octets)))
        assert s.send(m) == SENT, m.results()[0].text
        assert sink.mails[0][2] == octets.replace(b"\n", b"\r\n")


def rewritten(path):
    path.write_bytes(b"cake" * 1000)


def replaced(path):
    stat = path.stat()
    (path.parent / "new").write_bytes(b"cake" * 1000)
    os.utime(path.parent / "new", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (path.parent / "new").rename(path)


@pytest.mark.parametrize("change", [rewritten, replaced])
@pytest.mark.parametrize("is_measured", [False, True])
def test_a_file_of_the_same_size_with_other_words_is_not_sent(tmp_path, change, is_measured):
    menu = tmp_path / "menu.eml"
    menu.write_bytes(b"soup" * 1000)
    with Sink() as sink, Session(of(sink)) as s, Mail("bob@dst.test") as m:
        m.attach(menu)
        if is_measured:
            assert written(m)[0]
        time.sleep(0.02)
        change(menu)
        assert s.send(m) != SENT
        assert b"menu.eml changed" in m.results()[0].text and sink.mails == []


@pytest.mark.parametrize("call", ["attach", "message_file"])
def test_a_file_that_does_not_tell_its_size_is_not_sent_as_empty(call):
    with Finished() as m:
        getattr(m, call)("/proc/self/status")
        assert "/proc/self/status: its size is not known" in m.wrong()


def test_an_empty_file_goes_and_must_stay_what_it_was(tmp_path):
    empty = tmp_path / "empty.txt"
    empty.touch()
    with Sink() as sink, Session(of(sink)) as s, Mail("bob@dst.test") as m:
        m.attach(empty)
        assert s.send(m) == SENT
        assert b"empty.txt" in sink.mails[0][2]
        empty.unlink()
        assert s.send(m) == LATER and b"empty.txt" in m.results()[0].text
        assert len(sink.mails) == 1


@pytest.mark.parametrize("call", ["text", "html", "subject"])
def test_nothing_is_written_into_a_finished_message(call):
    with Scripted() as peer, Session(of(peer)) as s, Finished() as m:
        m.return_path("wei@example.org")
        m.recipient("bob@dst.test")
        m.message_data(b"Subject: x\n\nx\n", ctypes.c_size_t(14))
        getattr(m, call)("lost")
        assert s.send(m) == INVALID and "a finished message takes no" in m.wrong()
        assert peer.sessions == 0


@pytest.mark.parametrize("offer", ["250 SMTPUTF8", "250 HELP"])
@pytest.mark.parametrize("header, is_utf8", [("Subject: 午餐".encode(), True), ("Subject: 午餐".encode("gbk"), False), (b"Subject: lunch", False)])
def test_a_finished_header_in_utf8_is_called_so_where_that_is_known(header, is_utf8, offer):
    message = header + "\n\n午\n".encode()
    with Scripted("220 hi", "250-hi\r\n" + offer, "250 ok", "250 ok", "354 go", "250 kept", "221 bye") as peer, \
            Session(of(peer)) as s, Finished() as m:
        m.return_path("wei@example.org")
        m.recipient("bob@dst.test")
        m.message_data(message, ctypes.c_size_t(len(message)))
        assert s.send(m) == SENT
        assert ("SMTPUTF8" in peer.heard[1]) == (is_utf8 and "UTF8" in offer), peer.heard


def test_a_finished_message_says_where_bounces_go():
    with Sink() as sink, Session(of(sink)) as s, Finished() as silent, Finished() as m:
        for mail in (silent, m):
            mail.recipient("bob@dst.test")
            mail.message_data(b"Subject: x\n\nx\n", ctypes.c_size_t(14))
        assert s.send(silent) == INVALID and "ph_return_path" in silent.wrong()
        m.return_path("")
        assert s.send(m) == SENT and sink.mails[0][0] == "<>"


# ── TLS and logins ──

@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("library-tls"))


@pytest.fixture(scope="module")
def good(authority):
    return authority.issue("localhost", "127.0.0.1")


def test_a_certificate_that_is_good(authority, good):
    with TlsPeer(good, login=True) as peer, Session(f"smtp://localhost:{peer.port}", VERIFY) as s, Mail("bob@dst.test") as m:
        s.trust(authority.trust)
        s.login("alice", "wonderland")
        assert s.send(m) == SENT, m.results()[0].text
        assert s.secured().startswith("TLSv1.3") and s.secured().endswith(", verified")
        assert peer.logins == 1 and b"bob" not in peer.clear
        assert not [line for line in s.lines if "wonderland" in line or "AGFsaWNl" in line]
        assert [line for line in s.lines if line.startswith("C AUTH PLAIN ***")]


def test_tls_before_the_greeting(authority, good):
    with TlsPeer(good, "first") as peer, Session(f"smtps://127.0.0.1:{peer.port}", VERIFY) as s, Mail("bob@dst.test") as m:
        s.trust(authority.trust)
        assert s.send(m) == SENT, m.results()[0].text


def test_a_certificate_for_somebody_else(authority):
    with TlsPeer(authority.issue("other.test")) as peer, Session(f"smtp://localhost:{peer.port}", VERIFY) as s, Mail("bob@dst.test") as m:
        s.trust(authority.trust)
        s.login("alice", "wonderland")
        assert s.send(m) == LATER
        result, = m.results()
        assert result.stage == b"tls" and b"certificate" in result.text and b"right server" in result.advice
        assert peer.logins == 0 and peer.mails == []


def test_encryption_alone_takes_any_certificate(authority):
    with TlsPeer(authority.issue("other.test")) as peer, Session(f"smtp://localhost:{peer.port}", ENCRYPT) as s, Mail("bob@dst.test") as m:
        assert s.send(m) == SENT, m.results()[0].text
        assert "not verified" in s.secured()


def test_no_starttls_where_it_is_demanded(good):
    with TlsPeer(good, "none") as peer, Session(f"smtp://localhost:{peer.port}", VERIFY) as s, Mail("bob@dst.test") as m:
        assert s.send(m) == LATER
        assert m.results()[0].stage == b"tls" and peer.mails == []


@pytest.mark.parametrize("way, connections", [("none", 1), ("refuses", 2), ("garbage", 2), ("closes", 2)])
def test_tls_that_is_only_tried(good, way, connections):
    with TlsPeer(good, way) as peer, Session(f"smtp://localhost:{peer.port}", TRY) as s, Mail("bob@dst.test") as m:
        assert s.send(m) == SENT, m.results()[0].text
        assert peer.sessions == connections and s.secured() == ""


def test_trace_shows_the_dialogue_and_no_message(good):
    with Sink() as sink, Session(of(sink)) as s, Mail("bob@dst.test", text="hidden words\n") as m:
        assert s.send(m) == SENT
        dialogue = "\n".join(s.lines)
        assert "S 220" in dialogue and "C EHLO" in dialogue and "C RCPT TO:<bob@dst.test>" in dialogue
        assert "hidden" not in dialogue and "the message, " in dialogue


@pytest.mark.parametrize("call, arguments", [("login", ["alice", None]), ("login", ["alice", ""]), ("token", ["alice", None]), ("token", ["alice", ""]),
                                             (None, [])])
def test_a_login_without_a_secret(call, arguments):
    with Scripted() as peer, Session(f"smtp://alice@127.0.0.1:{peer.port}") as s, Mail("bob@dst.test") as m:
        if call:
            getattr(s, call)(*arguments)
        assert s.send(m) == INVALID
        assert "a login without a" in s.wrong() and peer.sessions == 0
        assert m.results()[0].text.decode() == s.wrong()


@pytest.mark.parametrize("prompt", ["335 UGFzc3dvcmQ6", "354 UGFzc3dvcmQ6", "300 UGFz", "334 UGFzc3dvcmQ6\r\n235-x", "334 UGFzc3dvcmQ6\r\n235 ok"])
def test_no_prompt_brings_the_password_into_the_trace(prompt):
    with Scripted("220 hi", "250-hi\r\n250 AUTH LOGIN", "334 VXNlcm5hbWU6", prompt, "235 ok") as peer, Session(of(peer)) as s, \
            Mail("bob@dst.test") as m:
        s.login("alice", "wonderland")
        s.patience(1)
        assert s.send(m) == LATER
        assert not [line for line in s.lines if base64.b64encode(b"wonderland").decode() in line]
        assert [line for line in s.lines if line.startswith("C ")][:3] == [s.lines[3], "C AUTH LOGIN", "C ***"]
        assert (base64.b64encode(b"wonderland").decode() in peer.heard) == prompt.endswith("-x")


def test_a_message_is_not_shown_whatever_asks_for_it():
    """350 is a yes to DATA as 354 is."""
    with Scripted("220 hi", "250 hi", "250 ok", "250 ok", "350 go") as peer, Session(of(peer)) as s, Mail("bob@dst.test", text="hidden words\n") as m:
        s.patience(1)
        s.send(m)
        until(lambda: "hidden words" in peer.heard or peer.heard[-1:] == [""], "the message")
        assert not [line for line in s.lines if "hidden" in line] and any("the message, " in line for line in s.lines)


CLEAR_AUTH = ("220 hi", "250-hi\r\n250 AUTH PLAIN", "235 ok", "250 ok", "250 ok", "354 go", "250 kept")


@pytest.mark.parametrize("host, is_sent", [("127.0.0.1", True), ("localhost", True), ("LocalHost", True), ("127.1", False)])
def test_a_password_goes_in_clear_to_this_machine_only_by_its_own_names(host, is_sent):
    """127.1 stands for any name that DNS leads here."""
    with Scripted(*CLEAR_AUTH) as peer, Session(f"smtp://{host}:{peer.port}", TRY) as s, Mail("bob@dst.test") as m:
        s.login("alice", "wonderland")
        assert (s.send(m) == SENT) == is_sent, m.results()[0].text
        assert any("AUTH" in line for line in peer.heard) == is_sent


def test_a_password_does_not_go_in_clear_into_a_tunnel():
    with Scripted(*CLEAR_AUTH) as peer, Session("smtp://localhost", TRY) as s, Mail("bob@dst.test") as m:
        tunnel = socket.create_connection(("127.0.0.1", peer.port))
        s.connected(tunnel.detach())
        s.login("alice", "wonderland")
        assert s.send(m) == LATER
        assert not any("AUTH" in line for line in peer.heard)


# ── many mails ──

class Pipelining(Listening):
    """A host that takes commands as they come; `mails` has the recipient and the octets of each. ends: closes the connection behind so
    many, each time; `ahead`: how often MAIL had come before the answer to the message before it."""

    def __init__(self, offers=("PIPELINING",), ends=None):
        super().__init__()
        self.offers, self.ends, self.mails, self.ahead = offers, ends, [], 0
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def serve(self, connection):
        with connection:
            try:
                self.take(connection, bytearray())
            except OSError:
                pass

    def take(self, connection, unread):
        def read(enough):
            while not (n := enough()):
                octets = connection.recv(65536)
                if not octets:
                    raise OSError
                unread.extend(octets)
            taken = bytes(unread[:n])
            del unread[:n]
            return taken

        def read_to(end):
            return read(lambda: (unread.find(end) + len(end)) if end in unread else 0)

        taken, recipient = 0, None
        connection.sendall(b"220 hi\r\n")
        while True:
            line = read_to(b"\r\n")
            verb = line[:4].upper()
            if verb == b"EHLO":
                connection.sendall(b"250-peer.test\r\n" + "".join(f"250-{offer}\r\n" for offer in self.offers).encode() + b"250 8BITMIME\r\n")
                continue
            if verb == b"RCPT":
                recipient = line.split(b"<")[1].split(b">")[0].decode()
            if verb in (b"DATA", b"BDAT"):
                if verb == b"DATA":
                    connection.sendall(b"354 go\r\n")
                    octets = read_to(b"\r\n.\r\n")
                else:
                    size = int(line.split()[1])
                    octets = read(lambda: size if len(unread) >= size else 0)
                self.mails.append((recipient, octets))
                taken += 1
                if taken == self.ends:
                    return
                if not unread and taken < 10 and select.select([connection], [], [], 0.05)[0]:
                    unread.extend(connection.recv(65536))
                self.ahead += unread.startswith((b"MAIL", b"RSET"))
            connection.sendall(b"250 2.0.0 ok\r\n")


def pooled(peer, mails, connections=1):
    """What became of them, in the order of their ends."""
    done = []
    hook = DONE(lambda _, mail, status: done.append((mail, status)))
    with Session(of(peer)) as model:
        pool = ctypes.c_void_p(LIBRARY.ph_pool_new(ctypes.c_void_p(model.p), connections))
        LIBRARY.ph_pool_done(pool, hook, None)
        for mail in mails:
            LIBRARY.ph_pool_add(pool, ctypes.c_void_p(mail.p))
        LIBRARY.ph_pool_run(pool, ctypes.c_size_t(0))
        LIBRARY.ph_pool_free(pool)
    names = {mail.p: mail for mail in mails}
    return [(names[p], status) for p, status in done]


@pytest.mark.parametrize("offers", [("PIPELINING",), ("PIPELINING", "CHUNKING"), ("SIZE",)])
def test_behind_the_dot_each_mail_goes_once(offers):
    mails = [Mail(f"r{i}@dst.test") for i in range(100)]
    with Pipelining(offers) as peer:
        assert [(m.results()[0].address.decode(), status) for m, status in pooled(peer, mails)] == [(f"r{i}@dst.test", SENT) for i in range(100)]
        assert [recipient for recipient, _ in peer.mails] == [f"r{i}@dst.test" for i in range(100)]
        assert peer.sessions == 1
        assert peer.ahead > 0 or "PIPELINING" not in offers


def test_a_connection_that_ends_costs_the_pool_one_answer_and_no_mail():
    mails = [Mail(f"r{i}@dst.test") for i in range(9)]
    with Pipelining(ends=3) as peer:
        told = pooled(peer, mails)
        assert [status for _, status in told] == [SENT, SENT, UNSURE] * 3
        assert [recipient for recipient, _ in peer.mails] == [f"r{i}@dst.test" for i in range(9)]


def test_a_pool_of_several_connections():
    mails = [Mail(f"r{i}@dst.test") for i in range(60)]
    with Sink() as sink:
        before = sink.sessions
        assert {status for _, status in pooled(sink, mails, 3)} == {SENT}
        assert sorted(r for _, (r,), _ in sink.mails) == sorted(f"r{i}@dst.test" for i in range(60))
        assert sink.sessions - before <= 3


def test_a_mail_that_is_in_line_already():
    told = []
    hook = DONE(lambda _, mail, status: told.append((mail, status)))
    with Sink() as sink, Session(of(sink)) as model, Mail("a@dst.test") as a, Mail("b@dst.test") as b:
        pool = ctypes.c_void_p(LIBRARY.ph_pool_new(ctypes.c_void_p(model.p), 1))
        LIBRARY.ph_pool_done(pool, hook, None)
        for mail in (a, b, b):
            LIBRARY.ph_pool_add(pool, ctypes.c_void_p(mail.p))
        assert (b.p, INVALID) in told and "already" in b.wrong()  # the first may be through by now
        LIBRARY.ph_pool_run(pool, ctypes.c_size_t(0))
        LIBRARY.ph_pool_free(pool)
        told.remove((b.p, INVALID))
        assert told == [(a.p, SENT), (b.p, SENT)] and len(sink.mails) == 2


# ── giving up ──

def test_a_mail_that_is_freed_on_its_way_takes_its_connection_with_it():
    with Scripted("220 hi", "250 hi") as peer, Session(of(peer)) as s, Mail("bob@dst.test") as other:
        m = Mail("bob@dst.test")
        assert s.start(m) == UNDERWAY
        until(lambda: s.step() != UNDERWAY or peer.heard, "the first command")
        assert s.start(m) == INVALID and "already" in m.wrong() and "already" in s.wrong()
        assert s.start(other) == INVALID and "busy" in s.wrong()
        LIBRARY.ph_mail_free(ctypes.c_void_p(m.p))
        assert s.fd() == -1
        assert s.step() == INVALID and s.wrong() != ""


@pytest.mark.parametrize("offers", [("PIPELINING",), ("PIPELINING", "CHUNKING"), ("SIZE",)])
@pytest.mark.parametrize("which", range(4))
def test_a_mail_of_a_pool_that_is_freed_leaves_the_others_their_answers(which, offers):
    mails = [Mail(f"r{i}@dst.test") for i in range(4)]
    told = {}
    hook = DONE(lambda _, mail, status: told.update({mail: status}))
    with Pipelining(offers) as peer, Session(of(peer)) as model:
        pool = ctypes.c_void_p(LIBRARY.ph_pool_new(ctypes.c_void_p(model.p), 1))
        LIBRARY.ph_pool_done(pool, hook, None)
        for mail in mails:
            LIBRARY.ph_pool_add(pool, ctypes.c_void_p(mail.p))
        until(lambda: LIBRARY.ph_pool_step(pool) != UNDERWAY or peer.mails, "the first message")
        LIBRARY.ph_mail_free(ctypes.c_void_p(mails[which].p))
        LIBRARY.ph_pool_run(pool, ctypes.c_size_t(0))
        LIBRARY.ph_pool_free(pool)
    freed = mails.pop(which)
    assert {status for mail, status in told.items() if mail != freed.p} <= {SENT, UNSURE}
    assert set(told) | {freed.p} == {freed.p, *(mail.p for mail in mails)}
    got = [recipient for recipient, _ in peer.mails]
    assert len(got) == len(set(got))
    assert {f"r{i}@dst.test" for i in range(4) if i != which} - {r.address.decode() for m in mails for r in m.results() if r.status == UNSURE} <= set(got)


# ── the mail itself ──

def written(mail):
    pieces = []

    def keep(_, octets, n):
        pieces.append(ctypes.string_at(octets, n))
        return True

    return mail.mail_write(WRITE(keep), None), b"".join(pieces)


def test_a_draft_needs_no_recipients():
    with Mail() as m:
        ok, octets = written(m)
        assert ok and b"Lunch" in octets and m.wrong() == ""


def test_a_file_that_vanished_is_named_and_spoils_nothing(tmp_path):
    path = tmp_path / "menu.txt"
    path.write_text("noodles")
    with Mail("bob@dst.test") as m:
        m.attach(path)
        path.rename(tmp_path / "away")
        assert not written(m)[0] and "menu.txt" in m.wrong()
        (tmp_path / "away").rename(path)
        assert written(m)[0] and m.wrong() == ""


def test_results_live_when_recipients_are_added():
    answers = {f"r{i}@dst.test": "550 5.1.1 no" for i in range(8)}
    with Sink(answer=answers.get) as sink, Session(of(sink)) as s, many(8) as m:
        assert s.send(m) == REFUSED
        m.to("ninth@dst.test")
        assert {r.enhanced for r in m.results()[:8]} == {b"5.1.1"}


@pytest.mark.parametrize("call, arguments, told", [
    ("attach_as", [b"/nowhere/\xff\xc3\xa4", "menu.pdf", None], "/nowhere/\\xffä"), ("header", [b"X-\xfe", "1"], "X-\\xfe"),
    ("attach_as", ["/" + "ä" * 300, "menu.pdf", None], "ää")])
def test_what_callers_wrote_is_told_in_utf8(call, arguments, told):
    with Mail("bob@dst.test") as m:
        getattr(m, call)(*arguments)
        assert told in m.wrong()


def test_what_a_file_is_called_is_told_in_utf8(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff"
    with open(path, "wb") as file:
        file.write(b"noodles")
    with Sink() as sink, Session(of(sink)) as s, Mail("bob@dst.test") as m:
        m.attach_as(path, "menu.txt", None)
        os.unlink(path)
        assert s.send(m) == LATER and sink.mails == []
        assert "/\\xff: " in m.results()[0].text.decode() and "/\\xff: " in s.wrong()


def test_the_message_id_has_the_domain_of_from_where_nobody_gets_bounces():
    with Mail() as m:
        m.return_path("")
        assert written(m)[0]
        assert m.mail_id().endswith(b"@example.org")


@pytest.mark.parametrize("call, argument, word", [
    ("envelope_id", None, ""), ("hold_for", ctypes.c_uint64(10**9), "hold"), ("hold_for", ctypes.c_uint64(10**9 - 1), ""),
    ("message_file", None, "No such file"), ("text", None, ""), ("subject", None, "")])
def test_null_and_numbers_out_of_range(call, argument, word):
    with Mail("bob@dst.test") as m:
        getattr(m, call)(argument)
        assert word in m.wrong() and bool(word) == bool(m.wrong())


@pytest.mark.parametrize("url", ["smtp://[::1", "smtp://[::1]x", "smtp://h:0", "smtp://h:65536", "smtp://h:75535", "smtp://h:smtp", "smtp://h:", "smtp://:25"])
def test_urls_that_are_none(url):
    with Session(url) as s:
        assert url in s.wrong()


def test_names_and_ways_that_there_are_not():
    assert LIBRARY.ph_status_name(99) == b"unknown"
    with Session("smtp://h") as s:
        s.tls(7)
        assert "tls" in s.wrong()


def test_a_list_of_twenty_thousand():
    with Finished() as m:
        m.bcc(", ".join(f"Someone Else <r{i}@dst.test> (as told)" for i in range(20000)))
        assert (m.results_n(), m.wrong()) == (20000, "")


@pytest.mark.parametrize("listed, members", [
    ("Team: ann@dst.test, Bob <bob@dst.test>;", ["ann@dst.test", "bob@dst.test"]), ("undisclosed-recipients:;", []),
    ("carl@dst.test, \"a: b;\" <dora@dst.test>, Team (all: of us;): ann@dst.test;, emil@[IPv6:::1]",
     ["carl@dst.test", "dora@dst.test", "ann@dst.test", "emil@[IPv6:::1]"])])
def test_a_group_is_its_members(listed, members):
    with Mail() as m:
        m.to(listed)
        assert m.wrong() == ""
        assert [r.address.decode() for r in m.results()] == members


@pytest.mark.parametrize("path, name, shown", [
    ("menu\\", None, "menu"), ("menu.txt", "docs/", "docs"), ("menu.txt", "/", "attachment"), ("menu.txt", "", "menu.txt"), ("menu.txt", " ", "attachment"),
    ("menu.txt", "C:\\menu.pdf", "menu.pdf")])
def test_a_file_always_has_a_name(tmp_path, path, name, shown):
    (tmp_path / path).write_text("noodles")
    with Mail() as m:
        m.attach_as(tmp_path / path, name, None)
        _, octets = written(m)
        attached, = email.message_from_bytes(octets, policy=email.policy.default).iter_attachments()
        assert attached.get_filename() == shown


@pytest.mark.parametrize("seconds, is_good", [(-62135596800, True), (-62135596801, False), (253402300799, True), (253402300800, False), (2**63 - 1, False)])
def test_a_date_has_four_digits_for_its_year(seconds, is_good):
    with Mail() as m:
        m.date(ctypes.c_int64(seconds))
        assert ("date" in m.wrong()) != is_good
        assert written(m)[0] == is_good


def test_a_second_from_replaces_the_first():
    with Mail() as m:
        getattr(m, "from")("ann@example.net")
        _, octets = written(m)
        assert b"From: ann@example.net\r\n" in octets and b"wei" not in octets


def test_what_is_wrong_stands_with_each_recipient_but_those_who_have_the_mail():
    answers = {"later@dst.test": "450 4.2.1 busy"}
    with Sink(answer=answers.get) as sink, Session(of(sink)) as s, Mail("bob@dst.test, later@dst.test") as m:
        assert s.send(m) == PARTLY
        m.header("X A", "1")
        assert s.send(m) == INVALID
        sent, wrong = m.results()
        assert (sent.status, wrong.status) == (SENT, INVALID)
        assert (wrong.text.decode(), wrong.stage, bool(wrong.advice)) == (m.wrong(), b"", True)
        assert m.keep_unsent() == 1


@pytest.mark.parametrize("last", ["250 2.6.0 kept as 17", "250-2.6.0 kept\r\n250 2.6.0 as 17"])
def test_the_enhanced_code_stands_in_its_own_field_alone(last):
    with Scripted("220 hi", "250 hi", "250 ok", "250 ok", "354 go", last) as peer, Session(of(peer)) as s, Mail("bob@dst.test") as m:
        assert s.send(m) == SENT
        result, = m.results()
        assert (result.code, result.enhanced, result.text) == (250, b"2.6.0", b"kept as 17")


# ── the bare core ──

def greeted(core):
    assert core.next() == WANT_INPUT
    assert core.hear("220 hi") == WANT_INPUT
    assert core.said() == "EHLO client.test\r\n"
    return core


def test_the_core_logs_in_with_scram():
    """RFC 7677: the password itself is never said."""
    with Core(CLEAR_LOGIN) as core:
        core.login("alice", "wonderland")
        greeted(core).hear("250-hi", "250 AUTH SCRAM-SHA-256 PLAIN")
        auth, mechanism, first = core.said().split()
        assert (auth, mechanism) == ("AUTH", "SCRAM-SHA-256")
        bare = base64.b64decode(first).decode().split(",", 2)[2]
        challenge = "r=" + bare.split("r=")[1] + "peer,s=" + base64.b64encode(b"salt" * 4).decode() + ",i=4096"
        core.hear("334 " + base64.b64encode(challenge.encode()).decode())
        final, proof = base64.b64decode(core.said()).decode().split(",p=")
        salted = hashlib.pbkdf2_hmac("sha256", b"wonderland", b"salt" * 4, 4096)
        everything = ",".join([bare, challenge, final]).encode()
        client = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(client).digest(), everything, "sha256")
        assert base64.b64decode(proof) == bytes(a ^ b for a, b in zip(client, signature))
        server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), everything, "sha256")
        core.hear("334 " + base64.b64encode(b"v=" + base64.b64encode(server)).decode())
        core.said()
        assert core.hear("235 welcome") == READY


def test_the_core_logs_in_with_a_token():
    with Core(CLEAR_LOGIN) as core:
        core.token("alice", "a-token-16-octet")
        greeted(core).hear("250-hi", "250 AUTH XOAUTH2 PLAIN")
        auth, mechanism, first = core.said().split()
        assert mechanism == "XOAUTH2" and b"Bearer a-token-16-octet\x01" in base64.b64decode(first)


def test_a_mail_of_the_core_cannot_be_changed_or_given_twice():
    with Core() as core, Core() as other, Mail("bob@dst.test") as m:
        assert greeted(core).hear("250 hi") == greeted(other).hear("250 hi") == READY
        assert core.mail(m) and not other.mail(m) and "already" in m.wrong()
        for i in range(40):
            m.to(f"more{i}@dst.test")
        assert m.results_n() == 1 and "while it was being sent" in m.wrong()
        core.lost("gone")
        assert core.next() == FAILED and stages(m) == [(LATER, "mail", 0)]


def test_a_mail_that_is_freed_ends_its_core():
    with Core() as core:
        m = Mail("bob@dst.test")
        assert greeted(core).hear("250 hi") == READY and core.mail(m)
        LIBRARY.ph_mail_free(ctypes.c_void_p(m.p))
        assert core.next() == FAILED and "freed" in core.wrong()


def made_ready(core):
    greeted(core).hear("250 hi")


@pytest.mark.parametrize("before, call, arguments, ends", [
    (None, "feed", [b"220 hi\r\n", ctypes.c_size_t(8)], False), (None, "lost", [None], True), (None, "secured", [True], True),
    (None, "quit", [], True), (None, "sent", [ctypes.c_size_t(1)], True), (None, "sent", [ctypes.c_size_t(0)], False),
    (greeted, "quit", [], True), (greeted, "secured", [True], True), (greeted, "sent", [ctypes.c_size_t(999)], True), (made_ready, "secured", [True], True),
    (made_ready, "login", ["a", "b"], False), (made_ready, "token", ["a", "b"], False)])
def test_a_call_at_the_wrong_time_ends_the_core_at_most(before, call, arguments, ends):
    with Core() as core:
        if before:
            before(core)
        getattr(core, call)(*arguments)
        assert (core.next() == FAILED) == ends
        assert bool(core.wrong()) == ends


def test_octets_in_the_place_of_a_handshake():
    with Core(TLS_FIRST) as core:
        assert core.hear("220 hi") == FAILED and "TLS" in core.wrong()


def test_a_mail_for_a_core_that_awaits_none():
    with Core() as core, Mail("bob@dst.test") as m:
        assert not core.mail(m) and "not ready" in m.wrong()
        assert greeted(core).patience() == 300
        assert not core.mail(m)
        assert core.hear("250 hi") == READY
        assert core.mail(m) and m.wrong() == ""


# ── memory ──

def test_whatever_memory_is_refused_is_an_error_and_no_crash():
    """The n-th wish for memory fails, and all behind it, for each n until a mail gets through."""
    libc = ctypes.CDLL(None)
    libc.realloc.restype, libc.realloc.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    left = 0

    def resize(_, p, n):
        nonlocal left
        if n == 0:
            libc.free(p)
            return None
        left -= 1
        return libc.realloc(p, n) if left >= 0 else None

    memory = Memory(RESIZE(resize), None)
    statuses = []
    with Sink() as sink:
        while not statuses or statuses[-1] != SENT:
            left = len(statuses)
            statuses.append(send_with(memory, of(sink)))
            assert len(statuses) < 500
        assert statuses[-2] == LATER and INVALID in statuses
        assert len(sink.mails) == 1


def send_with(memory, url):
    """One mail with everything in it. None: there was not even memory for the objects."""
    session, mail = LIBRARY.ph_session_new_in(url.encode(), ctypes.byref(memory)), LIBRARY.ph_mail_new_in(ctypes.byref(memory))
    s, m, status = ctypes.c_void_p(session), ctypes.c_void_p(mail), None
    if session and mail:
        LIBRARY.ph_tls(s, NEVER)
        LIBRARY.ph_from(m, b"wei@example.org")
        LIBRARY.ph_to(m, b"bob@dst.test, Ann <ann@dst.test>")
        LIBRARY.ph_header(m, b"X-A", b"b")
        LIBRARY.ph_subject(m, "Größe".encode())
        LIBRARY.ph_text(m, b"hello\n")
        LIBRARY.ph_html(m, b"<p>hello")
        LIBRARY.ph_attach_data(m, b"abc", ctypes.c_size_t(3), b"x.bin", None)
        LIBRARY.ph_notify(m, 4)
        status = LIBRARY.ph_send(s, m)
    LIBRARY.ph_mail_free(m)
    LIBRARY.ph_session_free(s)
    return status
