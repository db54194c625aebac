#!/usr/bin/env python3
"""tensorboard_parity.py RUN_DIRECTORY: whether TensorBoard reads from a run's event files the values that events.jsonl has."""

import json
import pathlib
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TAGS = {"train/loss": "loss", "train/learning_rate": "learning_rate", "train/gradient_norm": "gradient_norm",
        "train/tokens_per_second": "tokens_per_second", "train/step_seconds": "step_seconds"}


def as_float(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def expected_curves(run):
    """(tag, step) -> value; of a step that was taken twice, the second time."""
    curves = {}
    for line in (run / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        progress, evaluation = event.get("progress", {}), event.get("evaluation", {})
        if progress:
            curves.update({(tag, int(progress["step"])): as_float(progress.get(field, 0.0)) for tag, field in TAGS.items()})
        if evaluation:
            curves["evaluation/loss", int(evaluation.get("step", 0))] = as_float(evaluation["mean_loss"])
    return curves


def main():
    run = pathlib.Path(sys.argv[1])
    accumulator = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}, purge_orphaned_data=True)
    accumulator.Reload()
    found = {(tag, event.step): event.value for tag in accumulator.Tags()["scalars"] for event in accumulator.Scalars(tag)}
    expected = expected_curves(run)
    wrong = [key for key in set(found) | set(expected) if found.get(key) != expected.get(key)]
    print(f"TensorBoard reads {len(found)} values, {len(wrong)} of them not as events.jsonl has them")
    print(json.dumps({"curve_value_count": len(found), "curve_mismatch_count": len(wrong)}))
    if wrong or not found:
        sys.exit(f"tensorboard_parity: {sorted(wrong)[:10]}")


if __name__ == "__main__":
    main()
