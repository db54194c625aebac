#!/usr/bin/env python3
"""Resident memory of training jobs against what was predicted: see scripts/bench/memory, which calls this.

Jobs of models whose largest tensors differ by a factor of twenty, by each method, from weights drawn at random and from the weights that the full fine-tune before wrote. Each is a process of
its own, of two steps; what counts is the most resident memory that the kernel has seen of it. Memory is not disturbed by what else the host does. The last line of stdout is one JSON object:
  job_count
  arena_mismatch_count   jobs that did not use the arena that was predicted, within what alignment leaves unused
  total_mape, total_worst      |predicted / measured - 1| of all resident memory
  outside_arena_mape, outside_arena_worst   |predicted - measured| of what lies beside the arena, over all resident memory: how far off it makes the total
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 2048, "rms_norm_eps": 1e-5}
MODELS = {
    "30 layers, tied head": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
                             "vocab_size": 49152, "tie_word_embeddings": True},
    "12 layers, head apart": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "num_key_value_heads": 12,
                              "vocab_size": 32000, "tie_word_embeddings": False},
    "4 layers, 152k tokens": {"hidden_size": 896, "intermediate_size": 2432, "num_hidden_layers": 4, "num_attention_heads": 14, "num_key_value_heads": 2,
                              "vocab_size": 151936, "tie_word_embeddings": True},
}
METHODS = ["full", "lora", "qlora"]


def run(*command):
    finished = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if finished.returncode != 0:
        sys.exit(f"memory: {' '.join(map(str, command))}\n{finished.stdout[-2000:]}\n{finished.stderr[-4000:]}")
    return finished.stdout


def make_tokenizer(small, size):
    """The tokenizer `small` with as many tokens as a model has: each further one is two letters, or a longer one and a letter, merged."""
    tokenizer = json.loads(small.read_text(encoding="utf-8"))
    vocab, merges = tokenizer["model"]["vocab"], tokenizer["model"]["merges"]
    letters = [token for token in vocab if len(token) == 1]
    longer = list(letters)
    for first in longer:
        for second in letters:
            if len(vocab) == size:
                return tokenizer
            if first + second in vocab:
                continue
            vocab[first + second] = len(vocab)
            merges.append(f"{first} {second}" if not merges or isinstance(merges[0], str) else [first, second])
            longer.append(first + second)
    sys.exit(f"memory: no {size} tokens can be made")


def make_model(directory, config, tokenizer):
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(LLAMA | config), encoding="utf-8")
    (directory / "tokenizer.json").write_text(json.dumps(make_tokenizer(tokenizer, config["vocab_size"])), encoding="utf-8")
    (directory / "tokenizer_config.json").write_text('{"eos_token": "</s>"}', encoding="utf-8")


def run_job(arguments, model, method, drawn, name):
    directory = arguments.work / name
    directory.mkdir()
    plan = directory / "plan.json"
    run(arguments.build / "bin/tunesmith", "--offline", "recommend", "--model", model, "--context", 64, "--batch", 2, "--method", method, "--micro-batch", 1,
        "--plan-out", plan, *(["--calibration", arguments.calibration] if arguments.calibration else []))
    job = {"model_path": str(model), "dataset_path": str(arguments.work / "train.jsonl"), "device": "cpu",
           "training": {"step_count": 2, "learning_rate": 1e-4}} | ({"random_weights_seed": "1"} if drawn else {})
    (directory / "job.json").write_text(json.dumps(job), encoding="utf-8")
    run(arguments.build / "bin/tunesmith-trainer", "run", "--run-dir", directory)
    summary = json.loads((directory / "exit.json").read_text(encoding="utf-8"))["summary"]
    memory = json.loads(plan.read_text(encoding="utf-8"))["prediction"]["memory"]
    return {"arena": int(memory["arena_bytes"]), "used": int(summary["used_arena_bytes"]), "outside": int(memory["outside_arena_bytes"]),
            "total": int(memory["total_bytes"]), "peak": int(summary["peak_resident_bytes"])}


def show(name, method, weights, job):
    mib = 2**20
    print(f"{name:24s} {method:6s} {weights:6s}  resident {job['peak'] / mib:8.1f} MiB, predicted {job['total'] / mib:8.1f} ({job['total'] / job['peak'] - 1:+.1%});"
          f" beside the arena {(job['peak'] - job['arena']) / mib:7.1f} MiB, predicted {job['outside'] / mib:7.1f}", flush=True)


def measure(arguments):
    jobs = []
    for index, (name, config) in enumerate(MODELS.items()):
        drawn = arguments.work / f"model-{index}"
        make_model(drawn, config, arguments.tokenizer)
        written = arguments.work / f"{index}-full-drawn" / "output"
        for weights, model in (("drawn", drawn), ("read", written)):
            for method in METHODS:
                job = run_job(arguments, model, method, weights == "drawn", f"{index}-{method}-{weights}")
                show(name, method, weights, job)
                jobs.append(job)
    return jobs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
    parser.add_argument("--calibration", type=pathlib.Path, help="by default what the planner assumes")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.work, ignore_errors=True)
    arguments.work.mkdir(parents=True)
    rows = "".join(f'{{"text": "The package provides tools number {i}."}}\n' for i in range(400))
    (arguments.work / "train.jsonl").write_text(rows, encoding="utf-8")
    jobs = measure(arguments)
    totals = [abs(job["total"] / job["peak"] - 1) for job in jobs]
    outside = [abs(job["outside"] - (job["peak"] - job["arena"])) / job["peak"] for job in jobs]
    print(json.dumps({
        "job_count": len(jobs),
        "arena_mismatch_count": sum(abs(job["used"] / job["arena"] - 1) > 1e-3 for job in jobs),
        "total_mape": round(sum(totals) / len(totals), 4), "total_worst": round(max(totals), 4),
        "outside_arena_mape": round(sum(outside) / len(outside), 4), "outside_arena_worst": round(max(outside), 4)}))


if __name__ == "__main__":
    main()
