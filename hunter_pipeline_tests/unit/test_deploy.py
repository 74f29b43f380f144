"""What stands in deploy/ fits the schemas of who reads it, and names only what exists here."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from sqlalchemy import create_engine

from hunter_pipeline.orchestration.build import build_defs
from hunter_pipeline.runs.sync_request import SCAN_JOB
from hunter_pipeline.settings import Settings, variable_name
from hunter_pipeline.web import health
from hunter_pipeline_tests.integration.cli.command_line import CommandLine

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
TEXTS = {path: path.read_text("utf-8") for path in sorted(DEPLOY.rglob("*")) if path.is_file()}
COMPOSE = yaml.safe_load(TEXTS[DEPLOY / "compose.yaml"])
SERVICES = COMPOSE["services"]
OWN = {name: service for name, service in SERVICES.items() if service["image"].startswith("hunter:")}


def ok(*command: object) -> str:
    ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def documents(name: str) -> list[dict]:
    return list(yaml.safe_load_all(TEXTS[DEPLOY / name]))


def pins(text: str) -> set[tuple[str, str]]:
    return set(re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", text, re.MULTILINE))


def test_dockerfile_pleases_the_linter():
    ok(BIN / "hadolint", DEPLOY / "Dockerfile")


def test_compose_file_fits_its_schema():
    ok(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")


@pytest.mark.parametrize("name", ["lead-list.yaml", "dagster-instance.yaml"])
def test_manifests_fit_the_schemas_of_kubernetes(name: str):
    ok(BIN / "kubernetes-validate", "--strict", DEPLOY / "kubernetes" / name)


def test_every_setting_that_is_named_exists():
    known = {variable_name(field) for field in Settings.model_fields} | {"HUNTER_ENV_FILE"}
    named = {name for text in TEXTS.values() for name in re.findall(r"HUNTER_[A-Z_]*[A-Z]", text)}
    assert named
    assert named <= known


def test_every_command_that_is_named_exists(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    hunter = CommandLine(monkeypatch, capsys)
    container = documents("kubernetes/lead-list.yaml")[0]["spec"]["template"]["spec"]["containers"][0]
    commands = [container["command"], *(service["command"] for service in OWN.values() if "command" in service)]
    commands += [
        line.split()
        for line in re.findall(r"^ExecStart=/opt/hunter/venv/bin/(.+)$", "\n".join(TEXTS.values()), re.MULTILINE)
    ]
    assert ["hunter", "daemon"] in commands
    said = re.findall(r"`hunter ([a-z ]+)`", "\n".join(TEXTS.values()))
    # The program with its sub-commands: what stands before the first option.
    chosen = {tuple(takewhile(lambda part: not part.startswith("-"), command)) for command in commands}
    chosen |= {("hunter", *words.split()) for words in said}
    assert ("hunter", "web") in chosen
    for program, *words in sorted(chosen):
        # In this process: a new one imports everything anew for each.
        help_text = hunter(*words, "--help").out if program == "hunter" else ok(BIN / program, *words, "--help")
        assert help_text, (program, words)
        options = {
            part
            for command in commands
            if command[: len(words) + 1] == [program, *words]
            for part in command
            if part.startswith("--")
        }
        assert all(option in help_text for option in options)


def test_the_image_installs_the_versions_that_are_tested():
    image = pins(TEXTS[DEPLOY / "requirements.lock"])
    tested = pins((ROOT / "requirements.lock").read_text("utf-8"))
    names = {name for name, _ in image}
    assert "dagster" in names
    assert "pytest" not in names
    assert image <= tested


def test_the_chart_is_the_one_of_the_version_of_dagster_that_the_image_holds():
    chart = re.findall(r"dagster/dagster --version (\S+)", TEXTS[DEPLOY / "helm/values.yaml"])
    held = dict(pins(TEXTS[DEPLOY / "requirements.lock"]))
    assert chart == [held["dagster"]]


def test_images_are_pinned_to_this_version():
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert version is not None
    own = {found for text in TEXTS.values() for found in re.findall(r"\bhunter:(\d[\w.]*)", text)}
    own.add(yaml.safe_load(TEXTS[DEPLOY / "helm/values.yaml"])["dagsterWebserver"]["image"]["tag"])
    assert own == {version[1]}
    bases = re.findall(r"^FROM (\S+)", TEXTS[DEPLOY / "Dockerfile"], re.MULTILINE)
    for image in (*bases, *(service["image"] for service in SERVICES.values())):
        assert re.search(r":\d+\.\d+", image), image


def test_no_container_runs_as_root_or_writes_to_its_root():
    assert re.findall(r"^USER (\S+)", TEXTS[DEPLOY / "Dockerfile"], re.MULTILINE) == ["10001:10001"]
    assert set(SERVICES) - set(OWN) == {"postgres", "redis"}
    for name, service in OWN.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
    pod = documents("kubernetes/lead-list.yaml")[0]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"]


def test_the_services_of_one_machine_are_sandboxed_alike():
    units = {path.stem: text.splitlines() for path, text in TEXTS.items() if path.suffix == ".service"}
    assert set(units) == {"hunter-daemon", "hunter-ui", "hunter-web"}
    fences = {name: lines[lines.index("NoNewPrivileges=yes") :] for name, lines in units.items()}
    assert fences["hunter-daemon"] == fences["hunter-ui"] == fences["hunter-web"]
    for lines in units.values():
        assert {"User=hunter", "ProtectSystem=strict", "CapabilityBoundingSet=", "Restart=on-failure"} <= set(lines)


def test_nothing_but_this_machine_reaches_the_containers_and_nothing_the_database():
    assert not {"postgres", "redis", "worker"} & {name for name, service in SERVICES.items() if "ports" in service}
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(published) == 2
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_instance_on_kubernetes_is_the_usual_one_with_the_run_launcher():
    # Imported here: it takes seconds of each worker that only collects the tests.
    from dagster_k8s import K8sRunLauncher

    instance = yaml.safe_load(documents("kubernetes/dagster-instance.yaml")[0]["data"]["dagster.yaml"])
    launcher, logs = instance.pop("run_launcher"), instance.pop("compute_logs")
    assert instance == yaml.safe_load((ROOT / "dagster.yaml").read_text("utf-8"))
    taken = process_config(resolve_to_config_type(K8sRunLauncher.config_type()), launcher["config"])
    assert taken.success, taken.errors
    assert logs["class"] == "NoOpComputeLogManager"
    values = yaml.safe_load(TEXTS[DEPLOY / "helm/values.yaml"])["global"]
    assert values["dagsterInstanceConfigMap"] == launcher["config"]["instance_config_map"]
    assert values["dagsterHome"] == launcher["config"]["dagster_home"]
    assert values["serviceAccountName"] == launcher["config"]["service_account_name"]


def definitions_with(environment: Mapping[str, str]) -> dg.Definitions:
    """What Dagster loads with the settings of an environment."""
    fields = {name.removeprefix("HUNTER_").lower(): value for name, value in environment.items()}
    return build_defs(Settings(_env_file=None, **{**fields, "celery_url": "redis://:secret@redis:6379/0"}))  # type: ignore[arg-type]


def test_the_containers_of_one_machine_spread_scans_over_as_many_workers_as_there_are_shares():
    for name in ("code", "daemon", "worker"):
        environment = SERVICES[name]["environment"]
        assert environment["HUNTER_EXECUTOR"] == "celery", name
        assert int(environment["HUNTER_SCAN_SHARES"]) == SERVICES["worker"]["deploy"]["replicas"], name
    spread = {name: value for name, value in SERVICES["code"]["environment"].items() if "_SCAN_" in name}
    job = definitions_with({**spread, "HUNTER_EXECUTOR": "celery"}).resolve_job_def(SCAN_JOB)
    assert job.executor_def.name == "celery"
    assert SERVICES["worker"]["command"] == ["hunter", "worker"]
    assert "HUNTER_CELERY_URL=redis://:PASSWORD@redis:6379/0" in TEXTS[DEPLOY / "compose.yaml"]


def test_kubernetes_runs_each_shard_as_a_job_of_its_own():
    (deployment,) = yaml.safe_load(TEXTS[DEPLOY / "helm/values.yaml"])["dagster-user-deployments"]["deployments"]
    environment = {each["name"]: each["value"] for each in deployment["env"]}
    assert environment["HUNTER_EXECUTOR"] == "k8s"
    assert deployment["includeConfigInLaunchedRuns"]["enabled"]  # so that runs and shards have it too
    job = definitions_with(environment).resolve_job_def(SCAN_JOB)
    assert job.executor_def.name == "k8s"


def exposed() -> set[str]:
    """Names that /metrics can show: those of requests as samples, those of the database as its source names them."""
    metrics = health.Metrics(create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none"))
    metrics.requests.labels("GET", "/", "200").inc()
    metrics.seconds.labels("/").observe(0.1)
    registry: CollectorRegistry = metrics.registry
    families: list[Metric] = list(registry.collect())
    names = {sample.name for family in families for sample in family.samples}
    return names | set(re.findall(r'"(hunter_[a-z_]+)"', Path(health.__file__).read_text("utf-8")))


RULES = [rule for group in documents("prometheus/alerts.yaml")[0]["groups"] for rule in group["rules"]]


def test_every_metric_of_dashboard_and_alerts_is_exposed():
    dashboard = json.loads(TEXTS[DEPLOY / "grafana/dashboard.json"])
    questions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    questions += [rule["expr"] for rule in RULES]
    named = {name for question in questions for name in re.findall(r"hunter_[a-z_]+", question)}
    assert "hunter_open_failures" in named
    assert named <= exposed()


def test_every_alert_says_what_to_do():
    for rule in RULES:
        assert rule["annotations"]["summary"], rule["alert"]
        assert len(rule["annotations"]["runbook"]) > 60, rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning"}
