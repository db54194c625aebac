-- In slurmctld, for sites that want the same for jobs of users who go round the filter, and a policy. It holds slurmctld's locks: so it waits
-- for 0.2 s at most, remembers answers, and without an answer lets the job pass as it is. JobSubmitPlugins=lua; beside slurm.conf.

local hint = dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "tunesmith_hint.lua")

-- GPUs per node that the job asks for: "gres:gpu:4", "gres:gpu:h100:4", "gpu=4"; nil where it does not say so.
local function gpus_of(job)
  local text = job.tres_per_node
  if type(text) ~= "string" or not text:match("gpu") then
    return nil
  end
  return tonumber(text:match("gpu[%w:=_-]-(%d+)$") or "1")
end

local function asks_for_gpus(job)
  for _, name in ipairs({ "tres_per_node", "tres_per_job", "tres_per_task", "tres_per_socket" }) do
    local text = job[name]
    if type(text) == "string" and text:match("gpu") then
      return true
    end
  end
  return false
end

local function fill(job, answer)
  if not asks_for_gpus(job) then
    job.tres_per_node = "gres:gpu:" .. answer.gpus_per_node
    if answer.nodes > 1 then
      job.min_nodes = answer.nodes
    end
  end
  if job.pn_min_memory == nil and answer.memory_mib > 0 then
    job.pn_min_memory = answer.memory_mib
  end
  if job.time_limit == slurm.NO_VAL and answer.minutes > 0 then
    job.time_limit = answer.minutes
  end
end

function slurm_job_submit(job, partitions, uid)
  local comment, problem = hint.comment_of(job.comment)
  if problem then
    slurm.log_user("tunesmith: %s", problem)
    return slurm.ERROR
  end
  local answer = comment and hint.ask(comment, hint.settings.controller_timeout)
  if not answer then
    return slurm.SUCCESS
  end
  local asked = gpus_of(job)
  if hint.settings.require_fit and asked and answer.nodes == 1 and asked < answer.gpus_per_node then
    slurm.log_user("tunesmith: this fine-tune fits on %d GPUs of a node or more, and the job asks for %d", answer.gpus_per_node, asked)
    return slurm.ERROR
  end
  fill(job, answer)
  return slurm.SUCCESS
end

function slurm_job_modify(job, record, partitions, uid)
  return slurm.SUCCESS
end

return slurm.SUCCESS
