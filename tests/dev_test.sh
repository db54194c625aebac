#!/usr/bin/env bash
# Checks what ./dev says when it is asked wrongly, and that its verbs are the documented ones. Needs no network and builds nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  echo "dev_test: $*" >&2
  exit 1
}

# expect STATUS TEXT COMMAND...: the command ends with STATUS and prints TEXT somewhere.
expect() {
  local wanted_status=$1 wanted_text=$2 output status=0
  shift 2
  output=$("$@" 2>&1) || status=$?
  [[ $status -eq $wanted_status ]] || fail "'$*' ended with $status, not $wanted_status: $output"
  [[ $output == *"$wanted_text"* ]] || fail "'$*' does not say '$wanted_text': $output"
}

for verb in setup build test demo bench lint format bundle help; do
  expect 0 "  $verb" ./dev help
done
expect 0 "usage: ./dev" ./dev
expect 2 "no verb 'launch'" ./dev launch
expect 2 "no option '--everything'" ./dev setup --everything
expect 0 "Benchmarks:" ./dev bench
expect 1 "no benchmark 'nothing'" ./dev bench nothing
expect 1 "no benchmark '../dev'" ./dev bench ../dev
expect 1 "No such preset" ./dev build nothing

# A package that is installed is not asked for again; one that does not exist is.
source scripts/lib/setup.sh
if command -v dpkg-query >/dev/null; then
  [[ $(missing_packages dpkg no-such-package) == no-such-package ]] || fail "missing_packages is wrong"
fi
echo "dev_test: all good"
