# SPDX-License-Identifier: Apache-2.0
"""A mistake in the file: its line, the wrong word, what was meant, exit code 78, and nothing is started."""
import subprocess

import pytest

from station import POSTHOUSE, Station, free_ports

LINES = ['hostname = "mail.example.org"', 'state = "{dir}/state"', 'spool = "{dir}/spool"', 'listen smtp {{ on = "127.0.0.1:{port}" }}',
         'domain "example.org" {{ }}']
# (line that is replaced or added, what stands there, what the message must say)
MISTAKES = [
    (1, 'hostnam = "mail.example.org"', ["hostnam", "did you mean", "hostname"]),
    (4, 'listen smpt {{ on = "127.0.0.1:{port}" }}', ["smpt"]),
    (4, 'listen smtp {{ on = "127.0.0.1:99999" }}', ["99999"]),
    (4, 'listen smtp {{ onn = "127.0.0.1:{port}" }}', ["onn", "did you mean"]),
    (6, 'limits {{ message = "many" }}', ["many"]),
    (6, 'queue {{ retry-first = "5 fortnights" }}', ["fortnights"]),
    (6, 'trusted = {{"127.0.0.1/99"}}', ["127.0.0.1/99"]),
    (6, 'route "*" {{ via = "smtp://relay_example" }}', ["relay_example"]),
    (6, 'smtp {{ vrfy = sometimes }}', ["sometimes"]),
    (6, 'tls {{ certificate = "mail.pem" }}', ["mail.pem", "absolute path"]),
    (6, 'domain "example.org" {{ }}', ["example.org"]),
]


def write(tmp_path, mistake=None):
    lines = list(LINES)
    if mistake:
        lines[mistake[0] - 1:mistake[0]] = [mistake[1]]
    file = tmp_path / "posthouse.conf"
    file.write_text("".join(line.format(dir=tmp_path, port=free_ports(1)[0]) + "\n" for line in lines))
    return file


def run(*arguments):
    return subprocess.run([POSTHOUSE, *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("mistake", MISTAKES, ids=[m[1][:30] for m in MISTAKES])
def test_a_mistake_starts_nothing(tmp_path, mistake):
    file = write(tmp_path, mistake)
    for command in "check", "serve":
        done = run(command, "--config", file)
        assert done.returncode == 78, done.stderr
        assert f"posthouse.conf:{mistake[0]}: " in done.stderr
        for word in mistake[2]:
            assert word in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["posthouse.conf"]


def test_a_good_file(tmp_path):
    done = run("check", "--config", write(tmp_path))
    assert done.returncode == 0 and "good" in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["posthouse.conf"]


@pytest.mark.parametrize("second", ["127.0.0.1", "*"])
def test_two_doors_on_one_place_start_nothing(tmp_path, second):
    file, port = tmp_path / "posthouse.conf", free_ports(1)[0]
    file.write_text(f'hostname = "mail.example.org"\nstate = "{tmp_path}/state"\nspool = "{tmp_path}/spool"\n'
                    f'listen smtp {{ on = "127.0.0.1:{port}" }}\nlisten web {{ on = "{second}:{port}" }}\n')
    for command in "check", "serve":
        done = run(command, "--config", file)
        assert done.returncode == 78
        assert done.stderr.removeprefix("posthouse: ") == f"{file}: `listen smtp` on 127.0.0.1:{port} and `listen web` on {second}:{port}: one needs another port\n"


@pytest.mark.parametrize("web", ["", 'listen web {{ on = "127.0.0.1:{port}" }}'])
def test_imap_without_a_door_to_tell_it_is_a_note(tmp_path, web):
    file = write(tmp_path, (6, 'web {{ imap = "imaps://imap.example.org" }}' + web))
    done = run("check", "--config", file)
    assert done.returncode == 0 and "good" in done.stdout
    assert [line for line in done.stderr.splitlines() if "imap" in line and "listen web" in line] == done.stderr.splitlines()
    assert bool(done.stderr) == (not web)


@pytest.mark.parametrize("connections, filters, most, noted", [(500, 1, 1000, False), (501, 1, 1000, True), (1001, 0, 1000, True)])
def test_more_connections_than_descriptors_are_a_note(tmp_path, connections, filters, most, noted):
    file = write(tmp_path)
    with file.open("a") as text:
        text.write(f"limits {{ connections = {connections} }}\n")
        text.write("".join(f'filter "f{i}" {{ at = "127.0.0.1:9" }}\n' for i in range(filters)))
    done = subprocess.run(["prlimit", f"--nofile={most}:{most}", POSTHOUSE, "check", "--config", file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    notes = [line for line in done.stderr.splitlines() if "descriptors" in line]
    assert len(notes) == noted and all(f"connections = {connections}" in line and f"at most {most} here" in line for line in notes)


@pytest.mark.parametrize("command", [["serve"], ["check"], ["queue", "list"], ["user", "list"], ["alias", "list"]])
def test_a_file_that_is_not_there(tmp_path, command):
    done = run(*command, "--config", tmp_path / "none.conf")
    assert done.returncode != 0 and "none.conf" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_port_that_is_taken(make_station):
    station = make_station()
    other = Station()
    try:
        other.config.write_text(other.config.read_text().replace(str(other.smtp_port), str(station.smtp_port)))
        done = run("serve", "--config", other.config)
        assert done.returncode != 0 and f"127.0.0.1:{station.smtp_port}" in done.stderr
    finally:
        other.clean_up()


def test_a_second_station_on_the_same_spool(make_station):
    station = make_station()
    other = Station()
    try:
        other.config.write_text(other.config.read_text().replace(str(other.spool), str(station.spool)))
        done = run("serve", "--config", other.config)
        assert done.returncode != 0 and str(station.spool) in done.stderr
        station.hello().close()
    finally:
        other.clean_up()
