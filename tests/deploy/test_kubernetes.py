"""The chart renders by Helm's own code, and what it renders fits the schemas of Kubernetes and the server."""

import os
import re
import tomllib

import helm_python
import kubernetes_validate
import pytest
import yaml
from helm_python.errors import HelmError

from lab import DEPLOY, ROOT, settings

CHART = DEPLOY / "helm/visavis"
MANIFEST = DEPLOY / "kubernetes/visavis.yaml"
# The oldest that the chart says it is for, and the newest that the schemas are there for.
VERSIONS = ["1.25.0", kubernetes_validate.latest_version()]
URL = "https://calls.example"

VARIANTS = {
    "defaults": {},
    "below a path": {"publicUrl": "https://example.org/visavis/"},
    "with TURN": {"turn": {"enabled": True}, "media": {"externalIp": "203.0.113.7"}},
    "as little as possible": {
        "ingress": {"enabled": False}, "metrics": {"enabled": False}, "networkPolicy": {"enabled": False}, "persistence": {"enabled": False},
    },
    "with everything": {
        "image": {"repository": "registry.example/visavis", "tag": "1"}, "imagePullSecrets": [{"name": "registry"}],
        "settings": {"VISAVIS_LOG_LEVEL": "debug", "VISAVIS_RECORD": "broadcasters"}, "settingsFromSecrets": ["visavis"],
        "ingress": {"className": "nginx", "annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"}},
        "persistence": {"storageClassName": "fast"}, "nodeSelector": {"calls": "yes"}, "podAnnotations": {"a": "b"},
        "tolerations": [{"key": "calls", "operator": "Exists"}], "affinity": {"nodeAffinity": {}},
    },
}


def rendered(values):
    """The texts of the manifests, by template."""
    with helm_python.Chart.load(str(CHART)) as chart:
        texts = chart.render({"publicUrl": URL} | values, name="visavis", namespace="visavis")
    return {name.split("/")[-1]: text for name, text in sorted(texts.items())}


def objects(texts):
    """The manifests by kind."""
    documents = [document for name, text in texts.items() if name.endswith(".yaml") for document in yaml.safe_load_all(text) if document]
    return {document["kind"]: document for document in documents}


def pod(values):
    return objects(rendered(values))["StatefulSet"]["spec"]["template"]["spec"]


def environment(values):
    return {entry["name"]: entry.get("value", "192.0.2.1") for entry in pod(values)["containers"][0]["env"]}


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_fit_the_schemas(values, version):
    found = objects(rendered(values))
    assert "StatefulSet" in found and "Service" in found
    for manifest in found.values():
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schemas_refuse_what_is_wrong():
    manifest = objects(rendered({}))["Service"]
    manifest["spec"]["ports"][0]["protocl"] = "TCP"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSIONS[0], strict=True)


def test_helm_has_nothing_to_say():
    report = helm_python.lint(str(CHART), {"publicUrl": URL}, strict=True)
    worse = [message for message in report["messages"] if message["severity"] > 1]
    assert report["total_charts_linted"] == 1 and not worse and not report["errors"], report


@pytest.mark.parametrize("values", [{"publicUrl": ""}, {"publicUrl": "http://calls.example"}, {"publicURL": URL}, {"turn": {"relayPorts": "many"}}, {"settings": {"LOG": "x"}}])
def test_wrong_values_are_refused(values):
    with helm_python.Chart.load(str(CHART)) as chart, pytest.raises(HelmError):
        chart.validate_schema({"publicUrl": URL} | values)


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_the_server_takes_the_environment_and_listens_where_the_pod_says(values):
    container = pod(values)["containers"][0]
    found = settings(environment=environment(values))
    ports = {port["name"]: port for port in container["ports"]}

    def port_of(name):
        return int(found[name].rsplit(":", 1)[1])

    assert ports["http"]["containerPort"] == port_of("listen")
    assert ports["media"]["containerPort"] == found["media-port"]
    # With one port, clients are told the number that the page has.
    assert ports["media"]["hostPort"] == (443 if found["one-port"] else found["media-port"])
    assert ("metrics" in ports) == ("metrics-listen" in found)
    if "metrics" in ports:
        assert ports["metrics"]["containerPort"] == port_of("metrics-listen")
    assert not found["no-turn"] and ("turn-udp" in ports) == (not found["one-port"]) == pod(values).get("hostNetwork", False)
    if "turn-udp" in ports:
        assert ports["turn-udp"]["containerPort"] == ports["turn-tcp"]["containerPort"] == port_of("turn-listen")
    assert pod(values)["terminationGracePeriodSeconds"] > found["drain-delay"] + found["drain-timeout"] + 5
    # The image's data folder is the volume.
    assert "/data" in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_the_chart_is_of_the_version_of_the_program():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert chart["appVersion"] == chart["version"] == version


def test_one_port_is_open_by_default():
    ports = [port["hostPort"] for port in pod({})["containers"][0]["ports"] if "hostPort" in port]
    assert ports == [443] and not pod({}).get("hostNetwork")
    elsewhere = pod({"publicUrl": "https://calls.example:8443/calls/"})["containers"][0]["ports"]
    assert [port["hostPort"] for port in elsewhere if "hostPort" in port] == [8443]


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_the_pod_has_no_rights_that_it_does_not_need(values):
    spec = pod(values)
    assert spec["securityContext"]["runAsNonRoot"] and spec["automountServiceAccountToken"] is False
    container = spec["containers"][0]["securityContext"]
    assert container["readOnlyRootFilesystem"] and container["capabilities"] == {"drop": ["ALL"]}
    assert container["allowPrivilegeEscalation"] is False


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_names_lead_to_what_is_there(values):
    found = objects(rendered(values))
    ports = {port["name"] for port in pod(values)["containers"][0]["ports"]}
    labels = found["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    service = found["Service"]
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    assert service["spec"]["selector"].items() <= labels.items()
    assert found["StatefulSet"]["spec"]["serviceName"] == service["metadata"]["name"]
    if "Ingress" in found:
        rule = found["Ingress"]["spec"]["rules"][0]
        backend = rule["http"]["paths"][0]["backend"]["service"]
        assert backend["name"] == service["metadata"]["name"]
        assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
        path = rule["http"]["paths"][0]["path"]
        assert environment(values)["VISAVIS_PUBLIC_URL"].rstrip("/") == f"https://{rule['host']}{path}".rstrip("/")
    if "NetworkPolicy" in found:
        assert {port["port"] for rule in found["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]} == ports


def test_the_plain_manifest_is_what_the_chart_renders():
    """`UPDATE_MANIFEST=1` writes it."""
    texts = [text.strip() for name, text in rendered({}).items() if name.endswith(".yaml") and text.strip()]
    ours = [line for line in "\n---\n".join(texts).splitlines() if not re.search(r"helm\.sh/chart|managed-by: Helm", line)]
    header = re.match(r"(?:.*\n)*?---\n", MANIFEST.read_text())[0]
    expected = header + "\n".join(ours) + "\n"
    if os.environ.get("UPDATE_MANIFEST"):
        MANIFEST.write_text(expected)
    assert MANIFEST.read_text() == expected
    namespace = next(yaml.safe_load_all(header))
    assert namespace["kind"] == "Namespace"
    for manifest in yaml.safe_load_all(expected):
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)
