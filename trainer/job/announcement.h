#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "planner/model/mix.h"
#include "planner/model/workload.h"
#include "trainer/job/job_data.h"
#include "tunesmith/v1/events.pb.h"

namespace tunesmith::trainer {

struct LogLine {
  v1::LogSeverity severity = v1::LOG_SEVERITY_INFO;
  std::string text;

  bool operator==(const LogLine&) const = default;
};

// What is told before the first step: the plan, what its rows are made of, and a warning of each kind of data that is not learned, with the cure where there is one.
std::vector<LogLine> AnnouncementOf(const planner::Mix& mix, const planner::Workload& workload,
                                    const JobData& data, int64_t step_count);

}  // namespace tunesmith::trainer
