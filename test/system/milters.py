# SPDX-License-Identifier: Apache-2.0
"""A content filter of the tests' own: Milter as its wire has it, and every way in which one can behave badly."""
import socket
import struct
import threading

STAGES = dict(C="client", H="hello", M="sender", R="recipient", T="data", L="header", N="end of header", B="body", E="end")
ADD_HEADERS, CHANGE_BODY, ADD_RECIPIENTS, DELETE_RECIPIENTS, CHANGE_HEADERS, QUARANTINE, CHANGE_SENDER = (1 << i for i in range(7))
NO_REPLY = dict(C=0x1000, H=0x2000, M=0x4000, R=0x8000, T=0x10000, L=0x80, N=0x40000, B=0x80000)
NO_HELLO, SKIP, KEEP_BLANK = 0x2, 0x400, 0x100000
CONTINUE, ACCEPT, REJECT, TEMPFAIL, DISCARD, SHUTDOWN, SKIP_BODY, PROGRESS = b"c", b"a", b"r", b"t", b"d", b"4", b"s", b"p"
STALL, DIE, GARBAGE, LIE = "stall", "die", "garbage", "lie"


def add_header(name, value):
    return b"h" + name + b"\0" + value + b"\0"


def insert_header(index, name, value):
    return b"i" + struct.pack(">I", index) + name + b"\0" + value + b"\0"


def change_header(index, name, value):
    return b"m" + struct.pack(">I", index) + name + b"\0" + value + b"\0"


def reply(text):
    return b"y" + text + b"\0"


def with_text(letter, text):
    return letter + text + b"\0"


def receive_exactly(connection, n):
    octets = b""
    while len(octets) < n:
        more = connection.recv(n - len(octets))
        if not more:
            return None
        octets += more
    return octets


class Milter:
    """Milter(R=REJECT, E=[add_header(b"X-Seen", b"yes"), CONTINUE]): what is said to each letter, CONTINUE where nothing is given.

    A value may also be STALL, DIE, GARBAGE, LIE, or a function of the packet's data that returns one of all these.
    """

    def __init__(self, version=6, actions=0x7F, steps=0, **answers):
        self.version, self.actions, self.steps, self.answers = version, actions, steps, answers
        self.heard = []  # of all connections: (letter, data)
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.ended = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.listener.shutdown(socket.SHUT_RDWR)  # else the thread in accept() would keep it
        self.listener.close()

    def run(self):
        while not self.ended.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            try:
                while self.one(connection):
                    pass
            except OSError:
                pass

    def one(self, connection):
        """One packet and its answer; False: the connection is over."""
        length = receive_exactly(connection, 4)
        packet = length and receive_exactly(connection, struct.unpack(">I", length)[0])
        if not packet:
            return False
        letter, data = packet[:1].decode(), packet[1:]
        self.heard.append((letter, data))
        if letter == "O":
            offer = self.answers.get("O", b"O" + struct.pack(">III", self.version, self.actions, self.steps))
            return self.say(connection, offer)
        if letter in "DAQ":
            return letter != "Q"
        answer = self.answers.get(letter, CONTINUE)
        answer = answer(data) if callable(answer) else answer
        if self.steps & NO_REPLY.get(letter, 0) and answer not in (STALL, DIE):
            return True
        return self.say(connection, answer)

    def say(self, connection, answer):
        if answer == STALL:
            self.ended.wait(60)
            return False
        if answer == DIE:
            return False
        if answer == GARBAGE:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return True
        if answer == LIE:
            answer = b"Z?"
        for packet in answer if isinstance(answer, list) else [answer]:
            connection.sendall(struct.pack(">I", len(packet)) + packet)
        return True

    def letters(self):
        return "".join(letter for letter, _ in self.heard)

    def data_of(self, letter):
        return [data for l, data in self.heard if l == letter]

    def macros(self):
        """All that were told, the last value of each."""
        found = {}
        for data in self.data_of("D"):
            parts = data[1:].split(b"\0")[:-1]
            found.update(zip(parts[::2], parts[1::2]))
        return found
