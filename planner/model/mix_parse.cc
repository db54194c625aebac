#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "common/numbers.h"
#include "common/status_macros.h"
#include "common/suggest.h"
#include "common/text.h"
#include "planner/model/mix.h"
#include "planner/model/mix_names.h"

namespace tunesmith::planner {
namespace {

absl::Status Refuse(std::string_view axis, std::string_view value, std::string_view accepted) {
  return absl::InvalidArgumentError(
      StrCat("mix: ", axis, "=", value, " is not understood; write ", accepted));
}

template <typename Enum, size_t N>
absl::Status ParseName(std::string_view axis, std::string_view value,
                       const std::array<std::string_view, N>& names, Enum* result) {
  const std::optional<Enum> named = ValueNamed<Enum>(names, value);
  if (!named) return Refuse(axis, value, StrJoin(names, " or "));
  *result = *named;
  return absl::OkStatus();
}

bool ParseTargets(std::string_view text, uint32_t* targets) {
  if (text == "all" || text == "attention") {
    *targets = text == "all" ? kLoraAll : kLoraAttention;
    return true;
  }
  uint32_t parsed = 0;
  for (const std::string_view module : StrSplit(text, "+")) {
    const auto bit = ValueNamed<int>(kLoraTargetNames, module);
    if (!bit || (parsed >> *bit & 1) != 0) return false;
    parsed |= 1u << *bit;
  }
  *targets = parsed;
  return true;
}

// "r<rank>", "a<alpha>", "rs", "d<dropout>" or targets.
bool ParseLoraPart(std::string_view part, LoraSpec* lora) {
  if (ParseTargets(part, &lora->targets)) return true;
  if (part.size() < 2) return false;
  if (part == "rs") return lora->rank_stabilized = true;
  const std::string_view number = part.substr(1);
  if (part[0] == 'r') return ParseInt64(number, &lora->rank);
  if (part[0] == 'a') return ParseDouble(number, &lora->alpha);
  if (part[0] == 'd') return ParseDouble(number, &lora->dropout);
  return false;
}

absl::Status ParseMethod(std::string_view value, Mix* mix) {
  constexpr std::string_view kAccepted =
      "full or lora:r<rank>[:a<alpha>][:rs][:d<dropout>][:all|attention|q+k+v+o+gate+up+down] or "
      "qlora:...[:single]";
  const std::vector<std::string_view> parts = StrSplit(value, ":");
  if (value == "full") {
    mix->method = Method::kFull;
    return absl::OkStatus();
  }
  const bool quantized = parts[0] == "qlora";
  if ((parts[0] != "lora" && !quantized) || parts.size() > 7)
    return Refuse("method", value, kAccepted);
  mix->method = quantized ? Method::kQlora : Method::kLora;
  mix->double_quantization = true;
  for (size_t i = 1; i < parts.size(); ++i) {
    if (quantized && parts[i] == "single") {
      mix->double_quantization = false;
      continue;
    }
    if (!ParseLoraPart(parts[i], &mix->lora)) return Refuse("method", value, kAccepted);
  }
  return absl::OkStatus();
}

absl::Status ParseCount(std::string_view axis, std::string_view value, int64_t* result) {
  return ParseInt64(value, result) ? absl::OkStatus() : Refuse(axis, value, "a whole number");
}

absl::Status ParseRecompute(std::string_view value, Mix* mix) {
  const std::string accepted =
      StrCat("<rung>:<layers>[,...] with each rung once, rungs: ", StrJoin(kRungNames, ", "));
  std::array<bool, kRungCount> seen = {};
  for (const std::string_view entry : StrSplit(value, ",")) {
    const std::vector<std::string_view> parts = StrSplit(entry, ":");
    const auto rung = ValueNamed<size_t>(kRungNames, parts[0]);
    int64_t layers = 0;
    if (parts.size() != 2 || !rung || seen[*rung] || !ParseInt64(parts[1], &layers)) {
      return Refuse("recompute", value, accepted);
    }
    seen[*rung] = true;
    mix->recompute[*rung] = layers;
  }
  return absl::OkStatus();
}

absl::Status ParseBatch(std::string_view value, Mix* mix) {
  const std::vector<std::string_view> parts = StrSplit(value, "x");
  const bool parsed = (parts.size() == 2 || parts.size() == 3) &&
                      ParseInt64(parts[0], &mix->micro_batch) &&
                      ParseInt64(parts[1], &mix->accumulation_count) &&
                      (parts.size() == 2 || ParseInt64(parts[2], &mix->data_parallel));
  if (parsed) return absl::OkStatus();
  return Refuse("batch", value, "<micro>x<accumulation>[x<data ranks>], as 4x8");
}

struct Axis {
  std::string_view name;
  absl::Status (*parse)(std::string_view axis, std::string_view value, Mix* mix);
};

constexpr Axis kAxes[] = {
    {"method",
     [](std::string_view, std::string_view value, Mix* mix) { return ParseMethod(value, mix); }},
    {"precision",
     [](std::string_view axis, std::string_view value, Mix* mix) {
       return ParseName(axis, value, kPrecisionNames, &mix->precision);
     }},
    {"optimizer",
     [](std::string_view axis, std::string_view value, Mix* mix) {
       return ParseName(axis, value, kOptimizerNames, &mix->optimizer);
     }},
    {"optimizer_state",
     [](std::string_view axis, std::string_view value, Mix* mix) {
       return ParseName(axis, value, kOptimizerStateNames, &mix->optimizer_state);
     }},
    {"accumulation",
     [](std::string_view axis, std::string_view value, Mix* mix) {
       return ParseName(axis, value, kAccumulationNames, &mix->accumulation_dtype);
     }},
    {"zero_stage", [](std::string_view axis, std::string_view value,
                      Mix* mix) { return ParseCount(axis, value, &mix->zero_stage); }},
    {"offload", [](std::string_view axis, std::string_view value,
                   Mix* mix) { return ParseName(axis, value, kOffloadNames, &mix->offload); }},
    {"offload_percent", [](std::string_view axis, std::string_view value,
                           Mix* mix) { return ParseCount(axis, value, &mix->offload_percent); }},
    {"gather_depth", [](std::string_view axis, std::string_view value,
                        Mix* mix) { return ParseCount(axis, value, &mix->gather_depth); }},
    {"recompute",
     [](std::string_view, std::string_view value, Mix* mix) { return ParseRecompute(value, mix); }},
    {"attention",
     [](std::string_view axis, std::string_view value, Mix* mix) {
       return ParseName(axis, value, kAttentionNames, &mix->attention);
     }},
    {"loss", [](std::string_view axis, std::string_view value,
                Mix* mix) { return ParseName(axis, value, kLossNames, &mix->loss); }},
    {"mlp_tiles", [](std::string_view axis, std::string_view value,
                     Mix* mix) { return ParseCount(axis, value, &mix->mlp_tile_count); }},
    {"sequence_parallel",
     [](std::string_view axis, std::string_view value, Mix* mix) {
       return ParseCount(axis, value, &mix->sequence_parallel);
     }},
    {"batch",
     [](std::string_view, std::string_view value, Mix* mix) { return ParseBatch(value, mix); }},
};

std::vector<std::string> AxisNames() {
  std::vector<std::string> names;
  for (const Axis& axis : kAxes) names.emplace_back(axis.name);
  return names;
}

// Index into kAxes.
absl::StatusOr<size_t> FindAxis(std::string_view name) {
  const auto* found = std::find_if(std::begin(kAxes), std::end(kAxes),
                                   [&](const Axis& axis) { return axis.name == name; });
  if (found != std::end(kAxes)) return static_cast<size_t>(found - std::begin(kAxes));
  return absl::InvalidArgumentError(
      StrCat("mix: no axis '", name, "'; ", DidYouMean(name, AxisNames())));
}

}  // namespace

absl::StatusOr<Mix> ParseMix(std::string_view text) {
  Mix mix;
  std::array<bool, std::size(kAxes)> seen = {};
  for (const std::string_view entry : StrSplitSkipEmpty(text, " \t\n")) {
    const size_t equals = entry.find('=');
    if (equals == std::string_view::npos) {
      return absl::InvalidArgumentError(
          StrCat("mix: '", entry, "' is not <axis>=<value>; axes: ", StrJoin(AxisNames(), ", ")));
    }
    TUNESMITH_ASSIGN_OR_RETURN(const size_t axis, FindAxis(entry.substr(0, equals)));
    if (seen[axis]) {
      return absl::InvalidArgumentError(StrCat("mix: ", kAxes[axis].name, " is given twice"));
    }
    seen[axis] = true;
    TUNESMITH_RETURN_IF_ERROR(kAxes[axis].parse(kAxes[axis].name, entry.substr(equals + 1), &mix));
  }
  return mix;
}

}  // namespace tunesmith::planner
