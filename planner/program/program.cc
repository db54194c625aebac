#include "planner/program/program.h"

namespace tunesmith::planner {

bool IsMicro(SegmentKind kind) {
  return kind == SegmentKind::kMicroFirst || kind == SegmentKind::kMicroMiddle ||
         kind == SegmentKind::kMicroLast;
}

bool Accumulates(const Op& op, SegmentKind kind) {
  return op.attributes.accumulate ||
         (op.attributes.accumulate_later && kind != SegmentKind::kMicroFirst);
}

bool Runs(const Op& op, SegmentKind kind, int64_t micro_batch_count) {
  if (!op.attributes.last_micro_only) return true;
  return kind == SegmentKind::kMicroLast ||
         (kind == SegmentKind::kMicroFirst && micro_batch_count == 1);
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
