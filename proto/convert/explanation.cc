#include "proto/convert/explanation.h"

#include "proto/convert/mix.h"
#include "proto/convert/prediction.h"

namespace tunesmith::convert {
namespace {

// Protos number enumerators as the planner does, behind "unspecified".
template <typename Proto, typename Enum>
Proto AfterUnspecified(Enum value) {
  return static_cast<Proto>(static_cast<int>(value) + 1);
}

static_assert(static_cast<int>(planner::ExplainedAxis::kOffloadPercent) + 1 ==
              v1::EXPLAINED_AXIS_OFFLOAD_PERCENT);
static_assert(static_cast<int>(planner::LostBecause::kNoBetter) + 1 == v1::LOST_BECAUSE_NO_BETTER);
static_assert(static_cast<int>(planner::ChangeKind::kOffload) + 1 == v1::CHANGE_KIND_OFFLOAD);

v1::Alternative ToProto(const planner::Alternative& alternative) {
  v1::Alternative proto;
  proto.set_axis(AfterUnspecified<v1::ExplainedAxis>(alternative.axis));
  proto.set_value(alternative.value);
  proto.set_semantic(alternative.semantic);
  proto.set_reason(AfterUnspecified<v1::LostBecause>(alternative.reason));
  proto.set_seconds_more(alternative.seconds_more);
  proto.set_bytes_more(alternative.bytes_more);
  proto.set_missing_bytes(alternative.missing_bytes);
  *proto.mutable_best() = RankedToProto(alternative.best);
  proto.set_sentence(alternative.sentence);
  return proto;
}

}  // namespace

v1::RankedMix RankedToProto(const planner::Prediction& prediction) {
  v1::RankedMix ranked;
  *ranked.mutable_mix() = ToProto(prediction.mix);
  ranked.set_mix_line(planner::FormatMix(prediction.mix));
  *ranked.mutable_prediction() = ToProto(prediction);
  ranked.set_program_digest(prediction.program_digest);
  return ranked;
}

v1::Explanation ToProto(const planner::Explanation& explanation) {
  v1::Explanation proto;
  for (const planner::Alternative& alternative : explanation.alternatives)
    *proto.add_alternatives() = ToProto(alternative);
  for (const planner::InstantBytes& bytes : explanation.instants) {
    v1::InstantNeed* instant = proto.add_instants();
    instant->set_instant(bytes.name);
    instant->set_arena_bytes(bytes.bytes);
  }
  proto.set_binding_sentence(explanation.binding_sentence);
  proto.set_deadline_reached(explanation.deadline_reached);
  return proto;
}

v1::Change ToProto(const planner::Change& change) {
  v1::Change proto;
  proto.set_kind(AfterUnspecified<v1::ChangeKind>(change.kind));
  proto.set_value(change.value);
  proto.set_semantic(change.semantic);
  proto.set_from_amount(change.from);
  proto.set_to_amount(change.to);
  proto.set_share(change.share);
  *proto.mutable_best() = RankedToProto(change.best);
  proto.set_sentence(change.sentence);
  return proto;
}

}  // namespace tunesmith::convert
