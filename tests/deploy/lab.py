"""What the tests of deploy/ share: the program and what it says about itself, and places to run it in."""

import functools
import inspect
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = Path(os.environ.get("VISAVIS_BIN", TARGET / "debug/visavis")).resolve()
TOOLS = TARGET / "tools"

# Nothing is waited for by time.
PATIENCE_S = 120

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for mounts and namespaces")


def tool(name):
    """A program that `tests/run tools` brings."""
    places = os.pathsep.join([str(TOOLS / "bin"), str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])
    found = shutil.which(name, path=places)
    assert found, f"{name} is missing: tests/run tools brings it"
    return found


def output(*command, **options):
    """What a command prints; the test fails with that when the command does."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def clean_environment():
    """This process's environment without settings of the program."""
    ours = ("HTTP_PORT", "DEV_MODE", "APP_VERSION")
    return {name: value for name, value in os.environ.items() if not name.startswith("VISAVIS_") and name not in ours}


@functools.cache
def help_text():
    return output(str(BINARY), "--help", env=clean_environment())


@functools.cache
def flags():
    """Every flag of the program, without dashes."""
    return set(re.findall(r"^\s+(?:-\w, )?--([a-z0-9-]+)", help_text(), re.M))


@functools.cache
def variables():
    """Every variable that the program reads its settings from."""
    notes = re.findall(r"environment:([A-Z0-9_,\s]+)\]", help_text())
    return {name for note in notes for name in re.split(r"[,\s]+", note) if name}


@functools.cache
def commands():
    """The program's subcommands."""
    return set(re.findall(r"^  ([a-z-]+) ", help_text().split("Options:")[0].split("Commands:")[1], re.M))


def settings(*arguments, environment=()):
    """The settings in force with these arguments and variables, by name."""
    return tomllib.loads(output(str(BINARY), *arguments, "config", env=clean_environment() | dict(environment)))


def files(*suffixes):
    """The files of deploy/ with these suffixes, or all."""
    found = [file for file in sorted(DEPLOY.rglob("*")) if file.is_file()]
    return [file for file in found if not suffixes or file.suffix in suffixes]


def name_of(file):
    return str(file.relative_to(ROOT))


def until(condition, problem):
    """Asks until it is so. `problem` gives a reason why it will never be; the patience only ends a test that hangs."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        reason = problem()
        assert not reason, reason
        assert time.monotonic() < deadline, f"waited in vain for {inspect.getsource(condition).strip()}"
        time.sleep(0.05)


class Machine:
    """A Debian of its own that boots systemd, in namespaces; what is written in it is gone afterwards."""

    BOOT = """
        mount --make-rprivate /
        mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
        cd "$2/root"
        mount -t proc proc proc
        mount -t sysfs sysfs sys
        mount -t cgroup2 cgroup2 sys/fs/cgroup
        mount -t tmpfs -o mode=755 tmpfs run
        mount -t tmpfs tmpfs tmp
        mount -t tmpfs -o mode=755 tmpfs dev
        mkdir dev/shm dev/pts run/given
        mount -t tmpfs tmpfs dev/shm
        mount --bind "$3" run/given
        for device in null zero full random urandom tty; do
            touch "dev/$device"
            mount --bind "/dev/$device" "dev/$device"
        done
        ln -s /proc/self/fd dev/fd
        ln -s pts/ptmx dev/ptmx
        ip link set lo up
        mkdir run/outside
        # Not chroot alone: services have mounts of their own, which begin at the root of the namespace.
        pivot_root . run/outside
        exec chroot . sh -c "umount -l /run/outside; exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system"
    """

    def __init__(self, given):
        """`given`: a folder of this machine's that is /run/given in the other."""
        self.folder = Path(tempfile.mkdtemp(prefix="visavis-machine-"))
        for part in ("upper", "work", "root"):
            (self.folder / part).mkdir()
        namespaces = ["--pid", "--mount", "--net", "--ipc", "--uts", "--cgroup"]
        boot = ["bash", "-euc", self.BOOT, "boot", str(TOOLS / "debian"), str(self.folder), str(given)]
        self.outside = subprocess.Popen(["unshare", *namespaces, "--fork", "--kill-child", *boot], stdin=subprocess.DEVNULL)
        self.init = None

    def __enter__(self):
        children = Path(f"/proc/{self.outside.pid}/task/{self.outside.pid}/children")
        self.wait_for(lambda: children.read_text().split())
        self.init = children.read_text().split()[0]
        # Until init has become systemd, there is no other root to run anything in.
        self.wait_for(lambda: "systemd" in Path(f"/proc/{self.init}/comm").read_text())
        self.wait_for(lambda: self.attempt("systemctl", "is-system-running", "--wait").stdout.strip() in ("running", "degraded"))
        return self

    def wait_for(self, condition):
        until(condition, lambda: self.outside.poll() is not None and "the machine ended")

    def __exit__(self, *_):
        self.outside.kill()
        self.outside.wait()
        shutil.rmtree(self.folder)

    def attempt(self, *command):
        inside = ["nsenter", "--target", self.init, "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--root", "--wd"]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL, "text": True}
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"}
        return subprocess.run([*inside, *command], env=environment, **options)

    def run(self, *command):
        """What a command in the machine prints; it must succeed."""
        done = self.attempt(*command)
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout
