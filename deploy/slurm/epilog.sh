#!/bin/bash
# Epilog of slurm.conf: tells a tunesmithd what a job with --comment=tunesmith:... really took, for its next predictions. Settings are read from
# tunesmith_epilog.conf beside it (shell: TUNESMITH, TUNESMITH_SERVER, GPU; export PATH where Slurm is not in /usr/bin, since epilogs have none). A
# failing epilog drains its node, so it always succeeds.
set -u
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
TUNESMITH=/usr/bin/tunesmith TUNESMITH_SERVER=127.0.0.1:7433 GPU=A100-80GB
# shellcheck source=/dev/null
[[ -r $here/tunesmith_epilog.conf ]] && source "$here/tunesmith_epilog.conf"

# Comments come from anybody.
comment=${SLURM_JOB_COMMENT:-}
[[ $comment =~ ^tunesmith:[A-Za-z0-9_.=,:-]{1,190}$ ]] || exit 0
[[ ${SLURM_JOB_ID:-} =~ ^[0-9]+$ ]] || exit 0

# Once for a job of several nodes.
first=$(timeout 5 scontrol show hostnames "${SLURM_JOB_NODELIST:-${SLURM_NODELIST:-}}" 2>/dev/null | head -n 1)
[[ -z $first || $first == "${SLURMD_NODENAME:-$first}" ]] || exit 0

# "RunTime=1-02:03:04" of the job, in seconds; a job that failed says nothing about time.
run_seconds() {
  local shown days=0 time
  shown=$(timeout 5 scontrol -o show job "$SLURM_JOB_ID" 2>/dev/null) || return 1
  [[ $shown =~ ExitCode=0:0 ]] || return 1
  [[ $shown =~ RunTime=(([0-9]+)-)?([0-9]+:[0-9]+:[0-9]+) ]] || return 1
  days=${BASH_REMATCH[2]:-0}
  IFS=: read -ra time <<<"${BASH_REMATCH[3]}"
  echo $((10#$days * 86400 + 10#${time[0]} * 3600 + 10#${time[1]} * 60 + 10#${time[2]}))
}

# The largest resident memory of a task that accounting has seen, in bytes; nothing without accounting.
peak_host_bytes() {
  timeout 5 sacct --noheader --parsable2 --noconvert --jobs "$SLURM_JOB_ID" --format=MaxRSS 2>/dev/null |
    sed -n 's/^\([0-9]\{1,15\}\)$/\1/p' | sort -n | tail -n 1
}

report() {
  local plan seconds peak words=()
  plan=$(mktemp) || return
  seconds=$(run_seconds)
  peak=$(peak_host_bytes)
  [[ $seconds =~ ^[0-9]+$ && $seconds -gt 0 ]] && words+=(--total-seconds "$seconds")
  [[ $peak =~ ^[0-9]+$ && $peak -gt 0 ]] && words+=(--peak-host-memory "$peak")
  if ((${#words[@]} > 0)) &&
    timeout 3 "$TUNESMITH" --offline slurm-hint --comment "$comment" --gpu "$GPU" --plan-out "$plan" >/dev/null; then
    timeout 5 "$TUNESMITH" --timeout 3 --server "$TUNESMITH_SERVER" measurements report --plan "$plan" "${words[@]}" \
      --source "Slurm job $SLURM_JOB_ID" --request-id "slurm-$SLURM_JOB_ID" >/dev/null
  fi
  rm -f "$plan"
}

# The node is kept for as long: a fraction of a second, or the time-outs where nobody answers. What an epilog leaves running is killed with it.
report </dev/null >/dev/null 2>&1
exit 0
