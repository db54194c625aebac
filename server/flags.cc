#include "server/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <utility>

#include "common/str_cat.h"
#include "common/units.h"
#include "common/version.h"
#include "proto/convert/data_directory.h"
#include "server/configuration.h"
#include "server/unix_socket.h"

namespace tunesmith::server {
namespace {

// The directory that this binary lies in; shim and trainer lie beside it.
std::string BinaryDirectory() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
}

std::string IsSocket(const std::string& address) {
  return SocketPath(address).empty() ? StrCat(address, " is no unix:PATH") : "";
}

void AddHostFlags(CLI::App& app, Flags& flags) {
  HostCapacity& capacity = flags.server.launcher.capacity;
  capacity = CapacityOfThisHost();
  flags.host_memory_gib = static_cast<double>(capacity.host_memory_bytes) / kGiB;
  app.add_option("--gpu-count", capacity.gpu_count, "GPUs of this host for jobs")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--cpu-threads", capacity.cpu_thread_count,
                 "Threads of this host for jobs that compute on the CPU")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--host-runner", flags.host_runner,
                 "unix:PATH of a runner that starts this host's trainers, so that the server needs "
                 "no GPUs itself (deploy/systemd); by default the server starts them")
      ->check(IsSocket);
  app.add_option("--host-memory", flags.host_memory_gib, "Memory of this host for jobs, GiB")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

void AddSlurmFlags(CLI::App& app, Flags& flags) {
  v1::SlurmOptions& defaults = flags.server.slurm.defaults;
  const auto text = [&](const char* flag, const char* help, auto set) {
    app.add_option_function<std::string>(
        flag, [&defaults, set](const std::string& value) { (defaults.*set)(value); }, help);
  };
  using v1::SlurmOptions;
  text("--slurm-partition", "Partition of jobs that name none",
       &SlurmOptions::set_partition<const std::string&>);
  text("--slurm-account", "Account of jobs that name none",
       &SlurmOptions::set_account<const std::string&>);
  text("--slurm-qos", "Quality of service of jobs that name none",
       &SlurmOptions::set_qos<const std::string&>);
  app.add_option("--slurm-time-limit-minutes", flags.slurm_time_limit_minutes,
                 "Time limit of jobs that name none; the partition's own by default")
      ->check(CLI::PositiveNumber);
  app.add_option("--slurm-option", flags.slurm_options,
                 "Further option of sbatch for jobs that name none, as constraint=a100; may be "
                 "repeated");
  app.add_option("--slurm-poll-seconds", flags.slurm_poll_seconds,
                 "How old what is known of Slurm's queue may be")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--slurm-fence-seconds", flags.slurm_fence_seconds,
                 "How long an attempt that Slurm starts again waits for the one before to see it; "
                 "longer than directories are cached by the file system of run directories")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

void AddKubernetesFlags(CLI::App& app, Flags& flags) {
  KubernetesLauncherOptions& kubernetes = flags.server.kubernetes;
  app.add_option("--kubernetes-context", kubernetes.context,
                 "Context of the kubeconfig file; its current one, or the pod's own, by default");
  app.add_option("--kubernetes-namespace", kubernetes.namespace_name, "Namespace of the jobs")
      ->capture_default_str();
  app.add_option("--kubernetes-form", flags.kubernetes_form,
                 "What jobs are there: job, jobset or trainjob")
      ->check(CLI::IsMember({"job", "jobset", "trainjob"}))
      ->capture_default_str();
  app.add_option("--kubernetes-runtime", kubernetes.runtime,
                 "ClusterTrainingRuntime of trainjobs, which has their volumes");
  app.add_option("--kubernetes-image", kubernetes.image, "Image that has shim and trainer");
  app.add_option("--kubernetes-binaries", flags.kubernetes_binaries,
                 "Directory of shim and trainer in the image")
      ->capture_default_str();
  app.add_option("--kubernetes-volume", flags.kubernetes_volumes,
                 "CLAIM:PATH, a PersistentVolumeClaim and the path at which server and pods have "
                 "it; may be repeated");
  app.add_option("--kubernetes-queue", kubernetes.queue, "Kueue's local queue");
  app.add_option("--kubernetes-priority-class", kubernetes.priority_class,
                 "Kueue's workload priority class");
  app.add_option("--kubernetes-gpu-resource", kubernetes.gpu_resource,
                 "How the cluster calls its GPUs")
      ->capture_default_str();
  app.add_option("--kubernetes-node-selector", flags.kubernetes_node_labels,
                 "LABEL=VALUE that nodes must have; may be repeated");
  app.add_option("--kubernetes-time-limit-minutes", flags.kubernetes_time_limit_minutes,
                 "Time limit of an attempt; none by default")
      ->check(CLI::PositiveNumber);
  app.add_option("--kubernetes-poll-seconds", flags.kubernetes_poll_seconds,
                 "How old what is known of Jobs and pods may be")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--kubernetes-fence-seconds", flags.kubernetes_fence_seconds,
                 "As --slurm-fence-seconds")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

void AddDatabaseFlags(CLI::App& app, Flags& flags) {
  app.add_option("--keep-days", flags.keep_days,
                 "Days after which ended jobs leave the database; their run directories stay. 0: "
                 "never")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--backup", flags.backup,
                 "Copy the database to this new file and end; a server may run meanwhile")
      ->group(kActions);
  app.add_option("--restore", flags.restore,
                 "Put this copy in the place of the database and end; no server may run meanwhile")
      ->group(kActions)
      ->excludes("--backup");
}

void AddTlsFlags(CLI::App& app, FrontOptions& front) {
  app.add_option("--tls-cert", front.tls.certificate_path,
                 "Certificate of this server (PEM); read again when it is replaced, as all of TLS");
  app.add_option("--tls-key", front.tls.key_path, "Its key");
  app.add_option(
      "--tls-client-ca", front.tls.client_authority_path,
      "Authorities whose certificates clients may show; without --access-file, must show");
  app.add_option("--tls-crl-dir", front.tls.revocation_directory,
                 "Lists of revoked client certificates, named as openssl rehash does");
}

void AddAccessFlags(CLI::App& app, Flags& flags) {
  FrontOptions& front = flags.server.front;
  app.add_option("--access-file", front.access_path,
                 "Who may do what: tokens and certificates with roles; read again when it changes");
  app.add_flag("--insecure", front.insecure,
               "Listen beyond loopback without TLS or access file: whoever gets there may do "
               "everything");
  app.add_option("--audit-log", front.audit_path,
                 "File that gets a JSON line for every call that changes something or is refused");
  app.add_option("--model-root", flags.server.roots.models,
                 "Jobs' models must lie below; may be repeated, as the other roots");
  app.add_option("--data-root", flags.server.roots.data, "Jobs' data sets must lie below");
  app.add_option("--output-root", flags.server.roots.outputs,
                 "Jobs' output directories must lie below");
  app.add_option("--add-token", flags.add_token,
                 "Make a token for this name, add it to --access-file, print it and end")
      ->group(kActions);
  app.add_option("--role", flags.role, "Role of --add-token: reader, submitter or admin")
      ->group(kActions)
      ->capture_default_str();
}

void AddLimitFlags(CLI::App& app, FrontOptions& front) {
  app.add_option("--max-calls-per-second", front.limits.calls_per_second,
                 "Of each caller, on average; 0: as many as come")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--max-calls-at-once", front.limits.calls_at_once,
                 "Of each caller, streams too; 0: as many as come")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--max-connections", front.max_connection_count,
                 "Connections at once; others are closed. 0: three quarters of the files that this "
                 "process may open")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

void AddOperationsFlags(CLI::App& app, Flags& flags) {
  app.add_option("--http-listen", flags.server.http_listen,
                 "HOST:PORT of /metrics, /healthz and /readyz; none by default");
  app.add_option("--access-log", flags.access_log, "Calls that get a line in the log: all or none")
      ->check(CLI::IsMember({"all", "none"}))
      ->capture_default_str();
  app.add_option("--log-level", flags.log_level,
                 "Least level of lines in the log: debug, info, warning or error; calls are info")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  app.add_option("--config", flags.config,
                 "YAML file of settings, named as the flags; SIGHUP takes its log-level up anew");
  app.add_flag("--print-config", flags.print_config,
               "Print every setting with where it is from, and end")
      ->group(kActions);
}

// Where a setting is from: "flag", "environment ...", a file, or "default".
std::string OriginOf(const std::vector<Setting>& settings, const std::string& name) {
  for (const Setting& setting : settings)
    if (setting.name == name) return setting.origin;
  return "default";
}

bool IsFixed(const std::vector<Setting>& settings, const std::string& name) {
  const std::string origin = OriginOf(settings, name);
  return origin == "flag" || origin.starts_with("environment");
}

void FinishSlurm(Flags& flags) {
  SlurmLauncherOptions& slurm = flags.server.slurm;
  slurm.shim_path = std::filesystem::absolute(flags.server.launcher.shim_path).string();
  slurm.trainer_path = std::filesystem::absolute(flags.server.launcher.trainer_path).string();
  slurm.grace = absl::Seconds(flags.grace_seconds);
  slurm.poll_interval = absl::Seconds(flags.slurm_poll_seconds);
  slurm.fence_delay = absl::Seconds(flags.slurm_fence_seconds);
  if (flags.slurm_time_limit_minutes > 0) {
    slurm.defaults.mutable_time_limit()->set_seconds(
        static_cast<int64_t>(flags.slurm_time_limit_minutes * 60));
  }
  for (const std::string& option : flags.slurm_options) slurm.defaults.add_options(option);
}

// The two sides of the first `separator`; the second is empty where there is none.
std::pair<std::string, std::string> Split(const std::string& text, char separator) {
  const size_t at = text.find(separator);
  return {text.substr(0, at), at == std::string::npos ? "" : text.substr(at + 1)};
}

void FinishKubernetes(Flags& flags) {
  KubernetesLauncherOptions& kubernetes = flags.server.kubernetes;
  // CLI11 has checked it.
  kubernetes.form = ParseKubernetesForm(flags.kubernetes_form).value_or(KubernetesForm::kJob);
  kubernetes.shim_path = flags.kubernetes_binaries + "/tunesmith-shim";
  kubernetes.trainer_path = flags.kubernetes_binaries + "/tunesmith-trainer";
  kubernetes.grace = absl::Seconds(flags.grace_seconds);
  kubernetes.time_limit = absl::Minutes(flags.kubernetes_time_limit_minutes);
  kubernetes.poll_interval = absl::Seconds(flags.kubernetes_poll_seconds);
  kubernetes.fence_delay = absl::Seconds(flags.kubernetes_fence_seconds);
  for (const std::string& text : flags.kubernetes_volumes) {
    const auto [claim, path] = Split(text, ':');
    kubernetes.volumes.push_back({.claim = claim, .path = path});
  }
  for (const std::string& text : flags.kubernetes_node_labels)
    kubernetes.node_selector.insert(Split(text, '='));
}

// A server that leaves trainers to a runner may itself see no GPU.
void FinishHost(const std::vector<Setting>& settings, Flags& flags) {
  HostLauncherOptions& launcher = flags.server.launcher;
  launcher.runner_socket = SocketPath(flags.host_runner);
  if (launcher.runner_socket.empty() || OriginOf(settings, "gpu-count") != "default") return;
  launcher.capacity.gpu_count = std::max(launcher.capacity.gpu_count, GpusOfTheDriver());
}

}  // namespace

void AddFlags(CLI::App& app, Flags& flags) {
  const std::string directory = BinaryDirectory();
  flags.server.data_directory = convert::DefaultDataDirectory();
  flags.server.launcher.trainer_path = directory + "/tunesmith-trainer";
  flags.server.launcher.shim_path = directory + "/tunesmith-shim";
  flags.server.profiler_path = directory + "/tunesmith-profiler";
  app.add_option("--listen", flags.server.front.listen,
                 "HOST:PORT (port 0 takes a free one) or unix:PATH; several with commas between")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--data-dir", flags.server.data_directory, "Where jobs and calibrations are kept")
      ->capture_default_str();
  app.add_option("--trainer", flags.server.launcher.trainer_path, "The trainer's binary")
      ->capture_default_str();
  app.add_option("--profiler", flags.server.profiler_path, "The profiler's binary")
      ->capture_default_str();
  app.add_option("--shim", flags.server.launcher.shim_path, "The shim's binary")
      ->capture_default_str();
  app.add_option(
      "--calibration", flags.server.calibration_path,
      "Calibration file to price its device with, instead of the newest in the data directory");
  app.add_option("--grace-seconds", flags.grace_seconds,
                 "From asking a trainer to stop to killing it")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--launchers", flags.server.launchers,
                 "Where jobs run: host, slurm, kubernetes, or several with the default first")
      ->delimiter(',')
      ->check(CLI::IsMember({"host", "slurm", "kubernetes"}))
      ->capture_default_str();
  AddHostFlags(app, flags);
  AddSlurmFlags(app, flags);
  AddKubernetesFlags(app, flags);
  AddDatabaseFlags(app, flags);
  AddTlsFlags(app, flags.server.front);
  AddAccessFlags(app, flags);
  AddLimitFlags(app, flags.server.front);
  app.add_option("--answer-cache-mib", flags.answer_cache_mib,
                 "Memory for answers that are known, MiB; those not asked for longest go first")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  AddOperationsFlags(app, flags);
  app.set_version_flag("--version", StrCat("tunesmithd ", Version()));
}

void Finish(const std::vector<Setting>& settings, Flags& flags) {
  flags.log_level_is_fixed = IsFixed(settings, "log-level");
  flags.server.launcher.grace = absl::Seconds(flags.grace_seconds);
  flags.server.launcher.capacity.host_memory_bytes =
      static_cast<int64_t>(flags.host_memory_gib * kGiB);
  if (flags.keep_days > 0) flags.server.retention.ended_jobs = absl::Hours(24 * flags.keep_days);
  flags.server.logs_calls = flags.access_log == "all";
  flags.server.answer_cache_bytes = static_cast<size_t>(flags.answer_cache_mib) << 20;
  FinishHost(settings, flags);
  FinishSlurm(flags);
  FinishKubernetes(flags);
  flags.server.profiler_path = std::filesystem::absolute(flags.server.profiler_path).string();
  // Run directories appear in files that other processes read.
  flags.server.data_directory =
      std::filesystem::absolute(flags.server.data_directory).lexically_normal().string();
}

}  // namespace tunesmith::server
