#!/usr/bin/env python3
"""SmolLM2-135M on one rank and on several with ZeRO-3, as processes under mpirun: see scripts/bench/ranks, which calls this.

Every job takes the same rows in the same steps from the same weights, in float32, so its losses must be those of one rank up to the order of sums. The
command fails where a loss is further off than --tolerance. Step times are of ranks that share this host's processors: they say what ranks cost, not what
they gain. Arena bytes are per rank; the resident peak is the first rank's.
"""

import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys

MIXES = {
    "full": "method=full precision=fp32 recompute=keep:30 attention=flash loss=chunked",
    "lora": "method=lora:r16 precision=fp32 recompute=keep:30 attention=flash loss=chunked",
}
RATES = {"full": 2e-5, "lora": 5e-4}


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(*command, **options):
    finished = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **options)
    if finished.returncode != 0:
        sys.exit(f"ranks: {' '.join(map(str, command))}\n{finished.stdout[-2000:]}\n{finished.stderr[-4000:]}")
    return finished.stdout


def mix_of(arguments, method, ranks):
    sharing = arguments.sequence_parallel if ranks > 1 else 1
    if ranks % sharing != 0 or arguments.rows % (ranks // sharing) != 0:
        sys.exit(f"ranks: ranks({ranks}) % sequence_parallel({sharing}) and rows({arguments.rows}) % data ranks must be 0")
    data = ranks // sharing
    batch = f"batch=1x{arguments.rows // data}x{data} sequence_parallel={sharing}"
    return f"{MIXES[method]} {batch}" + (f" zero_stage={arguments.zero_stage}" if ranks > 1 else "")


def write_run(arguments, method, ranks):
    directory = arguments.work / f"{method}-{ranks}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    run(arguments.build / "bin/tunesmith", "--offline", "estimate", "--model", arguments.model, "--context", arguments.context, "--batch",
        arguments.rows, "--gpus", f"{ranks}xcpu", "--mix", mix_of(arguments, method, ranks), "--plan-out", directory / "plan.json")
    job = {"model_path": str(arguments.model), "dataset_path": str(arguments.data / "train.jsonl"),
           "evaluation_path": str(arguments.data / "held_out.jsonl"),
           "training": {"learning_rate": RATES[method], "step_count": arguments.steps, "seed": 1}}
    (directory / "job.json").write_text(json.dumps(job), encoding="utf-8")
    return directory


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command_of(arguments, ranks, transport):
    """What starts the trainer's ranks, where there are several: mpirun, with none bound to a processor, as root where that is who runs this; or the shim, whose ranks speak by TCP."""
    if ranks == 1:
        return []
    if transport == "tcp":
        return [arguments.build / "bin/tunesmith-shim", "ranks", "--count", ranks, "--nodes", 1, "--node", 0, "--master", f"127.0.0.1:{free_port()}",
                "--log", arguments.work / "ranks.log", "--"]
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    return ["mpirun", "-n", ranks, "--oversubscribe", "--bind-to", "none", *root]


def train(arguments, method, ranks, transport):
    directory = write_run(arguments, method, ranks)
    run(*command_of(arguments, ranks, transport), arguments.build / "bin/tunesmith-trainer", "run", "--run-dir", directory)
    events = [json.loads(line) for line in (directory / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [event["progress"] for event in events if "progress" in event]
    summary = json.loads((directory / "exit.json").read_text(encoding="utf-8"))["summary"]
    shutil.rmtree(directory)
    return {
        "losses": [step["loss"] for step in steps],
        "held_out_losses": [summary["held_out_loss_before"], summary["held_out_loss_after"]],
        "step_seconds": statistics.median([step["step_seconds"] for step in steps][1:] or [steps[0]["step_seconds"]]),
        "predicted_arena_bytes": int(summary["predicted_arena_bytes"]),
        "used_arena_bytes": int(summary["used_arena_bytes"]),
        "peak_resident_bytes": int(summary["peak_resident_bytes"]),
    }


def largest_difference(result, alone):
    pairs = zip(result["losses"] + result["held_out_losses"], alone["losses"] + alone["held_out_losses"], strict=True)
    return max(abs(a - b) / abs(b) for a, b in pairs)


def measure(arguments):
    result = {"rows": arguments.rows, "context": arguments.context, "steps": arguments.steps, "zero_stage": arguments.zero_stage,
              "sequence_parallel": arguments.sequence_parallel}
    too_far = []
    for method in arguments.methods:
        alone = None
        jobs = [(1, "")] + [(ranks, transport) for ranks in arguments.ranks for transport in arguments.transports]
        for ranks, transport in jobs:
            got = train(arguments, method, ranks, transport)
            alone = alone or got
            difference = largest_difference(got, alone)
            name = f"{method}_{ranks}" + (f"_{transport}" if len(arguments.transports) > 1 and transport else "")
            if difference > arguments.tolerance:
                too_far.append(name)
            say(f"{method}, {ranks} rank{'s' if ranks > 1 else ''}{f' by {transport}' if transport else ''}: losses {[round(x, 5) for x in got['losses']]}, "
                f"held out {[round(x, 5) for x in got['held_out_losses']]}")
            result |= {
                f"{name}_last_loss": got["losses"][-1],
                f"{name}_held_out_loss": got["held_out_losses"][-1],
                f"{name}_largest_relative_difference": difference,
                f"{name}_step_seconds": got["step_seconds"],
                f"{name}_predicted_arena_bytes": got["predicted_arena_bytes"],
                f"{name}_used_arena_bytes": got["used_arena_bytes"],
                f"{name}_peak_resident_bytes": got["peak_resident_bytes"],
            }
    return result, too_far


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--model", type=pathlib.Path, required=True, help=".gguf file or Hugging Face directory")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="directory of train.jsonl and held_out.jsonl")
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4], help="beside one")
    parser.add_argument("--methods", nargs="+", choices=sorted(MIXES), default=["full", "lora"])
    parser.add_argument("--transports", nargs="+", choices=["mpi", "tcp"], default=["mpi"], help="by which several ranks speak")
    parser.add_argument("--zero-stage", type=int, default=3)
    parser.add_argument("--sequence-parallel", type=int, default=1, help="ranks that share a micro-batch, where there are several")
    parser.add_argument("--rows", type=int, default=4, help="per optimizer step")
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--tolerance", type=float, default=1e-5, help="largest relative difference of a loss")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    arguments.build, arguments.model, arguments.data = (p.resolve() for p in (arguments.build, arguments.model, arguments.data))
    result, too_far = measure(arguments)
    for key, value in result.items():
        print(f"{key:44} {value:.6g}" if isinstance(value, float) else f"{key:44} {value}")
    print(json.dumps(result))
    if too_far:
        sys.exit(f"ranks: losses further from one rank's than {arguments.tolerance}: {', '.join(too_far)}")


if __name__ == "__main__":
    main()
