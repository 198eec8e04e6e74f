# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser, against a whole station: Debian's chromium, driven by playwright-core (run.mjs has the stage, scenes/ the scenes)."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from station import BUILD, Station

HERE = pathlib.Path(__file__).resolve().parent
WEB = HERE.parents[1] / "web"


def missing():
    for name in ("node", "chromium"):
        if not shutil.which(name):
            return f"no {name}"
    return None if (WEB / "node_modules/playwright-core").is_dir() else "npm has not fetched what the page is tested with"


pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture
def reading_room(make_station):
    """A station with a page, for alice and bob."""
    station = make_station(web="no-tls = true")
    station.add_user("alice", "wonderland")
    station.add_user("bob", "builder")
    return station


def play(station, scene, **given):
    done = subprocess.run(["node", HERE / "run.mjs", scene], capture_output=True, text=True, timeout=240,
                          env={**os.environ, "BASE": f"http://127.0.0.1:{station.web_port}", "SHOTS": str(BUILD / "shots"),
                               "INPUT": json.dumps(given)})
    assert done.returncode == 0, done.stdout + done.stderr + station.log_text()[-3000:]
    return done.stdout


def test_write(reading_room):
    play(reading_room, "write")
