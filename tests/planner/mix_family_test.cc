#include "planner/answer/mix_family.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "planner/model/hardware.h"
#include "planner/program/build_program.h"
#include "planner/program/memory_plan.h"
#include "planner/program/token_slice.h"
#include "tests/planner/family_models.h"
#include "tests/planner/program_fixture.h"
#include "tests/planner/random_model.h"

namespace tunesmith::planner {
namespace {

// Families of programs that differ in the recompute counts alone are made once.
class ComposedAgainstWhole {
 public:
  explicit ComposedAgainstWhole(const char* device, Precision precision = Precision::kFp32,
                                const Links& links = {})
      : prices_(*FindHardware(device), {}, precision, {}, links) {}

  void Expect(const ProgramInputs& inputs) {
    const ComposedMix composed = FamilyOf(inputs).Compose(inputs.mix.recompute);
    const auto program = BuildProgram(inputs);
    ASSERT_TRUE(program.ok()) << program.status();
    const MemoryPlan plan = PlanMemory(*program);
    const std::string what = FormatMix(inputs.mix) +
                             " layers=" + std::to_string(inputs.model.layer_count) +
                             " context=" + std::to_string(inputs.workload.context) + ": binds at " +
                             plan.binding_instant;
    EXPECT_EQ(composed.arena_bytes, plan.device_bytes()) << what;
    EXPECT_EQ(composed.host_bytes, plan.host_bytes()) << what;
    const StepPrice whole = PriceStep(*program, prices_);
    EXPECT_EQ(composed.price.step_picoseconds, whole.step_picoseconds) << what;
    EXPECT_EQ(composed.price.compute_picoseconds, whole.compute_picoseconds) << what;
    EXPECT_EQ(composed.price.copy_picoseconds, whole.copy_picoseconds) << what;
    EXPECT_EQ(composed.price.communication_picoseconds, whole.communication_picoseconds) << what;
    ExpectBounds(inputs, composed);
  }

  const PriceTable& prices() const { return prices_; }

 private:
  // What the solver takes for sure of a mix is no more than the mix takes.
  void ExpectBounds(const ProgramInputs& inputs, const ComposedMix& composed) {
    MixFamily& family = FamilyOf(inputs);
    EXPECT_LE(family.LeastStepPicoseconds(), composed.price.step_picoseconds)
        << FormatMix(inputs.mix);
    int64_t span = family.FixedPicoseconds(), discount = 0;
    for (size_t rung = 0; rung < kRungCount; ++rung) {
      const int64_t count = inputs.mix.recompute[rung];
      if (count == 0) continue;
      span += count * family.ComputePicoseconds(static_cast<Rung>(rung));
      discount = std::min(discount, family.ComputeDiscountPicoseconds(static_cast<Rung>(rung)));
    }
    EXPECT_LE(family.StepPicoseconds(span + discount), composed.price.step_picoseconds)
        << FormatMix(inputs.mix);
  }

  MixFamily& FamilyOf(ProgramInputs inputs) {
    inputs.mix.recompute = {};
    const std::string key = FormatMix(inputs.mix) + std::to_string(inputs.model.layer_count) + "," +
                            std::to_string(inputs.workload.context) + "," +
                            std::to_string(inputs.workload.loss_token_capacity) + "," +
                            std::to_string(inputs.model.vocab_size) +
                            (inputs.model.tied_head ? "t" : "u") + inputs.model.family +
                            inputs.model.name;
    const auto found = families_.find(key);
    if (found != families_.end()) return found->second;
    SummaryCache cache(prices_);
    auto family = MixFamily::Create(inputs, prices_, cache);
    EXPECT_TRUE(family.ok()) << family.status();
    for (int rung = 0; rung < kRungCount; ++rung) family->Prepare(static_cast<Rung>(rung));
    return families_.emplace(key, *std::move(family)).first->second;
  }

  PriceTable prices_;
  std::map<std::string, MixFamily> families_;
};

ProgramInputs OnGpu(ProgramInputs inputs) {
  inputs.backend.kind = BackendKind::kCuda;
  return inputs;
}

TEST(MixFamilyTest, ComposedEqualsWholeOnAllSmallMixes) {
  ComposedAgainstWhole cpu("cpu"), gpu("A100-80GB");
  for (int64_t layers : {1, 2, 3, 4, 5, 6}) {
    for (const ProgramInputs& inputs : ToyGrid(layers)) {
      cpu.Expect(inputs);
      gpu.Expect(OnGpu(inputs));
      if (HasFailure()) return;
    }
  }
}

TEST(MixFamilyTest, ComposedEqualsWholeForEverySemanticAxis) {
  for (int64_t layers : {1, 4}) {
    ComposedAgainstWhole against("cpu"), gpu("A100-80GB");
    for (ProgramInputs inputs : SemanticGrid(layers, {Precision::kFp32, Precision::kBf16})) {
      against.Expect(inputs);
      inputs.mix.recompute = {};
      inputs.mix.recompute[static_cast<size_t>(Rung::kBlock)] = layers;
      against.Expect(inputs);
      const bool narrow_sums = inputs.mix.accumulation_dtype == AccumulationDtype::kBf16;
      if (inputs.mix.precision == Precision::kFp32 && narrow_sums) continue;  // not built for GPUs
      gpu.Expect(OnGpu(inputs));
    }
  }
}

TEST(MixFamilyTest, ComposedEqualsWholeForEveryFamilyOfModels) {
  for (int64_t layers : {1, 2, 5}) {
    ComposedAgainstWhole cpu("cpu"), gpu("A100-80GB");
    for (ProgramInputs inputs : FamilyGrid(layers)) {
      cpu.Expect(inputs);
      gpu.Expect(OnGpu(inputs));
      inputs.workload.loss_token_capacity = 5;
      cpu.Expect(inputs);
      inputs.model.context_limit = 4096;
      inputs.workload.context = 1000;  // where other instants bind
      gpu.Expect(OnGpu(inputs));
      if (HasFailure()) return;
    }
  }
}

// The shapes that cuDNN takes, on a device whose workspaces are known and on one whose are not.
TEST(MixFamilyTest, ComposedEqualsWholeForAttentionByCudnn) {
  for (const int64_t compute_capability : {80, 90}) {
    ComposedAgainstWhole gpu("H100-SXM", Precision::kBf16);
    for (ProgramInputs inputs : ToyGrid(3)) {
      inputs.model.head_size = 8;
      inputs.mix.precision = Precision::kBf16;
      if (inputs.mix.attention == AttentionKernel::kFlash)
        inputs.mix.attention = AttentionKernel::kCudnn;
      inputs.workload.context = 16 * inputs.mix.accumulation_count;
      inputs = OnGpu(inputs);
      inputs.backend.compute_capability = compute_capability;
      gpu.Expect(inputs);
      if (HasFailure()) return;
    }
  }
}

// Contexts from where weights bind to where the loss, a layer's backward, evaluation or generation do.
TEST(MixFamilyTest, ComposedEqualsWholeWhereOtherInstantsBind) {
  ComposedAgainstWhole gpu("T4");
  for (int64_t vocab : {8, 5000}) {
    for (int64_t context : {1, 64, 600, 3000}) {
      for (ProgramInputs inputs : ToyGrid(3)) {
        inputs.model.vocab_size = vocab;
        inputs.model.context_limit = 4096;
        inputs.workload.context = context;
        inputs.workload.document_capacity = 1;
        gpu.Expect(OnGpu(inputs));
        if (HasFailure()) return;
      }
    }
  }
}

TEST(MixFamilyTest, ComposedEqualsWholeWhereTheLossIsOnFewerRows) {
  ComposedAgainstWhole gpu("A100-80GB");
  for (int64_t context : {16, 3000}) {
    for (int64_t capacity : {1, 11}) {
      for (ProgramInputs inputs : ToyGrid(2)) {
        inputs.model.vocab_size = 5000;
        inputs.model.context_limit = 4096;
        inputs.workload.context = context;
        inputs.workload.loss_token_capacity = context * capacity / 16 + 1;
        gpu.Expect(OnGpu(inputs));
        if (HasFailure()) return;
      }
    }
  }
}

TEST(MixFamilyTest, ComposedEqualsWholeOnRandomMixes) {
  std::mt19937_64 random(7);
  const auto pick = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  for (int model_index = 0; model_index < 100; ++model_index) {
    ComposedAgainstWhole compare(pick(0, 1) ? "A100-80GB" : "H100-PCIe", Precision::kBf16);
    ModelSpec model = RandomModel(random);
    model.layer_count = pick(7, 90);
    model.vocab_size = pick(8, 40000);
    model.context_limit = 1 << 20;
    for (int i = 0; i < 100; ++i) {
      Mix mix{.method = kAllMethods[static_cast<size_t>(pick(0, 2))],
              .lora = {.rank = pick(0, 1) ? 5 : kStateBlockSize},
              .precision = Precision::kBf16,
              .attention = pick(0, 1) ? AttentionKernel::kEager : AttentionKernel::kFlash,
              .loss = pick(0, 1) ? LossKernel::kFull : LossKernel::kChunked,
              .mlp_tile_count = pick(0, 2) ? 1 : pick(1, 9),
              .micro_batch = pick(1, 3),
              .accumulation_count = pick(0, 1) ? pick(1, 4) : pick(17, 40),
              .data_parallel = pick(1, 2)};
      // Layers cut at random places into six rungs, some of them empty.
      std::array<int64_t, kRungCount + 1> cuts = {0};
      cuts.back() = model.layer_count;
      for (size_t c = 1; c < kRungCount; ++c) cuts[c] = pick(0, model.layer_count);
      std::sort(cuts.begin(), cuts.end());
      for (size_t r = 0; r < kRungCount; ++r) mix.recompute[r] = cuts[r + 1] - cuts[r];
      if (mix.method == Method::kQlora && !CanQuantize(model)) mix.method = Method::kLora;
      ProgramInputs inputs = OnGpu(ToyInputs(model, mix, 64 * pick(1, 40) + pick(0, 1)));
      if (pick(0, 1) > 0) inputs.workload.loss_token_capacity = pick(1, inputs.workload.context);
      compare.Expect(inputs);
      if (HasFailure()) return;
    }
  }
}

// Ranks that share nothing, states, gradients or weights, leave some or all of that to their hosts, and share micro-batches or not, on devices with and without streams, in nodes and across them.
TEST(MixFamilyTest, ComposedEqualsWholeForAnyNumberOfRanks) {
  int shared_count = 0;
  std::mt19937_64 random(11);
  const auto pick = [&random](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  for (int model_index = 0; model_index < 60; ++model_index) {
    const bool gpu = pick(0, 3) > 0;
    ComposedAgainstWhole compare(gpu ? "A100-80GB" : "cpu",
                                 gpu ? Precision::kBf16 : Precision::kFp32,
                                 {.ranks_per_node = pick(0, 2), .network_bytes_per_second = 1e9});
    ModelSpec model = RandomModel(random);
    if (pick(0, 1) > 0) {  // wide: collectives from hidden to exposed
      model = ToyModel(1, pick(0, 1) > 0);
      model.hidden_size *= 64;
      model.intermediate_size *= 64;
    }
    model.layer_count = pick(0, 2) > 0 ? pick(1, 6) : pick(7, 90);
    model.vocab_size = pick(8, 40000);
    model.context_limit = 1 << 20;
    for (int i = 0; i < 60; ++i) {
      Mix mix{.method = kAllMethods[static_cast<size_t>(pick(0, 2))],
              .lora = {.rank = 5},
              .precision = gpu ? Precision::kBf16 : Precision::kFp32,
              .offload = static_cast<Offload>(pick(0, 2)),
              .attention = AttentionKernel::kFlash,
              .loss = pick(0, 1) ? LossKernel::kFull : LossKernel::kChunked,
              .micro_batch = pick(1, 3),
              .accumulation_count = pick(0, 2) > 0 ? pick(1, 4) : pick(17, 40),
              .data_parallel = pick(1, 5)};
      const Workload workload{.context = 64 * pick(1, 40)};
      mix.sequence_parallel = pick(0, 1) > 0 ? pick(2, 8) : 1;
      if (!CheckTokenSlices(model, workload, mix).ok()) mix.sequence_parallel = 1;
      shared_count += mix.sequence_parallel > 1;
      mix.zero_stage = RankCount(mix) > 1 ? pick(LeastZeroStage(mix.offload), 3) : 0;
      if (GathersWeights(mix)) mix.gather_depth = pick(0, 1);
      if (mix.offload == Offload::kOptimizer) mix.offload_percent = pick(1, 100);
      std::array<int64_t, kRungCount + 1> cuts = {0};
      cuts.back() = model.layer_count;
      const size_t rungs = gpu ? kRungCount : kRungCount - 1;
      for (size_t c = 1; c < rungs; ++c) cuts[c] = pick(0, model.layer_count);
      std::fill(cuts.begin() + static_cast<std::ptrdiff_t>(rungs), cuts.end(), model.layer_count);
      std::sort(cuts.begin(), cuts.end());
      for (size_t r = 0; r < kRungCount; ++r) mix.recompute[r] = cuts[r + 1] - cuts[r];
      if (mix.method == Method::kQlora && !CanQuantize(model)) mix.method = Method::kLora;
      ProgramInputs inputs = ToyInputs(model, mix, workload.context);
      compare.Expect(gpu ? OnGpu(inputs) : inputs);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(shared_count, 300);
}

TEST(MixFamilyTest, DataParallelGradientsAreExchangedOnce) {
  ComposedAgainstWhole compare("A100-80GB", Precision::kBf16);
  Mix mix{.method = Method::kFull,
          .precision = Precision::kBf16,
          .micro_batch = 2,
          .accumulation_count = 2,
          .data_parallel = 4};
  const ProgramInputs inputs = OnGpu(ToyInputs(ToyModel(2, false), mix));
  compare.Expect(inputs);
  EXPECT_GT(PriceStep(*BuildProgram(inputs), compare.prices()).communication_picoseconds, 0);
}

// Of what a rank has for each of four, three parts leave it: by its link, or in nodes of two, of which both ranks send, two parts by half the network.
TEST(MixFamilyTest, AnAllToAllGoesByLinksAndByTheNetwork) {
  const Hardware device = *FindHardware("A100-80GB");
  ModelSpec model = ToyModel(1, /*tied_head=*/true);
  model.head_count = model.kv_head_count = 8;
  model.context_limit = 1 << 20;
  const Program program = *BuildProgram(OnGpu(ToyInputs(
      model, {.attention = AttentionKernel::kFlash, .sequence_parallel = 4}, int64_t{1} << 20)));
  const double bytes = (1 << 18) * 32 * 4, share = kDatasheetMemoryShare;
  const auto expect = [&](const Links& links, double seconds) {
    const PriceTable prices(device, {}, Precision::kFp32, {}, links);
    int count = 0;
    for (const Block& block : program.blocks) {
      for (const Op& op : block.ops) {
        if (op.kind != OpKind::kAllToAll) continue;
        ++count;
        EXPECT_NEAR(
            static_cast<double>(prices.Picoseconds(program, op, SegmentKind::kMicroFirst)) * 1e-12,
            seconds, 1e-9 * seconds);
      }
    }
    EXPECT_EQ(count, 4 + 4 + 4) << "forward, backward, and evaluation";
  };
  const double by_link = bytes * 3 / 4 / (share * device.link_bytes_per_second);
  expect({}, 8.4e-6 + 3.4e-6 + by_link);
  expect({.ranks_per_node = 8, .network_bytes_per_second = 1e9}, 8.4e-6 + 3.4e-6 + by_link);
  expect({.ranks_per_node = 2, .network_bytes_per_second = 1e9},
         8.4e-6 + 14e-6 + bytes * 2 / 4 / (share * 1e9 / 2));
  // Nodes of six: of four ranks two, at least, are together.
  expect({.ranks_per_node = 6, .network_bytes_per_second = 1e9},
         8.4e-6 + 14e-6 + bytes * 2 / 4 / (share * 1e9 / 6));
}

// Copies between the memories run beside compute: they cost less than their sum, and never less than either.
TEST(MixFamilyTest, CopiesToTheHostOverlap) {
  const PriceTable prices(*FindHardware("A100-80GB"), {}, Precision::kBf16);
  Mix mix{.method = Method::kLora,
          .precision = Precision::kBf16,
          .attention = AttentionKernel::kFlash,
          .micro_batch = 4,
          .accumulation_count = 2};
  ModelSpec model = ToyModel(12, true);
  model.hidden_size = 1024;
  model.intermediate_size = 4096;
  mix.recompute[static_cast<size_t>(Rung::kHost)] = 12;
  ProgramInputs inputs = OnGpu(ToyInputs(model, mix, 1024));
  inputs.model.context_limit = 1024;
  const StepPrice price = PriceStep(*BuildProgram(inputs), prices);
  EXPECT_GT(price.copy_picoseconds, 0);
  EXPECT_LT(price.exposed_copy_picoseconds, price.copy_picoseconds);
  EXPECT_GE(price.step_picoseconds, price.compute_picoseconds);
  EXPECT_GE(2 * price.step_picoseconds, price.copy_picoseconds);
}

}  // namespace
}  // namespace tunesmith::planner
