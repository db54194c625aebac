#include "server/operations/server_metrics.h"

#include <utility>

#include "absl/time/time.h"
#include "common/tls_files.h"
#include "common/version.h"

namespace tunesmith::server {

void CollectJobs(Metrics& metrics, Store& store, const std::vector<Launcher*>& launchers) {
  constexpr std::pair<v1::JobState, const char*> kActive[] = {
      {v1::JOB_STATE_QUEUED, "QUEUED"},
      {v1::JOB_STATE_LAUNCHING, "LAUNCHING"},
      {v1::JOB_STATE_RUNNING, "RUNNING"}};
  for (const Launcher* launcher : launchers) {
    for (const auto& [state, name] : kActive) {
      const std::string where(launcher->name());
      const auto count = store.CountInState(state, where);
      if (!count.ok()) continue;  // readiness tells of the database
      metrics
          .GaugeOf("tunesmith_jobs", "Jobs that wait or run.",
                   {{"launcher", where}, {"state", name}})
          .Set(static_cast<double>(*count));
    }
  }
}

void CollectCertificate(Metrics& metrics, const std::string& path) {
  if (path.empty()) return;
  const auto end = CertificateEnd(path);
  if (!end.ok()) return;
  metrics
      .GaugeOf("tunesmith_tls_certificate_end_timestamp_seconds",
               "When the server's certificate ends, Unix time.")
      .Set(absl::ToDoubleSeconds(*end - absl::UnixEpoch()));
}

void TellBuild(Metrics& metrics) {
  metrics.GaugeOf("tunesmith_build_info", "Always 1.", {{"version", Version()}}).Set(1);
}

void TellDrift(Metrics& metrics, const std::string& quantity, double ratio) {
  metrics
      .GaugeOf("tunesmith_measured_over_predicted_ratio",
               "What was measured last, over its prediction; 1: as predicted.",
               {{"quantity", quantity}})
      .Set(ratio);
}

void TellStep(Metrics& metrics, bool is_outside) {
  metrics
      .CounterOf("tunesmith_measured_steps_total",
                 "Steps that were measured, by where they stand to their predicted interval.",
                 {{"interval", is_outside ? "outside" : "inside"}})
      .Add();
}

}  // namespace tunesmith::server
