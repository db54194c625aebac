#pragma once

#include <map>
#include <string>

#include "absl/time/time.h"
#include "server/launch/launcher.h"
#include "server/launch/slots.h"

namespace tunesmith::server {

struct HostLauncherOptions {
  std::string shim_path;
  std::string trainer_path;
  // Unix socket of a runner (runner.proto), which then starts shims in this process's place: where this process may not see GPUs. Its trainer is its own. Empty: none.
  std::string runner_socket;
  absl::Duration grace = absl::Seconds(60);  // from SIGTERM to SIGKILL
  HostCapacity capacity;
};

// GPUs by /dev/nvidia<N>, hardware threads, and memory of this host.
HostCapacity CapacityOfThisHost();

// GPUs that the driver has found, whether or not this process may open them.
int64_t GpusOfTheDriver();

// Starts attempts on this host, through tunesmith-shim or a runner that does so, as many at once as devices, threads and
// memory allow. An attempt's handle is "<process id>:<start ticks>" of its shim; what attempt-N and
// shim.json say goes before it. Jobs on "cuda:0" get any free GPUs, made visible to them as 0, 1,
// ...; on "cuda:<N>", N > 0, that GPU of the host.
class HostLauncher final : public Launcher {
 public:
  explicit HostLauncher(HostLauncherOptions options) : options_(std::move(options)) {}
  ~HostLauncher() override;

  std::string_view name() const override { return "host"; }
  absl::StatusOr<v1::ResourceClaim> Check(const v1::Job& job) const override;
  absl::StatusOr<v1::RenderedSubmission> Render(const v1::Job& job) const override;
  v1::Cluster Describe(const std::vector<v1::Job>& active) const override;
  std::vector<Admission> Admit(const std::vector<v1::Job>& queue,
                               const std::vector<v1::Job>& active) override;
  absl::StatusOr<std::string> Start(const v1::Job& job) override;
  absl::StatusOr<std::string> Find(const v1::Job& job) override;
  absl::StatusOr<AttemptView> Look(const v1::Job& job, const std::string& handle) override;
  absl::Status Cancel(const v1::Job& job, const std::string& handle) override;

 private:
  std::vector<std::string> CommandOf(const v1::Job& job) const;
  absl::StatusOr<std::string> StartByRunner(const v1::Job& job) const;
  void ReapShims();

  const HostLauncherOptions options_;
  std::map<pid_t, std::string> shims_;  // children of this process that were not reaped, by id
};

}  // namespace tunesmith::server
