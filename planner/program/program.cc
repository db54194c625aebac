#include "planner/program/program.h"

namespace tunesmith::planner {

int64_t ElementCount(const Buffer& buffer) {
  return buffer.dims[0] * buffer.dims[1] * buffer.dims[2];
}

int64_t InstanceBytes(const Buffer& buffer) { return ElementCount(buffer) * SizeOf(buffer.dtype); }

std::string_view SegmentKindName(SegmentKind kind) {
  switch (kind) {
    case SegmentKind::kMicroFirst:
      return "micro_first";
    case SegmentKind::kMicroMiddle:
      return "micro_middle";
    case SegmentKind::kMicroLast:
      return "micro_last";
    case SegmentKind::kOptimizer:
      return "optimizer";
    case SegmentKind::kEvaluate:
      return "evaluate";
    case SegmentKind::kGenerate:
      return "generate";
    case SegmentKind::kSave:
      return "save";
  }
  return "unknown";
}

}  // namespace tunesmith::planner
