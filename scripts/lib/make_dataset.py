#!/usr/bin/env python3
"""Makes a JSONL data set from the descriptions of this host's own Debian packages.

make_dataset.py --cache DIR --train FILE --held-out FILE [--rows N] [--held-out-share S]

Each row is {"prompt": "Describe the Debian package NAME.\\n", "completion": "SUMMARY. LONG DESCRIPTION"}. Long descriptions come from the English
translations of the package index, fetched by apt into DIR; where that fails, from the packages that are installed. The choice of rows depends on
the index alone.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout


def index_text(cache):
    """What `apt-cache dumpavail` knows when its lists have the English long descriptions."""
    lists = (cache / "lists").resolve()  # apt takes a relative path from its own state directory
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::State::Lists={lists}", "-o", "Acquire::Languages=en", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=",
               "-o", "APT::Sandbox::User=root"]
    if not any(lists.glob("*Translation-en*")):
        run("apt-get", *options, "update")
    names = run("apt-cache", *options, "pkgnames").split()
    wanted = sorted(names)[:: max(1, len(names) // 4000)]
    return "".join(run("apt-cache", *options, "show", "--no-all-versions", *wanted[i : i + 500]) for i in range(0, len(wanted), 500))


def installed_text():
    return run("dpkg-query", "-W", "-f", "Package: ${Package}\nDescription-en: ${Description}\n\n")


def descriptions(text):
    """(name, description) of every stanza with a long description, by name."""
    found = {}
    for stanza in text.split("\n\n"):
        name = re.search(r"^Package: (\S+)$", stanza, re.MULTILINE)
        body = re.search(r"^Description(?:-en)?: (.+(?:\n .*)+)", stanza, re.MULTILINE)
        if not name or not body:
            continue
        summary, *lines = body.group(1).split("\n")
        paragraphs = re.sub(r"\n \.\n", "\n\n", "\n" + "\n".join(lines) + "\n").strip()
        prose = re.sub(r"\s*\n (?! )", " ", "\n " + paragraphs.lstrip()).strip()
        found[name.group(1)] = f"{summary.strip()}. {prose}"
    return sorted(found.items())


def rows_of(pairs, count):
    usable = [(name, text) for name, text in pairs if 120 <= len(text) <= 1200]
    step = max(1, len(usable) // count)
    return [{"prompt": f"Describe the Debian package {name}.\n", "completion": text} for name, text in usable[::step][:count]]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--train", type=pathlib.Path, required=True)
    parser.add_argument("--held-out", type=pathlib.Path, required=True)
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--held-out-share", type=float, default=0.1)
    arguments = parser.parse_args()
    try:
        pairs = descriptions(index_text(arguments.cache))
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"make_dataset: the package index is not to be had ({error}); taking the installed packages", file=sys.stderr)
        pairs = descriptions(installed_text())
    rows = rows_of(pairs, arguments.rows)
    every = max(2, round(1 / arguments.held_out_share))
    write(arguments.held_out, [row for i, row in enumerate(rows) if i % every == every - 1])
    write(arguments.train, [row for i, row in enumerate(rows) if i % every != every - 1])
    print(f"{len(rows)} rows", file=sys.stderr)
    if len(rows) < 20:
        sys.exit("make_dataset: too few package descriptions on this host to make a data set")


if __name__ == "__main__":
    main()
