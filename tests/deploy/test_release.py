"""What deploy/release makes: complete, checkable, and the same each time."""

import json
import os
import re
import subprocess
import tomllib

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from lab import BINARY, DEPLOY, ROOT, TOOLS, clean_environment, output

MANIFEST = tomllib.loads((ROOT / "Cargo.toml").read_text())
VERSION = MANIFEST["workspace"]["package"]["version"]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    made = tmp_path_factory.mktemp("program") / "visavis"
    output("strip", "-o", str(made), str(BINARY))
    return made


def released(program, folder):
    environment = clean_environment() | {"PATH": f"{TOOLS}/bin:{os.environ['PATH']}"}
    output(str(DEPLOY / "release"), "--program", str(program), "--output", str(folder), env=environment)
    return folder


@pytest.fixture(scope="module")
def release(program, tmp_path_factory):
    return released(program, tmp_path_factory.mktemp("release") / "dist")


def test_the_profile_of_what_is_given_out_has_no_symbols():
    profile = MANIFEST["profile"]["dist"]
    assert profile == {"inherits": "release", "debug": False, "strip": "symbols"}
    assert "--profile dist" in (DEPLOY / "release").read_text() and "PROFILE=dist" in (DEPLOY / "Dockerfile").read_text()


def test_checksums_are_of_every_file(release):
    sums = (release / "SHA256SUMS").read_text()
    output("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=release)
    assert set(re.findall(r"  (\S+)$", sums, re.M)) == {file.name for file in release.iterdir()} - {"SHA256SUMS"}
    kinds = sorted(re.sub(r".*?(\.tar\.gz|\.deb|\.cdx\.json|\.tgz|SHA256SUMS)$", r"\1", file.name) for file in release.iterdir())
    assert kinds == [".cdx.json", ".deb", ".tar.gz", ".tgz", ".tgz", "SHA256SUMS"]
    assert all(VERSION in file.name for file in release.iterdir() if file.name != "SHA256SUMS")


def test_the_archive_is_complete_and_its_program_runs(release, tmp_path):
    archive = next(release.glob("*.tar.gz"))
    output("tar", "--extract", "--file", str(archive), "--directory", str(tmp_path))
    folder = tmp_path / archive.name.removesuffix(".tar.gz")
    assert VERSION in output(str(folder / "visavis"), "--version")
    for name in ("README.md", "LICENSE-MIT", "LICENSE-APACHE", "docs/operators.md", "docs/deploy.md", "deploy/systemd/visavis.service", "deploy/proxies/haproxy.cfg"):
        assert (folder / name).is_file(), name
    notices = (folder / "THIRD-PARTY-LICENSES.txt").read_text()
    assert "tokio" in notices and "Permission is hereby granted" in notices
    owners = output("tar", "--list", "--verbose", "--numeric-owner", "--file", str(archive))
    assert all(" 0/0 " in line for line in owners.splitlines())


def test_the_same_source_gives_the_same_files(tmp_path):
    # Of any program: to compress ours takes its time.
    one, other = (released("/usr/bin/true", tmp_path / name) for name in ("one", "other"))
    assert (one / "SHA256SUMS").read_text() == (other / "SHA256SUMS").read_text()


def test_the_bill_of_materials_lists_what_is_in_the_program_and_nothing_else(release):
    text = next(release.glob("*.cdx.json")).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    bill = json.loads(text)
    names = {component["name"] for component in bill["components"]}
    # `webrtc` is in the benchmarks only, `proptest` in tests only.
    assert {"tokio", "rustls", "aws-lc-sys", "libsqlite3-sys", "sfu"} <= names and not {"webrtc", "proptest", "socketioxide"} & names
    references = {component["bom-ref"] for component in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    for entry in bill["dependencies"]:
        assert {entry["ref"], *entry["dependsOn"]} <= references
    own = set(MANIFEST["workspace"]["members"])
    for component in bill["components"]:
        assert component["licenses"], component["name"]
        assert component["name"] in own or component["hashes"], component["name"]


def test_a_wrong_flag_prints_how_it_is_used():
    done = subprocess.run([str(DEPLOY / "release"), "--nonsense"], capture_output=True, text=True)
    assert done.returncode == 2 and "--target" in done.stdout
