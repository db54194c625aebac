#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace tunesmith::trainer {

// What a rank tells the others of its process, as bytes.
struct ProcessIdentity {
  char host[64] = {};  // host name, for messages
  char processes[96] =
      {};  // which table of processes the id belongs to: the kernel's boot and the namespace
  int64_t process_id = 0;
};
ProcessIdentity ThisProcess();
// "rank 1 (process 4711 on host n0)".
std::string NameOf(int64_t rank, const ProcessIdentity& identity);

// Sees at once when the process of another rank on this host ends, whatever it was doing, or the process that started this one: a launcher that is killed
// leaves its ranks behind. Processes on other hosts are their launcher's to watch.
class PeerProcesses {
 public:
  // `identities` by rank. Those that cannot be seen from here are left out. REQUIRES: they run, and wait for this rank to come.
  explicit PeerProcesses(absl::Span<const ProcessIdentity> identities);
  ~PeerProcesses();
  PeerProcesses(const PeerProcesses&) = delete;
  PeerProcesses& operator=(const PeerProcesses&) = delete;

  // The lowest rank whose process has ended: "rank 1 (process 4711 on host n0)", or the launcher.
  std::optional<std::string> FindEnded() const;
  // Whether the process of `rank` is known to have ended.
  bool HasEnded(int64_t rank) const;

 private:
  struct Peer {
    int64_t rank = 0;     // kLauncher: none
    int descriptor = -1;  // a pidfd
    std::string name;
  };
  static constexpr int64_t kLauncher = -1;

  void Watch(int64_t rank, int64_t process_id, std::string name);

  std::vector<Peer> peers_;  // the launcher last
};

}  // namespace tunesmith::trainer
