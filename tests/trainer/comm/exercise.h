#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/comm/communicator.h"

namespace tunesmith::trainer {

// Makes every call in many sizes and types with random data keyed by rank, in place and apart, and checks every element against a plain computation of
// what it should be. Returns a digest of all bits that came out, the same with every backend; or, beginning with "wrong", what was not as it should be.
std::string Exercise(Communicator& communicator);

// What threads give, by rank.
std::vector<std::string> ExerciseThreads(int64_t size);

}  // namespace tunesmith::trainer
