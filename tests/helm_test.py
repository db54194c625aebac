#!/usr/bin/env python3
"""Installs, upgrades, rolls back and removes the chart in deploy/kubernetes by the real helm, against an API server of the test's own, which stores what it is given.

Skips (status 77) where helm is not there (./dev setup). Takes the directory of binaries: the chart's test is run with a real server.
"""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/server/kubernetes")]
import chart  # noqa: E402
import schema  # noqa: E402

SKIPPED = 77
RELEASE, NAMESPACE = "tunesmith", "team-a"
# (group and version, plural): kind.
KINDS = {
    ("v1", "configmaps"): "ConfigMap",
    ("v1", "persistentvolumeclaims"): "PersistentVolumeClaim",
    ("v1", "pods"): "Pod",
    ("v1", "secrets"): "Secret",
    ("v1", "serviceaccounts"): "ServiceAccount",
    ("v1", "services"): "Service",
    ("apps/v1", "deployments"): "Deployment",
    ("networking.k8s.io/v1", "networkpolicies"): "NetworkPolicy",
    ("rbac.authorization.k8s.io/v1", "rolebindings"): "RoleBinding",
    ("rbac.authorization.k8s.io/v1", "roles"): "Role",
}
PATH = re.compile(r"/(?:api|apis)/(?P<version>v1|[^/]+/v1)/namespaces/[^/]+/(?P<plural>[a-z]+)(?:/(?P<name>[^/?]+))?$")


def merged(old, patch):
    """A strategic merge: lists of named things merge by name, others are replaced; null takes away."""
    if not isinstance(old, dict) or not isinstance(patch, dict):
        return patch
    new = dict(old)
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            new.pop(key, None)
        elif isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
            named = {item["name"]: item for item in old.get(key, [])}
            for item in value:
                named[item["name"]] = merged(named.get(item["name"], {}), item)
            new[key] = list(named.values())
        else:
            new[key] = merged(old.get(key), value)
    return new


def fields(data):
    """(number, value) of a protobuf message whose fields are numbers and bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        value = varint()
        if key & 7 == 2:
            at += value
            value = data[at - value : at]
        yield key >> 3, value


def pairs(data, number):
    """A map of strings to bytes."""
    entries = [dict(fields(value)) for field, value in fields(data) if field == number]
    return {entry[1].decode(): entry.get(2, b"") for entry in entries}


def secret_of(data):
    """A Secret as clients that know its type send it (k8s.io/api/core/v1/generated.proto): an envelope, whose second field is the object."""
    body = dict(fields(data.removeprefix(b"k8s\0")))[2]
    top = dict(fields(body))
    metadata = dict(fields(top[1]))
    labels = {key: value.decode() for key, value in pairs(top[1], 11).items()}
    values = {key: base64.b64encode(value).decode() for key, value in pairs(body, 2).items()}
    return {"apiVersion": "v1", "kind": "Secret", "type": top[3].decode(), "data": values, "metadata": {"name": metadata[1].decode(), "labels": labels}}


class Store(BaseHTTPRequestHandler):
    """Objects by (plural, name), as an API server stores them."""

    objects = {}
    refused = []  # what schema.py has against what came

    def log_message(self, *_):  # pylint: disable=arguments-differ
        """Nothing."""

    def answer(self, code, value):
        """A JSON object."""
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, code, reason):
        """As API servers do."""
        self.answer(code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": f"{self.path}: {reason}"})

    def discover(self, path):
        """What there is, or None."""
        groups = sorted({version.split("/")[0] for version, _ in KINDS if "/" in version})
        if path == "/version":
            return {"major": "1", "minor": "32", "gitVersion": "v1.32.0"}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            listed = [{"name": name, "versions": [{"groupVersion": f"{name}/v1", "version": "v1"}], "preferredVersion": {"groupVersion": f"{name}/v1", "version": "v1"}} for name in groups]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
        version = path.removeprefix("/apis/") if path.startswith("/apis/") else path.removeprefix("/api/")
        resources = [
            {"name": plural, "singularName": "", "namespaced": True, "kind": kind, "verbs": ["create", "delete", "get", "list", "patch", "update"]}
            for (of, plural), kind in KINDS.items()
            if of == version
        ]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources} if resources else None

    def body(self):
        """What came."""
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return secret_of(data) if data.startswith(b"k8s\0") and data[4:5] else json.loads(data or "{}")

    def store(self, plural, item):
        """Keeps an object; those of the chart are held to the schema."""
        if plural != "secrets":
            Store.refused += schema.problems(clean(item), schema.DEPLOYED[item["kind"]], "")
        metadata = item["metadata"]
        metadata.update(namespace=NAMESPACE, uid=metadata.get("uid", str(uuid.uuid4())), resourceVersion=str(time.monotonic_ns()))
        Store.objects[(plural, metadata["name"])] = item
        return item

    def do_GET(self):  # pylint: disable=invalid-name
        """Discovery, an object, or those of a kind."""
        path, _, query = self.path.partition("?")
        found = self.discover(path)
        if found:
            return self.answer(200, found)
        match = PATH.match(path)
        if not match:
            return self.refuse(404, "NotFound")
        plural, name = match["plural"], match["name"]
        if name:
            item = Store.objects.get((plural, name))
            return self.answer(200, item) if item else self.refuse(404, "NotFound")
        wanted = dict(pair.split("=") for pair in re.findall(r"[a-z]+%3D[a-z0-9-]+", query) for pair in [pair.replace("%3D", "=")])
        items = [item for (of, _), item in Store.objects.items() if of == plural and wanted.items() <= item["metadata"].get("labels", {}).items()]
        kind = KINDS[(match["version"], plural)]
        return self.answer(200, {"kind": kind + "List", "apiVersion": match["version"], "metadata": {"resourceVersion": "1"}, "items": items})

    def do_POST(self):  # pylint: disable=invalid-name
        """A new object."""
        match, item = PATH.match(self.path.partition("?")[0]), self.body()
        if (match["plural"], item["metadata"]["name"]) in Store.objects:
            return self.refuse(409, "AlreadyExists")
        return self.answer(201, self.store(match["plural"], item))

    def do_PUT(self):  # pylint: disable=invalid-name
        """An object in the place of another."""
        return self.answer(200, self.store(PATH.match(self.path.partition("?")[0])["plural"], self.body()))

    def do_PATCH(self):  # pylint: disable=invalid-name
        """A change."""
        match, patch = PATH.match(self.path.partition("?")[0]), self.body()
        return self.answer(200, self.store(match["plural"], merged(Store.objects[(match["plural"], match["name"])], patch)))

    def do_DELETE(self):  # pylint: disable=invalid-name
        """Takes an object away."""
        match = PATH.match(self.path.partition("?")[0])
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if Store.objects.pop((match["plural"], match["name"]), None) is None:
            return self.refuse(404, "NotFound")
        return self.answer(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})


def clean(item):
    """An object without what the server has added."""
    metadata = {key: value for key, value in item["metadata"].items() if key not in ("uid", "resourceVersion", "creationTimestamp")}
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": metadata}


def names(plural):
    """The objects of a kind."""
    return sorted(name for of, name in Store.objects if of == plural)


def settings():
    """What the server's pod would read."""
    return Store.objects[("configmaps", RELEASE)]["data"]["tunesmithd.yaml"]


def pod_settings():
    """What makes the pod anew when settings change."""
    return Store.objects[("deployments", RELEASE)]["spec"]["template"]["metadata"]["annotations"]["tunesmith/settings"]


class Helm:
    """The real helm, with a home of its own."""

    def __init__(self, port, home):
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": NAMESPACE}}],
            "current-context": "test",
        }
        (home / "kubeconfig").write_text(json.dumps(config))
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(home / "kubeconfig")}

    def run(self, *words, fails=False):
        """What it says."""
        done = subprocess.run([str(chart.HELM), *words], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True, timeout=60)
        assert (done.returncode != 0) == fails, f"helm {' '.join(words)}: {done.stdout}"
        return done.stdout


def check_life(helm):
    """A release from its beginning to its end."""
    release = [RELEASE, str(chart.CHART), "--disable-openapi-validation"]
    said = helm.run("install", *release)
    assert "tunesmith.team-a.svc:7433" in said, said
    assert names("deployments") == [RELEASE] and names("services") == [RELEASE, f"{RELEASE}-http"], Store.objects.keys()
    assert names("persistentvolumeclaims") == [f"{RELEASE}-{what}" for what in ("database", "jobs", "shared")]
    first = pod_settings()
    said = helm.run("install", *release, fails=True)
    assert "still in use" in said, said
    said = helm.run("upgrade", *release, "--set", "jobs.size=lots", fails=True)
    assert "jobs.size" in said, said
    helm.run("upgrade", *release, "--set", "settings.keep-days=90", "--set", "image.tag=v2")
    assert "keep-days: 90" in settings(), settings()
    assert pod_settings() != first
    images = {c["image"] for c in Store.objects[("deployments", RELEASE)]["spec"]["template"]["spec"]["containers"]}
    assert images == {"registry.example/tunesmith:v2"}, images
    helm.run("rollback", RELEASE, "1")
    assert pod_settings() == first and "keep-days" not in settings()
    said = helm.run("uninstall", RELEASE)
    assert "kept due to the resource policy" in said, said
    assert {plural for plural, _ in Store.objects} == {"persistentvolumeclaims"}, Store.objects.keys()


def check_test_pod(binaries, home):
    """The command of the chart's test, with a real server: it passes where that is ready, and fails where nobody listens."""
    pods, refusal = chart.rendered(template="templates/tests/ready.yaml")
    assert not refusal, refusal
    command = pods[0]["spec"]["containers"][0]["command"]
    flags = ["--listen", f"unix:{home}/socket", "--http-listen", "127.0.0.1:0", "--data-dir", str(home / "data")]
    with open(home / "log", "w+", encoding="utf-8") as log:
        with subprocess.Popen([f"{binaries}/tunesmithd", *flags], stderr=log, stdin=subprocess.DEVNULL) as server:
            port = None
            for _ in range(200):
                port = re.search(r"HTTP on port (\d+)", (home / "log").read_text())
                if port and "listens on" in (home / "log").read_text():
                    break
                time.sleep(0.05)
            assert port, (home / "log").read_text()
            command[-1] = command[-1].replace("/7434", f"/{port[1]}")
            run = lambda: subprocess.run(command, env={**os.environ, "SERVER": "127.0.0.1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True, timeout=30)  # noqa: E731
            ready = run()
            server.terminate()
            server.wait()
        assert ready.returncode == 0 and "answers 200" in ready.stdout, ready.stdout
        assert run().returncode != 0, "passes without a server"


def main():
    """See the module's text."""
    if chart.why_absent():
        print(f"helm: skipped: {chart.why_absent()}")
        return SKIPPED
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as home:
        check_life(Helm(server.server_address[1], Path(home)))
        check_test_pod(sys.argv[1], Path(home))
    assert not Store.refused, "\n".join(Store.refused)
    print("helm: a release is installed, upgraded, rolled back and removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
