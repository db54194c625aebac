#pragma once

#include <string>
#include <vector>

#include "client/client.h"
#include "client/listing.h"

// What stands between a user and a fine-tune on this host, with the cure.
namespace tunesmith::client {

// kAbsent: something that is not there and that many do without.
enum class Health { kOk, kAbsent, kProblem };

struct Finding {
  std::string subject;  // "memory", "NVIDIA driver"
  Health health = Health::kOk;
  std::string found;
  std::string cure = {};  // unless ok
};

// Looks at processors, memory, limits, libraries, Tunesmith's other binaries, the data directory, GPUs, MPI, Slurm and the server. Loads libraries into this process; starts
// nothing; takes as long as the server's answer at most.
std::vector<Finding> ExamineHost(const ClientOptions& server);

// One finding each, for tests and for ExamineHost.
Finding ExamineSharedMemory(int64_t size_bytes);
Finding ExamineLockedMemory(int64_t limit_bytes, bool has_gpu);
Finding ExamineOpenFiles(int64_t limit);

Listing FindingListing(const std::vector<Finding>& findings);

// A table, the cures below it.
std::string ShowFindings(const std::vector<Finding>& findings);
std::string FindingsJson(const std::vector<Finding>& findings);

}  // namespace tunesmith::client
