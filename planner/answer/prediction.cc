#include "planner/answer/prediction.h"

#include <algorithm>

namespace tunesmith::planner {

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
