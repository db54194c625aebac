#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

// What an hour of a device costs, as people say it. No price is built in: they go stale. A currency is not named; costs are in the prices' own.
namespace tunesmith::client {

struct Price {
  std::string device;  // empty: of whatever is asked about
  double per_device_hour = 0;
};

// "H100=2.99", or "2.99" for the only kind asked about. INVALID_ARGUMENT names the text.
absl::StatusOr<Price> ParsePrice(const std::string& text);

// A JSON file {"H100": 2.99, "L4": 0.7}. INVALID_ARGUMENT names the file and the device; NOT_FOUND: there is no such file.
absl::StatusOr<std::vector<Price>> ReadPrices(const std::string& path);

// The price of every one of `devices`, in their order; 0 where `prices` is empty. Names are compared as the catalog does ("H100" is "H100-SXM").
// INVALID_ARGUMENT: a price for a device that is not among them (the nearest are offered), two for one, none for one while others have one.
absl::StatusOr<std::vector<double>> PricesOf(const std::vector<std::string>& devices,
                                             const std::vector<Price>& prices);

}  // namespace tunesmith::client
