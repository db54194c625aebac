-- In slurmctld, for sites that want the same for jobs of users who go round the filter, and a policy. It holds slurmctld's locks: so it waits
-- for 0.2 s at most, remembers answers, and without an answer lets the job pass as it is. JobSubmitPlugins=lua; beside slurm.conf.

local hint = dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "tunesmith_hint.lua")

-- A number that was given: Slurm has the greatest of each size for those that were not.
local function given(value, not_given)
  return type(value) == "number" and value > 0 and value < not_given and value or nil
end

local function tasks_per_node(job, nodes)
  return given(job.ntasks_per_node, 65534) or (given(job.num_tasks, slurm.NO_VAL) or nodes) / nodes
end

-- GPUs per node that the job asks for, by whichever option; nil where it does not say so.
local function gpus_per_node_of(job)
  local nodes = given(job.min_nodes, slurm.NO_VAL) or 1
  local in_all, per_task, per_socket = hint.gpus(job.tres_per_job), hint.gpus(job.tres_per_task), hint.gpus(job.tres_per_socket)
  local sockets = given(job.sockets_per_node, 65534)
  local count = hint.gpus(job.tres_per_node) or (in_all and in_all / nodes) or (per_task and per_task * tasks_per_node(job, nodes)) or (per_socket and sockets and per_socket * sockets)
  return count and math.floor(count)
end

-- Per node, CPU or GPU. What is not given is Slurm's NO_VAL64, which Lua has as a float.
local function has_memory(job)
  return given(job.pn_min_memory, 1.8e19) or given(job.min_mem_per_cpu, 1.8e19) or (type(job.mem_per_tres) == "string" and job.mem_per_tres ~= "")
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
  if not has_memory(job) and answer.memory_mib > 0 then
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
  local asked = gpus_per_node_of(job)
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
