#pragma once

#include <string>
#include <vector>

#include "client/output.h"
#include "tunesmith/v1/recommender.pb.h"

namespace tunesmith::client {

// A ranking of another runtime's mixes, for people.
std::string ShowRuntimeAnswer(const Output& output, const v1::RuntimeAnswer& answer,
                              const std::vector<std::string>& notes);

}  // namespace tunesmith::client
