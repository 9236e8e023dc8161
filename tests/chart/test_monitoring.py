"""Alerts and dashboards, by Prometheus' own checker and against the code."""

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.chart.conftest import CHART, Manifest, Renderer, profile, words
from tests.docs.repository import ROOT
from tests.fixtures.promtool import promtool

DASHBOARDS: Final = {
    path.stem: words(path)
    for path in sorted((CHART / "files" / "dashboards").glob("*.json"))
}
APP: Final = 'namespace="space", job="gatehouse-management", pod="p"'
RBAC: Final = 'namespace="space", job="gatehouse-operator-rbac"'
OPERATOR: Final = 'namespace="space", job="gatehouse-operator-keycloak"'
KEYCLOAK: Final = 'namespace="space", job="gatehouse-keycloak-management"'
RISES: Final = "0+{0}x120"
"""A counter that is this much higher each half minute."""
STAYS: Final = "{0}x120"

Series = dict[str, str]


def slow(metric: str) -> Series:
    """A histogram in which everything took ten seconds."""
    return {
        f'{metric}_bucket{{{APP}, le="1"}}': RISES.format(0),
        f'{metric}_bucket{{{APP}, le="10"}}': RISES.format(30),
        f'{metric}_bucket{{{APP}, le="+Inf"}}': RISES.format(30),
    }


FIRES: Final[dict[str, Series]] = {
    "GatehouseDown": {f"up{{{APP}}}": STAYS.format(0)},
    "GatehouseFailures": {
        f'http_requests_total{{{APP}, status_code="200"}}': RISES.format(90),
        f'http_requests_total{{{APP}, status_code="503"}}': RISES.format(10),
    },
    "GatehouseSlow": slow("http_request_duration_seconds"),
    "GatehouseMessagesSlow": slow("ws_message_processing_duration_seconds"),
    "GatehouseEventLoopBlocked": slow("event_loop_lag_seconds"),
    "GatehouseSheds": {
        f'connections_shed_total{{{APP}, short_of="cpu"}}': RISES.format(1)
    },
    "GatehouseAuditRowsLost": {
        f"audit_dropped_total{{{APP}}}": RISES.format(1)
    },
    "GatehouseAuditRowsWait": {
        f"audit_queue_size{{{APP}}}": STAYS.format(20_000)
    },
    "GatehousePushesWait": {f"outbox_size{{{APP}}}": STAYS.format(2000)},
    "GatehousePushesLost": {f"outbox_dropped_total{{{APP}}}": RISES.format(1)},
    "GatehouseCountsAlone": {f"limiter_fallback{{{APP}}}": STAYS.format(1)},
    "GatehouseDatabaseFails": {
        f'db_query_errors_total{{{APP}, error_type="x"}}': RISES.format(30)
    },
    "GatehouseRedisFails": {
        f'redis_errors_total{{{APP}, error_type="x"}}': RISES.format(30)
    },
    "GatehouseKeysStale": {
        f'jwks_refresh_total{{{APP}, result="failure"}}': RISES.format(1),
        f'jwks_refresh_total{{{APP}, result="success"}}': STAYS.format(7),
    },
    "GatehouseSignInsFail": {
        f'auth_attempts_total{{{APP}, status="failed"}}': RISES.format(300)
    },
    "GatehouseRoleMapsDiffer": {
        f'rbac_map_info{{{APP}, revision="1"}}': STAYS.format(1),
        f'rbac_map_info{{{APP}, revision="2"}}': STAYS.format(1),
    },
    "GatehouseRoleMapOperatorDown": {f"up{{{RBAC}}}": STAYS.format(0)},
    "GatehouseRoleMapRejected": {
        f"operator_rejected_maps{{{RBAC}}}": STAYS.format(1)
    },
    "GatehouseRoleMapOperatorStuck": {
        f'operator_rounds_total{{{RBAC}, result="done"}}': STAYS.format(5)
    },
    "GatehouseKeycloakOperatorDown": {f"up{{{OPERATOR}}}": STAYS.format(0)},
    "GatehouseResourceNotReady": {
        f'operator_resources{{{OPERATOR}, kind="K", ready="false"}}': (
            STAYS.format(1)
        )
    },
    "GatehouseDrift": {
        f'operator_drift_corrected_total{{{OPERATOR}, kind="K"}}': (
            RISES.format(1)
        )
    },
    "GatehouseKeycloakOperatorStuck": {
        f'operator_rounds_total{{{OPERATOR}, result="done"}}': STAYS.format(5)
    },
    "KeycloakDown": {f"up{{{KEYCLOAK}}}": STAYS.format(0)},
    "KeycloakSignInsFail": {
        f'keycloak_user_events_total{{{KEYCLOAK}, event="login",'
        ' error="invalid_user_credentials"}': RISES.format(30)
    },
    "KeycloakWaitsForDatabase": {
        f"agroal_awaiting_count{{{KEYCLOAK}}}": STAYS.format(3)
    },
    "KeycloakHeapFull": {
        f'jvm_memory_used_bytes{{{KEYCLOAK}, area="heap"}}': STAYS.format(99),
        f'jvm_memory_max_bytes{{{KEYCLOAK}, area="heap"}}': STAYS.format(100),
    },
}
"""What makes each alert fire."""
WELL: Final[Series] = {
    **{f"up{{{one}}}": STAYS.format(1) for one in (APP, RBAC, OPERATOR)},
    f"up{{{KEYCLOAK}}}": STAYS.format(1),
    f'http_requests_total{{{APP}, status_code="200"}}': RISES.format(9),
    f'http_requests_total{{{APP}, status_code="503"}}': STAYS.format(1),
    f"audit_dropped_total{{{APP}}}": STAYS.format(4),
    f"audit_queue_size{{{APP}}}": STAYS.format(10),
    f"outbox_size{{{APP}}}": STAYS.format(0),
    f"limiter_fallback{{{APP}}}": STAYS.format(0),
    f'rbac_map_info{{{APP}, revision="2"}}': STAYS.format(1),
    f'operator_rounds_total{{{RBAC}, result="done"}}': RISES.format(15),
    f'operator_rounds_total{{{OPERATOR}, result="done"}}': RISES.format(2),
    f'operator_resources{{{OPERATOR}, kind="K", ready="false"}}': (
        STAYS.format(0)
    ),
    f"operator_rejected_maps{{{RBAC}}}": STAYS.format(0),
}
"""What is there when all is well."""


@pytest.fixture
def groups(renderer: Renderer) -> list[Manifest]:
    """The groups of rules that the chart renders."""
    (rule,) = (
        one
        for one in renderer.manifests(profile("monitoring"))
        if one["kind"] == "PrometheusRule"
    )
    found: list[Manifest] = rule["spec"]["groups"]
    return found


@pytest.fixture
def alerts(groups: list[Manifest]) -> dict[str, Manifest]:
    """Every alert."""
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def test_every_alert_fires_when_it_should_and_not_before(
    groups: list[Manifest], alerts: dict[str, Manifest], tmp_path: Path
) -> None:
    """Prometheus evaluates them on series that were made for that."""
    assert FIRES.keys() == alerts.keys()
    program = promtool()
    if program is None:
        pytest.skip("no promtool (make promtool)")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    checked = run(program, "check", "rules", str(tmp_path / "rules.yaml"))
    assert f"SUCCESS: {len(alerts)} rules found" in checked
    tests = [
        a_test(series, f'alertname="{name}"', 1)
        for name, series in FIRES.items()
    ]
    tests.append(a_test(WELL, 'alertname!=""', None))
    path = tmp_path / "tests.yaml"
    path.write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": tests})
    )
    assert "SUCCESS" in run(program, "test", "rules", str(path))


def a_test(series: Series, which: str, count: int | None) -> Manifest:
    """A test of promtool: so many of these alerts fire after 50 minutes."""
    samples = [] if count is None else [{"labels": "{}", "value": count}]
    return {
        "interval": "30s",
        "input_series": [
            {"series": name, "values": values}
            for name, values in series.items()
        ],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{{which}, alertstate="firing"}})',
                "eval_time": "50m",
                "exp_samples": samples,
            }
        ],
    }


def run(program: str, *arguments: str) -> str:
    """Run promtool, and return what it says."""
    ran = subprocess.run(
        (program, *arguments), check=False, capture_output=True, text=True
    )
    said = ran.stdout + ran.stderr
    assert 0 == ran.returncode, said
    return said


def test_an_alert_says_what_to_do(alerts: dict[str, Manifest]) -> None:
    """The runbook has an entry for each, and a dashboard shows it."""
    runbook = (ROOT / "docs" / "runbook.md").read_text("utf-8")
    headings = re.findall("^## (.+)$", runbook, re.MULTILINE)
    assert sorted(alerts) == sorted(h for h in headings if " " not in h)
    uids = {one["uid"] for one in DASHBOARDS.values()}
    for name, alert in alerts.items():
        annotations = alert["annotations"]
        assert annotations["dashboard"] in uids, name
        assert annotations["runbook_url"].endswith(f"#{name.lower()}")
        assert alert["labels"]["severity"] in {"critical", "warning"}


def test_the_runbook_looks_at_what_there_is() -> None:
    """Each text in quotes is a panel, a row, or a line of the log."""
    runbook = (ROOT / "docs" / "runbook.md").read_text("utf-8")
    prose = re.sub(r"`[^`]+`|^ {4}.+$", "", runbook, flags=re.MULTILINE)
    quoted = {
        " ".join(words.split()) for words in re.findall('"([^"]+)"', prose)
    }
    titles = {
        panel["title"]
        for dashboard in DASHBOARDS.values()
        for panel in dashboard["panels"]
    }
    logged = "".join(
        path.read_text("utf-8") for path in (ROOT / "app").rglob("*.py")
    )
    assert quoted
    assert [] == [one for one in quoted - titles if f'"{one}' not in logged]


def test_every_metric_of_ours_is_on_a_dashboard() -> None:
    """Of the service and of the operators."""
    shown = {
        "fastapi-metrics": ours("app"),
        "gatehouse-operator": ours("gatehouse_operator"),
    }
    for name, metrics in shown.items():
        text = " ".join(
            target["expr"]
            for panel in DASHBOARDS[name]["panels"]
            for target in panel.get("targets", ())
        )
        assert not [one for one in metrics if one not in text], name


def ours(package: str) -> list[str]:
    """The metrics that the code of a package defines."""
    folder = ROOT / "operator" / "src" / package
    if not folder.is_dir():
        folder = ROOT / package
    pattern = re.compile(r'(?:Counter|Gauge|Histogram)\(\s*"([a-z_]+)"')
    return sorted(
        {
            name
            for path in folder.rglob("*.py")
            for name in pattern.findall(path.read_text("utf-8"))
        }
    )


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_says_what_it_shows(name: str) -> None:
    """In which unit, and of which namespace and pods."""
    dashboard: dict[str, Any] = DASHBOARDS[name]
    variables = [one["name"] for one in dashboard["templating"]["list"]]
    assert ["datasource", "namespace", "pod"] == variables
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(numbers) == len(set(numbers))
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["description"].endswith("."), panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["thresholds"]["steps"], panel["title"]
        for target in panel["targets"]:
            assert "$namespace" in target["expr"], panel["title"]


def test_the_specified_panels_are_there() -> None:
    """Nine of Keycloak, by their names."""
    titles = [
        panel["title"]
        for panel in DASHBOARDS["keycloak-metrics"]["panels"]
        if panel["type"] != "row"
    ]
    assert [
        "Active Sessions",
        "Login Success/Failure Rate",
        "Failed Logins (Last Hour)",
        "Request Duration (Percentiles)",
        "Request Rate",
        "JVM Heap Memory Usage",
        "Garbage Collection Pause Time",
        "JVM Thread Count",
        "Database Connection Pool",
    ] == titles
