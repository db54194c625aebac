#include "planner/model/device_names.h"

#include <algorithm>
#include <iterator>

#include "common/text.h"

namespace tunesmith::planner {
namespace {

constexpr std::string_view kVendor = "NVIDIA ";

// What nvidia-smi prints behind the vendor, and the catalog's name.
struct DeviceName {
  std::string_view driver;
  std::string_view catalog;
};
constexpr DeviceName kNames[] = {
    {"A10G", "A10G"},
    {"A100-SXM4-40GB", "A100-40GB"},
    {"A100-PCIE-40GB", "A100-40GB"},
    {"A100-SXM4-80GB", "A100-80GB"},
    {"A100 80GB PCIe", "A100-80GB"},
    {"L4", "L4"},
    {"L40S", "L40S"},
    {"RTX A5000", "RTX-A5000"},
    {"RTX A6000", "RTX-A6000"},
    {"GeForce RTX 3090", "RTX-3090"},
    {"GeForce RTX 4080", "RTX-4080"},
    {"GeForce RTX 4090", "RTX-4090"},
    {"GeForce RTX 5090", "RTX-5090"},
    {"H100 80GB HBM3", "H100-SXM"},
    {"H100 PCIe", "H100-PCIe"},
    {"H200", "H200"},
    {"B200", "B200"},
};

}  // namespace

absl::StatusOr<Hardware> FindHardwareOfDevice(std::string_view driver_name) {
  std::string_view name = driver_name;
  if (name.starts_with(kVendor)) name.remove_prefix(kVendor.size());
  const auto* const row =
      std::find_if(std::begin(kNames), std::end(kNames),
                   [name](const DeviceName& device) { return device.driver == name; });
  if (row != std::end(kNames)) return FindHardware(row->catalog);
  return absl::NotFoundError(StrCat("the hardware catalog has no row for the device '", driver_name,
                                    "'; name the one that is most like it with --hardware, e.g. "
                                    "H100-SXM (`tunesmith gpus` lists them)"));
}

}  // namespace tunesmith::planner
