# SPDX-License-Identifier: Apache-2.0
"""docs/webmail.md's Dovecot on the station's own mailboxes: what one does by IMAP and another by JMAP, each sees of the other, and nothing gets lost.

The configuration and the program that asks the station for passwords are those of the page; only places and ports are other ones.
"""
import imaplib
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import tempfile
import threading

import pytest

from certificates import Authority
from jmap import Jmap
from peers import dovecot_program
from station import PATIENCE, TRUSTED, Station, free_ports, until
from test_filter_peers import answers

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs/webmail.md").read_text()
LIVE = "/etc/letsencrypt/live/mail.example.org"
# As an ordinary process with all its files in one directory, on loopback.
HERE = """
base_dir = {directory}/run
state_dir = {directory}/run
log_path = {directory}/log
auth_failure_delay = 0
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""
CHINESE = "项目 二〇二六"
SUBJECT = re.compile(rb"^Subject: (.*?)\r?$", re.MULTILINE)


def block(language):
    found, = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return found


def modified_utf7(name):
    """RFC 3501 §5.1.3"""
    return re.sub(r"[^\x20-\x7e]+", lambda m: m[0].encode("utf-7").decode().replace("+", "&", 1).replace("/", ","), name.replace("&", "&-"))


class Dovecot:
    def __init__(self, station, leaf):
        program = dovecot_program()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="posthouse-dovecot."))
        self.directory.chmod(0o755)
        self.port = free_ports(1)[0]
        self.trust = leaf.chain
        is_root = os.geteuid() == 0
        owner = (station.state / "mail").stat()
        me, group = (subprocess.run(["id", what], capture_output=True, text=True, check=True).stdout.strip() for what in ("-un", "-gn"))
        ask = self.directory / "ask-posthouse"
        ask.write_text(block("python").replace("587", str(station.submission_port)))
        ask.chmod(0o755)
        text = block("dovecot")
        for old, new in (("/var/lib/posthouse", station.state), (f"{LIVE}/fullchain.pem", leaf.chain), (f"{LIVE}/privkey.pem", leaf.key),
                         ("/etc/dovecot/ask-posthouse", ask), ("uid=posthouse-store", f"uid={owner.st_uid}"), ("gid=posthouse-store", f"gid={owner.st_gid}"),
                         ("mail_uid = posthouse-store", f"mail_uid = {owner.st_uid}"), ("mail_gid = posthouse-store", f"mail_gid = {owner.st_gid}")):
            assert old in text, f"the page has no {old}"
            text = text.replace(old, str(new))
        (self.directory / "dovecot.conf").write_text(text + HERE.format(
            directory=self.directory, port=self.port, internal="dovecot" if is_root else me, group="dovecot" if is_root else group,
            login="dovenull" if is_root else me))
        self.process = subprocess.Popen([program, "-F", "-c", self.directory / "dovecot.conf"], stdin=subprocess.DEVNULL, start_new_session=True)
        until(lambda: answers(self.port) or self.process.poll() is not None, "Dovecot to listen")
        assert self.process.poll() is None, self.log()

    def log(self):
        return (self.directory / "log").read_text(errors="replace")

    def imap(self, login="alice@example.org", password="wonderland"):
        imap = imaplib.IMAP4_SSL("127.0.0.1", self.port, ssl_context=trusting(self.trust), timeout=PATIENCE)
        try:
            imap.login(login, password)
        except Exception:
            imap.shutdown()
            raise
        return imap

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def trusting(certificates):
    context = ssl.create_default_context(cafile=certificates)
    context.check_hostname = False  # it is asked for by its address
    return context


@pytest.fixture(scope="module")
def leaf(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority")).issue("mail.example.org")


@pytest.fixture(scope="module")
def station(leaf):
    s = Station(web="no-tls = true")
    try:
        s.add_user("alice", "wonderland")
        s.start()
        yield s
        s.end()
        assert not s.complaints()
    finally:
        s.clean_up()


@pytest.fixture(scope="module")
def dovecot(station, leaf):
    server = Dovecot(station, leaf)
    try:
        yield server
        assert not re.search(r"Error|Panic|Fatal|Corrupt", server.log()), server.log()
    finally:
        server.end()


@pytest.fixture(scope="module")
def jmap(station):
    return Jmap(f"http://127.0.0.1:{station.web_port}", "alice@example.org", "wonderland")


@pytest.fixture
def imap(dovecot):
    with dovecot.imap() as imap:
        yield imap


def deliver(station, jmap, *subjects):
    """Mails from outside into the inbox; their ids by their subjects."""
    with station.hello(source=TRUSTED) as talk:
        for subject in subjects:
            talk.mail("ann@example.net", "alice@example.org", f"From: ann@example.net\r\nSubject: {subject}\r\n\r\ntext\r\n".encode())
    return until(lambda: by_subject(jmap, subjects), f"{len(subjects)} mails in JMAP")


def by_subject(jmap, subjects):
    """Once all are there: {subject: id}."""
    mails = jmap.mails([i for mailbox in jmap.mailboxes().values() for i in jmap.ids(mailbox)])
    found = {mail["subject"]: i for i, mail in mails.items() if mail["subject"] in subjects}
    return found if len(found) == len(set(subjects)) else None


def uid_of(imap, subject, mailbox="INBOX"):
    """The UID of the one mail with this subject, or None."""
    ok, said = imap.select(f'"{mailbox}"')
    if ok != "OK":
        return None
    uids = imap.uid("SEARCH", "HEADER", "Subject", f'"{subject}"')[1][0].split()
    assert len(uids) <= 1, uids
    return uids[0].decode() if uids else None


def flags_of(imap, subject, mailbox="INBOX"):
    uid = uid_of(imap, subject, mailbox)
    return set(imaplib.ParseFlags(imap.uid("FETCH", uid, "(FLAGS)")[1][0])) - {b"\\Recent"} if uid else None


def keywords(jmap, mail):
    return set(jmap.mails([mail])[mail]["keywords"])


def test_the_station_is_asked_for_passwords(station, dovecot, imap):
    password = station.run("app-password", "add", "alice@example.org", "imap").stdout.strip()
    with dovecot.imap(password=password) as phone:
        assert phone.noop()[0] == "OK"
    station.run("app-password", "remove", "alice@example.org", "imap")
    station.add_user("wei", "密码 like nobody's")
    with imaplib.IMAP4_SSL("127.0.0.1", dovecot.port, ssl_context=trusting(dovecot.trust), timeout=PATIENCE) as wei:
        wei.authenticate("PLAIN", lambda _: "\0wei@example.org\0密码 like nobody's".encode())
        assert wei.select("INBOX") == ("OK", [b"0"]), "nobody else's mail"
    for wrong in "wrong", "":
        with pytest.raises(imaplib.IMAP4.error, match="(?i)auth"):
            dovecot.imap(password=wrong)


def test_delivered_mail_and_folders_are_in_both(station, dovecot, jmap, imap):
    deliver(station, jmap, "seen-by-both")
    until(lambda: uid_of(imap, "seen-by-both"), "the mail in IMAP")
    roles = {role: f'\\{role.capitalize()}'.encode() for role in ("drafts", "sent", "trash", "junk", "archive")}
    listed = b"\n".join(imap.list()[1])
    for role, special in roles.items():
        name = next(name for name, i in jmap.mailboxes().items() if i == jmap.mailbox(role))
        assert re.search(rb"\(.*" + re.escape(special) + rb".*\) \"/\" \"?" + name.encode(), listed), listed
    assert b"posthouse" not in listed  # our directory is no folder to it


def test_flags_go_both_ways(station, jmap, imap):
    mail = deliver(station, jmap, "flags")["flags"]
    uid = until(lambda: uid_of(imap, "flags"), "the mail in IMAP")
    state = jmap.state()
    assert imap.uid("STORE", uid, "+FLAGS", r"(\Seen \Flagged \Answered)")[0] == "OK"
    until(lambda: keywords(jmap, mail) == {"$seen", "$flagged", "$answered"}, "the flags of IMAP in JMAP")
    created, updated, destroyed = jmap.changes(state)
    assert (created & {mail}, updated & {mail}, destroyed) == (set(), {mail}, set())

    jmap.set(update={mail: {"keywords/$flagged": None, "keywords/$seen": None}})
    until(lambda: flags_of(imap, "flags") == {b"\\Answered"}, "the flags of JMAP in IMAP")
    imap.uid("STORE", uid, "-FLAGS", r"(\Answered)")
    until(lambda: keywords(jmap, mail) == set(), "no flag in JMAP")
    assert uid_of(imap, "flags") == uid, "a mail whose flags change is the same mail to IMAP"


def test_labels_of_imap_stay(station, jmap, imap):
    mail = deliver(station, jmap, "label")["label"]
    uid = until(lambda: uid_of(imap, "label"), "the mail in IMAP")
    imap.uid("STORE", uid, "+FLAGS", "(important-to-me)")
    jmap.set(update={mail: {"keywords/$seen": True}})
    until(lambda: flags_of(imap, "label") == {b"\\Seen", b"important-to-me"}, "the label beside the flag")
    assert keywords(jmap, mail) == {"$seen"}


def test_a_move_by_jmap(station, jmap, imap):
    mail = deliver(station, jmap, "moved-by-jmap")["moved-by-jmap"]
    until(lambda: uid_of(imap, "moved-by-jmap"), "the mail in IMAP")
    archive = jmap.mailbox("archive")
    jmap.set(update={mail: {"mailboxIds": {archive: True}}})
    until(lambda: uid_of(imap, "moved-by-jmap", "Archive"), "the mail in IMAP's Archive")
    until(lambda: not uid_of(imap, "moved-by-jmap"), "it has left IMAP's INBOX")
    assert jmap.mails([mail])[mail]["mailboxIds"] == {archive: True}


def test_a_move_by_imap(station, jmap, imap):
    """Dovecot gives what it moves another file name, nearly always: then it is another mail to JMAP. Under its old name it keeps its id."""
    old = deliver(station, jmap, "moved-by-imap")["moved-by-imap"]
    state, archive = jmap.state(), jmap.mailbox("archive")
    uid = until(lambda: uid_of(imap, "moved-by-imap"), "the mail in IMAP")
    assert imap.uid("MOVE", uid, "Archive")[0] == "OK"

    def places():
        return {i: mail["mailboxIds"] for i, mail in jmap.mails([i for m in jmap.mailboxes().values() for i in jmap.ids(m)]).items()
                if mail["subject"] == "moved-by-imap"}
    until(lambda: list(places().values()) == [{archive: True}], "the mail in the Archive alone", told=places)
    [new] = places()
    created, updated, destroyed = jmap.changes(state)
    assert new in updated if new == old else new in created and old in destroyed


def test_folders_made_by_each(station, jmap, imap):
    by_imap, by_jmap = CHINESE, "归档/二月"
    assert imap.create(f'"{modified_utf7(by_imap)}"')[0] == "OK"
    until(lambda: by_imap in jmap.mailboxes(), "IMAP's folder in JMAP")
    parent, child = by_jmap.split("/")
    top = jmap.call("Mailbox/set", create={"p": {"name": parent}})["created"]["p"]["id"]
    jmap.call("Mailbox/set", create={"c": {"name": child, "parentId": top}})
    until(lambda: modified_utf7(by_jmap).encode() in b"\n".join(imap.list()[1]), "JMAP's folder in IMAP")

    assert imap.append(f'"{modified_utf7(by_jmap)}"', None, None, b"Subject: into-jmaps\r\n\r\n")[0] == "OK"
    mail = until(lambda: by_subject(jmap, ["into-jmaps"]), "the mail in JMAP")["into-jmaps"]
    assert jmap.mails([mail])[mail]["mailboxIds"] == {jmap.mailboxes()[by_jmap]: True}
    jmap.set(update={mail: {"mailboxIds": {jmap.mailboxes()[by_imap]: True}}})
    until(lambda: uid_of(imap, "into-jmaps", modified_utf7(by_imap)), "the mail in IMAP's folder")

    imap.select("INBOX")
    assert imap.rename(f'"{modified_utf7(by_imap)}"', f'"{modified_utf7("改名")}"')[0] == "OK"
    until(lambda: "改名" in jmap.mailboxes() and by_imap not in jmap.mailboxes(), "the new name in JMAP")
    assert jmap.mails([mail])[mail]["mailboxIds"] == {jmap.mailboxes()["改名"]: True}, "its mails keep their ids"


def test_what_a_program_of_imap_keeps(jmap, imap):
    """Sent and Drafts are what a mail program fills."""
    assert imap.append("Sent", r"(\Seen)", None, b"To: li@example.net\r\nSubject: sent-by-imap\r\n\r\ntext\r\n")[0] == "OK"
    assert imap.append("Drafts", r"(\Draft \Seen)", None, "Subject: =?utf-8?b?6I2J56i/?=\r\n\r\ntext\r\n".encode())[0] == "OK"
    found = until(lambda: by_subject(jmap, ["sent-by-imap", "草稿"]), "both in JMAP")
    mails = jmap.mails(list(found.values()))
    assert mails[found["sent-by-imap"]]["mailboxIds"] == {jmap.mailbox("sent"): True}
    assert mails[found["草稿"]]["mailboxIds"] == {jmap.mailbox("drafts"): True}
    assert set(mails[found["草稿"]]["keywords"]) == {"$draft", "$seen"}


def test_removed_by_each(station, jmap, imap):
    mails = deliver(station, jmap, "expunged", "destroyed")
    uid = until(lambda: uid_of(imap, "expunged"), "the mail in IMAP")
    imap.uid("STORE", uid, "+FLAGS", r"(\Deleted)")
    until(lambda: not jmap.mails([mails["expunged"]]), "what is marked as deleted is gone from JMAP")
    imap.uid("STORE", uid, "-FLAGS", r"(\Deleted)")
    until(lambda: jmap.mails([mails["expunged"]]), "it is there again, the same, when the mark is taken off")
    imap.uid("STORE", uid, "+FLAGS", r"(\Deleted)")
    imap.expunge()
    until(lambda: not jmap.mails([mails["expunged"]]), "what is expunged is gone from JMAP")
    jmap.set(destroy=[mails["destroyed"]])
    until(lambda: uid_of(imap, "destroyed") is None, "what was destroyed is gone from IMAP")


def test_news_of_what_imap_does(jmap, imap):
    with jmap.events() as news:
        before = len(news)
        imap.append("INBOX", None, None, b"Subject: pushed\r\n\r\n")
        until(lambda: any("Email" in states for states in news[before:]), "news of the mail")
        mail = until(lambda: by_subject(jmap, ["pushed"]), "the mail in JMAP")["pushed"]
        until(lambda: any(states.get("Email") == jmap.state() for states in news), "the state of the last news")
        before = len(news)
        imap.uid("STORE", uid_of(imap, "pushed"), "+FLAGS", r"(\Seen)")
        until(lambda: any("Email" in states for states in news[before:]), "news of the flag")
        assert keywords(jmap, mail) == {"$seen"}


MANY = 100


def many(kind):
    """No name of them is in another: IMAP searches for parts of a subject."""
    return [f"{kind}-{i:03}" for i in range(MANY)]


def imap_works(dovecot, failures):
    """200 changes: a flag on each mail, and a mail of its own."""
    try:
        with dovecot.imap() as imap:
            for flagged, added in zip(many("busy"), many("imap")):
                assert imap.uid("STORE", uid_of(imap, flagged), "+FLAGS", r"(\Flagged)")[0] == "OK"
                assert imap.append("INBOX", None, None, f"Subject: {added}\r\n\r\n".encode())[0] == "OK"
    except Exception as failure:  # shown by the test
        failures.append(failure)


def test_both_at_work(station, dovecot, jmap, imap):
    """500 changes, by JMAP and IMAP and deliveries at once: nothing lost, nothing double, every id the same."""
    ids = deliver(station, jmap, *many("busy"))
    until(lambda: uid_of(imap, many("busy")[-1]), "the last in IMAP")
    failures, archive = [], jmap.mailbox("archive")
    other = threading.Thread(target=imap_works, args=(dovecot, failures))
    other.start()
    for flagged, added in zip(many("busy"), many("jmap")):
        jmap.set(update={ids[flagged]: {"keywords/$seen": True}})
        jmap.set(create={"k": {"mailboxIds": {archive: True}, "subject": added}})
    late = deliver(station, jmap, *many("late"))
    other.join(PATIENCE * 2)
    assert not failures and not other.is_alive(), failures

    until(lambda: all(set(m["keywords"]) == {"$seen", "$flagged"} for m in jmap.mails(list(ids.values())).values()), "all flags in JMAP",
          told=lambda: {m["id"]: m["keywords"] for m in jmap.mails(list(ids.values())).values() if len(m["keywords"]) < 2})
    found = until(lambda: by_subject(jmap, [*many("busy"), *many("late"), *many("imap"), *many("jmap")]), "all mails in JMAP")
    assert {s: found[s] for s in ids} == ids and {s: found[s] for s in late} == late
    assert in_imap(imap, "INBOX") >= {*many("busy"), *many("late"), *many("imap")} and in_imap(imap, "Archive") >= {*many("jmap")}
    files = [f.name.partition(":2,")[0] for f in station.mail_files("alice")]
    assert len(files) == len(set(files))


def in_imap(imap, mailbox):
    """The subjects in it, each once."""
    imap.select(mailbox)
    said = imap.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
    subjects = [SUBJECT.search(part[1])[1].decode() for part in said if isinstance(part, tuple)]
    assert len(subjects) == len(set(subjects))
    return set(subjects)


def test_dovecot_s_files_are_nothing_to_us_nor_ours_to_it(station, jmap, imap):
    box = station.state / "mail/example.org/alice"
    imap.append("INBOX", None, None, b"Subject: whose-files\r\n\r\n")
    until(lambda: by_subject(jmap, ["whose-files"]), "the mail in JMAP")
    assert (box / "dovecot-uidlist").exists() and (box / "posthouse").is_dir()
    assert not any("dovecot" in f.name for f in (box / "posthouse").iterdir())
    assert not {name for name in jmap.mailboxes() if "dovecot" in name or name in ("posthouse", "subscriptions")}


def test_ids_after_the_index_was_lost(station, dovecot, jmap, imap):
    """The index is made anew from what lies there, Dovecot's names included."""
    imap.append("INBOX", r"(\Flagged)", None, b"Subject: kept-id\r\n\r\n")
    before = until(lambda: by_subject(jmap, ["kept-id"]), "the mail in JMAP")["kept-id"]
    station.stop()
    for file in (station.state / "mail/example.org/alice/posthouse").glob("index.db*"):
        file.unlink()
    station.start()
    assert until(lambda: by_subject(jmap, ["kept-id"]), "the mail in the new index")["kept-id"] == before
    assert keywords(jmap, before) == {"$flagged"}
