#pragma once

#include <string>

#include "client/client.h"
#include "client/listing.h"

namespace tunesmith::client {

Listing CalibrationRecordListing(
    const google::protobuf::RepeatedPtrField<v1::CalibrationRecord>& records);
Listing CalibrationRunListing(const google::protobuf::RepeatedPtrField<v1::CalibrationRun>& runs);

// A calibration for people: where it is from, what it holds by table, and between which rates.
std::string ShowCalibrationRecord(const v1::CalibrationRecord& record);

// "running, 3 of 16 programs, 25 s of 120 s", or why not.
std::string ShowRunState(const v1::CalibrationRun& run);

// Waits for the end of a run, and tells on stderr how far it is. A server that goes away is waited for up to a minute.
absl::StatusOr<v1::CalibrationRun> FollowRun(CalibrationClient& client, const std::string& name);

}  // namespace tunesmith::client
