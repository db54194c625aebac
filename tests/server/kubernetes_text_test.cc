#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "common/str_cat.h"
#include "server/launch/kubernetes/job_view.h"
#include "server/launch/kubernetes/kubectl.h"
#include "server/launch/kubernetes/manifest.h"
#include "tests/server/server_process.h"

// What goes to Kubernetes and comes from it, as text.
namespace tunesmith::server {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;

KubernetesLauncherOptions Options() {
  return {.context = {},
          .image = "registry.example/tunesmith:1",
          .shim_path = "/opt/tunesmith/bin/tunesmith-shim",
          .trainer_path = "/opt/tunesmith/bin/tunesmith-trainer",
          .volumes = {{"runs", "/srv/tunesmith"}, {"models", "/models"}},
          .queue = {},
          .priority_class = {},
          .node_selector = {}};
}

v1::Job JobOf(const char* device) {
  v1::Job job;
  job.set_uid("6f1c0a52-7a1e-4a34-9a3e-0d7c6d1f2b3a");
  job.set_attempt(2);
  job.set_run_directory("/srv/tunesmith/jobs/job-1");
  job.mutable_spec()->set_model_path("/models/x");
  job.mutable_spec()->set_device(device);
  job.mutable_spec()->set_thread_count(4);
  job.mutable_plan()->mutable_inputs()->mutable_devices()->set_device_count(1);
  v1::MemoryPrediction& memory = *job.mutable_plan()->mutable_prediction()->mutable_memory();
  memory.set_total_bytes(int64_t{3} << 30);
  memory.set_host_bytes(int64_t{2} << 30);
  return job;
}

Json Fixture(const std::string& name) {
  std::ifstream file(std::string(KUBERNETES_DIRECTORY) + "/" + name);
  return Json::parse(file, nullptr, false);
}

// As a server that is root writes it: who pods run as depends on that.
Json WithoutUser(Json manifest) {
  Json& security = manifest["spec"]["template"]["spec"]["securityContext"];
  EXPECT_EQ(security.contains("runAsUser"), geteuid() != 0);
  for (const char* field : {"runAsUser", "runAsGroup", "runAsNonRoot"}) security.erase(field);
  return manifest;
}

TEST(ManifestTest, IsAsKept) {
  EXPECT_EQ(WithoutUser(AttemptObject(Options(), JobOf("cpu")).manifest).dump(2),
            Fixture("cpu_job.json").dump(2));
  KubernetesLauncherOptions options = Options();
  options.queue = "team-a";
  options.priority_class = "high";
  options.node_selector = {{"nvidia.com/gpu.product", "NVIDIA-H100-80GB-HBM3"}};
  options.time_limit = absl::Hours(8);
  EXPECT_EQ(WithoutUser(AttemptObject(options, JobOf("cuda:0")).manifest).dump(2),
            Fixture("gpu_job.json").dump(2));
}

v1::Job NodesJob(int64_t nodes) {
  v1::Job job = JobOf("cpu");
  job.mutable_plan()->mutable_inputs()->mutable_devices()->set_device_count(2 * nodes);
  job.mutable_plan()->mutable_inputs()->mutable_devices()->set_node_count(nodes);
  return job;
}

// The word behind a flag of the pods' command.
std::string After(const Json& pod, const std::string& flag) {
  const std::vector<std::string> words = pod["containers"][0]["command"];
  const auto at = std::find(words.begin(), words.end(), flag);
  return at == words.end() || at + 1 == words.end() ? "" : *(at + 1);
}

TEST(ManifestTest, SeveralNodesHaveAPodEachAndAServiceByWhichTheyMeet) {
  const v1::Job job = NodesJob(3);
  const std::string name = KubernetesJobName(job);
  const Json spec = AttemptObject(Options(), job).manifest["spec"];
  EXPECT_EQ(spec["completions"], 3);
  EXPECT_EQ(spec["parallelism"], 3);
  const Json& pod = spec["template"]["spec"];
  EXPECT_EQ(pod["subdomain"], name);
  EXPECT_EQ(After(pod, "--nodes"), "3");
  EXPECT_EQ(After(pod, "--master"), name + "-0." + name + ":29500");
  const auto service = PodService(Options(), job, "uid-of-the-job");
  ASSERT_TRUE(service);
  EXPECT_EQ(service->path, "/api/v1/namespaces/default/services");
  EXPECT_EQ(service->manifest["spec"],
            Json({{"clusterIP", "None"},
                  {"publishNotReadyAddresses", true},
                  {"selector", {{"batch.kubernetes.io/job-name", name}}}}));
  EXPECT_EQ(service->manifest["metadata"]["ownerReferences"][0]["uid"], "uid-of-the-job");
  EXPECT_FALSE(PodService(Options(), JobOf("cpu"), ""));
}

TEST(ManifestTest, AJobSetHoldsTheSameJob) {
  KubernetesLauncherOptions options = Options();
  options.queue = "team-a";
  const v1::Job job = NodesJob(2);
  Json inner = AttemptObject(options, job).manifest["spec"];
  options.form = KubernetesForm::kJobSet;
  const KubernetesObject set = AttemptObject(options, job);
  EXPECT_EQ(set.path, "/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets");
  EXPECT_EQ(set.manifest["kind"], "JobSet");
  EXPECT_EQ(set.manifest["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], "team-a");
  EXPECT_EQ(set.manifest["spec"]["suspend"], true);
  Json outer = set.manifest["spec"]["replicatedJobs"][0]["template"]["spec"];
  const std::string name = KubernetesJobName(job);
  EXPECT_EQ(After(outer["template"]["spec"], "--master"), name + "-node-0-0." + name + ":29500");
  // The set itself is suspended and kept, and names its pods.
  for (const char* field : {"suspend", "ttlSecondsAfterFinished"}) inner.erase(field);
  inner["template"]["spec"].erase("subdomain");
  for (Json* spec : {&inner, &outer}) (*spec)["template"]["spec"]["containers"][0].erase("command");
  EXPECT_EQ(outer, inner);
  EXPECT_FALSE(PodService(options, job, "")) << "the set's controller makes one";
}

TEST(ManifestTest, ATrainJobLeavesPodsToItsRuntime) {
  KubernetesLauncherOptions options = Options();
  options.form = KubernetesForm::kTrainJob;
  EXPECT_THAT(std::string(CheckKubernetesOptions(options).message()),
              HasSubstr("--kubernetes-runtime"));
  options.runtime = "tunesmith";
  EXPECT_TRUE(CheckKubernetesOptions(options).ok());
  const KubernetesObject train = AttemptObject(options, NodesJob(2));
  EXPECT_EQ(train.path, "/apis/trainer.kubeflow.org/v1alpha1/namespaces/default/trainjobs");
  const Json& spec = train.manifest["spec"];
  EXPECT_EQ(spec["runtimeRef"], Json({{"apiGroup", "trainer.kubeflow.org"},
                                      {"kind", "ClusterTrainingRuntime"},
                                      {"name", "tunesmith"}}));
  EXPECT_EQ(spec["trainer"]["numNodes"], 2);
  EXPECT_EQ(spec["trainer"]["image"], options.image);
}

// What Kubernetes makes of a word of a command: $(NAME) becomes a variable's value, $$ a dollar.
std::string Expand(const std::string& word) {
  std::string read;
  for (size_t i = 0; i < word.size(); ++i) {
    EXPECT_FALSE(word[i] == '$' && (i + 1 == word.size() || word[i + 1] != '$')) << word;
    if (word[i] == '$') ++i;
    read += word[i];
  }
  return read;
}

TEST(ManifestTest, HostileNamesStayWords) {
  for (const std::string name : {"$(HOSTNAME)", "$$(HOSTNAME)", "`id`", "a b", "\"; id; \"",
                                 "\n- name: x", "{{.}}", "$", "caf\xc3\xa9"}) {
    v1::Job job = JobOf("cpu");
    job.set_run_directory("/srv/tunesmith/jobs/" + name);
    const Json manifest = AttemptObject(Options(), job).manifest;
    // As it is when it has been written and read.
    const Json read = Json::parse(manifest.dump());
    std::vector<std::string> words;
    for (const Json& word : read["spec"]["template"]["spec"]["containers"][0]["command"])
      words.push_back(Expand(word.get<std::string>()));
    EXPECT_THAT(words, ::testing::Contains(job.run_directory()));
    Json expected = AttemptObject(Options(), JobOf("cpu")).manifest, other = read;
    for (Json* json : {&expected, &other})
      (*json)["spec"]["template"]["spec"]["containers"][0].erase("command");
    EXPECT_EQ(other, expected) << "nothing else has changed";
  }
}

TEST(ManifestTest, OptionsThatWouldNotBeTakenAreRefused) {
  EXPECT_TRUE(CheckKubernetesOptions(Options()).ok()) << CheckKubernetesOptions(Options());
  const auto refused = [](auto change) {
    KubernetesLauncherOptions options = Options();
    change(options);
    return std::string(CheckKubernetesOptions(options).message());
  };
  using O = KubernetesLauncherOptions;
  EXPECT_THAT(refused([](O& o) { o.namespace_name = "a/../b"; }),
              HasSubstr("--kubernetes-namespace"));
  EXPECT_THAT(refused([](O& o) { o.namespace_name = "Default"; }), HasSubstr("small letters"));
  EXPECT_THAT(refused([](O& o) { o.image = ""; }), HasSubstr("--kubernetes-image"));
  EXPECT_THAT(refused([](O& o) { o.image = "a b"; }), HasSubstr("--kubernetes-image"));
  EXPECT_THAT(refused([](O& o) { o.volumes.clear(); }), HasSubstr("--kubernetes-volume"));
  EXPECT_THAT(refused([](O& o) { o.volumes[0].claim = "a?b"; }), HasSubstr("--kubernetes-volume"));
  EXPECT_THAT(refused([](O& o) { o.volumes[0].path = "srv"; }), HasSubstr("absolute path"));
  EXPECT_THAT(refused([](O& o) { o.queue = "a b"; }), HasSubstr("--kubernetes-queue"));
  EXPECT_THAT(refused([](O& o) { o.priority_class = "-"; }), HasSubstr("priority-class"));
  EXPECT_THAT(refused([](O& o) { o.gpu_resource = ""; }), HasSubstr("gpu-resource"));
  EXPECT_THAT(refused([](O& o) { o.node_selector = {{"a b", "c"}}; }), HasSubstr("node-selector"));
}

TEST(ManifestTest, PathsThatPodsDoNotSeeAreNamed) {
  v1::Job job = JobOf("cpu");
  EXPECT_TRUE(CheckPaths(Options(), job).ok());
  job.mutable_spec()->set_dataset_path("/home/me/train.jsonl");
  job.mutable_spec()->set_output_dir("/models-of-mine/out");
  EXPECT_THAT(std::string(CheckPaths(Options(), job).message()),
              HasSubstr("/home/me/train.jsonl and /models-of-mine/out would not be there"));
}

TEST(KubectlTest, WhatItWritesBecomesACode) {
  const auto code = [](const std::string& errors) {
    return StatusOfKubectl({.status = 1, .output = {}, .errors = errors}).code();
  };
  using absl::StatusCode;
  EXPECT_EQ(StatusOfKubectl({.status = 0, .output = {}, .errors = "Warning: x"}), absl::OkStatus());
  EXPECT_EQ(code("Error from server (NotFound): jobs.batch \"x\" not found\n"),
            StatusCode::kNotFound);
  EXPECT_EQ(code("Error from server (AlreadyExists): jobs.batch \"x\" already exists"),
            StatusCode::kAlreadyExists);
  EXPECT_EQ(code("Error from server (Forbidden): jobs.batch is forbidden: User \"x\" cannot"),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(code("Error from server (Forbidden): pods \"x\" is forbidden: exceeded quota: q"),
            StatusCode::kUnavailable);
  EXPECT_EQ(code("The Job \"x\" is invalid: spec.template: Invalid value"),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(code("Error from server (BadRequest): strict decoding error: unknown field"),
            StatusCode::kFailedPrecondition);
  for (const char* passing :
       {"error: You must be logged in to the server (Unauthorized)",
        "The connection to the server 127.0.0.1:1 was refused - did you specify the right host",
        "Unable to connect to the server: net/http: TLS handshake timeout",
        "Error from server (TooManyRequests): too many", "Error from server (InternalError): x",
        "Error from server (Timeout): x", "error: context \"x\" does not exist", ""})
    EXPECT_EQ(code(passing), StatusCode::kUnavailable) << passing;
}

TEST(JobViewTest, ReadsWhatIsThereAndNothingElse) {
  for (const char* text :
       {"null", "[]", "{}", "{\"metadata\": 3}", "{\"status\": {\"conditions\": {}}}",
        "{\"status\": {\"conditions\": [3, {\"type\": 4}], \"containerStatuses\": [1]}}"}) {
    const Json json = Json::parse(text);
    EXPECT_EQ(ReadJob(json).name, "") << text;
    EXPECT_FALSE(ReadJob(json).has_failed) << text;
    EXPECT_FALSE(ReadPod(json).IsAlive()) << text;
    EXPECT_EQ(AdmissionOf(json), "") << text;
  }
}

KubernetesPod Pod(const std::string& phase, const std::string& waits_for = "") {
  return {.name = "p", .job = "j", .phase = phase, .node = "n1", .waits_for = waits_for};
}

TEST(JobViewTest, SaysWhatAJobWaitsFor) {
  KubernetesJob job{.name = "j", .uid = {}, .job_uid = {}};
  EXPECT_EQ(WaitReason(job), "Kubernetes Job j has no pod yet");
  job.pods = {Pod("Failed"), Pod("Pending", "Unschedulable: 0/3 nodes are available")};
  EXPECT_EQ(WaitReason(job), "Kubernetes Job j waits: Unschedulable: 0/3 nodes are available");
  job.pods.push_back(Pod("Running"));
  EXPECT_EQ(WaitReason(job), "Kubernetes Job j starts on n1");
  job.pods = {Pod("Failed")};
  job.pods[0].disrupted_by = "PreemptionByScheduler";
  EXPECT_EQ(WaitReason(job), "Kubernetes Job j gets another pod after PreemptionByScheduler");
  // Of two nodes, the one that does not run is waited for.
  job.pods = {Pod("Running"), Pod("Pending", "Unschedulable: no room")};
  job.pods[0].index = "0";
  job.pods[1].index = "1";
  EXPECT_EQ(WaitReason(job), "Kubernetes Job j waits: Unschedulable: no room");
  std::swap(job.pods[0], job.pods[1]);
  EXPECT_EQ(WaitReason(job), "Kubernetes Job j waits: Unschedulable: no room");
  job.is_suspended = true;
  EXPECT_EQ(WaitReason(job), "Kubernetes Job j is suspended");
  job.admission = "Pending: insufficient quota";
  EXPECT_THAT(WaitReason(job), HasSubstr("and Kueue says: Pending: insufficient quota"));
}

// As Kueue writes them (apis/kueue/v1beta1).
TEST(JobViewTest, TellsWhyAWorkloadIsNotAdmitted) {
  const auto workload = [](const char* type, const char* status) {
    return Json{{"status",
                 {{"conditions", Json::array({Json{{"type", type},
                                                   {"status", status},
                                                   {"reason", "Pending"},
                                                   {"message", "no quota"}}})}}}};
  };
  EXPECT_EQ(AdmissionOf(workload("QuotaReserved", "False")), "Pending: no quota");
  EXPECT_EQ(AdmissionOf(workload("Evicted", "True")), "Pending: no quota");
  EXPECT_EQ(AdmissionOf(workload("Admitted", "True")), "");
  EXPECT_EQ(AdmissionOf(workload("QuotaReserved", "True")), "");
}

}  // namespace
}  // namespace tunesmith::server
