#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "planner/model/mix.h"

// How each axis value is spelled in mixes, JSON, protos and flags: kXNames[static_cast<int>(value)].
namespace tunesmith::planner {

inline constexpr std::array<std::string_view, kMethodCount> kMethodNames = {"full", "lora",
                                                                            "qlora"};
inline constexpr std::array<std::string_view, 2> kPrecisionNames = {"fp32", "bf16"};
inline constexpr std::array<std::string_view, 2> kOptimizerNames = {"adamw", "sgd"};
inline constexpr std::array<std::string_view, 3> kOptimizerStateNames = {"fp32", "bf16", "int8"};
inline constexpr std::array<std::string_view, 2> kAccumulationNames = {"fp32", "bf16"};
inline constexpr std::array<std::string_view, 3> kOffloadNames = {"none", "optimizer", "all"};
inline constexpr std::array<std::string_view, kAttentionKernelCount> kAttentionNames = {
    "eager", "flash", "cudnn"};
inline constexpr std::array<std::string_view, 2> kLossNames = {"full", "chunked"};
inline constexpr std::array<std::string_view, kRungCount> kRungNames = {
    "keep", "activation", "norms", "gate_up", "block", "host"};
// Bit i of LoraSpec::targets.
inline constexpr std::array<std::string_view, 7> kLoraTargetNames = {"q",    "k",  "v",   "o",
                                                                     "gate", "up", "down"};

// REQUIRES: `value` is an enumerator. The result has static lifetime.
template <typename Enum, size_t N>
constexpr std::string_view NameOf(const std::array<std::string_view, N>& names, Enum value) {
  return names[static_cast<size_t>(value)];
}

// The enumerator called `name`, or none.
template <typename Enum, size_t N>
constexpr std::optional<Enum> ValueNamed(const std::array<std::string_view, N>& names,
                                         std::string_view name) {
  for (size_t i = 0; i < N; ++i) {
    if (names[i] == name) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

}  // namespace tunesmith::planner
