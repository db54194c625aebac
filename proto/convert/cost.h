#pragma once

#include "planner/model/hardware.h"
#include "tunesmith/v1/recommender.pb.h"

namespace tunesmith::convert {

// Sets what the mix takes of `devices` for the whole data set: hours of all together and, where an hour of one has a price, the cost. Both stay 0
// where the size of the data set is not known.
void SetCost(const planner::DeviceGroup& devices, double price_per_device_hour,
             v1::RankedMix& ranked);

}  // namespace tunesmith::convert
