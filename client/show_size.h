#pragma once

#include <string>
#include <vector>

#include "client/output.h"
#include "tunesmith/v1/recommender.pb.h"

namespace tunesmith::client {

// Every count that was tried with what became of it, or the longest context and what binds, for people. `notes` are printed with the answer's own.
std::string ShowSize(const Output& output, const v1::SizeResponse& answer,
                     const std::vector<std::string>& notes);

}  // namespace tunesmith::client
