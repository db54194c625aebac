"""Lines of mixed text, code and Unicode, the same on every host for the same tree and Python version."""

import pathlib
import pydoc_data.topics
import random
import string
import sys
import unicodedata

SPACES = [" ", " ", " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n ", "\u00a0", "\u2003", "\u2028", "\u3000", "\u180e", "\u200b", "\u200d", "\ufeff"]
APOSTROPHES = ["'s", "'LL", "'\u017f", "\u2019s", "'re", "'Ve", "'d", "'m", "'T"]
SCRIPTS = [(0x20, 0x7e), (0, 0x20), (0xa0, 0x24f), (0x300, 0x36f), (0x370, 0x3ff), (0x400, 0x52f), (0x530, 0x5ff), (0x600, 0x6ff), (0x900, 0xdff),
           (0xe00, 0xeff), (0x1000, 0x109f), (0x1100, 0x11ff), (0x13a0, 0x13ff), (0x1680, 0x18af), (0x1e00, 0x1fff), (0x2000, 0x206f), (0x20a0, 0x218f),
           (0x2190, 0x2bff), (0x3000, 0x30ff), (0x3100, 0x33ff), (0x4e00, 0x9fff), (0xac00, 0xd7a3), (0xfb00, 0xfdff), (0xfe20, 0xffef),
           (0x10000, 0x1083f), (0x1d400, 0x1d7ff), (0x1f100, 0x1f1ff), (0x1f300, 0x1f6ff), (0x20000, 0x2a6df)]


def assigned(low, high):
    """The characters that this Python's Unicode has: libraries of later versions agree on them."""
    return [chr(c) for c in range(low, high + 1) if unicodedata.category(chr(c)) not in {"Cn", "Cs"}]


def source_lines(root):
    for path in sorted(root.rglob("*")):
        if path.suffix in {".cc", ".h", ".py", ".md", ".proto", ".sh", ".txt"} and "build" not in path.parts and not path.is_symlink():
            yield from path.read_text(errors="replace").splitlines()


def prose():
    return [line for topic in sorted(pydoc_data.topics.topics.values()) for line in topic.splitlines() if line.strip()]


def python_lines():
    library = pathlib.Path(pydoc_data.topics.__file__).parents[1]
    for name in ("ast.py", "typing.py", "asyncio/base_events.py", "html/entities.py", "http/client.py", "turtle.py", "decimal.py", "_pydecimal.py"):
        if (library / name).exists():
            yield from (library / name).read_text().splitlines()


def unicode_line(rng, alphabets):
    alphabet = rng.choice(alphabets)
    parts = []
    for _ in range(rng.randint(1, 40)):
        kind = rng.random()
        if kind < 0.6:
            parts.append("".join(rng.choices(alphabet, k=rng.randint(1, 6))))
        elif kind < 0.85:
            parts.append(rng.choice(SPACES))
        elif kind < 0.9:
            parts.append(rng.choice(APOSTROPHES))
        else:
            parts.append("".join(rng.choices(string.printable, k=rng.randint(1, 5))))
    return "".join(parts)


def number_line(rng):
    return rng.choice([" ", "", "$", "-", "x="]).join(str(rng.randrange(10 ** rng.randint(1, 20))) for _ in range(rng.randint(1, 6)))


def spaced_line(rng, line):
    """A line of text with other white space between its words."""
    return "".join(word + rng.choice(SPACES) for word in line.split(" "))


def block(rng, lines):
    begin = rng.randrange(len(lines))
    return "\n".join(lines[begin:begin + rng.randint(2, 30)])


def with_special(rng, line, special):
    at = rng.randint(0, len(line))
    token = rng.choice(special)
    return line[:at] + rng.choice(["", " ", "  "]) + token + rng.choice(["", " ", "\n", token]) + line[at:]


def mixed_lines(count, root, special=(), seed=1):
    """`count` lines; `special` are texts of added tokens that some lines hold."""
    rng = random.Random(seed)
    alphabets = [letters for letters in (assigned(low, high) for low, high in SCRIPTS) if letters]
    code, text = [line for line in [*source_lines(root), *python_lines()] if line.strip()], prose()
    makers = [lambda: rng.choice(text), lambda: rng.choice(code), lambda: unicode_line(rng, alphabets), lambda: number_line(rng),
              lambda: spaced_line(rng, rng.choice(text)), lambda: block(rng, code), lambda: block(rng, text)]
    fixed = ["", " ", "\n", "a" * 5000, " " * 3000, "\n" * 3000, "ab" * 3000, "\u2581", " \u2581x", "don't DON'T we'Ll", "12,345.678"]
    lines = fixed + [rng.choices(makers, weights=[20, 20, 40, 5, 5, 3, 2])[0]() for _ in range(count - len(fixed))]
    special = [token for token in special if token]
    return [with_special(rng, line, special) if special and rng.random() < 0.1 else line for line in lines]


if __name__ == "__main__":
    sys.stdout.writelines(repr(line) + "\n" for line in mixed_lines(int(sys.argv[1]), pathlib.Path(__file__).resolve().parents[2]))
