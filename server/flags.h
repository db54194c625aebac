#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/settings.h"
#include "server/server.h"

namespace CLI {
class App;
}

// tunesmithd's flags.
namespace tunesmith::server {

struct Flags {
  ServerOptions server;
  double grace_seconds = 60;
  double keep_days = 0;
  double host_memory_gib = 0;
  std::string host_runner;
  int64_t answer_cache_mib = 64;
  std::string backup;
  std::string restore;
  std::string add_token;
  std::string role = "submitter";
  std::string access_log = "all";
  std::string log_level = "info";
  std::string config;
  bool print_config = false;
  bool log_level_is_fixed = false;  // by a flag or the environment
  double slurm_time_limit_minutes = 0;
  double slurm_poll_seconds = 10;
  double slurm_fence_seconds = 5;
  std::vector<std::string> slurm_options;
  std::string kubernetes_form = "job";
  std::string kubernetes_binaries = "/opt/tunesmith/bin";
  std::vector<std::string> kubernetes_volumes;
  std::vector<std::string> kubernetes_node_labels;
  double kubernetes_time_limit_minutes = 0;
  double kubernetes_poll_seconds = 10;
  double kubernetes_fence_seconds = 5;
};

// Adds every flag, with its default.
void AddFlags(CLI::App& app, Flags& flags);

// Makes `server` what the flags say, once all settings are there.
void Finish(const std::vector<Setting>& settings, Flags& flags);

}  // namespace tunesmith::server
