#pragma once

#include <vector>

#include "planner/program/program.h"

namespace tunesmith::planner {

// A Llama-style model small enough for exhaustive tests; sizes are odd on purpose where that is allowed.
inline ModelSpec ToyModel(int64_t layer_count, bool tied_head, bool qkv_bias = false) {
  return {.name = "toy",
          .family = qkv_bias ? "qwen2" : "llama",
          .layer_count = layer_count,
          .hidden_size = 24,
          .intermediate_size = 40,
          .head_count = 6,
          .kv_head_count = 2,
          .head_size = 4,
          .vocab_size = 37,
          .context_limit = 64,
          .rope_theta = 10000.0,
          .tied_head = tied_head,
          .qkv_bias = qkv_bias,
          .source = "made for tests"};
}

// Of sizes that are whole blocks, so that projections of one input are one beside moments of 8 bits, too.
inline ModelSpec EvenToyModel(int64_t layer_count, bool tied_head) {
  ModelSpec model = ToyModel(layer_count, tied_head);
  model.hidden_size = 32;
  model.head_count = 8;
  return model;
}

// Ranks of adapters: too odd to stack A of one input (WeightStack) beside moments of 8 bits, and so that those of a toy model do there, too.
inline constexpr int64_t kOddRank = 3;
inline constexpr int64_t kStackedRank = 32;
static_assert(kStackedRank * 24 % kStateBlockSize == 0);

inline ProgramInputs ToyInputs(const ModelSpec& model, Mix mix, int64_t context = 16) {
  if (mix.recompute == decltype(mix.recompute){})
    mix.recompute[static_cast<size_t>(Rung::kKeep)] = model.layer_count;
  return {
      .model = model,
      .workload = {.context = context,
                   .rows_per_step = mix.micro_batch * mix.accumulation_count * mix.data_parallel,
                   .document_capacity = 4},
      .mix = mix,
      .backend = {}};
}

// Every way to give `layer_count` layers a rung each, in canonical order.
inline std::vector<std::array<int64_t, kRungCount>> AllRecomputes(int64_t layer_count,
                                                                  Rung deepest = Rung::kHost) {
  std::vector<std::array<int64_t, kRungCount>> all;
  std::array<int64_t, kRungCount> counts = {};
  const auto visit = [&](auto&& self, int rung, int64_t left) -> void {
    if (rung == static_cast<int>(deepest)) {
      counts[static_cast<size_t>(rung)] = left;
      all.push_back(counts);
      counts[static_cast<size_t>(rung)] = 0;
      return;
    }
    for (int64_t n = 0; n <= left; ++n) {
      counts[static_cast<size_t>(rung)] = n;
      self(self, rung + 1, left - n);
    }
    counts[static_cast<size_t>(rung)] = 0;
  };
  visit(visit, 0, layer_count);
  return all;
}

inline constexpr std::array<Method, kMethodCount> kAllMethods = {Method::kFull, Method::kLora,
                                                                 Method::kQlora};

// A grid of mixes over every placement and method that the builder knows; accumulation, tied heads, biases, double quantization and tiles of the MLP vary along.
inline std::vector<ProgramInputs> ToyGrid(int64_t layer_count) {
  std::vector<ProgramInputs> grid;
  for (const auto& recompute : AllRecomputes(layer_count)) {
    for (Method method : kAllMethods) {
      for (AttentionKernel attention : {AttentionKernel::kEager, AttentionKernel::kFlash}) {
        for (LossKernel loss : {LossKernel::kFull, LossKernel::kChunked}) {
          for (int64_t accumulation_count : {1, 2, 3}) {
            const bool tied = accumulation_count != 2;
            // 32 rows in tiles of 32, of 11, 11 and 10, or of 16.
            const int64_t tile_count = (accumulation_count + (loss == LossKernel::kFull)) % 3 + 1;
            grid.push_back(
                ToyInputs(ToyModel(layer_count, tied, !tied),
                          {.method = method,
                           .lora = {.rank = tied ? kStackedRank : kOddRank, .alpha = 6.0},
                           .double_quantization = accumulation_count != 1,
                           .recompute = recompute,
                           .attention = attention,
                           .loss = loss,
                           .mlp_tile_count = tile_count,
                           .micro_batch = 2,
                           .accumulation_count = accumulation_count}));
          }
        }
      }
    }
  }
  return grid;
}

// A grid of mixes over what is computed beside the method: precision, optimizer, its states, accumulation.
inline std::vector<ProgramInputs> SemanticGrid(int64_t layer_count,
                                               const std::vector<Precision>& precisions) {
  std::vector<ProgramInputs> grid;
  for (Precision precision : precisions) {
    for (Optimizer optimizer : {Optimizer::kAdamW, Optimizer::kSgd}) {
      for (OptimizerState state :
           {OptimizerState::kFp32, OptimizerState::kBf16, OptimizerState::kInt8}) {
        for (AccumulationDtype accumulation :
             {AccumulationDtype::kFp32, AccumulationDtype::kBf16}) {
          for (Method method : kAllMethods) {
            for (int64_t accumulation_count : {1, 3}) {
              const bool tied = accumulation_count == 1;
              ProgramInputs inputs =
                  ToyInputs(ToyModel(layer_count, tied, !tied),
                            {.method = method,
                             .lora = {.rank = tied ? kStackedRank : kOddRank, .alpha = 6.0},
                             .precision = precision,
                             .optimizer = optimizer,
                             .optimizer_state = state,
                             .accumulation_dtype = accumulation,
                             .attention = AttentionKernel::kFlash,
                             .micro_batch = 2,
                             .accumulation_count = accumulation_count});
              if (ValidateMix(inputs.mix, layer_count).ok()) grid.push_back(inputs);
            }
          }
        }
      }
    }
  }
  return grid;
}

}  // namespace tunesmith::planner
