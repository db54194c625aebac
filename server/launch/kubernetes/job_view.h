#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

// What the API says of a Job (or a JobSet, or a TrainJob, which say the same), its pods and its Workload: pure functions of its JSON, in which any field may be missing.
namespace tunesmith::server {

struct KubernetesPod {
  std::string name;
  std::string job;      // the Job that it is of
  std::string job_uid;  // the job of ours that it is of
  std::string index;    // which of the Job's nodes it is, from 0
  std::string phase;    // "Pending", "Running", "Succeeded", "Failed"
  std::string node;
  std::string waits_for;      // for people: why it cannot be scheduled or started; empty: not told
  std::string disrupted_by;   // "EvictionByEvictionAPI"; empty: it was not
  std::string ended_by;       // of its container: "OOMKilled"; empty: it has not ended
  int64_t exit_status = 0;    // of its container, where it has ended
  std::string ended_message;  // why, where the container could not be started

  bool IsAlive() const { return phase == "Pending" || phase == "Running"; }
};

struct KubernetesJob {
  std::string name;
  std::string uid;      // the server's, for which a Job of the same name is another one
  std::string job_uid;  // of the job of ours that it is of
  bool is_suspended = false;
  bool is_being_deleted = false;
  bool is_complete = false;
  bool has_failed = false;
  std::string reason;     // has_failed: "DeadlineExceeded", ...
  std::string message;    // has_failed: for people
  std::string admission;  // is_suspended: what Kueue says; empty: nothing
  std::vector<KubernetesPod> pods;

  // Of its pods one that runs, else one that waits, else the one that was listed last; nothing: it has none.
  const KubernetesPod* NewestPod() const;
  // One that failed by itself, out of memory above all; else as NewestPod.
  const KubernetesPod* PodAtFault() const;
  bool HasLivingPods() const;
};

KubernetesJob ReadJob(const nlohmann::json& job);
KubernetesPod ReadPod(const nlohmann::json& pod);

// "QuotaReserved: couldn't assign flavors ...", of a Workload that was not admitted; empty: of another.
std::string AdmissionOf(const nlohmann::json& workload);

// The uid of the Job that a Workload is for.
std::string WorkloadOwner(const nlohmann::json& workload);

// What a Job that does not run waits for, for people.
std::string WaitReason(const KubernetesJob& job);

}  // namespace tunesmith::server
