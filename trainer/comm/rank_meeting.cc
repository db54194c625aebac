#include "trainer/comm/rank_meeting.h"

#include <algorithm>

#include "common/numbers.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

constexpr char kTransport[] = "TUNESMITH_RANK_TRANSPORT";
// torchrun's --master-port.
constexpr int64_t kUsualPort = 29500;
// Below those that Linux gives out (32768 on), above those that have an owner.
constexpr int64_t kFirstSlurmPort = 20000, kSlurmPortCount = 9000;

std::string Find(const Environment& environment, const char* name) {
  const auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

// Jobs that share a node have different ones, most likely.
int64_t SlurmPort(const Environment& environment) {
  const std::string step =
      StrCat(Find(environment, "SLURM_JOB_ID"), ".", Find(environment, "SLURM_STEP_ID"));
  return kFirstSlurmPort + static_cast<int64_t>(RandomKey(0, step) % kSlurmPortCount);
}

absl::StatusOr<int64_t> PortOf(const Environment& environment, const char* name, int64_t fallback) {
  const std::string text = Find(environment, name);
  int64_t port = fallback;
  if (text.empty() || (ParseInt64(text, &port) && port > 0 && port < 65535)) return port;
  return absl::InvalidArgumentError(
      StrCat("the environment has ", name, "=", text, ", which is no port; give 1 to 65534"));
}

}  // namespace

absl::StatusOr<RankTransport> TransportOf(const Environment& environment, const RankPlace& place) {
  const std::string asked = Find(environment, kTransport);
  if (asked == "mpi") return RankTransport::kMpi;
  if (asked == "tcp") return RankTransport::kTcp;
  if (asked.empty()) return place.has_mpi ? RankTransport::kMpi : RankTransport::kTcp;
  return absl::InvalidArgumentError(
      StrCat("the environment has ", kTransport, "=", asked, "; give mpi or tcp, or unset it"));
}

absl::StatusOr<HostPort> FindMaster(const Environment& environment) {
  std::string host = Find(environment, "MASTER_ADDR");
  const char* port_name = "MASTER_PORT";
  int64_t usual_port = kUsualPort;
  if (host.empty() && !Find(environment, "PET_MASTER_ADDR").empty()) {
    host = Find(environment, "PET_MASTER_ADDR");
    port_name = "PET_MASTER_PORT";
  }
  if (host.empty() && !Find(environment, "SLURM_STEP_ID").empty()) {
    const std::string step = Find(environment, "SLURM_STEP_NODELIST");
    host = FirstHost(step.empty() ? Find(environment, "SLURM_JOB_NODELIST") : step);
    usual_port = SlurmPort(environment);
  }
  if (host.empty())
    return absl::InvalidArgumentError(
        "ranks that no MPI connects meet at rank 0's address, and the environment has no "
        "MASTER_ADDR; set it to the host of rank 0, and MASTER_PORT to a port that is free there");
  TUNESMITH_ASSIGN_OR_RETURN(int64_t port, PortOf(environment, port_name, usual_port));
  if (Find(environment, "TORCHELASTIC_USE_AGENT_STORE") == "True") ++port;
  return HostPort{host, static_cast<int32_t>(port)};
}

std::string FirstHost(std::string_view node_list) {
  std::string host;
  bool in_brackets = false, is_taken = false;
  for (const char c : node_list) {
    if (c == '[') {
      in_brackets = true;
      is_taken = false;
    } else if (c == ']') {
      in_brackets = false;
    } else if (in_brackets) {
      is_taken |= c == '-' || c == ',';
      if (!is_taken) host += c;
    } else if (c == ',') {
      break;
    } else {
      host += c;
    }
  }
  return in_brackets ? "" : host;
}

}  // namespace tunesmith::trainer
