-- What Tunesmith's hooks of Slurm share: the settings of the site, and the one place in which a command is built. Lua has nothing but
-- io.popen, which goes through a shell; so whatever gets into the command is held to a list of harmless characters first.

local M = {}

M.settings = {
  tunesmith = "/usr/bin/tunesmith",
  server = "", -- HOST:PORT of a tunesmithd; empty: the planner in the command itself, which needs no server
  gpu = "A100-80GB", -- kind of the cluster's GPUs, as `tunesmith gpus` lists them
  devices_per_node = "8",
  max_devices = "64",
  submit_timeout = "2", -- seconds that sbatch waits at most
  controller_timeout = "0.2", -- seconds that slurmctld waits at most, with locks held
  cache_seconds = 600,
  require_fit = false, -- refuse jobs that ask for fewer GPUs than their model fits on
}

local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"

-- tunesmith_settings.lua beside this file, where there is one: `return {gpu = "H100"}`.
local site = loadfile(here .. "tunesmith_settings.lua")
if site then
  for name, value in pairs(site()) do
    M.settings[name] = value
  end
end

local PREFIX = "tunesmith:"
local LONGEST = 200

-- The comment where it is ours and harmless; nil and why not where it is ours; nil where it is not.
function M.comment_of(text)
  if type(text) ~= "string" or text:sub(1, #PREFIX) ~= PREFIX then
    return nil
  end
  if #text > LONGEST or not text:match("^tunesmith:[%w_.=,:-]+$") then
    return nil, "the comment may have letters, digits and _ . = , : - only, and at most " .. LONGEST .. " of them"
  end
  return text
end

local function harmless(value)
  local text = tostring(value)
  return text:match("^[%w_./:][%w_./:-]*$") and text or nil
end

-- The command for the shell, or nil where a value is not harmless.
function M.command(comment, seconds)
  local set = M.settings
  if not M.comment_of(comment) then
    return nil
  end
  local words = { "exec timeout -k 0.1" }
  local function add(option, value)
    local text = harmless(value)
    if words and text then
      words[#words + 1] = option .. text
    else
      words = nil
    end
  end
  add("", seconds)
  add("", set.tunesmith)
  if set.server == "" then
    add("--", "offline")
  else
    add("--server ", set.server)
  end
  add("", "slurm-hint")
  add("--gpu ", set.gpu)
  add("--devices-per-node ", set.devices_per_node)
  add("--max-devices ", set.max_devices)
  return words and table.concat(words, " ") .. " --comment='" .. comment .. "' 2>/dev/null </dev/null"
end

-- "nodes=1 gpus_per_node=2 memory_mib=3000 minutes=90" as numbers; nil for anything else.
function M.parse(line)
  if type(line) ~= "string" then
    return nil
  end
  local nodes, gpus, memory, minutes = line:match("^nodes=(%d+) gpus_per_node=(%d+) memory_mib=(%d+) minutes=(%d+)$")
  if not nodes or #nodes > 6 or #gpus > 4 or #memory > 9 or #minutes > 9 then
    return nil
  end
  return { nodes = tonumber(nodes), gpus_per_node = tonumber(gpus), memory_mib = tonumber(memory), minutes = tonumber(minutes) }
end

-- The count in what follows "gpu": "" is one, ":4", ":a100" is one, ":a100:4"; nil for anything else.
local function count_of(rest)
  local kind, count = rest:match("^[:=](%a[%w_.-]*)[:=](%d+)$")
  if not count then
    count = rest:match("^[:=](%d+)$")
  end
  if not count and (rest == "" or rest:match("^[:=]%a[%w_.-]*$")) then
    count = "1"
  end
  return count and #count <= 6 and tonumber(count) or nil
end

-- GPUs of all kinds in what Slurm makes of --gres, --gpus and --gpus-per-...: "gres:gpu:a100:2,gres:shard:4", "gres/gpu:2", "gpu=2". nil where there
-- are none, or where a count is none.
function M.gpus(text)
  local total
  for item in (type(text) == "string" and text or ""):gmatch("[^,]+") do
    local rest = item:gsub("^gres[:/]", ""):match("^gpu(.*)$")
    if rest and (rest == "" or rest:match("^[:=]")) then
      local count = count_of(rest)
      if not count then
        return nil
      end
      total = (total or 0) + count
    end
  end
  return total
end

local cache = {}
local cached = 0

-- What the job should ask for; nil where there is no answer, or none in time. The same question within the site's time is asked once, also
-- when there was no answer.
function M.ask(comment, seconds)
  local now = os.time()
  local known = cache[comment]
  if known and now - known.time < M.settings.cache_seconds then
    return known.hint
  end
  local command = M.command(comment, seconds)
  if not command then
    return nil
  end
  local pipe = io.popen(command, "r")
  if not pipe then
    return nil
  end
  local line = pipe:read("*l")
  pipe:close()
  if cached > 1000 then
    cache = {}
    cached = 0
  end
  cached = cached + 1
  cache[comment] = { time = now, hint = M.parse(line) }
  return cache[comment].hint
end

return M
