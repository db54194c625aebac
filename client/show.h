#pragma once

#include <string>
#include <vector>

#include "client/output.h"
#include "google/protobuf/timestamp.pb.h"
#include "tunesmith/v1/jobs.pb.h"
#include "tunesmith/v1/recommender.pb.h"

// Answers as text for people: GiB, times in words. Each ends in a newline.
namespace tunesmith::client {

// The ranked mixes with the chosen one marked, its memory by class, and what a reader must know; or, when nothing fits, the amounts missing.
// `notes` are printed with the answer's own.
std::string ShowRecommendation(const Output& output, const v1::RecommendResponse& answer,
                               const std::vector<std::string>& notes);

std::string ShowEstimate(const Output& output, const v1::EstimateResponse& answer,
                         const std::vector<std::string>& notes);

// Memory by class, what binds, and the time of one mix, with its cost where there is one.
std::string ShowPrediction(const v1::RankedMix& mix);

// "note: ...", one line each.
std::string ShowNotes(const std::vector<std::string>& notes);

std::string ShowJob(const v1::Job& job);
std::string ShowSubmission(const v1::RenderedSubmission& submission);

// "measured here".
std::string EvidenceName(v1::Evidence evidence);

// "PREEMPTED".
std::string CauseName(v1::EndCause cause);

// "RUNNING".
std::string StateName(v1::JobState state);

// "2026-11-26T20:39:33Z"; "-" where there is no time.
std::string When(const google::protobuf::Timestamp& time);

// "1.50", in GiB.
std::string Gib(int64_t bytes);

}  // namespace tunesmith::client
