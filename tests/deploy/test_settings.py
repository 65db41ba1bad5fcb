"""What the files of deploy/ name is there: flags, variables, keys of the settings' file, subcommands, ports."""

import re

import pytest

from lab import BINARY, DEPLOY, ROOT, clean_environment, commands, files, flags, name_of, output, settings, variables

TEXTS = [*files(), ROOT / "docs/deploy.md"]


def test_help_is_understood():
    assert {"listen", "turn-relay-ports", "config"} <= flags()
    assert {"VISAVIS_LISTEN", "VISAVIS_CONFIG", "APP_VERSION"} <= variables()
    assert {"health", "config", "backup"} <= commands()


@pytest.mark.parametrize("file", TEXTS, ids=name_of)
def test_every_variable_is_one_of_the_programs(file):
    assert set(re.findall(r"\bVISAVIS_[A-Z0-9_]+", file.read_text())) <= variables()


def command_lines(text):
    """What follows the program's name where it is a command: a flag or a subcommand, up to the end of the line or of the code."""
    text = re.sub(r"\\\n\s*(# *)?", "", text)
    for line in text.splitlines():
        # In these, the word is the name of something else.
        if re.search(r"\b(helm|kubectl|pg_isready)\b", line):
            continue
        for found in re.finditer(r'(?<![\w.-])visavis"?,? (?="?(--)?[a-z])', line):
            rest = re.split(r"[`#|\]]|&&| -- |>|, and|: |\.$", line[found.end():])[0]
            words = [word.strip('",') for word in rest.split()]
            if words and (words[0].startswith("--") or words[0] in commands()):
                yield words


@pytest.mark.parametrize("file", TEXTS, ids=name_of)
def test_every_command_line_is_understood(file):
    for words in command_lines(file.read_text()):
        # With help asked for, everything before it is parsed, and nothing is done.
        output(str(BINARY), *words, "--help", env=clean_environment())


def test_command_lines_are_found_and_checked():
    found = [words for file in TEXTS for words in command_lines(file.read_text())]
    assert ["health"] in found and ["--config", "/etc/visavis/visavis.toml"] in found
    assert any(words[-1] == "meetings:write" for words in found) and len(found) > 8
    for wrong in (["--no-such-flag"], ["health", "--no-such-flag"]):
        with pytest.raises(AssertionError):
            output(str(BINARY), *wrong, "--help", env=clean_environment())


def test_proxies_forward_to_where_the_server_listens():
    recipes = DEPLOY / "proxies"
    for place in ("", "-below-a-path"):
        found = settings("--config", str(recipes / f"visavis{place}.toml"))
        site, path = re.match(r"https://([^/]+)(/\w+)?/?$", found["public-url"]).groups()
        for name in (f"nginx{place}.conf", f"Caddyfile{place}", f"haproxy{place}.cfg", f"traefik{place or '-at-the-root'}.yaml"):
            text = (recipes / name).read_text()
            assert found["listen"] in text and site in text and (not path or path in text), name
            assert f"visavis{place}.toml" in text, name
        # Media does not pass the proxy, and the comment names its ports.
        ports = re.search(r"Open UDP (\d+), UDP and TCP (\d+), and UDP (\S+) for it", (recipes / f"visavis{place}.toml").read_text()).groups()
        assert ports == (str(found["media-port"]), found["turn-listen"].rsplit(":", 1)[1], found["turn-relay-ports"])


def test_the_firewall_is_opened_for_the_ports_that_the_settings_have():
    found = settings()
    page, turn = (found[name].rsplit(":", 1)[1] for name in ("listen", "turn-listen"))
    media, relays = str(found["media-port"]), found["turn-relay-ports"]
    guide = (ROOT / "docs/deploy.md").read_text()
    assert f"ufw allow {page}/tcp && ufw allow {media}/udp && ufw allow {turn} && ufw allow {relays.replace('-', ':')}/udp" in guide
    assert f"--add-port={{{page}/tcp,{media}/udp,{turn}/tcp,{turn}/udp,{relays}/udp}}" in guide


@pytest.mark.parametrize("file", files(".toml"), ids=name_of)
def test_files_of_settings_are_read_as_they_are_and_with_each_suggestion(file, tmp_path):
    settings("--config", str(file))
    text = file.read_text()
    suggested = re.findall(r"^# ([a-z-]+ = .*)$", text, re.M)
    # Certificate and key go together.
    certificate = [line for line in suggested if line.startswith("tls-")]
    for lines in [certificate, *([line] for line in suggested if line not in certificate)]:
        assigned = {line.split(" = ")[0] for line in lines}
        kept = [line for line in text.splitlines() if line.split(" = ")[0] not in assigned]
        changed = tmp_path / "visavis.toml"
        changed.write_text("\n".join([*kept, *lines]))
        settings("--config", str(changed))
