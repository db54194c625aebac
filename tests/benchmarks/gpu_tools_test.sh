#!/bin/bash
# The bundle's one binary for several tools, called by their names. $1: the binary.
set -euo pipefail
BIN=$(mktemp -d)
trap 'rm -rf "$BIN"' EXIT
fail() {
  echo "FAILED: $*" >&2
  exit 1
}
for name in tunesmith-selftest tunesmith-bench-ops tunesmith-bench-accuracy tunesmith-unknown; do ln -s "$1" "$BIN/$name"; done

"$BIN/tunesmith-selftest" --device cpu --steps 1 --threads 1 | grep -q '"losses"' || fail "the self test said nothing"
"$BIN/tunesmith-bench-accuracy" --replay tests/profiler/testdata/epyc-2-processors.json | grep -q '"point_count": 60' || fail "no points"
if "$BIN/tunesmith-bench-ops" --device tpu 2>"$BIN/log"; then fail "a device that is none"; fi
grep -q 'tunesmith-bench-ops: --device tpu' "$BIN/log" || fail "said $(cat "$BIN/log")"
if "$BIN/tunesmith-unknown" 2>"$BIN/log"; then fail "a tool that is none"; fi
grep -q '  tunesmith-selftest' "$BIN/log" || fail "said $(cat "$BIN/log")"
