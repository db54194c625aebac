#include "planner/program/program.h"

#include "common/units.h"

namespace tunesmith::planner {

int64_t ElementCount(const Buffer& buffer) {
  return buffer.dims[0] * buffer.dims[1] * buffer.dims[2];
}

int64_t InstanceBytes(const Buffer& buffer) { return ElementCount(buffer) * SizeOf(buffer.dtype); }

int64_t AlignedInstanceBytes(const Buffer& buffer) {
  return AlignUp(InstanceBytes(buffer), kBufferAlignmentBytes);
}

bool IsMicro(SegmentKind kind) {
  return kind == SegmentKind::kMicroFirst || kind == SegmentKind::kMicroMiddle ||
         kind == SegmentKind::kMicroLast;
}

bool Accumulates(const Op& op, SegmentKind kind) {
  return op.attributes.accumulate ||
         (op.attributes.accumulate_later && kind != SegmentKind::kMicroFirst);
}

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
