#!/usr/bin/env python3
"""Cuts a file of published measurements to the rows and columns that `./dev bench published` reads.

    cut_measurements.py FILE OUT

Rows of stacks that runtimes/ does not hold are dropped; so are columns that the benchmark does not look at. Rows that it leaves out for
another reason stay, without their notes, so that the benchmark can say what it leaves out.
"""

import csv
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

COLUMNS = """id source framework model n_params_b gpu n_gpus dtype method lora_rank lora_targets quant zero_stage offload grad_checkpoint
attention seq_len micro_batch grad_accum global_batch optimizer peak_mem_gib_per_gpu s_per_iter tokens_per_s_per_gpu oom notes seq_exact
peak_mem_unit peak_mem_kind peak_alloc_gib tp pp cp derived_tok_s_per_gpu grade_mem grade_time""".split()


def judged_ids(path):
    """What the benchmark says of each row: the ids it used, and those it left out for their stack."""
    text = subprocess.run([ROOT / "build/bin/published_bench", path, "--rows"], capture_output=True, text=True, check=True).stdout
    used, foreign = set(), set()
    for line in text.splitlines():
        if line.startswith("left-out,"):
            _, row_id, reason = line.split(",", 2)
            if "stack not in runtimes/" in reason:
                foreign.add(row_id)
        elif "," in line and not line.startswith(("id,", "{", " ")):
            used.add(line.split(",", 1)[0])
    return used, foreign


def main():
    source, target = sys.argv[1:]
    used, foreign = judged_ids(source)
    with open(source, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["id"] not in foreign]
    with open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            if row["id"] not in used:
                row["notes"] = ""
            writer.writerow(row)
    print(f"{target}: {len(rows)} rows, {Path(target).stat().st_size} bytes")


if __name__ == "__main__":
    main()
