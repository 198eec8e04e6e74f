# SPDX-License-Identifier: Apache-2.0
"""Somebody else's JMAP library on our doorstep: jmap-jam from npm makes a round trip, with a password and with an app password."""
import base64
import os
import pathlib
import shutil
import subprocess

import pytest

from station import PATIENCE, inhabited

HERE = pathlib.Path(__file__).resolve().parent

pytestmark = pytest.mark.skipif(not shutil.which("node") or not (HERE.parents[1] / "web/node_modules/jmap-jam").is_dir(),
                                reason="npm has not fetched jmap-jam")


@pytest.fixture(scope="module")
def station():
    yield from inhabited({"wei": "wonderland", "bob": "builder"})


def basic(_):
    return "Basic " + base64.b64encode(b"wei@example.org:wonderland").decode()


def bearer(station):
    return "Bearer " + station.run("app-password", "add", "wei@example.org", "jam").stdout.split()[-1]


@pytest.mark.parametrize("authorization", [basic, bearer])
def test_a_round_trip(station, authorization):
    before = len(station.mail_files("bob"))
    done = subprocess.run(["node", HERE / "jmap_client.mjs"], capture_output=True, text=True, timeout=3 * PATIENCE,
                          env={**os.environ, "BASE": f"http://127.0.0.1:{station.web_port}", "AUTHORIZATION": authorization(station),
                               "PEER": "bob@example.org", "SUBJECT": f"Weather report {authorization.__name__}"})
    assert done.returncode == 0, done.stdout + done.stderr + station.log_text()[-2000:]
    mails = station.wait_mails("bob", before + 1)
    assert any(f"Subject: Weather report {authorization.__name__}".encode() in mail for mail in mails)
    assert not any(b"\nBcc:" in mail for mail in mails)
