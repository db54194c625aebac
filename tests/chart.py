"""The Helm chart in deploy/kubernetes, by the real helm, as tests look at it."""

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy/kubernetes"
HELM = ROOT / ".venv/bin/helm"


def why_absent():
    """What the chart cannot be looked at without; empty: it can."""
    return "" if HELM.exists() else "there is no helm (./dev setup)"


def from_yaml(text):
    """The documents of a YAML text, less those that are empty. By the environment's interpreter: this one may know no YAML."""
    to_json = "import json, sys, yaml; json.dump([item for item in yaml.safe_load_all(sys.stdin) if item], sys.stdout)"
    read = subprocess.run([str(ROOT / ".venv/bin/python"), "-c", to_json], input=text, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(read.stdout)


def rendered(*values, template=None, file=""):
    """The manifests that helm makes with these values, added to those of a file's text, of all templates or of one, and what it says where it refuses."""
    command = [str(HELM), "template", "tunesmith", str(CHART), "--namespace", "team-a", "--values", "-"]
    for value in values:
        command += ["--set", value]
    command += ["--show-only", template] if template else []
    made = subprocess.run(command, input=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, text=True)
    return (from_yaml(made.stdout), "") if made.returncode == 0 else ([], made.stderr)
