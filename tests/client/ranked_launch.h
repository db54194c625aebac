#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/trainer/job/job_files.h"

// A job of several ranks from its plan to its losses, by the commands as users have them and with the trainer itself.
namespace tunesmith::client {

// Two ranks, each of rows of its own.
inline constexpr char kRankedMix[] =
    "method=full precision=fp32 recompute=keep:2 attention=flash loss=full zero_stage=3 "
    "batch=1x2x2";

struct RankedLaunch {
  std::string name;  // of the server's data directory, among the job's files
  std::string devices = "2xcpu";
  std::string mix = kRankedMix;
  std::map<std::string, std::string> environment = {};  // of the server
  std::vector<std::string> server_flags = {};
  std::vector<std::string> launch_flags = {};
};

// Estimates, launches on a server of its own and watches; the losses by step. Fails the test where one of them fails.
std::map<int64_t, double> LossesOf(const trainer::JobFiles& files, const RankedLaunch& launch);

}  // namespace tunesmith::client
