#pragma once

#include <memory>
#include <string>

#include "client/client.h"

namespace tunesmith::client {

// The calibrations in a data directory on this host, as files. There is no history: what is deleted is gone. Errors as calibrations.proto states them.
std::unique_ptr<CalibrationLibrary> MakeLocalCalibrations(const std::string& data_directory);

}  // namespace tunesmith::client
