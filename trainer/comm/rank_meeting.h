#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/host_port.h"
#include "trainer/comm/rank_table.h"

// How the ranks that a launcher has started find each other.
namespace tunesmith::trainer {

enum class RankTransport { kMpi, kTcp };

// By MPI where the launcher is MPI's, else by TCP; or as TUNESMITH_RANK_TRANSPORT says ("mpi", "tcp"). INVALID_ARGUMENT: it says something else.
absl::StatusOr<RankTransport> TransportOf(const Environment& environment, const RankPlace& place);

// Where rank 0 listens: MASTER_ADDR and MASTER_PORT (29500), or PET_MASTER_ADDR and PET_MASTER_PORT. In a Slurm step that has none of them, the first node of the step, at a port
// from 20000 on that the numbers of job and step give. Where torchrun itself listens at the port (TORCHELASTIC_USE_AGENT_STORE), the next one.
// INVALID_ARGUMENT: there is none, or it is no port.
absl::StatusOr<HostPort> FindMaster(const Environment& environment);

// The first host of Slurm's "node[03-05,09],other"; empty: it is no such list.
std::string FirstHost(std::string_view node_list);

}  // namespace tunesmith::trainer
