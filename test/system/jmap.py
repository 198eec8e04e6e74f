# SPDX-License-Identifier: Apache-2.0
"""A small JMAP client: signs in by Basic, calls methods, listens for news."""
import base64
import contextlib
import json
import threading
import urllib.error
import urllib.request

from station import PATIENCE, until

CORE, MAIL, OURS = "urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail", "https://posthouse.example/jmap"
USING = [CORE, MAIL, "urn:ietf:params:jmap:submission", OURS]


class Jmap:
    """Jmap(f"http://127.0.0.1:{station.web_port}", "alice@example.org", "wonderland"). `context`: what is trusted in TLS."""

    def __init__(self, url, login, password, context=None):
        self.url, self.context = url, context
        self.authorization = "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()

    def open(self, path, body=None, content_type="application/json"):
        """Whatever HTTP says: errors are raised as urllib.error.HTTPError."""
        headers = {"Authorization": self.authorization}
        if body is not None:
            headers["Content-Type"] = content_type
        url = path if "://" in path else self.url + path
        return urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=PATIENCE, context=self.context)

    def session(self):
        with self.open("/.well-known/jmap") as answer:
            return json.load(answer)

    def call(self, method, **arguments):
        """The arguments of the one response; an error of the method fails the test."""
        (name, response), = self.calls((method, arguments))
        assert name == method, response
        return response

    def calls(self, *calls):
        """The responses to calls (name, arguments), as (name, arguments)."""
        request = {"using": USING, "methodCalls": [[name, {"accountId": "a", **arguments}, str(i)] for i, (name, arguments) in enumerate(calls)]}
        with self.open("/jmap/api", json.dumps(request).encode()) as answer:
            return [(name, arguments) for name, arguments, _ in json.load(answer)["methodResponses"]]

    def mailboxes(self):
        """{"Inbox": id, "Parent/Child": id, …}"""
        boxes = {box["id"]: box for box in self.call("Mailbox/get", ids=None)["list"]}

        def path(box):
            return (path(boxes[box["parentId"]]) + "/" if box["parentId"] else "") + box["name"]
        return {path(box): box["id"] for box in boxes.values()}

    def mailbox(self, role):
        return next(box["id"] for box in self.call("Mailbox/get", ids=None)["list"] if box["role"] == role)

    def ids(self, mailbox):
        """Of all its mails, by as many calls as it takes."""
        found = []
        while True:
            more = self.call("Email/query", filter={"inMailbox": mailbox}, position=len(found), sort=[{"property": "receivedAt"}])["ids"]
            if not more:
                return found
            found += more

    def mails(self, ids):
        """{id: mail} of those that are there."""
        found = {}
        for first in range(0, len(ids), 500):
            for mail in self.call("Email/get", ids=ids[first:first + 500], properties=["subject", "keywords", "mailboxIds"])["list"]:
                found[mail["id"]] = mail
        return found

    def state(self):
        return self.call("Email/get", ids=[])["state"]

    def changes(self, since):
        """created, updated, destroyed: sets of ids"""
        created, updated, destroyed = set(), set(), set()
        while True:
            answer = self.call("Email/changes", sinceState=since)
            created |= set(answer["created"])
            updated |= set(answer["updated"])
            destroyed |= set(answer["destroyed"])
            if not answer["hasMoreChanges"]:
                return created, updated, destroyed
            since = answer["newState"]

    def set(self, **arguments):
        answer = self.call("Email/set", **arguments)
        assert not (answer.get("notCreated") or answer.get("notUpdated") or answer.get("notDestroyed")), answer
        return answer

    @contextlib.contextmanager
    def events(self):
        """`with client.events() as news:` a list that grows by each StateChange, the states of now first."""
        news = []
        answer = self.open("/jmap/events?types=*&closeafter=no&ping=30")
        thread = threading.Thread(target=listen, args=(answer, news), daemon=True)
        thread.start()
        try:
            until(lambda: news, "the states of now")
            yield news
        finally:
            with contextlib.suppress(OSError):
                answer.fp.raw._sock.shutdown(2)
            thread.join(PATIENCE)
            answer.close()


def listen(answer, news):
    event = None
    with contextlib.suppress(OSError, ValueError):
        for line in answer:
            text = line.decode().rstrip("\n")
            if text.startswith("event: "):
                event = text[7:]
            elif text.startswith("data: ") and event == "state":
                news.append(json.loads(text[6:])["changed"]["a"])
