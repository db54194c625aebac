#!/usr/bin/env python3
"""Runs the commands of the documentation, and follows its links.

    docs_test.py BINARIES

A block marked `sh run` must end with exit status 0, one marked `sh run 3` with 3. Each page runs in a folder of its own, its blocks one after the other. Links to
files of the repository must lead somewhere. Exits 1 after naming page, line and what was wrong.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```sh run ?(\d*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
SECONDS = 120


def pages():
    yield ROOT / "README.md"
    yield ROOT / "CONTRIBUTING.md"
    yield from sorted((ROOT / "docs").rglob("*.md"))


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def broken_links(page, text):
    for match in LINK.finditer(text):
        target = match.group(1)
        if re.match(r"[a-z]+:", target):
            continue
        if not (page.parent / target).exists():
            yield f"{page.relative_to(ROOT)}:{line_of(text, match.start())}: {target} is not there"


def failed_blocks(page, text, environment):
    with tempfile.TemporaryDirectory() as folder:
        for match in BLOCK.finditer(text):
            expected = int(match.group(1) or 0)
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", match.group(2)],
                cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False,
            )
            if done.returncode != expected:
                yield (
                    f"{page.relative_to(ROOT)}:{line_of(text, match.start())}: exit status {done.returncode}, not {expected}:\n"
                    f"{match.group(2)}{done.stderr}{done.stdout[-1000:]}"
                )


def main():
    binaries = pathlib.Path(sys.argv[1]).resolve()
    environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"}
    environment.pop("TUNESMITH_SERVER", None)
    problems, block_count = [], 0
    for page in pages():
        text = page.read_text(encoding="utf-8")
        block_count += len(BLOCK.findall(text))
        problems += broken_links(page, text)
        problems += failed_blocks(page, text, environment)
    print("\n".join(problems) or f"docs: {block_count} blocks ran, links lead somewhere")
    # Of none at all the pattern would be wrong, not the pages.
    return 1 if problems or block_count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
