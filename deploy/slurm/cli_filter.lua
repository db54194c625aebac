-- In sbatch, salloc and srun themselves, as the user: a job with --comment=tunesmith:model=NAME,context=N gets the GPUs, the memory and, where
-- dataset_tokens is told, the time that Tunesmith predicts. What the user asks for stays. CliFilterPlugins=lua; beside slurm.conf.

local hint = dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "tunesmith_hint.lua")

local function is_set(value)
  return value ~= nil and value ~= "" and value ~= "0" and value ~= "(null)" and value ~= "-2" and value ~= "unset"
end

-- Slurm 22.05 prints a time that was not given as "2982616-04:14:00", its NO_VAL.
local function has_time(value)
  return is_set(value) and not value:match("^%d%d%d%d%d%d%d+%-")
end

local function asks_for_gpus(options)
  for _, name in ipairs({ "gres", "gpus", "gpus-per-node", "gpus-per-task", "gpus-per-socket" }) do
    if is_set(options[name]) then
      return true
    end
  end
  return false
end

function slurm_cli_setup_defaults(options, early_pass)
  return slurm.SUCCESS
end

function slurm_cli_pre_submit(options, pack_offset)
  if options["type"] ~= "sbatch" and options["type"] ~= "salloc" then
    return slurm.SUCCESS
  end
  local comment, problem = hint.comment_of(options["comment"])
  if problem then
    slurm.log_error("tunesmith: %s", problem)
    return slurm.ERROR
  end
  if not comment then
    return slurm.SUCCESS
  end
  local answer = hint.ask(comment, hint.settings.submit_timeout)
  if not answer then
    slurm.log_info("tunesmith: no recommendation for this job, which is submitted as it is; `tunesmith slurm-hint --comment %s --gpu %s` says why", comment, hint.settings.gpu)
    return slurm.SUCCESS
  end
  if not asks_for_gpus(options) then
    options["gres"] = "gpu:" .. answer.gpus_per_node
    if answer.nodes > 1 then
      options["nodes"] = tostring(answer.nodes)
    end
  end
  if not is_set(options["mem"]) and not is_set(options["mem-per-cpu"]) and not is_set(options["mem-per-gpu"]) and answer.memory_mib > 0 then
    options["mem"] = answer.memory_mib .. "M"
  end
  if not has_time(options["time"]) and answer.minutes > 0 then
    options["time"] = tostring(answer.minutes)
  end
  return slurm.SUCCESS
end

function slurm_cli_post_submit(offset, job_id, step_id)
  return slurm.SUCCESS
end
