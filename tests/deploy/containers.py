"""Runs what a Dockerfile and compose files say, by bubblewrap in a network of its own: no container engine is needed."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import yaml

from lab import BINARY, DEPLOY, ROOT, output, tool, until


def dockerfile():
    """The last stage of the Dockerfile: its instructions by name, those that are there several times as a list."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    lines = [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]
    last = max(index for index, line in enumerate(lines) if line[0] == "FROM")
    found = {}
    for name, value in lines[last:]:
        found.setdefault(name, []).append(value)
    return found


class Image:
    """The image's root file system, and the command, user and environment of its Dockerfile."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="visavis-image-"))
        self.root = self.folder / "root"
        output(str(DEPLOY / "image-root"), str(BINARY), str(self.root))
        said = dockerfile()
        self.user, self.group = said["USER"][0].split(":")
        self.environment = dict(line.split("=", 1) for line in said["ENV"])
        self.entrypoint = json.loads(said["ENTRYPOINT"][0])
        self.health = json.loads(said["HEALTHCHECK"][0].split("CMD ", 1)[1])
        self.volumes = said["VOLUME"]
        self.ports = {tuple(port.split("/")) for port in said["EXPOSE"][0].split()}

    def close(self):
        shutil.rmtree(self.folder)

    def command(self, words, *, data, environment=(), tmpfs=(), hosts=None, read_only=True):
        """The command line that runs these words in the image, as an engine does: the root cannot be written, and no capability is left."""
        # Engines put files of their own there.
        for name in ("hosts", "resolv.conf"):
            (self.root / "etc" / name).touch()
        binds = ["--ro-bind" if read_only else "--bind", str(self.root), "/", "--proc", "/proc", "--dev", "/dev"]
        for place, folder in data.items():
            binds += ["--bind", str(folder), place]
        for place in tmpfs:
            binds += ["--tmpfs", place]
        if hosts:
            binds += ["--ro-bind", str(hosts), "/etc/hosts"]
        variables = [word for pair in (self.environment | dict(environment)).items() for word in ("--setenv", *pair)]
        alone = ["--unshare-user", "--unshare-ipc", "--unshare-uts", "--uid", self.user, "--gid", self.group, "--cap-drop", "ALL"]
        return [tool("bwrap"), *binds, *alone, "--die-with-parent", "--clearenv", *variables, "--", *words]


def contained(process):
    """The process that bubblewrap has started, which it watches."""
    pid = process.pid
    while Path(f"/proc/{pid}/comm").read_text() == "bwrap\n":
        [pid] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(pid)


class Network:
    """A network of its own, where these addresses are this machine's and lead nowhere else."""

    def __init__(self, *addresses):
        # A browser gathers no candidates on loopback, and gives requests up when an address appears, as a link's own of IPv6 does after a second.
        setup = (
            "ip link set lo up; ip link add calls type veth peer other; ip link set other addrgenmode none up; ip link set calls addrgenmode none up;"
            "until ip -o link show calls | grep -q LOWER_UP; do :; done;"
            "for address; do ip address add $address/32 dev calls; done; ip route add default dev calls; echo up; exec sleep infinity"
        )
        self.holder = subprocess.Popen(["unshare", "--net", "sh", "-ec", setup, "setup", *addresses], stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "up\n"

    def inside(self, *command):
        return ["nsenter", "--target", str(self.holder.pid), "--net", "--", *command]

    def listening(self):
        """What is listened on, as (port, protocol)."""
        lines = output(*self.inside("ss", "--no-header", "--listening", "--numeric", "--tcp", "--udp")).splitlines()
        return {(line.split()[4].rsplit(":", 1)[1], line.split()[0]) for line in lines}

    def close(self):
        self.holder.kill()
        self.holder.wait()


class Stack:
    """The services of a compose file, resolved by podman-compose, started in their order.

    Visavis runs from its image. What is not ours is stood in for by this machine's own program, with the settings that the file gives it.
    """

    def __init__(self, file, image, variables, more=()):
        """`more`: settings that an operator adds to Visavis."""
        self.folder = Path(tempfile.mkdtemp(prefix="visavis-stack-"))
        self.image = image
        self.said = resolved(file, variables)
        self.services = self.said["services"]
        self.services["visavis"]["environment"] |= dict(more)
        self.addresses = {name: address(service, number) for number, (name, service) in enumerate(self.services.items())}
        self.hosts = self.folder / "hosts"
        self.hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in self.addresses.items()))
        self.running = {}
        self.logs = {name: (self.folder / f"{name}.log").open("w+") for name in self.services}
        self.compose_folder = file.parent
        public = [variables["PUBLIC_IP"]] if "PUBLIC_IP" in variables else []
        self.network = Network(*self.addresses.values(), *public)

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_):
        self.down()

    def up(self):
        waiting = dict(self.services)
        while waiting:
            # A cycle would never get anywhere.
            name = next(name for name, service in waiting.items() if not set(service.get("depends_on", ())) & set(waiting))
            service = waiting.pop(name)
            for needed, how in service.get("depends_on", {}).items():
                if how["condition"] == "service_healthy":
                    self.wait_healthy(needed)
            self.start(name, service)
        for name, service in self.services.items():
            if "healthcheck" in service:
                self.wait_healthy(name)

    def start(self, name, service):
        program = service["image"].rsplit("/", 1)[-1].split(":")[0]
        command = getattr(self, f"run_{program}")(name, service)
        if command:
            self.running[name] = subprocess.Popen(
                self.network.inside(*command), stdout=self.logs[name], stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def volume(self, name):
        folder = self.folder / "volumes" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def run_visavis(self, name, service, words=None):
        assert service["cap_drop"] == ["ALL"] and "no-new-privileges:true" in service["security_opt"]
        assert service["build"]["context"] == str(ROOT) and service["build"]["dockerfile"] == "deploy/Dockerfile"
        volumes = [volume.split(":") for volume in service["volumes"]]
        assert {volume for volume, *_ in volumes} <= set(self.said["volumes"])
        assert {place for _, place in volumes} == set(self.image.volumes)
        data = {place: self.volume(volume) for volume, place in volumes}
        return self.image.command(words or [*self.image.entrypoint, *service.get("command", [])], data=data, environment=service["environment"],
                                  tmpfs=service["tmpfs"], hosts=self.hosts, read_only=service["read_only"])

    def on_this_machine(self, *command, binds=()):
        """This machine's own program, which sees the stack's names, and its own files in place of some."""
        places = [word for source, place in binds for word in ("--bind", str(source), place)]
        return [tool("bwrap"), "--dev-bind", "/", "/", "--ro-bind", str(self.hosts), "/etc/hosts", *places, "--die-with-parent", "--", *command]

    def run_caddy(self, name, service):
        binds = []
        for volume in service["volumes"]:
            source, place = volume.split(":")[:2]
            binds.append(((self.compose_folder / source, place) if source.startswith(".") else (self.volume(source), place)))
        # The image's own places: /etc/caddy and /data.
        files = dict((place, source) for source, place in binds)
        environment = [f"{key}={value}" for key, value in service["environment"].items()]
        return self.on_this_machine("env", f"XDG_DATA_HOME={files['/data']}", f"HOME={self.folder}", *environment,
                                    tool("caddy"), "run", "--config", str(files["/etc/caddy/Caddyfile"]), "--adapter", "caddyfile")

    def run_postgres(self, name, service):
        """As the image's entrypoint does at its first start."""
        said = service["environment"]
        programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
        folder = self.volume("database") / "cluster"
        self.folder.chmod(0o755)
        shutil.chown(self.volume("database"), "postgres", "postgres")
        (self.folder / "password").write_text(said["POSTGRES_PASSWORD"])
        by_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        output(*by_postgres, str(programs / "initdb"), "--pgdata", str(folder), "--username", said["POSTGRES_USER"], "--pwfile", str(self.folder / "password"),
               "--auth", "scram-sha-256", cwd="/")
        with (folder / "pg_hba.conf").open("w") as rules:
            rules.write("host all all all scram-sha-256\n")
        options = ["-c", "listen_addresses=*", "-c", "unix_socket_directories=", "-c", "fsync=off"]
        # The database is made by the server that the test runs, in single-user mode.
        output(*by_postgres, str(programs / "postgres"), "--single", "-D", str(folder), "postgres", cwd="/", input=f"CREATE DATABASE {said['POSTGRES_DB']}\n")
        return [*by_postgres, str(programs / "postgres"), "-D", str(folder), *options]

    def run_seaweedfs(self, name, service):
        """Any store that speaks S3, with the same port and credentials; the bucket is the one that the other service makes."""
        if "command" not in service:
            return None
        said = service["environment"]
        port = re.search(r"-s3\.port=(\d+)", " ".join(service["command"]))[1]
        bucket = re.search(r"s3\.bucket\.create -name (\S+)", " ".join(self.services["bucket"]["entrypoint"]))[1]
        return self.on_this_machine("node", str(ROOT / "tests/deploy/store.mjs"), port, str(self.volume("storage")), bucket,
                                    said["AWS_ACCESS_KEY_ID"], said["AWS_SECRET_ACCESS_KEY"])

    def check_health(self, name):
        service = self.services[name]
        kind, *words = service["healthcheck"]["test"]
        assert kind == "CMD"
        if service["image"] == "visavis":
            command = self.run_visavis(name, service, words)
        else:
            found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{words[0]}"))[-1:]
            command = self.on_this_machine(str(found[0]) if found else words[0], "--host", self.addresses[name], *words[1:])
        return self.attempt(*command)

    def wait_healthy(self, name):
        self.wait_for(lambda: self.check_health(name).returncode == 0)

    def wait_for(self, condition):
        until(condition, self.ended)

    def ended(self):
        """The log of a service that has ended, if one has."""
        return next((f"{name} ended:\n{self.log(name)}" for name, process in self.running.items() if process.poll() is not None), None)

    def exec(self, name, *words):
        """What a command of the program prints in the container of a service."""
        return self.run(*self.run_visavis(name, self.services[name], [*self.image.entrypoint, *words]))

    def query(self, statement):
        """Asks the database as Visavis does."""
        url = self.services["visavis"]["environment"]["VISAVIS_DATABASE_URL"]
        return self.run(*self.on_this_machine("psql", url, "--command", statement))

    def log(self, name):
        return Path(self.logs[name].name).read_text()

    def attempt(self, *command):
        return subprocess.run(self.network.inside(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *command):
        return output(*self.network.inside(*command))

    def down(self):
        ended = {}
        for name, process in reversed(self.running.items()):
            if process.poll() is None:
                os.kill(contained(process), signal.SIGTERM)
            ended[name] = process.wait()
        logs = {name: self.log(name) for name in ended}
        self.network.close()
        shutil.rmtree(self.folder)
        assert ended.get("visavis", 0) == 0, logs["visavis"]


def address(service, number):
    networks = service.get("networks", {})
    chosen = [network["ipv4_address"] for network in networks.values()] if isinstance(networks, dict) else []
    return chosen[0] if chosen else f"172.31.98.{number + 2}"


def resolved(file, variables):
    """The file with its variables put in; podman-compose asks its engine for a version first."""
    with tempfile.TemporaryDirectory() as folder:
        engine = Path(folder) / "podman"
        engine.write_text("#!/bin/sh\necho podman version 5.0.0\n")
        engine.chmod(0o755)
        path = f"{folder}:{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": folder} | variables
        return yaml.safe_load(output(tool("podman-compose"), "--file", str(file), "config", env=environment))


def published(service):
    """Published ports of a service: (host's, container's, protocol), ranges as they are."""
    return [(*port.split("/")[0].split(":"), port.split("/")[1]) for port in service.get("ports", [])]
