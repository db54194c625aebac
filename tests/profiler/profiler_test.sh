#!/bin/bash
# The profiler as a process: killed while it measures, started again, and started beside itself. $1: the binary.
set -euo pipefail
PROFILER=$1
DATA=$(mktemp -d)
trap 'rm -rf "$DATA"' EXIT
fail() {
  echo "FAILED: $*" >&2
  exit 1
}
COMMAND=("$PROFILER" --data-dir "$DATA" --context 16 --allow-noise)
calibrate() { "${COMMAND[@]}" "$@"; }
field() { grep -o "\"$2\": \"\\?[^\",]*" "$DATA/calibration-runs/$1/progress.json" | sed 's/.*[: "]//'; }

"${COMMAND[@]}" --budget 10s --run-dir "$DATA/calibration-runs/run-1" 2>"$DATA/log" &
FIRST=$!
for ((i = 0; i < 600; ++i)); do
  if [[ -f $DATA/calibration-runs/run-1/progress.json && $(field run-1 done_probe_count) -ge 1 ]]; then break; fi
  sleep 0.1
done
if calibrate --budget 1s 2>"$DATA/beside"; then fail "two calibrations of one directory"; fi
grep -q 'another calibration is running' "$DATA/beside" || fail "said $(cat "$DATA/beside")"
kill -KILL $FIRST
wait $FIRST 2>/dev/null || true
DONE=$(field run-1 done_probe_count)
[[ $DONE -ge 1 ]] || fail "no program was done"
[[ -z $(ls "$DATA/calibrations") ]] || fail "a calibration that was killed left $(ls "$DATA/calibrations")"

calibrate --budget 0.001s --run-dir "$DATA/calibration-runs/run-2"
[[ $(field run-2 resumed_probe_count) == "$DONE" ]] || fail "$(field run-2 resumed_probe_count) of $DONE programs were taken up"
ID=$(field run-2 calibration_id)
[[ -f $DATA/calibrations/$ID.json ]] || fail "there is no calibration '$ID'"
[[ -z $(find "$DATA/calibration-runs" -name "kept-*") ]] || fail "samples of a stored calibration were kept"
if calibrate --run-dir "$DATA/calibration-runs/run-2" 2>"$DATA/again"; then fail "a run directory was used twice"; fi
grep -q 'was run in' "$DATA/again" || fail "said $(cat "$DATA/again")"

# In another precision: a calibration of its own, of programs of its own.
calibrate --budget 0.001s --precision bf16 --run-dir "$DATA/calibration-runs/run-bf16"
ID_BF16=$(field run-bf16 calibration_id)
grep -q '"precision": "PRECISION_BF16"' "$DATA/calibrations/$ID_BF16.json" || fail "$ID_BF16 is not of bf16"
grep -q '"precision": "PRECISION_FP32"' "$DATA/calibrations/$ID.json" || fail "$ID is not of fp32"
[[ $(field run-bf16 resumed_probe_count || true) != [1-9]* ]] || fail "programs of fp32 were taken up for bf16"

# A clock that was set back: what is dated later goes on to be used, which is said.
sed "s/\"measured_at\": \"[0-9]*/\"measured_at\": \"2999/; s/\"id\": \"[^\"]*/\"id\": \"cpu-later/" "$DATA/calibrations/$ID.json" >"$DATA/calibrations/cpu-later.json"
calibrate --budget 0.001s 2>"$DATA/clock"
grep -q 'clock was set back: cpu-later is dated later' "$DATA/clock" || fail "said $(cat "$DATA/clock")"

# What does not fit the memory is left out, and the rest is kept: full fine-tuning needs four times what its weights take. Sanitizers need an address space that has no limit.
LIMIT_KIB=800000
limited() { (ulimit -v $LIMIT_KIB && calibrate "$@"); }
if (ulimit -v $LIMIT_KIB && "$PROFILER" --help >/dev/null 2>&1); then
  limited --budget 0.001s --run-dir "$DATA/calibration-runs/run-3" 2>"$DATA/limited" || fail "said $(cat "$DATA/limited")"
  [[ $(field run-3 done_probe_count) -ge 2 ]] || fail "only $(field run-3 done_probe_count) programs were measured"
  if grep -q 'method=full' "$DATA/limited"; then fail "full fine-tuning fitted: the limit is too high to test anything"; fi
  LIMIT_KIB=250000
  if limited --budget 0.001s 2>"$DATA/none"; then fail "measured in next to no memory"; fi
  grep -q 'this host gave no' "$DATA/none" || fail "said $(cat "$DATA/none")"
fi

# A busy machine is refused: each thread of ours shares its processor with two that do nothing but count.
BUSY=()
for ((i = 0; i < 2 * $(nproc); ++i)); do
  (while :; do :; done) &
  BUSY+=($!)
done
if "$PROFILER" --data-dir "$DATA" --context 16 --budget 0.001s 2>"$DATA/busy"; then REFUSED=no; else REFUSED=yes; fi
kill "${BUSY[@]}"
[[ $REFUSED == yes ]] || fail "a busy machine was calibrated"
grep -q 'too busy to be calibrated: other work takes' "$DATA/busy" || fail "said $(cat "$DATA/busy")"
