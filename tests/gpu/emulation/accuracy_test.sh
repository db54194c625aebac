#!/bin/bash
# The accuracy of predictions for a GPU, on the emulation: points of a tiny model, measured and predicted again. $1: the binary.
set -euo pipefail
BENCH=$1
DATA=$(mktemp -d)
trap 'rm -rf "$DATA"' EXIT
fail() {
  echo "FAILED: $*" >&2
  exit 1
}
field() { tail -n 1 "$1" | grep -o "\"$2\": [^,}]*" | sed 's/.*: //'; }

# A device of whose ops nothing is known, and beside whose arenas there are 110 MiB: more than the emulation's workspaces.
cat >"$DATA/calibration.json" <<'JSON'
{"id": "emulated", "device_name": "H100-SXM", "measured_at": "2026-01-01T00:00:00Z", "step_factor": 1, "relative_error": 0.1, "outside_arena_bytes": "115343360"}
JSON
"$BENCH" --device cuda:0 --axes tiny --calibration "$DATA/calibration.json" --points 4 --rounds 2 --save "$DATA/points.json" >"$DATA/out" 2>"$DATA/log" ||
  fail "$(cat "$DATA/log")"
[[ $(field "$DATA/out" point_count) == 4 ]] || fail "said $(tail -n 1 "$DATA/out")"
[[ $(field "$DATA/out" failed_count) == 0 ]] || fail "$(cat "$DATA/log")"
[[ $(field "$DATA/out" arena_mismatch_count) == 0 ]] || fail "arenas have another size: $(tail -n 1 "$DATA/out")"
[[ $(field "$DATA/out" memory_under_count) == 0 ]] || fail "more memory than predicted: $(tail -n 1 "$DATA/out")"
field "$DATA/out" memory_worst | grep -qE '^0\.[0-9]+$' || fail "said $(tail -n 1 "$DATA/out")"
"$BENCH" --replay "$DATA/points.json" >"$DATA/again"
[[ $(field "$DATA/again" time_mape) == "$(field "$DATA/out" time_mape)" ]] || fail "a replay says $(tail -n 1 "$DATA/again")"
[[ $(field "$DATA/again" memory_worst) == "$(field "$DATA/out" memory_worst)" ]] || fail "a replay says $(tail -n 1 "$DATA/again")"

# A prediction that is too small is told.
sed 's/115343360/1048576/' "$DATA/points.json" >"$DATA/less.json"
"$BENCH" --replay "$DATA/less.json" >"$DATA/less"
[[ $(field "$DATA/less" memory_under_count) == 4 ]] || fail "said $(tail -n 1 "$DATA/less")"

if "$BENCH" --device cuda:0 --axes wide 2>"$DATA/axes"; then fail "took axes that are not there"; fi
grep -q "no points 'wide'" "$DATA/axes" || fail "said $(cat "$DATA/axes")"
