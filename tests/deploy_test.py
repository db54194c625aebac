#!/usr/bin/env python3
"""Checks that what deploy/ asks of the server is there: metrics by name, settings, and what a dashboard needs to be one.

Exits 0 and prints one line, or prints everything that is wrong and exits 1. --self-test checks the checker.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/server/kubernetes")]
import chart  # noqa: E402
import schema  # noqa: E402

METRIC = re.compile(r"\b((?:tunesmith|grpc_server|process)_[a-z0-9_]+)")
HISTOGRAM_SUFFIXES = ("_bucket", "_sum", "_count")


def known_metrics():
    """The kinds of the figures that the server's sources give, by their names."""
    kinds = {}
    for path in (ROOT / "server").rglob("*.cc"):
        for kind, name in re.findall(r"(Counter|Gauge|Histogram)Of\(\s*\"([a-z0-9_]+)\"", path.read_text()):
            kinds[name] = kind
    return kinds


def series(known):
    """The names that Prometheus has of them."""
    names = set()
    for name, kind in known.items():
        names |= {name + suffix for suffix in HISTOGRAM_SUFFIXES} if kind == "Histogram" else {name}
    return names


def unknown_metrics(text, known):
    """The metrics that `text` names and no source gives."""
    return sorted(set(METRIC.findall(text)) - series(known))


def dashboard_problems(board):
    """What keeps a dashboard from being one."""
    problems = [f"no {key}" for key in ("title", "uid", "schemaVersion", "templating", "panels") if key not in board]
    panels = board.get("panels", [])
    ids = [panel["id"] for panel in panels]
    if len(ids) != len(set(ids)):
        problems.append("two panels have one id")
    for panel in panels:
        if not panel.get("targets") or not all(target.get("expr") for target in panel["targets"]):
            problems.append(f"panel '{panel.get('title')}' asks nothing")
        if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24:
            problems.append(f"panel '{panel.get('title')}' is outside of the grid")
    return problems


def known_flags():
    """The server's settings."""
    return set(re.findall(r"\"--([a-z-]+)\"", (ROOT / "server" / "flags.cc").read_text()))


def unknown_settings(text, flags):
    """Keys of a configuration file that are no flags."""
    return sorted(key for key in re.findall(r"^([a-z-]+):", text, re.MULTILINE) if key not in flags)


def shadowing_variables(dockerfile):
    """Variables of an image that would win over the settings of whoever starts its server with a --config of their own, as the chart does."""
    named = set(re.findall(r"\b(TUNESMITHD_[A-Z_]+)=", dockerfile))
    return sorted(named - {"TUNESMITHD_CONFIG"})


# Every value that a chart's user may change, in some release; and what is not taken.
RELEASES = (
    [],
    ["image.repository=here/tunesmith", "image.tag=v2", "image.pullPolicy=Always", "image.pullSecrets={registry}"],
    ["service.type=LoadBalancer", "service.annotations.a/b=c", "podAnnotations.c=d", "resources.limits.memory=4Gi", "resources.requests.cpu=500m", "resources.requests.memory=1Gi"],
    ["settings.kubernetes-queue=team-a", "settings.keep-days=30", "tls.clientAuthority=true", "tls.secretName=own", "access.secretName=own", "user=1000"],
    ["serviceMonitor.enabled=true", "serviceMonitor.interval=10s", "serviceMonitor.labels.release=prometheus", "networkPolicy.enabled=false"],
    ["networkPolicy.metricsFrom.app=reader", "affinity.podAntiAffinity.a=b", "nodeSelector.disk=ssd", "tolerations[0].key=a", "tolerations[0].operator=Exists"],
    ["database.storageClass=fast", "jobs.storageClass=nfs", "shared.storageClass=nfs", "database.size=20Gi", "jobs.size=2Ti", "shared.size=3Ti"],
)
EXISTING = ["database.existing=one", "jobs.existing=two", "shared.existing=three"]
REFUSED = ("image.tagg=1", "image.tag=2", "user=0", "jobs.size=many", "service.type=None", "settings.Keep_Days=1", "replicas=2", "serviceMonitor.interval=soon")


def values_of(tree, above=""):
    """The paths of what a tree of values holds, each where it ends."""
    if not isinstance(tree, dict) or not tree:
        return [above.lstrip(".")]
    return [path for key, below in tree.items() for path in values_of(below, f"{above}.{key}")]


def untried_values():
    """Values of the chart that no release changes."""
    tried = [value.split("=")[0] for values in (*RELEASES, EXISTING) for value in values]
    paths = values_of(chart.from_yaml((chart.CHART / "values.yaml").read_text())[0])
    # Labels are a map of the user's own.
    return [path for path in paths if not any(one.startswith(path) or path.startswith("networkPolicy.metricsFrom.") for one in tried)]


def chart_problems(flags):
    """What is wrong with releases of the chart, and which values it should not take."""
    found = []
    for values in RELEASES:
        items, refusal = chart.rendered(*values)
        found += [f"{values}: {line}" for line in [refusal] * bool(refusal) + cluster_problems(items, flags)]
    found += [f"{value} is taken" for value in REFUSED if not chart.rendered(value)[1]]
    found += [f"no release changes {path}" for path in untried_values()]
    # Of a file of values, Helm takes numbers for floating-point ones.
    items, refusal = chart.rendered(file="user: 1000680000")
    found += [f"a file of values: {line}" for line in [refusal] * bool(refusal) + cluster_problems(items, flags)]
    # Claims that are there already are used, and not made.
    items, _ = chart.rendered(*EXISTING)
    volumes = next(item for item in items if item["kind"] == "Deployment")["spec"]["template"]["spec"]["volumes"]
    used = [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]
    made = [item["metadata"]["name"] for item in items if item["kind"] == "PersistentVolumeClaim"]
    found += [f"{EXISTING} use {used} and make {made}"] if used != ["one", "two", "three"] or made else []
    return found


def cluster_problems(items, flags):
    """What keeps manifests from being taken, and settings from being the server's."""
    found = schema.deployed_problems(items)
    for item in items:
        for text in item.get("data", {}).values():
            found += [f"tunesmithd has no setting {key}" for key in unknown_settings(text, flags)]
    return found


def check():
    """Everything that is wrong."""
    known = known_metrics()
    board_path = ROOT / "deploy/grafana/tunesmith.json"
    board_text = board_path.read_text()
    board = json.loads(board_text)
    expressions = " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])
    problems = [f"deploy/grafana: {problem}" for problem in dashboard_problems(board)]
    rules = (ROOT / "deploy/prometheus/tunesmith.rules.yml").read_text()
    for name, text in (("deploy/grafana", expressions), ("deploy/prometheus", rules)):
        problems += [f"{name}: the server has no metric {metric}" for metric in unknown_metrics(text, known)]
    for folder in ("systemd", "container"):
        settings = (ROOT / "deploy" / folder / "tunesmithd.yaml").read_text()
        problems += [f"deploy/{folder}: tunesmithd has no setting {key}" for key in unknown_settings(settings, known_flags())]
    dockerfile = (ROOT / "deploy/container/Dockerfile").read_text()
    problems += [f"deploy/container: {name} wins over any --config" for name in shadowing_variables(dockerfile)]
    rights = json.loads((chart.CHART / "rbac.json").read_text())["items"]
    problems += [f"deploy/kubernetes/rbac.json: {problem}" for problem in cluster_problems(rights, known_flags())]
    if not chart.why_absent():
        problems += [f"deploy/kubernetes: {problem}" for problem in chart_problems(known_flags())]
    documented = (ROOT / "docs/service.md").read_text()
    problems += [f"docs/service.md says nothing of {name}" for name in sorted(known) if name not in documented and not name.startswith("process_")]
    return problems


def self_test():
    """The checker finds what is wrong."""
    known = {"tunesmith_jobs": "Gauge", "grpc_server_handling_seconds": "Histogram"}
    assert unknown_metrics("sum(tunesmith_jobs) / grpc_server_handling_seconds_bucket", known) == []
    assert unknown_metrics("tunesmith_job + tunesmith_jobs_sum", known) == ["tunesmith_job", "tunesmith_jobs_sum"]
    good = {"id": 1, "title": "a", "gridPos": {"x": 0, "w": 8}, "targets": [{"expr": "x"}]}
    board = {"title": "t", "uid": "u", "schemaVersion": 1, "templating": {}, "panels": [good]}
    assert dashboard_problems(board) == []
    board["panels"] = [good, {**good, "targets": []}]
    assert dashboard_problems(board) == ["two panels have one id", "panel 'a' asks nothing"]
    assert unknown_settings("listen: x\nlistn: y\n# c: d\n", {"listen"}) == ["listn"]
    assert shadowing_variables("ENV A=b \\\n    TUNESMITHD_CONFIG=c \\\n    TUNESMITHD_LISTEN=d\n") == ["TUNESMITHD_LISTEN"]
    assert len(known_metrics()) > 10
    if chart.why_absent():
        print(f"deploy: {chart.why_absent()}, the chart's checker was not looked at")
        return
    items = chart.rendered()[0]
    deployment = next(item for item in items if item["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["volumes"][0]["name"] = "another"
    deployment["spec"]["replica"] = 1
    found = "\n".join(cluster_problems(items, known_flags()))
    assert "there is no volume database" in found and 'unknown field "spec.replica' in found, found
    print("deploy: the checker finds what is wrong")


def main():
    """See the module's text."""
    if "--self-test" in sys.argv:
        self_test()
        return 0
    problems = check()
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print("deploy: metrics, settings, dashboard and chart are the server's" + (f"; {chart.why_absent()}, the chart was not looked at" if chart.why_absent() else ""))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
