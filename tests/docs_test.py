#!/usr/bin/env python3
"""Runs the commands of the documentation, and follows its links.

    docs_test.py BINARIES

A block marked `sh run` must end with exit status 0, one marked `sh run 3` with 3. Each page runs in a folder of its own, its blocks one after the other. What any other
block asks of `tunesmith` must be a command with flags and values that docs/reference/cli.md knows. Links to files of the repository must lead somewhere. Exits 1 after naming page, line and what was wrong.
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```sh run ?(\d*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
CODE = re.compile(r"^```[a-z]*[^\n]*\n(.*?)^```$|((?:^(?: {4}|\t)[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^[ \t]*(?:\$ )?(?:[A-Z_]+=\S* )*(?:\./build/bin/|build/bin/)?(tunesmith (?:[^\n]*\\\n)*[^\n]*)", re.MULTILINE)
ROW = re.compile(r"^\| `((?:[^`]|\\\|)*)` \|", re.MULTILINE)
REFERENCE = ROOT / "docs/reference/cli.md"
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


def known_commands():
    """Of "tunesmith jobs list" the flags: {"--filter": []}, with the values that are taken where these are a list, and None for a switch."""
    commands = {}
    for section in REFERENCE.read_text(encoding="utf-8").split("\n## ")[1:]:
        flags = commands[section.split("\n", 1)[0]] = {"--help": None, "-h": None}
        for row in ROW.findall(section):
            names, _, value = row.replace("\\|", "|").replace(", ", ",").partition(" ")
            values = (value.split("|") if "|" in value else []) if value else None
            flags.update({name: values for name in names.split(",") if name.startswith("-")})
    return commands


def words_of(command):
    """Up to a pipe, a redirection, a comment or the next command."""
    lexer = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if re.fullmatch(r"[();<>|&]+", word):
            break
        words.append(word)
    return words[1:]


def unknown_words(words, commands):
    name, global_flags = "tunesmith", commands["tunesmith"]
    position = 0
    while position < len(words):
        word = words[position]
        if f"{name} {word}" in commands:
            name = f"{name} {word}"
        elif word in global_flags and name == "tunesmith":
            position += global_flags[word] is not None
        else:
            break
        position += 1
    if name == "tunesmith" and words[position:] and re.fullmatch(r"[a-z][a-z-]*", words[position]):
        yield f"there is no command {words[position]}"
    flags = {**global_flags, **commands[name]}
    for i, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if not re.fullmatch(r"--[a-z][a-z0-9-]*|-[a-z]", flag):
            continue
        if flag not in flags:
            yield f"{name} has no flag {flag}"
            continue
        value = value if equals else words[i + 1] if i + 1 < len(words) else ""
        if flags[flag] and re.fullmatch(r"[a-z0-9-]+", value) and value not in flags[flag]:
            yield f"{flag} of {name} cannot be {value}"


def unknown_commands(page, text, commands):
    for block in CODE.finditer(text):
        for match in COMMAND.finditer(block.group(1) or block.group(2)):
            for problem in unknown_words(words_of(match.group(1)), commands):
                yield f"{page.relative_to(ROOT)}:{line_of(text, block.start())}: `{match.group(1)}`: {problem}"


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
    commands = known_commands()
    for page in pages():
        text = page.read_text(encoding="utf-8")
        block_count += len(BLOCK.findall(text))
        problems += broken_links(page, text)
        if page != REFERENCE:
            problems += unknown_commands(page, text, commands)
        problems += failed_blocks(page, text, environment)
    print("\n".join(problems) or f"docs: {block_count} blocks ran, links lead somewhere")
    # Of none at all the pattern would be wrong, not the pages.
    return 1 if problems or block_count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
