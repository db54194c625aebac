#include "proto/convert/cost.h"

namespace tunesmith::convert {

void SetCost(const planner::DeviceGroup& devices, double price_per_device_hour,
             v1::RankedMix& ranked) {
  const double hours = ranked.prediction().time().total_hours();
  ranked.set_device_hours(hours * static_cast<double>(devices.device_count));
  ranked.set_cost(ranked.device_hours() * price_per_device_hour);
}

}  // namespace tunesmith::convert
