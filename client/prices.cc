#include "client/prices.h"

#include <algorithm>

#include "common/file.h"
#include "common/json.h"
#include "common/numbers.h"
#include "common/status_macros.h"
#include "common/suggest.h"
#include "common/text.h"
#include "planner/model/hardware.h"

namespace tunesmith::client {
namespace {

absl::StatusOr<double> ParseAmount(std::string_view text, const std::string& whole) {
  double amount = 0;
  if (ParseDouble(text, &amount) && amount > 0) return amount;
  return absl::InvalidArgumentError(
      StrCat("price \"", whole, "\" is not a number above 0, or such as H100=2.99"));
}

// As the catalog has it, where it has it.
std::string Canonical(const std::string& device) {
  const auto found = planner::FindHardware(device);
  return found.ok() ? found->name : device;
}

bool Same(const std::string& a, const std::string& b) {
  return EqualsIgnoreCase(Canonical(a), Canonical(b));
}

// Where in `devices` a price belongs.
absl::StatusOr<size_t> IndexOf(const Price& price, const std::vector<std::string>& devices) {
  if (price.device.empty()) {
    if (devices.size() == 1) return 0;
    return absl::InvalidArgumentError(
        StrCat("price ", price.per_device_hour, ": name its device, such as ", devices.front(), "=",
               price.per_device_hour, ", where several kinds are asked about"));
  }
  for (size_t i = 0; i < devices.size(); ++i) {
    if (Same(devices[i], price.device)) return i;
  }
  return absl::InvalidArgumentError(StrCat("price of ", price.device,
                                           ": that kind is not asked about; ",
                                           DidYouMean(price.device, devices)));
}

}  // namespace

absl::StatusOr<Price> ParsePrice(const std::string& text) {
  const size_t equals = text.find('=');
  Price price;
  if (equals != std::string::npos) {
    price.device = text.substr(0, equals);
    if (price.device.empty())
      return absl::InvalidArgumentError(
          StrCat("price \"", text, "\" names no device; write H100=2.99"));
  }
  const std::string_view amount =
      std::string_view(text).substr(equals == std::string::npos ? 0 : equals + 1);
  TUNESMITH_ASSIGN_OR_RETURN(price.per_device_hour, ParseAmount(amount, text));
  return price;
}

absl::StatusOr<std::vector<Price>> ReadPrices(const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  TUNESMITH_ASSIGN_OR_RETURN(const nlohmann::json root, ParseJsonWithUniqueKeys(text, path));
  if (!root.is_object())
    return absl::InvalidArgumentError(StrCat(path, " is not an object such as {\"H100\": 2.99}"));
  std::vector<Price> prices;
  for (const auto& [device, _] : root.items()) {
    TUNESMITH_ASSIGN_OR_RETURN(const double amount, JsonField<double>(root, device, path));
    if (amount <= 0)
      return absl::InvalidArgumentError(
          StrCat(path, ": the price of ", device, " is ", amount, ", must be above 0"));
    prices.push_back({.device = device, .per_device_hour = amount});
  }
  return prices;
}

absl::StatusOr<std::vector<double>> PricesOf(const std::vector<std::string>& devices,
                                             const std::vector<Price>& prices) {
  std::vector<double> amounts(devices.size(), 0.0);
  for (const Price& price : prices) {
    TUNESMITH_ASSIGN_OR_RETURN(const size_t index, IndexOf(price, devices));
    if (amounts[index] > 0)
      return absl::InvalidArgumentError(StrCat(devices[index], " has two prices; give one"));
    // Groups of one kind that differ in their nodes cost the same.
    for (size_t i = 0; i < devices.size(); ++i) {
      if (Same(devices[i], devices[index])) amounts[i] = price.per_device_hour;
    }
  }
  const auto none = std::find(amounts.begin(), amounts.end(), 0.0);
  if (prices.empty() || none == amounts.end()) return amounts;
  return absl::InvalidArgumentError(
      StrCat(devices[static_cast<size_t>(none - amounts.begin())],
             " has no price while others have one; give a price for every kind, or for none"));
}

}  // namespace tunesmith::client
