# SPDX-License-Identifier: Apache-2.0
"""Fixtures of all tests that run whole stations: test/system, test/conformance, test/crash."""
import os
import pathlib

import pytest

from station import Station

SOURCE = pathlib.Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption("--rounds", type=int, default=6, help="test/crash: how many kills")


@pytest.fixture
def make_station():
    """make_station(**sections) starts one more station; each is stopped and removed at the end of the test."""
    made = []

    def make(start=True, **sections):
        station = Station(**sections)
        made.append(station)
        if start:
            station.start()
        return station

    yield make
    complaints = []
    for station in made:
        station.end()
        complaints += station.complaints()
        station.clean_up()
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def station(make_station):
    """A station with alice and bob of example.org; 127.0.0.2 may relay without a login."""
    station = make_station()
    station.add_user("alice", "wonderland")
    station.add_user("bob", "builder")
    return station


@pytest.fixture
def as_root():
    if os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.fixture(scope="session")
def testdata():
    """Vectors and mails made by others; they are no part of this tree."""
    path = pathlib.Path(os.environ.get("POSTHOUSE_TESTDATA", SOURCE.parent / "shared" / "testdata"))
    if not path.is_dir():
        pytest.skip(f"no test data in {path} (POSTHOUSE_TESTDATA)")
    return path
