"""Each compose file is started as it says, and carries a call."""

import json
import re

import pytest

from containers import Image, Stack, published, resolved
from lab import DEPLOY, ROOT, as_root, name_of, settings

COMPOSE = DEPLOY / "compose"
VARIABLES = {"PUBLIC_IP": "203.0.113.7", "DOMAIN": "localhost", "POSTGRES_PASSWORD": "0f" * 24, "STORE_SECRET": "1e" * 24}


@pytest.fixture(scope="module")
def image():
    made = Image()
    yield made
    made.close()


def call(stack, url, participants, topology="auto"):
    stack.run("node", str(ROOT / "tests/deploy/call.mjs"), url, str(participants), topology)


@pytest.mark.parametrize("file", sorted(COMPOSE.glob("*.yaml")), ids=name_of)
def test_settings_and_ports_agree(file):
    service = resolved(file, VARIABLES)["services"]["visavis"]
    found = settings(environment=service["environment"])
    listened = {(found["listen"].rsplit(":", 1)[1], "tcp"), (str(found["media-port"]), "udp")}
    if not found["no-turn"]:
        turn = found["turn-listen"].rsplit(":", 1)[1]
        listened |= {(turn, "tcp"), (turn, "udp")}
        listened |= {(found["turn-relay-ports"], "udp")} if found["turn-relay"] == "ports" else set()
    ports = published(service)
    # The address that is told to participants has the port of the container.
    assert all(outside == inside for outside, inside, _ in ports)
    reached = {(inside, protocol) for _, inside, protocol in ports}
    # The page alone may be reached through a proxy.
    assert reached <= listened and listened - reached <= {("8080", "tcp")}
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert grace > found["drain-delay"] + found["drain-timeout"] + 5
    assert service["read_only"] and service["restart"] == "unless-stopped"


@pytest.mark.parametrize("file", sorted(COMPOSE.glob("*.yaml")), ids=name_of)
def test_what_must_be_set_is_asked_for(file):
    needed = set(re.findall(r"\$\{(\w+):\?", file.read_text()))
    assert needed and set(re.findall(r"\$\{(\w+)", file.read_text())) == needed
    example = dict(line.split("=", 1) for line in (COMPOSE / ".env.example").read_text().splitlines() if re.match(r"\w+=", line))
    assert needed <= set(example)
    for name in needed:
        with pytest.raises(AssertionError, match=name):
            resolved(file, {other: value for other, value in VARIABLES.items() if other != name})


@as_root
def test_alone(image):
    with Stack(COMPOSE / "alone.yaml", image, VARIABLES) as stack:
        assert {("8080", "tcp"), ("8080", "udp")} <= stack.network.listening()
        assert not [port for port, _ in stack.network.listening() if port == "3478"]
        url = f"https://{VARIABLES['PUBLIC_IP']}:8080"
        call(stack, url, 3)
        call(stack, url, 2, "mesh")


@as_root
def test_behind_caddy(image):
    with Stack(COMPOSE / "behind-caddy.yaml", image, VARIABLES) as stack:
        url = "https://localhost"
        stack.wait_for(lambda: stack.attempt("curl", "--silent", "--insecure", "--fail", f"{url}/readyz").returncode == 0)
        head = stack.run("curl", "--silent", "--show-error", "--head", "http://localhost/")
        assert re.search(r"HTTP/1.1 308.*Location: https://localhost/", head, re.S)
        answer = stack.run("curl", "--silent", "--show-error", "--insecure", "--fail", f"{url}/readyz")
        assert answer == "ok\n"
        assert {("3478", "tcp"), ("3478", "udp"), ("8080", "udp")} <= stack.network.listening()
        call(stack, url, 3)


@as_root
def test_with_database_and_storage(image):
    with Stack(COMPOSE / "with-database-and-storage.yaml", image, VARIABLES, more={"VISAVIS_RECORD": "all"}) as stack:
        url = f"https://{VARIABLES['PUBLIC_IP']}:8080"
        meeting = json.dumps({"title": "Planning", "timeZone": "Europe/Berlin", "durationMinutes": 30})
        key = stack.exec("visavis", "api-key", "create", "--scope", "meetings:write").strip()
        curl = ["curl", "--silent", "--show-error", "--insecure", "--fail"]
        stack.run(*curl, "--header", f"Authorization: Bearer {key}", "--json", meeting, f"{url}/api/v1/meetings")
        assert "Planning" in stack.query("SELECT * FROM meetings")
        call(stack, url, 2)
        stored = stack.volume("storage") / "recordings"
        stack.wait_for(lambda: [file for file in stored.rglob("*") if re.search(r"\.(mp4|webm)", file.name)])
