#include "client/pinned_flags.h"

#include <CLI/CLI.hpp>

#include "absl/strings/str_split.h"
#include "client/positive.h"
#include "common/text.h"
#include "planner/model/mix_names.h"

namespace tunesmith::client {
namespace {

using planner::kAttentionNames;
using planner::kLossNames;
using planner::kOffloadNames;
using planner::kRungNames;

std::vector<std::string> Strings(const auto& names) { return {names.begin(), names.end()}; }

// Protos number enumerators as the planner does, behind "unspecified".
template <typename Proto, size_t kSize>
Proto ProtoNamed(const std::array<std::string_view, kSize>& names, std::string_view name) {
  for (size_t i = 0; i < kSize; ++i) {
    if (names[i] == name) return static_cast<Proto>(i + 1);
  }
  return Proto{};
}

absl::Status SetRungs(const std::string& text, v1::PinnedAxes& pinned) {
  for (const absl::string_view name : absl::StrSplit(text, ',')) {
    const auto rung = ProtoNamed<v1::Rung>(kRungNames, {name.data(), name.size()});
    if (rung == v1::RUNG_UNSPECIFIED)
      return absl::InvalidArgumentError(StrCat("--recompute: \"", std::string(name),
                                               "\" is not one of ", StrJoin(kRungNames, ", ")));
    pinned.add_rungs(rung);
  }
  return absl::OkStatus();
}

}  // namespace

void AddPinnedFlags(CLI::App& app, PinnedFlags& flags) {
  app.add_option("--attention", flags.attention, "Pin how attention is computed")
      ->check(CLI::IsMember(Strings(kAttentionNames)));
  app.add_option("--loss-kernel", flags.loss, "Pin how the loss is computed")
      ->check(CLI::IsMember(Strings(kLossNames)));
  app.add_option("--recompute", flags.recompute,
                 "Rungs that layers may take, such as block, or keep,norms; any by default");
  app.add_option("--micro-batch", flags.micro_batch, "Pin the rows that a device computes at once")
      ->check(Positive());
  app.add_option("--mlp-tiles", flags.mlp_tile_count, "Pin the tiles of tokens in the MLP")
      ->check(Positive());
  app.add_option("--zero-stage", flags.zero_stage,
                 "Pin what ranks share: 1 states, 2 also gradients, 3 also weights (FSDP)")
      ->check(CLI::Range(0, 3));
  app.add_option("--offload", flags.offload, "Pin what is kept in host memory")
      ->check(CLI::IsMember(Strings(kOffloadNames)));
  app.add_option(
         "--offload-percent", flags.offload_percent,
         "Pin how many per cent of the optimizer's states the host keeps (offload optimizer): "
         "it updates these, and the device the others")
      ->check(CLI::Range(1, 100));
  app.add_option(
         "--gather-depth", flags.gather_depth,
         "Pin the blocks ahead of compute whose weights are gathered (zero stage 3, offload "
         "all): 1, or 0 for less memory and nothing that hides it")
      ->check(CLI::Range(0, 1));
  app.add_option("--sequence-parallel", flags.sequence_parallel,
                 "Pin the devices that share the tokens of a micro-batch, each of all tokens some "
                 "attention heads")
      ->check(Positive());
}

absl::Status SetPinned(const PinnedFlags& flags, v1::Question& question) {
  v1::PinnedAxes pinned;
  pinned.set_attention(ProtoNamed<v1::AttentionKernel>(kAttentionNames, flags.attention));
  pinned.set_loss(ProtoNamed<v1::LossKernel>(kLossNames, flags.loss));
  pinned.set_micro_batch(flags.micro_batch);
  pinned.set_mlp_tile_count(flags.mlp_tile_count);
  if (!flags.recompute.empty()) {
    if (absl::Status status = SetRungs(flags.recompute, pinned); !status.ok()) return status;
  }
  if (flags.zero_stage >= 0) pinned.set_zero_stage(flags.zero_stage);
  pinned.set_offload(ProtoNamed<v1::Offload>(kOffloadNames, flags.offload));
  pinned.set_offload_percent(flags.offload_percent);
  if (flags.gather_depth >= 0) pinned.set_gather_depth(flags.gather_depth);
  pinned.set_sequence_parallel(flags.sequence_parallel);
  if (pinned.ByteSizeLong() > 0) *question.mutable_pinned() = pinned;
  return absl::OkStatus();
}

}  // namespace tunesmith::client
