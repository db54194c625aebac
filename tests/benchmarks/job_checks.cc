#include "tests/benchmarks/job_checks.h"

#include <filesystem>
#include <set>
#include <sstream>
#include <vector>

#include "proto/convert/run_directory.h"

namespace tunesmith::server {
namespace {

// An event without what the server numbers anew.
std::string KindOf(v1::Event event) {
  event.clear_sequence();
  return event.SerializeAsString();
}

}  // namespace

std::string DoubleStartOf(const v1::Job& job) {
  std::istringstream starts(Slurp(job.run_directory() + "/starts"));
  std::set<std::string> attempts;
  std::string attempt;
  bool twice = std::filesystem::exists(job.run_directory() + "/double_launch");
  while (std::getline(starts, attempt)) twice |= !attempts.insert(attempt).second;
  return twice ? job.name() + " ran twice at once" : "";
}

std::string EventFaultOf(ServerProcess& server, const v1::Job& job) {
  std::vector<std::string> written;
  std::istringstream lines(Slurp(convert::InDirectory(job.run_directory(), convert::kEventsFile)));
  for (std::string line; std::getline(lines, line);) {
    const auto event = convert::DecodeEventLine(line);
    if (!event.ok()) return job.name() + " has an event that cannot be read: " + line;
    written.push_back(KindOf(*event));
  }
  std::vector<std::string> told;
  bool good = true;
  int64_t sequence = 0;
  for (const v1::Event& event : server.Watch(job.name())) {
    good &= event.sequence() == ++sequence;
    if (!event.has_state_changed()) told.push_back(KindOf(event));
  }
  if (good && told == written && sequence == job.last_sequence()) return "";
  return job.name() + ": events were lost, repeated or changed";
}

}  // namespace tunesmith::server
