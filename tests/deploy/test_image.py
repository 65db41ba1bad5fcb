"""The image: its root file system is made, and run as the Dockerfile says."""

import os
import signal
import subprocess

import pytest

from containers import Image, Network, contained
from lab import as_root, output, settings, until


@pytest.fixture(scope="module")
def image():
    made = Image()
    yield made
    made.close()


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return {"/data": tmp_path / "data"}


def test_nothing_is_in_it_but_the_server(image):
    found = {str(file.relative_to(image.root)) for file in image.root.rglob("*") if file.is_file()}
    libraries = {file for file in found if file.startswith(("lib", "usr/lib"))}
    assert "usr/local/bin/visavis" in found and libraries
    assert found - libraries == {"usr/local/bin/visavis", "etc/passwd", "etc/group", "etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt"}


def test_the_image_exposes_the_ports_that_the_settings_have(image):
    found = settings()
    turn, page = (found[name].rsplit(":", 1)[1] for name in ("turn-listen", "listen"))
    assert image.ports == {(page, "tcp"), (str(found["media-port"]), "udp"), (turn, "tcp"), (turn, "udp")}
    assert image.environment["VISAVIS_DATA_DIR"] in image.volumes


def test_commands_work_in_it(image, data):
    shown = output(*image.command([*image.entrypoint, "config"], data=data))
    assert 'data-dir = "/data"' in shown
    key = output(*image.command([*image.entrypoint, "api-key", "--init", "create", "--scope", "admin"], data=data))
    assert key.strip() and list(data["/data"].iterdir())


@as_root
def test_it_serves_on_a_read_only_root_as_nobody_in_particular(image, data, tmp_path):
    network = Network()
    log = (tmp_path / "log").open("w+")
    health = network.inside(*image.command(image.health, data=data))
    assert subprocess.run(health, capture_output=True).returncode == 1, "nothing runs yet"
    server = subprocess.Popen(network.inside(*image.command(image.entrypoint, data=data)), stdout=log, stderr=log)
    try:
        until(lambda: subprocess.run(health, capture_output=True).returncode == 0, lambda: server.poll() is not None and (tmp_path / "log").read_text())
        pid = contained(server)
        status = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line)
        assert status["Name"] == "visavis"
        assert status["NoNewPrivs"] == "1" and int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        assert {port for port in network.listening()} >= image.ports
        root = next(line.split() for line in open(f"/proc/{pid}/mountinfo") if line.split()[4] == "/")
        assert "ro" in root[5].split(",")
        page = output(*network.inside("curl", "--silent", "--show-error", "--fail", "http://127.0.0.1:8080/"))
        assert "<title>Visavis" in page
    finally:
        os.kill(contained(server), signal.SIGTERM)
        ended = server.wait()
        network.close()
    assert ended == 0, (tmp_path / "log").read_text()
