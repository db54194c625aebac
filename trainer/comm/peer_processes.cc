#include "trainer/comm/peer_processes.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>

#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

void Put(std::string_view text, char* out, size_t capacity) {
  std::memcpy(out, text.data(), std::min(text.size(), capacity - 1));
}

std::string BootId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  return id;
}

std::string ProcessNamespace() {
  char text[64] = {};
  return readlink("/proc/self/ns/pid", text, sizeof text - 1) > 0 ? text : "";
}

// Readable once the process has ended.
int OpenProcess(int64_t process_id) {
  return static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(process_id), 0));
}

}  // namespace

ProcessIdentity ThisProcess() {
  ProcessIdentity identity;
  char host[sizeof identity.host] = {};
  gethostname(host, sizeof host - 1);
  Put(host, identity.host, sizeof identity.host);
  Put(BootId() + ProcessNamespace(), identity.processes, sizeof identity.processes);
  identity.process_id = getpid();
  return identity;
}

std::string NameOf(int64_t rank, const ProcessIdentity& identity) {
  return StrCat("rank ", rank, " (process ", identity.process_id, " on host ", identity.host, ")");
}

PeerProcesses::PeerProcesses(absl::Span<const ProcessIdentity> identities) {
  const ProcessIdentity self = ThisProcess();
  for (size_t rank = 0; rank < identities.size(); ++rank) {
    const ProcessIdentity& peer = identities[rank];
    if (std::string_view(peer.processes) != self.processes || peer.process_id == self.process_id)
      continue;
    Watch(static_cast<int64_t>(rank), peer.process_id, NameOf(static_cast<int64_t>(rank), peer));
  }
  Watch(kLauncher, getppid(), StrCat("what started the ranks (process ", getppid(), ")"));
}

void PeerProcesses::Watch(int64_t rank, int64_t process_id, std::string name) {
  const int descriptor = OpenProcess(process_id);
  if (descriptor >= 0) peers_.push_back({rank, descriptor, std::move(name)});
}

PeerProcesses::~PeerProcesses() {
  for (const Peer& peer : peers_) close(peer.descriptor);
}

bool PeerProcesses::HasEnded(int64_t rank) const {
  const auto peer =
      std::find_if(peers_.begin(), peers_.end(), [rank](const Peer& p) { return p.rank == rank; });
  if (peer == peers_.end()) return false;
  pollfd entry = {.fd = peer->descriptor, .events = POLLIN, .revents = 0};
  return poll(&entry, 1, 0) == 1;
}

std::optional<std::string> PeerProcesses::FindEnded() const {
  for (const Peer& peer : peers_) {
    if (HasEnded(peer.rank)) return peer.name;
  }
  return std::nullopt;
}

}  // namespace tunesmith::trainer
