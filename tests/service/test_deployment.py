"""The files for Kubernetes and systemd agree with the code: settings, ports, probes and times."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi import FastAPI

from service.settings.edge_settings import PREFIX, Settings, read_settings, table
from service.web.admin_routes import figures_router, health_router, not_running
from tests.markdown_page import ROOT

FOLDER = ROOT / "docker"
CLOSING_S = 10
"""What closing takes, by docs/operations.md: a process that hangs is killed 8 s after EDGE_DRAIN_S."""


def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    """Return all manifests by kind and name."""
    read = [one for path in FOLDER.glob("kubernetes/*.yaml") for one in yaml.safe_load_all(path.read_text("utf-8"))]
    return {(one["kind"], one["metadata"]["name"]): one for one in read}


@pytest.fixture(scope="module")
def cluster() -> dict[tuple[str, str], dict[str, Any]]:
    return manifests()


@pytest.fixture(scope="module")
def pod(cluster: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = cluster["Deployment", "latentedge"]["spec"]["template"]
    return found


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["spec"]["containers"]
    return dict(found)


@pytest.fixture
def settings(cluster: dict[tuple[str, str], dict[str, Any]]) -> Settings:
    """Return the settings of the pods, read as the edge reads them."""
    given = cluster["ConfigMap", "latentedge"]["data"]
    assert given.keys() <= {row.name for row in table()}
    return read_settings(**{name.removeprefix(PREFIX).lower(): value for name, value in given.items()})


def test_the_ports_are_those_of_the_settings(settings: Settings, container: dict[str, Any]) -> None:
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    arguments = container["args"]
    assert ports == {"pictures": int(arguments[arguments.index("--port") + 1]), "admin": settings.admin_port}


def test_services_and_the_monitor_lead_to_ports_that_exist(
    cluster: dict[tuple[str, str], dict[str, Any]], pod: dict[str, Any], container: dict[str, Any]
) -> None:
    names = {one["name"] for one in container["ports"]}
    labels = pod["metadata"]["labels"]
    services = [one for (kind, _), one in cluster.items() if kind == "Service"]
    assert {one["spec"]["ports"][0]["targetPort"] for one in services} == names
    selectors = [one["spec"]["selector"] for one in services]
    selectors += [
        cluster[kind, "latentedge"]["spec"]["selector"]["matchLabels"] for kind in ("Deployment", "PodDisruptionBudget")
    ]
    selectors += [one["labelSelector"]["matchLabels"] for one in pod["spec"]["topologySpreadConstraints"]]
    policy = cluster["NetworkPolicy", "latentedge"]["spec"]
    selectors.append(policy["podSelector"]["matchLabels"])
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == names
    assert all(selector.items() <= labels.items() for selector in selectors)
    monitor = cluster["ServiceMonitor", "latentedge"]["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    (seen,) = [one for one in services if wanted <= one["metadata"]["labels"].items()]
    assert monitor["endpoints"][0]["port"] == seen["spec"]["ports"][0]["name"]


def test_probes_and_the_monitor_ask_for_routes_that_exist(
    cluster: dict[tuple[str, str], dict[str, Any]], container: dict[str, Any]
) -> None:
    def never() -> Any:  # noqa: ANN401  (it only raises)
        raise not_running()

    app = FastAPI()
    app.include_router(health_router(never))
    on_every_port = set(app.openapi()["paths"])
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert {one["path"] for one in probes} == on_every_port
    other = FastAPI()
    other.include_router(figures_router(never))
    assert cluster["ServiceMonitor", "latentedge"]["spec"]["endpoints"][0]["path"] in other.openapi()["paths"]


def test_the_monitor_names_the_job_that_the_alerts_ask_for(cluster: dict[tuple[str, str], dict[str, Any]]) -> None:
    (renamed,) = cluster["ServiceMonitor", "latentedge"]["spec"]["endpoints"][0]["relabelings"]
    (scraped,) = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    assert renamed == {"targetLabel": "job", "replacement": scraped["job_name"]}
    assert f'up{{job="{scraped["job_name"]}"}}' in (FOLDER / "alerts.yml").read_text("utf-8")


def test_no_token_comes_with_the_manifests(
    cluster: dict[tuple[str, str], dict[str, Any]], container: dict[str, Any]
) -> None:
    assert "Secret" not in {kind for kind, _ in cluster}
    (secret,) = [one["secretRef"] for one in container["envFrom"] if "secretRef" in one]
    assert secret["optional"]


def test_a_pod_takes_no_settings_from_the_names_of_services(pod: dict[str, Any]) -> None:
    assert pod["spec"]["enableServiceLinks"] is False


def test_a_pod_has_the_time_that_draining_takes(settings: Settings, pod: dict[str, Any]) -> None:
    assert pod["spec"]["terminationGracePeriodSeconds"] == settings.drain_delay_s + settings.drain_s + CLOSING_S


def test_nothing_in_a_pod_may_be_written_to_but_its_tmp(pod: dict[str, Any], container: dict[str, Any]) -> None:
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert [one["mountPath"] for one in container["volumeMounts"]] == ["/tmp"]
    assert f"USER {pod['spec']['securityContext']['runAsUser']}:" in (FOLDER / "edge.Dockerfile").read_text("utf-8")


def test_grafana_is_given_the_board_and_the_source_that_it_reads_from() -> None:
    grafana = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]["grafana"]
    mounted = {inside: ROOT / outside for outside, inside, _ in (one.split(":") for one in grafana["volumes"])}
    sources = yaml.safe_load(mounted["/etc/grafana/provisioning/datasources/latentedge.yml"].read_text("utf-8"))
    boards = yaml.safe_load(mounted["/etc/grafana/provisioning/dashboards/latentedge.yml"].read_text("utf-8"))
    board = f"{boards['providers'][0]['options']['path']}/latentedge.json"
    assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == board
    panels = json.loads(mounted[board].read_text("utf-8"))["panels"]
    uids = {one["datasource"]["uid"] for one in panels if one["type"] != "row"}
    assert uids == {sources["datasources"][0]["uid"]}


def test_systemd_gives_the_time_that_draining_takes() -> None:
    unit = (FOLDER / "latentedge.service").read_text("utf-8")
    defaults = read_settings(origin="http://origin.example")
    (line,) = [one for one in unit.splitlines() if one.startswith("TimeoutStopSec=")]
    assert int(line.partition("=")[2]) >= defaults.drain_delay_s + defaults.drain_s + CLOSING_S


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "latentedge.service"
    text = (FOLDER / unit.name).read_text("utf-8")
    unit.write_text(text.replace("/opt/latentedge/bin/latentedge", sys.executable), encoding="utf-8")
    outcome = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=120
    )
    assert unit.name not in outcome.stderr
