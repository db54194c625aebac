#pragma once

#include <optional>
#include <string_view>

#include "planner/answer/search.h"
#include "planner/model/mix.h"
#include "proto/convert/violations.h"
#include "tunesmith/v1/plan.pb.h"

// Mixes and the axes of a question: proto <-> planner. Functions ...FromProto add what is wrong to
// `violations` under the path `field`, and their result is good only if they added nothing.
namespace tunesmith::convert {

v1::LoraSpec ToProto(const planner::LoraSpec& lora);
planner::LoraSpec LoraFromProto(const v1::LoraSpec& proto, std::string_view field,
                                Violations& violations);

// Values are checked each by itself; whether the mix fits a model is planner::ValidateMix's to say.
v1::Mix ToProto(const planner::Mix& mix);
planner::Mix MixFromProto(const v1::Mix& proto, std::string_view field, Violations& violations);

// What is unspecified, 0 or empty is free.
v1::PinnedAxes ToProto(const planner::PinnedAxes& pinned);
planner::PinnedAxes PinnedAxesFromProto(const v1::PinnedAxes& proto, std::string_view field,
                                        Violations& violations);

// Unspecified is "any", "time" and "none" here.
v1::Method ToProto(planner::MethodChoice choice);
planner::MethodChoice MethodChoiceFromProto(v1::Method method, std::string_view field,
                                            Violations& violations);
v1::Objective ToProto(planner::Objective objective);
planner::Objective ObjectiveFromProto(v1::Objective objective, std::string_view field,
                                      Violations& violations);
v1::Precision ToProto(const std::optional<planner::Precision>& precision);
std::optional<planner::Precision> PrecisionChoiceFromProto(v1::Precision precision,
                                                           std::string_view field,
                                                           Violations& violations);

// The axes of a question that every mix of its answer has; unspecified is the planner's default.
v1::Optimizer ToProto(planner::Optimizer optimizer);
planner::Optimizer OptimizerFromProto(v1::Optimizer optimizer, std::string_view field,
                                      Violations& violations);
v1::OptimizerState ToProto(planner::OptimizerState state);
planner::OptimizerState OptimizerStateFromProto(v1::OptimizerState state, std::string_view field,
                                                Violations& violations);
v1::AccumulationDtype ToProto(planner::AccumulationDtype dtype);
planner::AccumulationDtype AccumulationDtypeFromProto(v1::AccumulationDtype dtype,
                                                      std::string_view field,
                                                      Violations& violations);

}  // namespace tunesmith::convert
