#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/convert/answer.h"
#include "tunesmith/v1/recommender.pb.h"

// Size, answered by the linked planner: what the server does for an RPC and the client for --offline. Thread-safe.
namespace tunesmith::convert {

// Errors are those that recommender.proto states.
absl::StatusOr<v1::SizeResponse> AnswerSize(const v1::SizeRequest& request,
                                            const CalibrationSource& calibrations,
                                            absl::Time deadline = absl::InfiniteFuture());

}  // namespace tunesmith::convert
