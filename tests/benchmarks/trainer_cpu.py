#!/usr/bin/env python3
"""The CPU trainer beside Hugging Face's Trainer on the same rows, model and threads: see scripts/bench/trainer-cpu, which calls this.

Both sides train SmolLM2-135M in float32 on the same rows of 512 tokens. Every row is one document cut at the context, so that neither side packs, pads or
masks, and Hugging Face's attention takes its quickest path. Each round starts a fresh process for each side and method, in turn; a process's first step is
left out. Peaks are VmHWM, which on Hugging Face's side is reset before training begins. The first loss, before any update, must agree: both computed the
same thing.

The bound is the time that the step's matrix products take when each of their shapes runs alone on the same threads (tunesmith-bench-step): medians, as the
steps' are, so that both sides see the machine at its usual speed. The least bound takes the quickest run of each product in any round instead.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
METHODS = ("lora", "full")
LEARNING_RATE = 1e-5


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(*command, **options):
    finished = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    if finished.returncode != 0:
        sys.exit(f"trainer-cpu: {' '.join(map(str, command))}\n{finished.stdout[-2000:]}\n{finished.stderr[-4000:]}")
    return finished.stdout


def texts_from(path, count):
    """Texts of more than a context, from rows of prompt and completion."""
    texts, text = [], ""
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        text += row["prompt"] + row["completion"] + "\n\n"
        if len(text) > 4500:
            texts.append(text)
            text = ""
    if len(texts) < count:
        sys.exit(f"trainer-cpu: the data set gives {len(texts)} rows, {count} are needed")
    return texts[:count]


def write_data(arguments):
    texts = texts_from(arguments.texts, arguments.rows)
    (arguments.work / "data.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    lines = run(arguments.build / "tests/tokenize", arguments.model, input="".join(json.dumps(text) + "\n" for text in texts)).splitlines()
    rows = [json.loads(line)[: arguments.context] for line in lines]
    if any(len(row) < arguments.context for row in rows):
        sys.exit("trainer-cpu: a text is shorter than the context")
    (arguments.work / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def make_plan(arguments, method):
    """The planner's choice within the budget; its report goes to standard error."""
    path = arguments.work / f"{method}-plan.json"
    report = run(arguments.build / "bin/tunesmith", "--offline", "recommend", "--model", arguments.model, "--context", arguments.context,
                 "--batch", arguments.rows, "--method", method, "--precision", "fp32", "--memory-budget", getattr(arguments, f"{method}_budget"),
                 "--plan-out", path)
    say(f"== plan for {method}\n{report}")
    return path


def train_ours(arguments, method, plan):
    directory = arguments.work / "run"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    shutil.copy(plan, directory / "plan.json")
    job = {"model_path": str(arguments.model), "dataset_path": str(arguments.work / "data.jsonl"), "thread_count": arguments.threads,
           "training": {"learning_rate": LEARNING_RATE, "step_count": arguments.steps}}
    (directory / "job.json").write_text(json.dumps(job), encoding="utf-8")
    run(arguments.build / "bin/tunesmith-trainer", "run", "--run-dir", directory)
    events = [json.loads(line) for line in (directory / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [event["progress"] for event in events if "progress" in event]
    summary = json.loads((directory / "exit.json").read_text(encoding="utf-8"))["summary"]
    shutil.rmtree(directory)
    return {"step_seconds": [step["step_seconds"] for step in steps], "losses": [step["loss"] for step in steps],
            "peak_resident_bytes": int(summary["peak_resident_bytes"])}


def train_theirs(arguments, method):
    micro_batch = getattr(arguments, f"{method}_micro_batch")
    lines = run(arguments.python, ROOT / "tests/benchmarks/hf_trainer.py", "--model", arguments.model, "--rows", arguments.work / "rows.jsonl",
                "--method", method, "--micro-batch", micro_batch, "--accumulation", arguments.rows // micro_batch, "--steps", arguments.steps,
                "--threads", arguments.threads, "--attention", arguments.attention, "--learning-rate", LEARNING_RATE, "--work", arguments.work)
    return json.loads(lines.splitlines()[-1])


def measure_bound(arguments, plan):
    out = run(arguments.build / "bin/tunesmith-bench-step", "--plan", plan, "--threads", arguments.threads, "--steps", 0)
    return json.loads(out.splitlines()[-1])


def check_losses(method, ours, theirs):
    difference = abs(ours["losses"][0] - theirs["losses"][0])
    if difference > 1e-3:
        sys.exit(f"trainer-cpu: {method}: the first loss is {ours['losses'][0]}, with Hugging Face's Trainer {theirs['losses'][0]}")


class Side:
    """One side's runs of one method."""

    def __init__(self):
        self.seconds, self.peaks = [], []

    def add(self, result):
        self.seconds += result["step_seconds"][1:]
        self.peaks.append(result["peak_resident_bytes"])

    def median_seconds(self):
        return statistics.median(self.seconds)

    def peak_bytes(self):
        return max(self.peaks)


def measure(arguments, plans):
    sides = {(side, method): Side() for side in ("ours", "theirs") for method in METHODS}
    bounds = {method: [] for method in METHODS}
    for round_index in range(arguments.rounds):
        for method in METHODS:
            bounds[method].append(measure_bound(arguments, plans[method]))
            ours = train_ours(arguments, method, plans[method])
            theirs = train_theirs(arguments, method)
            check_losses(method, ours, theirs)
            sides["ours", method].add(ours)
            sides["theirs", method].add(theirs)
            say(f"round {round_index + 1}/{arguments.rounds}, {method}: steps {[round(s, 2) for s in ours['step_seconds']]} s, "
                f"Hugging Face {[round(s, 2) for s in theirs['step_seconds']]} s, products alone {bounds[method][-1]['bound_seconds']:.2f} s")
    return sides, bounds


def summarize(arguments, sides, bounds):
    result = {"rows": arguments.rows, "context": arguments.context, "threads": arguments.threads}
    tokens = arguments.rows * arguments.context
    for method in METHODS:
        ours, theirs = sides["ours", method], sides["theirs", method]
        bound = bounds[method][0]
        bound_seconds = statistics.median(b["bound_seconds"] for b in bounds[method])
        least_bound_seconds = min(b["least_bound_seconds"] for b in bounds[method])
        result |= {
            f"{method}_mix": bound["mix"],
            f"{method}_tokens_per_second": tokens / ours.median_seconds(),
            f"{method}_tokens_per_second_hf": tokens / theirs.median_seconds(),
            f"{method}_speed_ratio": theirs.median_seconds() / ours.median_seconds(),
            f"{method}_fastest_step_ratio": min(theirs.seconds) / min(ours.seconds),
            f"{method}_peak_bytes": ours.peak_bytes(),
            f"{method}_peak_bytes_hf": theirs.peak_bytes(),
            f"{method}_memory_ratio": ours.peak_bytes() / theirs.peak_bytes(),
            f"{method}_bound_seconds": bound_seconds,
            f"{method}_product_gflops_per_second": bound["product_flops"] / bound_seconds * 1e-9,
            f"{method}_bound_share": bound_seconds / ours.median_seconds(),
            f"{method}_least_bound_share": least_bound_seconds / min(ours.seconds),
        }
    result["blas_bound_share"] = min(result[f"{method}_bound_share"] for method in METHODS)
    return result


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--python", type=pathlib.Path, required=True, help="that has torch, transformers and peft")
    parser.add_argument("--model", type=pathlib.Path, required=True, help=".gguf file")
    parser.add_argument("--texts", type=pathlib.Path, required=True, help="JSONL of prompt and completion, to make rows from")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="of each process; the first is left out")
    parser.add_argument("--rows", type=int, default=4, help="per optimizer step")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lora-budget", default="1.5GiB", help="memory that the planner may use")
    parser.add_argument("--full-budget", default="3GiB")
    parser.add_argument("--lora-micro-batch", type=int, default=1, help="rows at a time on Hugging Face's side")
    parser.add_argument("--full-micro-batch", type=int, default=1)
    parser.add_argument("--attention", choices=["sdpa", "eager"], default="sdpa", help="on Hugging Face's side")
    arguments = parser.parse_args()
    if arguments.steps < 2:
        parser.error("--steps: at least 2, the first is left out")
    return arguments


def main():
    arguments = parse_arguments()
    arguments.work.mkdir(parents=True, exist_ok=True)
    write_data(arguments)
    plans = {method: make_plan(arguments, method) for method in METHODS}
    result = summarize(arguments, *measure(arguments, plans))
    for key, value in result.items():
        print(f"{key:36} {value:.4g}" if isinstance(value, float) else f"{key:36} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
