#!/bin/bash
# Epilog of slurm.conf: tells a tunesmithd what a job with --comment=tunesmith:... really took, for its next predictions. Settings are read from
# tunesmith_epilog.conf beside it (shell: TUNESMITH, TUNESMITH_SERVER, and GPU, DEVICES_PER_NODE and MAX_DEVICES as the other hooks have them; export PATH where
# Slurm is not in /usr/bin, since epilogs have none). A failing epilog drains its node, so it always succeeds.
set -u
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
TUNESMITH=/usr/bin/tunesmith TUNESMITH_SERVER=127.0.0.1:7433 GPU=A100-80GB DEVICES_PER_NODE=8 MAX_DEVICES=64
# shellcheck source=/dev/null
[[ -r $here/tunesmith_epilog.conf ]] && source "$here/tunesmith_epilog.conf"

# Comments come from anybody.
comment=${SLURM_JOB_COMMENT:-}
[[ $comment =~ ^tunesmith:[A-Za-z0-9_.=,:-]{1,190}$ ]] || exit 0
[[ ${SLURM_JOB_ID:-} =~ ^[0-9]+$ ]] || exit 0

# Once for a job of several nodes.
first=$(timeout 5 scontrol show hostnames "${SLURM_JOB_NODELIST:-${SLURM_NODELIST:-}}" 2>/dev/null | head -n 1)
[[ -z $first || $first == "${SLURMD_NODENAME:-$first}" ]] || exit 0

# "RunTime=1-02:03:04", in seconds.
run_seconds() {
  local days time
  [[ $shown =~ RunTime=(([0-9]+)-)?([0-9]+:[0-9]+:[0-9]+) ]] || return
  days=${BASH_REMATCH[2]:-0}
  IFS=: read -ra time <<<"${BASH_REMATCH[3]}"
  echo $((10#$days * 86400 + 10#${time[0]} * 3600 + 10#${time[1]} * 60 + 10#${time[2]}))
}

# GPUs of the whole job: "JOB_GRES=gpu:a100:4,gpu:t4:1,shard:2".
gpus_in_all() {
  local item count=0
  [[ $shown =~ JOB_GRES=([^ ]+) ]] || return
  for item in ${BASH_REMATCH[1]//,/ }; do
    [[ $item =~ ^gpu:([^:]+:)?([0-9]+)$ ]] && count=$((count + BASH_REMATCH[2]))
  done
  echo "$count"
}

# Whether the job had the nodes and GPUs that were recommended, "nodes=2 gpus_per_node=4 ...": a user may have asked for others, of which the prediction says
# nothing.
had_shape_of() {
  local nodes per_node here
  [[ $1 =~ ^nodes=([0-9]{1,6})\ gpus_per_node=([0-9]{1,4})\  ]] || return
  nodes=${BASH_REMATCH[1]} per_node=${BASH_REMATCH[2]}
  IFS=, read -ra here <<<"${SLURM_JOB_GPUS:-}"
  [[ ${SLURM_JOB_NUM_NODES:-} == "$nodes" && ${#here[@]} == "$per_node" && $(gpus_in_all) == "$((nodes * per_node))" ]]
}

# The largest resident memory of a task that accounting has seen, in bytes; nothing without accounting.
peak_host_bytes() {
  timeout 5 sacct --noheader --parsable2 --noconvert --jobs "$SLURM_JOB_ID" --format=MaxRSS 2>/dev/null |
    sed -n 's/^\([0-9]\{1,15\}\)$/\1/p' | sort -n | tail -n 1
}

report() {
  local shown plan hint seconds peak words=()
  shown=$(timeout 5 scontrol -d -o show job "$SLURM_JOB_ID" 2>/dev/null) || return
  # One that failed has not shown what the whole takes.
  [[ $shown =~ \ ExitCode=0:0\  ]] || return
  plan=$(mktemp) || return
  seconds=$(run_seconds)
  peak=$(peak_host_bytes)
  [[ $seconds =~ ^[0-9]+$ && $seconds -gt 0 ]] && words+=(--total-seconds "$seconds")
  [[ $peak =~ ^[0-9]+$ && $peak -gt 0 ]] && words+=(--peak-host-memory "$peak")
  if ((${#words[@]} > 0)) &&
    hint=$(timeout 3 "$TUNESMITH" --offline slurm-hint --comment "$comment" --gpu "$GPU" --devices-per-node "$DEVICES_PER_NODE" \
      --max-devices "$MAX_DEVICES" --plan-out "$plan") && had_shape_of "$hint"; then
    timeout 5 "$TUNESMITH" --timeout 3 --server "$TUNESMITH_SERVER" measurements report --plan "$plan" "${words[@]}" \
      --source "Slurm job $SLURM_JOB_ID" --request-id "slurm-$SLURM_JOB_ID" >/dev/null
  fi
  rm -f "$plan"
}

# The node is kept for as long: a fraction of a second, or the time-outs where nobody answers. What an epilog leaves running is killed with it.
report </dev/null >/dev/null 2>&1
exit 0
