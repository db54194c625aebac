#include "proto/convert/size.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "planner/answer/longest_context.h"
#include "planner/answer/size.h"
#include "proto/convert/cost.h"
#include "proto/convert/explanation.h"
#include "proto/convert/model.h"
#include "proto/convert/plan.h"
#include "proto/convert/question.h"
#include "proto/convert/violations.h"

namespace tunesmith::convert {
namespace {

static_assert(static_cast<int>(planner::SizeVerdict::kNotTried) + 1 == v1::SIZE_VERDICT_NOT_TRIED);

constexpr int64_t kDefaultMostDeviceCount = 1024;
constexpr int64_t kMostKindCount = 64;

// A calibration that came with the question prices the device that it was measured on; a server's own, every device that it has one of.
planner::Calibration CalibrationOf(const planner::Question& question,
                                   const planner::Hardware& device,
                                   const CalibrationSource& calibrations) {
  const planner::Precision precision = question.precision.value_or(planner::UsualPrecision(device));
  if (question.calibration.id.empty())
    return calibrations(device.name, precision).value_or(planner::Calibration{});
  if (question.calibration.device_name != device.name) return {};
  return planner::InPrecision(question.calibration, precision);
}

absl::StatusOr<planner::Hardware> HardwareOf(const v1::SizeKind& proto, const std::string& field,
                                             Violations& violations) {
  switch (proto.kind_case()) {
    case v1::SizeKind::kDeviceName:
      return planner::FindHardware(proto.device_name());
    case v1::SizeKind::kHardware:
      return HardwareFromProto(proto.hardware(), FieldPath(field, "hardware"), violations);
    case v1::SizeKind::KIND_NOT_SET:
      break;
  }
  violations.Add(FieldPath(field, "device_name"), "is missing; name a device or give hardware");
  return planner::Hardware{};
}

absl::StatusOr<planner::DeviceKind> KindFromProto(const v1::SizeKind& proto,
                                                  const std::string& field,
                                                  Violations& violations) {
  TUNESMITH_ASSIGN_OR_RETURN(planner::Hardware hardware, HardwareOf(proto, field, violations));
  violations.AtLeast(FieldPath(field, "devices_per_node"), proto.devices_per_node(), 0);
  violations.AtLeast(FieldPath(field, "device_limit"), proto.device_limit(), 0);
  violations.AtLeast(FieldPath(field, "host_memory_bytes"), proto.host_memory_bytes(), 0);
  violations.NonNegative(FieldPath(field, "network_bytes_per_second"),
                         proto.network_bytes_per_second());
  violations.NonNegative(FieldPath(field, "price_per_device_hour"), proto.price_per_device_hour());
  return planner::DeviceKind{.hardware = std::move(hardware),
                             .devices_per_node = proto.devices_per_node() == 0
                                                     ? planner::kDevicesPerNode
                                                     : proto.devices_per_node(),
                             .device_limit = proto.device_limit(),
                             .network_bytes_per_second = proto.network_bytes_per_second(),
                             .host_memory_bytes = proto.host_memory_bytes(),
                             .price_per_device_hour = proto.price_per_device_hour()};
}

// The question's own devices are not read, but must be there.
absl::StatusOr<planner::SizeQuestion> SizeQuestionFromProto(const v1::SizeRequest& request,
                                                            const CalibrationSource& calibrations) {
  const v1::DeviceCountsAsked& asked = request.device_counts();
  Violations violations;
  planner::SizeQuestion size;
  if (asked.kinds().empty() || asked.kinds_size() > kMostKindCount)
    violations.Add("device_counts.kinds",
                   StrCat("are ", asked.kinds_size(), ", must be 1 to ", kMostKindCount));
  for (int i = 0; i < std::min<int>(asked.kinds_size(), kMostKindCount); ++i) {
    const std::string field = StrCat("device_counts.kinds[", i, "]");
    TUNESMITH_ASSIGN_OR_RETURN(planner::DeviceKind kind,
                               KindFromProto(asked.kinds(i), field, violations));
    size.kinds.push_back(std::move(kind));
  }
  violations.NonNegative("device_counts.finish_within_seconds", asked.finish_within_seconds());
  violations.AtLeast("device_counts.most_device_count", asked.most_device_count(), 0);
  TUNESMITH_RETURN_IF_ERROR(violations.ToStatus());
  v1::Question question = request.question();
  *question.mutable_device_group()->mutable_hardware() = ToProto(size.kinds.front().hardware);
  question.mutable_device_group()->set_device_count(1);
  TUNESMITH_ASSIGN_OR_RETURN(size.question, QuestionFromProto(question));
  for (planner::DeviceKind& kind : size.kinds)
    kind.calibration = CalibrationOf(size.question, kind.hardware, calibrations);
  size.finish_within_seconds = asked.finish_within_seconds();
  size.most_device_count =
      asked.most_device_count() == 0 ? kDefaultMostDeviceCount : asked.most_device_count();
  return size;
}

v1::SizedDevices ToProto(const planner::SizedDevices& sized, const planner::DeviceKind& kind) {
  v1::SizedDevices proto;
  proto.set_device_name(kind.hardware.name);
  proto.set_device_count(sized.devices.device_count);
  proto.set_node_count(sized.devices.node_count);
  proto.set_verdict(static_cast<v1::SizeVerdict>(static_cast<int>(sized.verdict) + 1));
  if (sized.best) {
    *proto.mutable_best() = RankedToProto(*sized.best);
    SetCost(sized.devices, kind.price_per_device_hour, *proto.mutable_best());
  }
  proto.set_sentence(sized.sentence);
  proto.set_calibration_id(kind.calibration.id);
  return proto;
}

v1::DeviceCountsAnswer ToProto(const planner::SizeAnswer& answer,
                               const planner::SizeQuestion& asked) {
  v1::DeviceCountsAnswer proto;
  for (const planner::SizedDevices& sized : answer.tried)
    *proto.add_tried() = ToProto(sized, asked.kinds[static_cast<size_t>(sized.kind_index)]);
  for (size_t i = 0; i < answer.ranked.size(); ++i)
    proto.mutable_tried(static_cast<int>(answer.ranked[i]))->set_rank(static_cast<int64_t>(i) + 1);
  proto.set_choice_rule(answer.choice_rule);
  if (answer.fewest) proto.set_fewest_index(*answer.fewest);
  if (answer.ranked.empty()) return proto;
  const planner::SizedDevices& chosen = answer.tried[static_cast<size_t>(answer.ranked.front())];
  *proto.mutable_plan() =
      ToProto(MakePlan(QuestionFor(asked, chosen.kind_index, chosen.devices), *chosen.best));
  return proto;
}

absl::Status Answer(const planner::SizeQuestion& asked, v1::SizeResponse& response) {
  TUNESMITH_ASSIGN_OR_RETURN(const planner::SizeAnswer answer, planner::ChooseDevices(asked));
  *response.mutable_device_counts() = ToProto(answer, asked);
  response.set_deadline_reached(answer.deadline_reached);
  for (const std::string& note : answer.notes) response.add_notes(note);
  return absl::OkStatus();
}

v1::LongestContextAnswer ToProto(const planner::LongestContext& found,
                                 const planner::Question& question, double price) {
  v1::LongestContextAnswer proto;
  proto.set_context(found.context);
  proto.set_limit(found.limit);
  proto.set_next_context(found.next_context);
  proto.set_binding_sentence(found.binding_sentence);
  if (found.nearest) *proto.mutable_nearest() = RankedToProto(*found.nearest);
  if (!found.best) return proto;
  *proto.mutable_best() = RankedToProto(*found.best);
  SetCost(question.devices, price, *proto.mutable_best());
  *proto.mutable_plan() = ToProto(MakePlan(QuestionAt(question, found.context), *found.best));
  return proto;
}

absl::Status Answer(const planner::Question& question, double price, v1::SizeResponse& response) {
  TUNESMITH_ASSIGN_OR_RETURN(const planner::LongestContext found,
                             planner::FindLongestContext(question));
  *response.mutable_longest_context() = ToProto(found, question, price);
  response.set_deadline_reached(found.deadline_reached);
  for (const std::string& note : found.notes) response.add_notes(note);
  return absl::OkStatus();
}

// The context is what is asked for; the shortest stands for it.
absl::StatusOr<planner::Question> ContextQuestionFromProto(const v1::SizeRequest& request,
                                                           const CalibrationSource& calibrations) {
  v1::Question proto = request.question();
  proto.mutable_workload()->set_context(1);
  TUNESMITH_ASSIGN_OR_RETURN(planner::Question question, QuestionFromProto(proto));
  ChooseCalibration(calibrations, question);
  return question;
}

}  // namespace

absl::StatusOr<v1::SizeResponse> AnswerSize(const v1::SizeRequest& request,
                                            const CalibrationSource& calibrations,
                                            absl::Time deadline) {
  if (request.question().has_runtime())
    return absl::UnimplementedError("sizes are told for the bundled trainer, not for other stacks");
  v1::SizeResponse response;
  switch (request.unknown_case()) {
    case v1::SizeRequest::kDeviceCounts: {
      TUNESMITH_ASSIGN_OR_RETURN(planner::SizeQuestion asked,
                                 SizeQuestionFromProto(request, calibrations));
      asked.question.deadline = deadline;
      TUNESMITH_RETURN_IF_ERROR(Answer(asked, response));
      return response;
    }
    case v1::SizeRequest::kLongestContext: {
      TUNESMITH_ASSIGN_OR_RETURN(planner::Question question,
                                 ContextQuestionFromProto(request, calibrations));
      question.deadline = deadline;
      TUNESMITH_RETURN_IF_ERROR(
          Answer(question, request.question().price_per_device_hour(), response));
      return response;
    }
    case v1::SizeRequest::UNKNOWN_NOT_SET:
      break;
  }
  Violations violations;
  violations.Add("unknown", "is missing; ask for device_counts or longest_context");
  return violations.ToStatus();
}

}  // namespace tunesmith::convert
