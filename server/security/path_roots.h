#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/convert/violations.h"
#include "tunesmith/v1/job_spec.pb.h"

// Directories that the files of jobs must lie below. Trainers run as the server's user: without roots, who may submit a job may have any file
// read that this user can read, and any directory written.
namespace tunesmith::server {

struct PathRoots {
  bool confines = false;  // false: paths may lead anywhere
  std::vector<std::string> models;
  std::vector<std::string> data;  // data sets and chat templates
  std::vector<std::string> outputs;
};

// The roots with symbolic links followed. NOT_FOUND names one that is no directory, and its flag.
absl::StatusOr<PathRoots> ResolveRoots(PathRoots roots);

// Where a path leads, links followed; what does not exist yet may follow what does. INVALID_ARGUMENT when it is not below one of `roots`; whether
// it exists there is not told. `flag` is what a root is given by.
absl::StatusOr<std::string> ResolveBelow(const std::string& path,
                                         const std::vector<std::string>& roots,
                                         const std::string& flag);

// As ResolveBelow for a model's file or directory below `roots.models`; a link among a directory's files that leads out is INVALID_ARGUMENT too. The path as it is when the roots
// do not confine.
absl::StatusOr<std::string> ConfineModel(const PathRoots& roots, const std::string& path);

// Replaces the paths of `spec` by where they lead, so that a link that is changed later leads nowhere else; a violation for each that leads
// out, by a link among the files of a model's directory, or in an output's, too. Does nothing when the roots do not confine.
void ConfinePaths(const PathRoots& roots, v1::JobSpec& spec, convert::Violations& violations);

// Whether what ConfinePaths made still leads where it did: somebody may have put a link in a directory's place. FAILED_PRECONDITION.
absl::Status CheckStillConfined(const PathRoots& roots, const v1::JobSpec& spec);

}  // namespace tunesmith::server
