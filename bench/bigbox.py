# SPDX-License-Identifier: Apache-2.0
"""A mailbox as somebody has it after years: a Maildir of as many mails as are wanted, always the same ones, written without any mail system.

Two thirds stand in conversations of two to eight; three in ten are Chinese; half have HTML, one in six an attachment. The words are as common as
words are (Zipf), drawn into paragraphs beforehand of which each mail takes a few; besides, each mail has a number that no other has.
"""
import base64
import email.utils
import itertools
import os
import random

OWNER = "wei@example.org"
PEOPLE = 900
PARAGRAPHS = 6000
SINCE, UNTIL = 1_420_000_000, 1_760_000_000  # seconds: 2014 to 2025
RARE, FREQUENT, USUAL, CHINESE = "zanzibar", "the", "invoice", "会议"  # once in a thousand; nearly everywhere; one in twenty; one in twenty
PNG = base64.b64encode(bytes.fromhex("89504e470d0a1a0a") + bytes(range(256)) * 12)


def english(draw):
    syllables = ["".join(s) for s in itertools.product("bcdfglmnprstv", "aeiou", ["", "n", "r", "st"])]
    vocabulary = [FREQUENT, "of", "and", "to", "in", USUAL] + sorted({"".join(draw.choices(syllables, k=draw.choice((1, 2, 2, 3, 3, 4)))) for _ in range(30_000)})
    head, tail = vocabulary[:6], vocabulary[6:]
    draw.shuffle(tail)
    weights = list(itertools.accumulate([7, 3.5, 3, 2.7, 2.3, 0.026] + [9.3 / (rank + 4) for rank in range(len(tail))]))
    return lambda: " ".join(draw.choices(head + tail, cum_weights=weights, k=draw.randint(25, 70))).capitalize() + "."


def chinese(draw):
    characters = [chr(c) for c in range(0x4E00, 0x4E00 + 3000)]
    draw.shuffle(characters)
    weights = list(itertools.accumulate(1 / (rank + 8) for rank in range(len(characters))))

    def paragraph():
        clauses = ["".join(draw.choices(characters, cum_weights=weights, k=draw.randint(4, 12))) for _ in range(draw.randint(4, 10))]
        if draw.random() < 0.03:
            clauses[0] = "关于" + CHINESE
        return "，".join(clauses) + "。"
    return paragraph


class Writer:
    def __init__(self, seed):
        self.draw = random.Random(seed)
        en, zh = english(self.draw), chinese(self.draw)
        self.paragraphs = {False: [en() for _ in range(PARAGRAPHS)], True: [zh() for _ in range(PARAGRAPHS // 2)]}
        self.people = [(f"{'张李王陈'[n % 4]}{'伟芳娜敏静'[n % 5]}" if n % 3 == 0 else f"Person {n}", f"p{n}@{'abcdefg'[n % 7]}.example.net") for n in range(PEOPLE)]

    def person(self):
        return self.people[min(int(self.draw.paretovariate(0.7)) - 1, PEOPLE - 1)]

    def text(self, is_chinese, number):
        part = self.draw.choices(self.paragraphs[is_chinese], k=self.draw.randint(2, 6)) + [f"No. {number:06}."]
        return part + ([RARE] if number % 1000 == 500 else [])

    def body(self, paragraphs):
        """(header fields, body): plain, both ways, or HTML alone."""
        plain, kind = "\n\n".join(paragraphs), self.draw.random()
        html = "<html><head><style>p { margin: 1em }</style></head><body>" + "".join(f'<p style="font: 12pt serif">{p}</p>\n' for p in paragraphs) + "</body></html>"
        if kind < 0.5:
            return "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n", plain
        if kind < 0.6:
            return "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n", base64.encodebytes(html.encode()).decode()
        return ('Content-Type: multipart/alternative; boundary="alt"\n',
                f"--alt\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{plain}\n"
                f"--alt\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{html}\n--alt--\n")

    def mail(self, number, second, subject, author, references, is_chinese):
        """One mail's octets."""
        fields, body = self.body(self.text(is_chinese, number))
        if self.draw.random() < 1 / 6:
            name = "报告.png" if is_chinese else "report.png"
            body = (f"--mix\n{fields}\n{body}\n--mix\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n"
                    f"Content-Disposition: attachment; filename=\"{name}\"\n\n{PNG.decode()}\n--mix--\n")
            fields = 'Content-Type: multipart/mixed; boundary="mix"\n'
        coded = f"=?utf-8?B?{base64.b64encode(subject.encode()).decode()}?=" if is_chinese else subject
        name = f"=?utf-8?B?{base64.b64encode(author[0].encode()).decode()}?="
        trail = f"In-Reply-To: {references[-1]}\nReferences: {' '.join(references)}\n" if references else ""
        return (f"Return-Path: <{author[1]}>\nReceived: from relay.example.net by mail.example.org; {email.utils.formatdate(second)}\n"
                f"From: {name} <{author[1]}>\nTo: Wei <{OWNER}>\nSubject: {coded}\nDate: {email.utils.formatdate(second)}\n"
                f"Message-ID: <{number}@bench.example.net>\n{trail}MIME-Version: 1.0\n{fields}\n{body}").encode()

    def conversation(self, number, second, most):
        """(octets, whether the owner wrote it) of the mails of one, the first of which has this number."""
        is_chinese, references = self.draw.random() < 0.3, []
        about = self.draw.choice(self.paragraphs[is_chinese])
        about = about[:12] if is_chinese else " ".join(about.split()[:6])
        for n in range(min(most, self.draw.choice((1, 1, 1, 2, 2, 3, 4, 8)))):
            is_own = n % 3 == 2
            subject = ("回复：" if is_chinese else "Re: ") * bool(n) + about
            yield self.mail(number + n, second + 3600 * n, subject, ("Wei", OWNER) if is_own else self.person(), references, is_chinese), is_own
            references = references + [f"<{number + n}@bench.example.net>"]


def write(maildir, mails, seed=6):
    """Into the inbox, what is the owner's into .Sent; one in thirty unread. Files and directories belong to whom the Maildir belongs."""
    writer, owner = Writer(seed), os.stat(maildir)
    for part in "new", "cur", "tmp", ".Sent/new", ".Sent/cur", ".Sent/tmp":
        os.makedirs(f"{maildir}/{part}", exist_ok=True)
    for folder in ".Sent", ".Sent/new", ".Sent/cur", ".Sent/tmp":
        os.chown(f"{maildir}/{folder}", owner.st_uid, owner.st_gid)
    number = 0
    while number < mails:
        second = SINCE + (UNTIL - SINCE) * number // mails
        for octets, is_own in writer.conversation(number, second, mails - number):
            flags = "" if number % 30 == 7 and not is_own else "S"
            path = f"{maildir}/{'.Sent/' if is_own else ''}cur/{second}.M{number}P7.mail.example.org,S={len(octets)}:2,{flags}"
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(fd, octets)
            os.fchown(fd, owner.st_uid, owner.st_gid)
            os.utime(fd, (second, second))
            os.close(fd)
            number, second = number + 1, second + 3600
