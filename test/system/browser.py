# SPDX-License-Identifier: Apache-2.0
"""Somebody who has signed in as the page does it, without a browser: a cookie, and what goes into a header beside it."""
import contextlib
import http.client
import json
import socket

from station import PATIENCE

JSON = {"Content-Type": "application/json"}


def ask(connect, method, path, headers=None, body=None):
    """(status, headers, body) of one request over a connection of its own. connect(): a socket, in TLS where the door speaks it."""
    connection = http.client.HTTPConnection("mail.example.org", timeout=PATIENCE)
    connection.sock = connect()
    with contextlib.closing(connection):
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def door_of(station):
    """connect() for a station's door in clear."""
    return lambda: socket.create_connection(("127.0.0.1", station.web_port), PATIENCE)


class Browser:
    """`cookie` and `proof` are header fields, `headers` both of them; `session` is what the page was told."""

    def __init__(self, connect, login, password):
        self.connect = connect
        status, headers, body = ask(connect, "POST", "/session", {**JSON, "X-Posthouse": "1"}, json.dumps({"login": login, "password": password}))
        assert status == 200, body
        self.cookie_line, self.session = headers["Set-Cookie"], json.loads(body)
        self.cookie = {"Cookie": self.cookie_line.partition(";")[0]}
        self.proof = {"X-Posthouse-CSRF": self.session["csrf"]}
        self.headers = {**self.cookie, **self.proof}

    def ask(self, method, path, body=None, more=()):
        """With cookie and proof, unless `more` says otherwise: None leaves a field out."""
        headers = {name: value for name, value in {**JSON, **self.headers, **dict(more)}.items() if value is not None}
        return ask(self.connect, method, path, headers, body)

    def get(self, path, **more):
        """As a link is followed: the cookie alone."""
        return ask(self.connect, "GET", path, {**self.cookie, **more})

    def post(self, path, body, **more):
        return self.ask("POST", path, body, more)
