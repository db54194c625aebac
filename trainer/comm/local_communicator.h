#pragma once

#include <memory>

#include "trainer/comm/communicator.h"

namespace tunesmith::trainer {

// The communicator of a rank that is alone.
std::unique_ptr<Communicator> MakeLocalCommunicator();

}  // namespace tunesmith::trainer
