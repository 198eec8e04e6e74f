# SPDX-License-Identifier: Apache-2.0
"""What a client may ask of reports and of a later sending, on each door; the grammar is in test/dialog/dsn.smtp and hold-for-later.smtp."""
import calendar
import re
import time

from station import TRUSTED

OFFER = re.compile(r"FUTURERELEASE (\d+) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")


def moment(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def offer(talk):
    """(seconds, moment) that EHLO offers; None: nothing."""
    found = OFFER.search(talk.say("EHLO client.test").expect(250))
    return found and (int(found[1]), calendar.timegm(time.strptime(found[2], "%Y-%m-%dT%H:%M:%SZ")))


def test_who_may_have_mail_held(make_station):
    station = make_station(queue='hold-most = "1h"')
    station.add_user("alice", "wonderland")
    stranger = station.talk("smtp", source="127.0.0.9")
    stranger.expect(220)
    assert offer(stranger) is None
    assert "not known" in stranger.say("MAIL FROM:<a@src.test> HOLDFOR=60").expect(555)
    for talk in (station.talk("submission"), station.talk("smtp", source=TRUSTED)):
        talk.expect(220)
        before = int(time.time())
        seconds, until = offer(talk)
        assert seconds == 3600 and before <= until - 3600 <= time.time()
    talk = station.logged_in()
    now = int(time.time())
    assert "not held for so long" in talk.say("MAIL FROM:<alice@example.org> HOLDFOR=3601").expect(501)
    assert "not held for so long" in talk.say(f"MAIL FROM:<alice@example.org> HOLDUNTIL={moment(now + 7200)}").expect(501)
    talk.say("MAIL FROM:<alice@example.org> HOLDFOR=3600").expect(250)
    talk.say("RSET").expect(250)
    talk.say(f"MAIL FROM:<alice@example.org> HOLDUNTIL={moment(now + 1800)}").expect(250)


def test_hold_switched_off(make_station):
    station = make_station(queue='hold-most = "0s"')
    talk = station.talk("smtp", source=TRUSTED)
    talk.expect(220)
    assert offer(talk) is None
    talk.say("MAIL FROM:<a@src.test> HOLDFOR=60").expect(555)


def test_the_log_keeps_what_was_asked(make_station):
    station = make_station()
    station.add_user("alice", "wonderland")
    talk = station.hello(source=TRUSTED)
    talk.say("MAIL FROM:<a@src.test> RET=HDRS ENVID=QQ+2B314159").expect(250)
    talk.say("RCPT TO:<alice@example.org> NOTIFY=SUCCESS ORCPT=rfc822;sales+2Bx@far.test").expect(250)
    talk.say("DATA").expect(354)
    talk.say("Subject: s\r\n\r\nx\r\n.").expect(250)
    log = b"".join(f.read_bytes() for f in (station.spool / "seg").iterdir())
    assert b"QQ+2B314159" in log and b"rfc822;sales+2Bx@far.test" in log
    station.wait_mails("alice", 1)
