#include "planner/answer/prediction.h"

#include <algorithm>

#include "common/str_cat.h"

namespace tunesmith::planner {
namespace {

constexpr std::string_view kDeviceMemory = "memory";

}  // namespace

std::string_view MemoryClassName(MemoryClass memory_class) {
  switch (memory_class) {
    case MemoryClass::kWeights:
      return "weights";
    case MemoryClass::kGradients:
      return "gradients";
    case MemoryClass::kOptimizer:
      return "optimizer";
    case MemoryClass::kActivations:
      return "activations";
    case MemoryClass::kLogits:
      return "logits";
    case MemoryClass::kWorkspace:
      return "workspace";
    case MemoryClass::kCommunication:
      return "communication";
    case MemoryClass::kInputs:
      return "inputs";
  }
  return "unknown";
}

MemoryClass LargestClass(const std::array<int64_t, kMemoryClassCount>& class_bytes) {
  const auto most = std::max_element(class_bytes.begin(), class_bytes.end());
  return static_cast<MemoryClass>(most - class_bytes.begin());
}

std::vector<Shortage> ShortagesOf(const MemoryPrediction& memory) {
  std::vector<Shortage> shortages;
  const auto check = [&](std::string_view name, int64_t needed_bytes, int64_t available_bytes) {
    if (needed_bytes > available_bytes) shortages.push_back({name, needed_bytes, available_bytes});
  };
  check(kDeviceMemory, memory.total_bytes, memory.budget_bytes);
  if (memory.host_budget_bytes > 0)
    check("host memory", memory.host_bytes, memory.host_budget_bytes);
  if (memory.pinned_budget_bytes > 0)
    check("page-locked memory", memory.pinned_bytes, memory.pinned_budget_bytes);
  return shortages;
}

std::string OfMemory(const Shortage& shortage) {
  return shortage.name == kDeviceMemory ? "" : StrCat(" of ", shortage.name);
}

std::string_view EvidenceName(Evidence evidence) {
  switch (evidence) {
    case Evidence::kMeasuredHere:
      return "measured here";
    case Evidence::kMeasuredOnKind:
      return "measured on this GPU kind";
    case Evidence::kDatasheet:
      return "datasheet";
  }
  return "unknown";
}

}  // namespace tunesmith::planner
