"""Dashboard and alerts know what the server's metrics are called, and each alert fires for its cause."""

import json
import random
import re
import socket
import subprocess
import urllib.parse
import urllib.request

import pytest
import yaml

from lab import BINARY, DEPLOY, ROOT, clean_environment, output, settings, tool, until

OBSERVATION = DEPLOY / "observation"
DASHBOARD = json.loads((OBSERVATION / "grafana-dashboard.json").read_text())
RULES = yaml.safe_load((OBSERVATION / "alerts.yaml").read_text())["groups"][0]["rules"]
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
# What a server has that is well and in use.
WELL = {
    "up": "1+0x120", "visavis_ready": "1+0x120", "visavis_draining": "0+0x120", "visavis_connections_opened_total": "0+5x120",
    "visavis_log_lines_lost_total": "0+0x120", "visavis_sfu_transports": "3+0x120", "visavis_sfu_received_datagrams_total": "0+9000x120",
    "visavis_turn_wrong_credentials_total": "0+1x120", "visavis_turn_rate_limited_total": "0+1x120",
    "visavis_turn_error_responses_total": "0+1x120", "visavis_turn_success_responses_total": "0+60x120",
    "visavis_turn_dropped_by_policy_total": "0+1x120", "visavis_turn_dropped_by_bandwidth_total": "0+1x120",
    "visavis_turn_datagrams_dropped_total": "0+1x120",
}
# By alert: what is otherwise, from minute to minute, and the minute at which it has fired.
CAUSES = {
    "VisavisDown": ({"up": "1x5 0x20"}, 10),
    "VisavisAbsent": ({"up": None}, 10),
    "VisavisNotReady": ({"visavis_ready": "1x5 0x20"}, 10),
    "VisavisDrains": ({"visavis_draining": "0x5 1x60", "visavis_ready": "1x5 0x60"}, 50),
    "VisavisRestarts": ({"visavis_connections_opened_total": "5 9 0 4 1 7 2 8 9 9 9"}, 10),
    "VisavisMediaDoesNotArrive": ({"visavis_sfu_received_datagrams_total": "0+9000x5 45000x20"}, 15),
    "VisavisLosesLogLines": ({"visavis_log_lines_lost_total": "0x5 7x20"}, 10),
    "VisavisRelayGuessed": ({"visavis_turn_wrong_credentials_total": "0+120x60"}, 30),
    "VisavisRelayFlooded": ({"visavis_turn_rate_limited_total": "0+900x60"}, 20),
    "VisavisRelayRefuses": ({"visavis_turn_error_responses_total": "0+30x60"}, 30),
    "VisavisRelayReachesForPrivateAddresses": ({"visavis_turn_dropped_by_policy_total": "0+120x60"}, 20),
    "VisavisRelayLimitsBandwidth": ({"visavis_turn_dropped_by_bandwidth_total": "0+900x60"}, 30),
    "VisavisRelayCannotSend": ({"visavis_turn_datagrams_dropped_total": "0+900x60"}, 20),
}


def free_port():
    """A port below those that the kernel gives to clients: one of those may belong to a connection a moment later."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Server:
    """A server with metrics, and everything that has some."""

    def __init__(self, folder):
        self.port, self.metrics = free_port(), free_port()
        self.log = folder / "log"
        words = ["--listen", f"127.0.0.1:{self.port}", "--tls", "off", "--media-port", "0", "--turn-listen", "127.0.0.1:0",
                 "--metrics-listen", f"127.0.0.1:{self.metrics}", "--data-dir", str(folder / "data")]
        self.process = subprocess.Popen([str(BINARY), *words], stdout=subprocess.DEVNULL, stderr=self.log.open("w"), env=clean_environment())
        until(lambda: "listening" in self.log.read_text(), lambda: self.process.poll() is not None and self.log.read_text())

    def page(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics") as answer:
            return answer.read().decode()

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path):
    started = Server(tmp_path)
    yield started
    started.close()


def names(text):
    return set(re.findall(r"\b(?:visavis|process)_[a-z_]+", text))


def as_prometheus_has_it(query):
    """Grafana's variables with values."""
    for variable, value in {"$job": "visavis", "$instance": ".*", "$__rate_interval": "1m", "$__range": "5m"}.items():
        query = query.replace(variable, value)
    assert "$" not in query, query
    return query


def test_names_are_those_of_the_server(server):
    page = server.page()
    output(tool("promtool"), "check", "metrics", input=page)
    there = set(re.findall(r"^# TYPE (\S+)", page, re.M))
    shown = set().union(*map(names, QUERIES))
    watched = set().union(*(names(rule["expr"]) for rule in RULES))
    assert shown <= there and watched <= there
    assert there <= shown, "the dashboard shows everything that there is"
    # Of counters only rates and increases mean anything, and of gauges neither.
    for text in [*QUERIES, *(rule["expr"] for rule in RULES)]:
        for name in names(text):
            counted = re.search(rf"(rate|increase|resets)\({name}\b", text)
            assert bool(counted) == (f"# TYPE {name} counter" in page), (name, text)


def test_prometheus_reads_rules_and_queries(tmp_path):
    output(tool("promtool"), "check", "config", str(OBSERVATION / "prometheus.yaml"))
    rules = [{"record": f"query:{number}", "expr": as_prometheus_has_it(query)} for number, query in enumerate(QUERIES)]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    output(tool("promtool"), "check", "rules", str(tmp_path / "queries.yaml"))


def test_the_job_and_its_port_are_the_same_everywhere():
    scraped = yaml.safe_load((OBSERVATION / "prometheus.yaml").read_text())["scrape_configs"][0]
    assert f'job="{scraped["job_name"]}"' in RULES[0]["expr"]
    target = scraped["static_configs"][0]["targets"][0]
    assert settings("--metrics-listen", target)["metrics-listen"] == target
    suggestions = [(DEPLOY / "systemd/visavis.toml").read_text(), (OBSERVATION / "prometheus.yaml").read_text()]
    assert all(f'metrics-listen = "{target}"' in text for text in suggestions)


def test_panels_have_places_and_sources_of_their_own():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", "job", "instance"}


def test_each_alert_fires_for_its_cause_and_none_without(tmp_path):
    alerts = [rule["alert"] for rule in RULES]
    assert sorted(alerts) == sorted(CAUSES)

    def case(changes, minute, firing):
        rows = {name: values for name, values in (WELL | changes).items() if values}
        labels = {name: '{job="visavis", instance="calls"}' for name in rows}
        fired = [{"exp_labels": labels_of(name)} for name in firing]
        series = [{"series": f"{name}{labels[name]}", "values": values} for name, values in rows.items()]
        checks = [{"eval_time": f"{minute}m", "alertname": name, "exp_alerts": fired if name in firing else []} for name in alerts]
        return {"interval": "1m", "input_series": series, "alert_rule_test": checks}

    def labels_of(name):
        rule = next(rule for rule in RULES if rule["alert"] == name)
        where = {} if name == "VisavisAbsent" else {"instance": "calls"}
        return {"severity": rule["labels"]["severity"], "job": "visavis", **where}

    tests = [case(changes, minute, [name]) for name, (changes, minute) in CAUSES.items()]
    tests.append(case({}, 60, []))
    # The texts are compared as well, so they are left out.
    bare = [{key: value for key, value in rule.items() if key != "annotations"} for rule in RULES]
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump({"groups": [{"name": "visavis", "rules": bare}]}))
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": tests}))
    output(tool("promtool"), "test", "rules", str(tmp_path / "test.yaml"))


def test_the_dashboard_has_data_during_a_call_and_an_alert_comes_of_a_dead_server(server, tmp_path):
    port = free_port()
    said = yaml.safe_load((OBSERVATION / "prometheus.yaml").read_text())
    said["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    said["rule_files"] = [str(OBSERVATION / "alerts.yaml")]
    said["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{server.metrics}"]
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(said))
    words = [f"--config.file={tmp_path}/prometheus.yaml", f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address=127.0.0.1:{port}"]
    log = (tmp_path / "prometheus.log").open("w")
    prometheus = subprocess.Popen([tool("prometheus"), *words], stdout=log, stderr=log)

    def query(text):
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": text})
        try:
            with urllib.request.urlopen(url) as answer:
                return json.load(answer)["data"]["result"]
        except (urllib.error.URLError, ConnectionError):
            return []

    def wait_for(text, call=None):
        def problem():
            if call and call.poll() is not None:
                return "the call has ended"
            return prometheus.poll() is not None and (tmp_path / "prometheus.log").read_text()

        until(lambda: query(text), problem)

    try:
        # The call lasts until Prometheus, which may be slow to start, has seen it twice.
        words = ["node", str(ROOT / "tests/deploy/call.mjs"), f"http://localhost:{server.port}", "3", "--stay"]
        with subprocess.Popen(words, stdin=subprocess.PIPE) as call:
            try:
                wait_for("visavis_peers == 3", call)
                wait_for("rate(visavis_sfu_received_bytes_total[5m]) > 0", call)
                for text in QUERIES:
                    wait_for(as_prometheus_has_it(text), call)
            finally:
                call.stdin.close()
        assert call.returncode == 0
        assert not query('ALERTS{alertname="VisavisDown"}')
        server.close()
        wait_for('ALERTS{alertname="VisavisDown"}')
    finally:
        prometheus.terminate()
        prometheus.wait()
