#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tunesmith/v1/jobs.pb.h"
#include "tunesmith/v1/recommender.pb.h"

namespace tunesmith::client {

// What a report is about. The mix is what was planned, or what a job ran; the answer is to the same question, asked with explanation and front.
struct ReportInput {
  v1::PlanInputs inputs;
  v1::RankedMix mix;
  v1::RecommendResponse answer;
  std::optional<v1::Job> job;
  std::vector<v1::Event> events;  // of the job, in their order
};

// One self-contained HTML page: no script, nothing loaded from elsewhere.
std::string ReportPage(const ReportInput& input);

}  // namespace tunesmith::client
