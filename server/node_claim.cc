#include "server/node_claim.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <vector>

#include "absl/strings/str_join.h"
#include "common/descriptor.h"
#include "common/str_cat.h"
#include "proto/convert/run_directory.h"
#include "server/attempt_claim.h"
#include "server/trainer_process.h"

namespace tunesmith::server {
namespace {

std::string NodeFile(const ShimOptions& options, int64_t node_index) {
  return convert::InDirectory(options.run_directory, StrCat("node-", node_index, ".",
                                                            convert::AttemptFile(options.attempt)));
}

std::vector<int64_t> AbsentNodes(const ShimOptions& options) {
  std::vector<int64_t> absent;
  for (int64_t node = 1; node < options.node_count; ++node) {
    if (access(NodeFile(options, node).c_str(), F_OK) != 0) absent.push_back(node);
  }
  return absent;
}

}  // namespace

std::string NodeLogFile(int64_t node_index) {
  return node_index == 0 ? convert::kTrainerLogFile
                         : StrCat(convert::kLogDirectory, "/trainer-", node_index, ".log");
}

bool AwaitNodes(const ShimOptions& options, const sigset_t& signals) {
  if (options.master.empty()) return true;
  std::vector<int64_t> absent = AbsentNodes(options);
  if (!absent.empty()) {
    std::fprintf(stderr, "tunesmith-shim: attempt %s waits for node %s of %s\n",
                 StrCat(options.attempt).c_str(), absl::StrJoin(absent, ", ").c_str(),
                 StrCat(options.node_count).c_str());
  }
  while (!absent.empty() && !IsSuperseded(options)) {
    const int signal = NextSignal(signals);
    if (signal == SIGTERM || signal == SIGINT) return false;
    absent = AbsentNodes(options);
  }
  return true;
}

absl::StatusOr<bool> TakePart(const ShimOptions& options) {
  const std::string path = NodeFile(options, options.node_index);
  const Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (file.get() >= 0) return true;
  if (errno == EEXIST) return false;
  return absl::ErrnoToStatus(errno, StrCat("cannot create ", path));
}

}  // namespace tunesmith::server
