"""The unit and the Debian package: checked by systemd's own tools, and installed in a Debian that boots."""

import os
import re
import shutil
import subprocess

import pytest

from lab import BINARY, DEPLOY, ROOT, TOOLS, Machine, as_root, clean_environment, output, settings, tool

UNIT = DEPLOY / "systemd/visavis.service"
# systemd's scale from 0 to 10, in tenths: from 2.0 on it says that a service is exposed.
MOST_EXPOSED = 20


def test_the_unit_is_valid(tmp_path):
    # The program's place is checked too, and it is not installed here.
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("ExecStart=/usr/bin/visavis", f"ExecStart={BINARY}"))
    said = subprocess.run([tool("systemd-analyze"), "verify", "--man=no", str(unit)], capture_output=True, text=True)
    ours = [line for line in said.stderr.splitlines() if UNIT.name in line]
    assert said.returncode == 0 and not ours, said.stderr


def test_the_unit_exposes_little():
    output(tool("systemd-analyze"), "security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(UNIT))


def test_stopping_is_given_the_time_it_needs():
    found = settings("--config", str(DEPLOY / "systemd/visavis.toml"))
    most = int(re.search(r"^TimeoutStopSec=(\d+)s$", UNIT.read_text(), re.M)[1])
    assert most > found["drain-delay"] + found["drain-timeout"] + 5


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The Debian package with the program under test in it."""
    folder = tmp_path_factory.mktemp("package")
    program = folder / "target/release/visavis"
    program.parent.mkdir(parents=True)
    output("strip", "-o", str(program), str(BINARY))
    environment = clean_environment() | {"CARGO_TARGET_DIR": str(folder / "target"), "PATH": f"{TOOLS}/bin:{os.environ['PATH']}"}
    said = output("cargo", "deb", "--no-build", "--no-strip", "--fast", "--locked", "--package", "server-bin", "--output", str(folder / "visavis.deb"),
                  env=environment, cwd=ROOT)
    assert "warning" not in said, said
    return folder / "visavis.deb"


def test_the_package_has_what_it_should(package):
    listed = output("dpkg-deb", "--contents", str(package))
    for path, mode in {
        "./usr/bin/visavis": "-rwxr-xr-x", "./usr/lib/systemd/system/visavis.service": "-rw-r--r--", "./etc/visavis/visavis.toml": "-rw-r-----",
        "./usr/lib/sysusers.d/visavis.conf": "-rw-r--r--", "./usr/share/doc/visavis/operators.md": "-rw-r--r--",
        "./usr/share/doc/visavis/proxies/nginx.conf": "-rw-r--r--", "./usr/share/doc/visavis/copyright": "-rw-r--r--",
    }.items():
        assert re.search(rf"^{mode} (?:root/root|0/0) .* {re.escape(path)}$", listed, re.M), f"{mode} {path} is not in\n{listed}"
    control = output("dpkg-deb", "--field", str(package))
    assert re.search(r"^Depends: .*libc6", control, re.M) and "ffmpeg" in control
    documented = re.search(r"^Documentation=file://(\S+)$", UNIT.read_text(), re.M)[1]
    assert f".{documented}" in listed


@as_root
def test_the_package_is_installed_runs_and_is_removed(package, tmp_path):
    given = tmp_path / "given"
    given.mkdir()
    shutil.copy(package, given / "visavis.deb")
    with Machine(given) as machine:
        def shown(name):
            return machine.run("systemctl", "show", "--value", f"--property={name}", "visavis").strip()

        def healthy():
            return machine.attempt("visavis", "--config", "/etc/visavis/visavis.toml", "health", "--ready").returncode == 0

        machine.run("dpkg", "--install", "/run/given/visavis.deb")
        machine.wait_for(healthy)
        assert machine.run("systemctl", "is-enabled", "visavis") == "enabled\n"
        user = machine.run("stat", "--format=%U %a", "/var/lib/private" if "private" in shown("StateDirectory") else "/var/lib/visavis")
        assert user == "visavis 700\n"
        assert machine.run("stat", "--format=%U:%G %a", "/etc/visavis/visavis.toml", "/etc/visavis") == "root:visavis 640\nroot:visavis 750\n"
        pid = shown("MainPID")
        assert machine.run("stat", "--format=%U", f"/proc/{pid}") == "visavis\n"
        machine.run("systemd-analyze", "security", f"--threshold={MOST_EXPOSED}", "visavis")
        log = machine.run("journalctl", "--unit=visavis", "--no-pager")
        # What the package recommends is not installed here: ffmpeg and the certificate authorities.
        warnings = [line for line in log.splitlines() if re.search(r" (WARN|ERROR) ", line)]
        assert [line for line in warnings if "ffmpeg" not in line and "trusts no certificates" not in line] == []

        # Reload takes over the level of the log, and is the same process.
        machine.run("sed", "-i", "s/^log-level = .*/log-level = \"debug\"/", "/etc/visavis/visavis.toml")
        machine.run("systemctl", "reload", "visavis")
        machine.wait_for(lambda: "the log has another level" in machine.run("journalctl", "--unit=visavis", "--no-pager"))
        assert shown("MainPID") == pid

        # The administrator's commands, as the account that owns the data.
        as_visavis = ["setpriv", "--reuid=visavis", "--regid=visavis", "--clear-groups"]
        ours = ["visavis", "--config", "/etc/visavis/visavis.toml", "--data-dir", "/var/lib/visavis"]
        machine.run(*as_visavis, *ours, "api-key", "create", "--scope", "admin")
        machine.run(*as_visavis, *ours, "backup", "/tmp/backup")

        # Whatever ends it, it is there again.
        machine.run("systemctl", "kill", "--signal=KILL", "visavis")
        machine.wait_for(lambda: shown("MainPID") not in (pid, "0") and healthy())

        # A drop-in of the unit's comments: a port below 1024.
        drop_in = re.search(r"#   \[Service\] +# a port below 1024\n((?:#   \w.*\n)+)", UNIT.read_text())[1].replace("#   ", "")
        machine.run("mkdir", "/etc/systemd/system/visavis.service.d")
        machine.run("sh", "-c", f"printf '[Service]\\n{drop_in}' >/etc/systemd/system/visavis.service.d/port.conf".replace("\n", "\\n"))
        machine.run("sed", "-i", "s/^listen = .*/listen = \"[::]:443\"/", "/etc/visavis/visavis.toml")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "visavis")
        machine.wait_for(healthy)

        # An upgrade keeps what the administrator changed, and starts the new program.
        pid = shown("MainPID")
        machine.run("dpkg", "--install", "/run/given/visavis.deb")
        machine.wait_for(lambda: shown("MainPID") not in (pid, "0") and healthy())
        assert "443" in machine.run("cat", "/etc/visavis/visavis.toml")

        machine.run("systemctl", "stop", "visavis")
        assert shown("Result") == "success" and shown("ExecMainStatus") == "0"
        machine.run("sh", "-c", "mv /var/lib/visavis /var/lib/visavis.lost && install -d -m 700 -o visavis -g visavis /var/lib/visavis")
        machine.run(*as_visavis, *ours, "restore", "/tmp/backup")
        machine.run("systemctl", "start", "visavis")
        machine.wait_for(healthy)
        assert len(machine.run(*as_visavis, *ours, "api-key", "list").splitlines()) == 1
        machine.run("dpkg", "--remove", "visavis")
        assert machine.attempt("systemctl", "is-active", "visavis").stdout == "inactive\n"
        machine.run("test", "-e", "/etc/visavis/visavis.toml")
        machine.run("dpkg", "--purge", "visavis")
        machine.run("test", "!", "-e", "/etc/visavis/visavis.toml")
        assert machine.attempt("systemctl", "cat", "visavis").returncode != 0
        # What people said and recorded is no configuration.
        machine.run("test", "-e", "/var/lib/visavis/visavis.db")
