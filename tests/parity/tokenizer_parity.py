#!/usr/bin/env python3
"""Compares our tokenizer with Hugging Face tokenizers, id for id.

    tokenizer_parity.py --tokenize build/tests/tokenize MODEL [MODEL ...]

MODEL is a .gguf file or a directory with a tokenizer.json. For a GGUF file two oracles answer: one built here from the file's
metadata as the `gguf` package reads them, and one loaded from the tokenizer.json that we write. For a directory the oracle is the
tokenizer.json in it. Needs the packages tokenizers and gguf. The text is this host's package descriptions, the source code of this
tree, and random Unicode.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def byte_level(use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), byte_level(False)])


def pre_tokenizer_named(name):
    digits = pre_tokenizers.Digits(individual_digits=True)
    return {"smollm": pre_tokenizers.Sequence([digits, byte_level(True)]), "gpt-2": byte_level(True),
            "llama-bpe": split(LLAMA3), "qwen2": split(QWEN2)}[name]


def oracle_from_gguf(path):
    import gguf
    fields = gguf.GGUFReader(path).fields
    value = lambda key: fields["tokenizer.ggml." + key].contents()
    tokens, name = value("tokens"), value("pre")
    merges = [tuple(merge.split(" ")) for merge in value("merges")]
    oracle = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges, ignore_merges=name == "llama-bpe"))
    if name == "qwen2":
        oracle.normalizer = normalizers.NFC()
    oracle.pre_tokenizer = pre_tokenizer_named(name)
    special = [AddedToken(t, special=True, normalized=False) for t, k in zip(tokens, value("token_type")) if k == 3]
    oracle.add_special_tokens(special)
    return oracle


def host_lines(count):
    text = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, errors="replace").stdout
    lines = [line for line in text.splitlines() if len(line) > 20]
    return random.sample(lines, min(count, len(lines)))


def source_texts(root):
    texts = []
    for path in sorted(root.rglob("*")):
        if path.suffix in {".cc", ".h", ".py", ".md", ".proto"} and "build" not in path.parts:
            text = path.read_text(errors="replace")
            texts.append(text)
            texts += text.splitlines()[:20]
    return texts


def unicode_texts(count):
    ranges = [(0x20, 0x7e), (0, 0x20), (0xa0, 0x24f), (0x300, 0x36f), (0x370, 0x3ff), (0x400, 0x4ff), (0x590, 0x6ff),
              (0x900, 0x97f), (0xe00, 0xe7f), (0x1100, 0x11ff), (0x1680, 0x180f), (0x2000, 0x206f), (0x2150, 0x218f),
              (0x3000, 0x30ff), (0x4e00, 0x9fff), (0xac00, 0xd7a3), (0xff00, 0xffef), (0x1d400, 0x1d7ff),
              (0x1f300, 0x1f6ff)]
    spaces = [" ", "  ", "\t", "\n", "\r\n", "\n\n ", "\u00a0", "\u2028", "\u3000", "\u180e", "'s", "'LL", "'\u017f", "123"]
    texts = []
    for _ in range(count):
        low, high = random.choice(ranges)
        parts = [chr(random.randint(low, high)) if random.random() < 0.8 else random.choice(spaces)
                 for _ in range(random.randint(1, 60))]
        texts.append("".join(parts))
    return texts


def fixed_texts(oracle):
    special = [token.content for token in oracle.get_added_tokens_decoder().values()]
    around = [f"a {token} b{token}{token}  c" for token in special]
    return around + ["", " ", "\n", "a" * 5000, " " * 3000, "\n" * 3000, "ab" * 3000, "don't DON'T we'Ll", "1234567890 12,345.678"]


def ours(tokenize, model, texts, extra):
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    run = subprocess.run([tokenize, model, *extra], input=lines, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{tokenize} {model}: {run.stderr}")
    return [json.loads(line) for line in run.stdout.splitlines()]


def compare(label, oracle, texts, found, add_special):
    wrong = 0
    for text, ids in zip(texts, found, strict=True):
        expected = oracle.encode(text, add_special_tokens=add_special).ids
        if expected != ids:
            wrong += 1
            if wrong <= 5:
                print(f"  {text[:80]!r}\n    expected {expected[:20]}\n    found    {ids[:20]}")
    print(f"{label}: {len(texts)} texts, {sum(map(len, found))} tokens, {wrong} differ")
    return wrong


def check_model(tokenize, model, texts):
    wrong = 0
    with tempfile.TemporaryDirectory() as directory:
        written = directory + "/tokenizer.json"
        ours(tokenize, model, [], ["--write-tokenizer-json", written])
        rewritten = Tokenizer.from_file(written)
        given = oracle_from_gguf(model) if model.endswith(".gguf") else Tokenizer.from_file(model + "/tokenizer.json")
        texts = texts + fixed_texts(given)
        plain = ours(tokenize, model, texts, [])
        wrong += compare(f"{model}, oracle from the model", given, texts, plain, False)
        wrong += compare(f"{model}, oracle from our tokenizer.json", rewritten, texts, plain, False)
        special = ours(tokenize, model, texts, ["--add-special"])
        if not model.endswith(".gguf"):
            wrong += compare(f"{model}, with special tokens", given, texts, special, True)
        wrong += compare(f"{model}, our tokenizer.json, with special tokens", rewritten, texts, special, True)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenize", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("models", nargs="+")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    root = pathlib.Path(__file__).resolve().parents[2]
    texts = host_lines(5000) + source_texts(root) + unicode_texts(3000)
    print(f"tokenizers {tokenizers.__version__}; {len(texts)} texts")
    wrong = sum(check_model(arguments.tokenize, model, texts) for model in arguments.models)
    print(json.dumps({"text_count": len(texts), "model_count": len(arguments.models), "difference_count": wrong}))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
