#!/usr/bin/env python3
"""Compares the trainer with transformers and PEFT on a real model: see scripts/bench/parity, which calls this.

Loss: every held-out row is tokenized by ours and by the library tokenizers with what the GGUF file says, which must agree; the mean loss over the same
predicted tokens is then computed by both from the same GGUF file, in float32. (transformers' own reading of the file's tokenizer passes over
tokenizer.ggml.pre, and so misses the split of digits; rows where that matters are counted on standard error.) Adapter: base model and adapter are loaded in PEFT, and its logits of a few rows are compared
with the trainer's, ||ours - theirs|| / ||theirs|| over all tokens of a row.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import peft
import torch
import transformers
from tokenizer_parity import oracle_from_gguf


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(*command, **options):
    finished = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if finished.returncode != 0:
        sys.exit(f"parity: {' '.join(map(str, command))}\n{finished.stderr}")
    return finished.stdout


def read_rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def our_ids(tools, model, texts):
    out = run(tools / "tokenize", model, input="".join(json.dumps(text) + "\n" for text in texts))
    return [json.loads(line) for line in out.splitlines()]


def check_ids(oracle, texts, ids):
    """Both tokenizers must give the same ids, or nothing after this means anything."""
    for text, ours in zip(texts, ids, strict=True):
        theirs = oracle.encode(text, add_special_tokens=False).ids
        if theirs != ours:
            sys.exit(f"parity: the tokenizers differ on {text[:80]!r}: expected {theirs[:20]}, ours {ours[:20]}")


def count_differences(tokenizer, texts, ids):
    return sum(tokenizer(text, add_special_tokens=False)["input_ids"] != ours for text, ours in zip(texts, ids, strict=True))


def documents_of(arguments, tokenizer, rows):
    """(ids, first learned position) of each row, as the trainer makes documents: prompt, completion, end token, cut at the context."""
    prompts, completions = [row["prompt"] for row in rows], [row["completion"] for row in rows]
    prompt_ids = our_ids(arguments.tools, arguments.model, prompts)
    completion_ids = our_ids(arguments.tools, arguments.model, completions)
    texts, ids = prompts + completions, prompt_ids + completion_ids
    check_ids(oracle_from_gguf(str(arguments.model)), texts, ids)
    say(f"parity: of {len(texts)} texts, transformers' tokenizer from the GGUF file gives other ids for {count_differences(tokenizer, texts, ids)}")
    end = [tokenizer.eos_token_id]
    return [((p + c + end)[: arguments.context], len(p)) for p, c in zip(prompt_ids, completion_ids, strict=True)]


def mean_loss(model, documents):
    total, count = 0.0, 0
    with torch.no_grad():
        for ids, first in documents:
            tokens = torch.tensor([ids])
            log_probabilities = torch.log_softmax(model(tokens).logits[0, :-1].double(), dim=-1)
            losses = -log_probabilities.gather(1, tokens[0, 1:, None])[max(first, 1) - 1 :, 0]
            total += float(losses.sum())
            count += losses.numel()
    return total / count, count


def adapter_logits(arguments, rows, directory):
    """The trainer's logits: (ids, array of (token, vocabulary)) of each row."""
    data, file = directory / "rows.jsonl", directory / "logits.f32"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    out = run(arguments.tools / "logits", arguments.model, arguments.adapter, data, arguments.context, file)
    documents = [json.loads(line) for line in out.splitlines()]
    flat = numpy.fromfile(file, dtype="<f4").reshape(sum(map(len, documents)), -1)
    ends = numpy.cumsum([len(ids) for ids in documents])
    return [(ids, flat[end - len(ids) : end]) for ids, end in zip(documents, ends, strict=True)]


def relative_error(ours, theirs):
    return float(numpy.linalg.norm(ours - theirs) / numpy.linalg.norm(theirs))


def compare_logits(model, ours):
    """The largest relative error over rows, and how far the adapter moves the logits at all."""
    error, effect = 0.0, 0.0
    with torch.no_grad():
        for ids, logits in ours:
            theirs = model(torch.tensor([ids])).logits[0].numpy()
            with model.disable_adapter():
                base = model(torch.tensor([ids])).logits[0].numpy()
            error = max(error, relative_error(logits.astype("f8"), theirs.astype("f8")))
            effect = max(effect, relative_error(base.astype("f8"), theirs.astype("f8")))
    return error, effect


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", type=pathlib.Path, required=True)
    parser.add_argument("--tools", type=pathlib.Path, required=True, help="directory of the test programs tokenize and logits")
    parser.add_argument("--model", type=pathlib.Path, required=True, help=".gguf file")
    parser.add_argument("--dataset", type=pathlib.Path, required=True)
    parser.add_argument("--adapter", type=pathlib.Path, required=True)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--prompts", type=int, default=4, help="rows whose logits are compared")
    arguments = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    rows = read_rows(arguments.dataset)
    say("parity: the trainer's loss")
    ours = json.loads(run(arguments.trainer, "evaluate", "--model", arguments.model, "--dataset", arguments.dataset, "--context", arguments.context,
                          "-o", "json"))
    say("parity: the loss of transformers on the same file and ids")
    source = {"gguf_file": arguments.model.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model.parent, **source)
    model = transformers.AutoModelForCausalLM.from_pretrained(arguments.model.parent, dtype=torch.float32, **source).eval()
    documents = documents_of(arguments, tokenizer, rows)
    theirs, token_count = mean_loss(model, documents)
    if token_count != ours["token_count"]:
        sys.exit(f"parity: the trainer predicted {ours['token_count']} tokens, transformers {token_count}")

    say("parity: the adapter in PEFT")
    model = peft.PeftModel.from_pretrained(model, arguments.adapter).eval()
    with tempfile.TemporaryDirectory() as directory:
        error, effect = compare_logits(model, adapter_logits(arguments, rows[: arguments.prompts], pathlib.Path(directory)))
    result = {"row_count": len(rows), "token_count": token_count, "mean_loss_trainer": ours["mean_loss"], "mean_loss_transformers": theirs,
              "mean_loss_difference": abs(ours["mean_loss"] - theirs), "adapter_logit_relative_error": error,
              "adapter_effect_on_logits": effect, "peft_loads": True}
    for key, value in result.items():
        print(f"{key:30}  {value}")
    print(json.dumps(result))
    if result["mean_loss_difference"] > 1e-3 or error > 1e-4 or effect < 1e-2:
        sys.exit("parity: outside the bars: loss within 1e-3, logits within 1e-4, an adapter that moves the logits by at least 1e-2")


if __name__ == "__main__":
    main()
