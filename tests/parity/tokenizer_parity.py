#!/usr/bin/env python3
"""Compares our tokenizer with Hugging Face tokenizers, id for id.

    tokenizer_parity.py --tokenize build/tests/tokenize --cache DIRECTORY [--lines 100000] [MODEL ...]

Without MODEL, one vocabulary of each kind is made in DIRECTORY (vocabularies.py); MODEL is a .gguf file or a directory with a tokenizer.json.
Every line (parity_text.py) is encoded with and without special tokens and decoded again. Some of them are also encoded by the library from the
tokenizer.json that we write. Prints a table and, last, one JSON object.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import tokenizers
from parity_text import mixed_lines
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from vocabularies import LLAMA3, QWEN2, byte_level, split, write_tokenizers

ROOT = pathlib.Path(__file__).resolve().parents[2]
REWRITTEN_LINES = 5000


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
    oracle.decoder = decoders.ByteLevel()
    special = [AddedToken(t, special=True, normalized=False) for t, k in zip(tokens, value("token_type")) if k == 3]
    oracle.add_special_tokens(special)
    return oracle


def ours(tokenize, model, texts, *extra):
    """What our tool prints for each text, and the seconds it took."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    begin = time.monotonic()
    run = subprocess.run([tokenize, model, *extra], input=lines, capture_output=True, encoding="utf-8")
    if run.returncode != 0:
        sys.exit(f"{tokenize} {model}: {run.stderr}")
    return [json.loads(line) for line in run.stdout.split("\n")[:-1]], time.monotonic() - begin


class Comparison:
    """Counts differences of one model and shows the first few."""

    def __init__(self, name):
        self.name, self.wrong, self.shown = name, set(), 0

    def check(self, kind, texts, expected, found):
        for i, (text, theirs, mine) in enumerate(zip(texts, expected, found, strict=True)):
            if theirs == mine:
                continue
            self.wrong.add(i)
            self.shown += 1
            if self.shown <= 5:
                print(f"{self.name}, {kind}: {text[:80]!r}\n    expected {theirs[:20]!r}\n    found    {mine[:20]!r}", file=sys.stderr)


def check_model(tokenize, model, name, texts):
    oracle = oracle_from_gguf(model) if model.endswith(".gguf") else Tokenizer.from_file(model + "/tokenizer.json")
    comparison = Comparison(name)
    begin = time.monotonic()
    plain = [encoding.ids for encoding in oracle.encode_batch(texts, add_special_tokens=False)]
    their_seconds = time.monotonic() - begin
    with tempfile.TemporaryDirectory() as directory:
        written = directory + "/tokenizer.json"
        found, seconds = ours(tokenize, model, texts, "--write-tokenizer-json", written)
        comparison.check("ids", texts, plain, found)
        some = texts[:REWRITTEN_LINES]
        rewritten = Tokenizer.from_file(written).encode_batch(some, add_special_tokens=False)
        comparison.check("ids from our tokenizer.json", some, [encoding.ids for encoding in rewritten], found[:REWRITTEN_LINES])
    if not model.endswith(".gguf"):
        special = [encoding.ids for encoding in oracle.encode_batch(texts)]
        comparison.check("ids with special tokens", texts, special, ours(tokenize, model, texts, "--add-special")[0])
    decoded = oracle.decode_batch(plain, skip_special_tokens=False)
    comparison.check("decoded text", texts, decoded, ours(tokenize, model, texts, "--decode")[0])
    return len(comparison.wrong), sum(map(len, plain)), seconds, their_seconds


def special_texts(model):
    if model.endswith(".gguf"):
        return []
    return [token["content"] for token in json.loads((pathlib.Path(model) / "tokenizer.json").read_text())["added_tokens"]][:200]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenize", required=True)
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--lines", type=int, default=100000)
    parser.add_argument("models", nargs="*")
    arguments = parser.parse_args()
    named = {model: model for model in arguments.models}
    if not named:
        named = {name: str(arguments.cache / name) for name in write_tokenizers(arguments.cache, ROOT)}
    print(f"tokenizers {tokenizers.__version__}; {arguments.lines} lines for each vocabulary\n")
    print(f"{'vocabulary':28}{'tokens':>12}{'lines that differ':>20}{'seconds, ours':>16}{'theirs':>8}")
    mismatches = 0
    for name, model in named.items():
        texts = mixed_lines(arguments.lines, ROOT, special_texts(model))
        wrong, tokens, seconds, their_seconds = check_model(arguments.tokenize, model, name, texts)
        print(f"{name:28}{tokens:12}{wrong:20}{seconds:16.2f}{their_seconds:8.2f}", flush=True)
        mismatches += wrong
    print(json.dumps({"tokenizer_line_count": arguments.lines, "tokenizer_count": len(named), "tokenizer_mismatch_count": mismatches}))
    sys.exit(1 if mismatches else 0)


if __name__ == "__main__":
    main()
