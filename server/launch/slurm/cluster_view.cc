#include "server/launch/slurm/cluster_view.h"

#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/str_cat.h"
#include "common/units.h"

// One line per node and partition: name|state|CPUs allocated/idle/other/total|MiB|MiB allocated|gres|gres
// used. gres: "gpu:h100:8(S:0-1),shard:4", used: "gpu:h100:2(IDX:0-1)".
namespace tunesmith::server {
namespace {

constexpr size_t kFieldCount = 7;

int64_t Number(absl::string_view text) {
  int64_t number = 0;
  return absl::SimpleAtoi(text, &number) ? number : 0;
}

// GPUs of all types in a list of gres. Commas also stand between indices, in parentheses.
int64_t GpusOf(absl::string_view gres) {
  int64_t count = 0;
  int depth = 0;
  std::string item;
  const auto end_item = [&] {
    const std::vector<absl::string_view> parts = absl::StrSplit(item, ':');
    if (parts.size() >= 2 && parts[0] == "gpu") count += Number(parts.back());
    item.clear();
  };
  for (const char c : gres) {
    if (c == '(') ++depth;
    if (depth == 0 && c == ',') end_item();
    if (depth == 0 && c != ',') item += c;
    if (c == ')') --depth;
  }
  end_item();
  return count;
}

// Short states of nodes that take jobs, without flags as "*" (does not answer).
bool TakesJobs(absl::string_view state) {
  for (const char* taking : {"idle", "mix", "alloc", "comp", "plnd"}) {
    if (state == taking) return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> SinfoArguments() {
  return {"sinfo", "--noheader", "--Node",
          "--Format=NodeList:|,StateCompact:|,CPUsState:|,Memory:|,AllocMem:|,Gres:|,GresUsed:|"};
}

void AddNodes(std::string_view text, v1::Cluster& cluster) {
  std::set<absl::string_view> seen;
  for (const absl::string_view line : absl::StrSplit(ToAbsl(text), '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, '|');
    if (fields.size() < kFieldCount || !seen.insert(fields[0]).second) continue;
    const std::vector<absl::string_view> cpus = absl::StrSplit(fields[2], '/');
    if (cpus.size() != 4) continue;
    const int64_t gpus = GpusOf(fields[5]);
    const int64_t memory = Number(fields[3]) * kMiB;
    cluster.set_gpu_count(cluster.gpu_count() + gpus);
    cluster.set_cpu_thread_count(cluster.cpu_thread_count() + Number(cpus[3]));
    cluster.set_host_memory_bytes(cluster.host_memory_bytes() + memory);
    if (!TakesJobs(fields[1])) continue;
    cluster.set_free_gpu_count(cluster.free_gpu_count() + gpus - GpusOf(fields[6]));
    cluster.set_free_cpu_thread_count(cluster.free_cpu_thread_count() + Number(cpus[1]));
    cluster.set_free_host_memory_bytes(cluster.free_host_memory_bytes() + memory -
                                       Number(fields[4]) * kMiB);
  }
}

}  // namespace tunesmith::server
