#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "planner/program/build_program.h"
#include "planner/program/check_program.h"
#include "planner/program/memory_plan.h"
#include "tests/planner/program_fixture.h"

namespace tunesmith::planner {
namespace {

TEST(ProgramTest, NoOpReadsBytesThatWereNotWrittenOrWereOverwritten) {
  for (int64_t layers : {1, 2, 3}) {
    for (const ProgramInputs& inputs : ToyGrid(layers)) {
      const auto program = BuildProgram(inputs);
      ASSERT_TRUE(program.ok()) << program.status();
      const absl::Status checked = CheckProgram(*program, PlanMemory(*program));
      ASSERT_TRUE(checked.ok()) << FormatMix(inputs.mix) << ": " << checked;
    }
  }
}

TEST(ProgramTest, NoSemanticAxisBreaksALifetime) {
  for (const ProgramInputs& inputs : SemanticGrid(2, {Precision::kFp32, Precision::kBf16})) {
    const auto program = BuildProgram(inputs);
    ASSERT_TRUE(program.ok()) << FormatMix(inputs.mix) << program.status();
    const absl::Status checked = CheckProgram(*program, PlanMemory(*program));
    ASSERT_TRUE(checked.ok()) << FormatMix(inputs.mix) << ": " << checked;
  }
}

// Bytes of gradients and of what the optimizer keeps, per element of a trainable tensor and, for 8-bit moments, two fp32 scales per block.
TEST(ProgramTest, StatesTakeTheBytesOfTheirAxes) {
  struct Expected {
    const char* mix;
    int64_t state_bytes;
    bool scaled;
    int64_t gradient_bytes;
  };
  const Expected cases[] = {
      {"method=full", 8, false, 4},
      {"method=full optimizer_state=bf16", 4, false, 4},
      {"method=full optimizer_state=int8", 2, true, 4},
      {"method=full optimizer=sgd", 0, false, 4},
      {"method=full optimizer=sgd accumulation=bf16", 0, false, 2},
      {"method=full accumulation=bf16", 8, false, 2},
      {"method=full precision=bf16", 12, false, 4},
      {"method=full precision=bf16 optimizer_state=bf16", 4, false, 4},
      {"method=full precision=bf16 optimizer_state=int8", 6, true, 4},
      {"method=full precision=bf16 optimizer=sgd", 4, false, 4},
      {"method=full precision=bf16 optimizer=sgd optimizer_state=bf16", 0, false, 4},
  };
  for (const Expected& expected : cases) {
    ProgramInputs inputs = ToyInputs(ToyModel(2, true), *ParseMix(expected.mix));
    inputs.backend.kind = BackendKind::kCuda;
    const auto program = BuildProgram(inputs);
    if (!program.ok()) {
      EXPECT_NE(std::string(expected.mix).find("accumulation=bf16"), std::string::npos);
      inputs.backend.kind = BackendKind::kCpu;  // not built for GPUs beside fp32
    }
    const Program built = *BuildProgram(inputs);
    int64_t states = 0, gradients = 0, expected_states = 0, expected_gradients = 0;
    for (const Buffer& b : built.buffers) {
      if (b.memory_class == MemoryClass::kOptimizer) states += InstanceBytes(b) * b.instance_count;
      if (b.region == Region::kGradient) gradients += InstanceBytes(b) * b.instance_count;
    }
    for (const Parameter& p : built.parameters) {
      const Buffer& w = built.buffers[static_cast<size_t>(p.weight)];
      const int64_t elements = ElementCount(w), blocks = (elements + 255) / 256;
      expected_states +=
          w.instance_count * (elements * expected.state_bytes + (expected.scaled ? 8 * blocks : 0));
      expected_gradients += w.instance_count * elements * expected.gradient_bytes;
    }
    EXPECT_EQ(states, expected_states) << expected.mix;
    EXPECT_EQ(gradients, expected_gradients) << expected.mix;
  }
}

TEST(ProgramTest, RefusesNarrowSumsBesideFp32OnAGpu) {
  ProgramInputs inputs = ToyInputs(ToyModel(2, true), *ParseMix("accumulation=bf16"));
  EXPECT_TRUE(BuildProgram(inputs).ok());
  inputs.backend.kind = BackendKind::kCuda;
  EXPECT_EQ(BuildProgram(inputs).status().code(), absl::StatusCode::kUnimplemented);
}

TEST(ProgramTest, NoOpReadsWhatIsNotThereWhereTheLossIsOnFewerRows) {
  for (ProgramInputs inputs : ToyGrid(2)) {
    for (int64_t capacity : {1, 15}) {
      inputs.workload.loss_token_capacity = capacity;
      const auto program = BuildProgram(inputs);
      ASSERT_TRUE(program.ok()) << program.status();
      const absl::Status checked = CheckProgram(*program, PlanMemory(*program));
      ASSERT_TRUE(checked.ok()) << FormatMix(inputs.mix) << ": " << checked;
    }
  }
}

int64_t LargestLogits(const Program& program) {
  int64_t rows = 0;
  for (const Buffer& b : program.buffers) {
    if (b.memory_class == MemoryClass::kLogits) rows = std::max(rows, b.dims[0]);
  }
  return rows;
}

TEST(ProgramTest, LogitsAreOfTheRowsThatAreNamed) {
  ProgramInputs inputs = ToyGrid(1).front();
  EXPECT_EQ(LargestLogits(*BuildProgram(inputs)), 2 * 16);
  inputs.workload.loss_token_capacity = 3;
  EXPECT_EQ(LargestLogits(*BuildProgram(inputs)), 2 * 3);
}

TEST(ProgramTest, ACapacityOfTheWholeRowIsNone) {
  for (ProgramInputs inputs : ToyGrid(1)) {
    const std::string none = ProgramDigest(*BuildProgram(inputs));
    inputs.workload.loss_token_capacity = inputs.workload.context;
    EXPECT_EQ(ProgramDigest(*BuildProgram(inputs)), none);
    inputs.workload.loss_token_capacity = inputs.workload.context - 1;
    EXPECT_NE(ProgramDigest(*BuildProgram(inputs)), none);
  }
}

TEST(ProgramTest, CheckerSeesOverlappingBuffers) {
  const auto program = BuildProgram(ToyGrid(2).front());
  ASSERT_TRUE(program.ok());
  MemoryPlan plan = PlanMemory(*program);
  for (size_t id = 0; id < program->buffers.size(); ++id) {
    if (program->buffers[id].region == Region::kSaved && !plan.offsets[id].empty())
      plan.offsets[id].assign(plan.offsets[id].size(), plan.device_bytes() / 2);
  }
  EXPECT_FALSE(CheckProgram(*program, plan).ok());
}

TEST(ProgramTest, ClassesSumToTheArena) {
  for (const ProgramInputs& inputs : ToyGrid(3)) {
    const MemoryPlan plan = PlanMemory(*BuildProgram(inputs));
    EXPECT_EQ(std::accumulate(plan.class_bytes.begin(), plan.class_bytes.end(), int64_t{0}),
              plan.device_bytes());
    int64_t most = 0;
    for (const InstantBytes& instant : plan.instants) {
      most = std::max(most, instant.bytes);
      EXPECT_EQ(instant.name == plan.binding_instant,
                instant.bytes == plan.device_bytes() && instant.name == plan.binding_instant);
    }
    EXPECT_EQ(most, plan.device_bytes());
    EXPECT_FALSE(plan.binding_instant.empty());
  }
}

TEST(ProgramTest, EachRungKeepsNoMoreThanTheOneBefore) {
  ModelSpec model = ToyModel(8, true);
  model.hidden_size = model.head_count * model.head_size;
  int64_t before = std::numeric_limits<int64_t>::max();
  for (Rung rung : {Rung::kKeep, Rung::kActivation, Rung::kNorms, Rung::kGateUp, Rung::kBlock}) {
    Mix mix{.method = Method::kLora,
            .attention = AttentionKernel::kFlash,
            .loss = LossKernel::kChunked,
            .micro_batch = 4};
    mix.recompute[static_cast<size_t>(rung)] = 8;
    const int64_t bytes = PlanMemory(*BuildProgram(ToyInputs(model, mix, 64))).device_bytes();
    EXPECT_LE(bytes, before) << "rung " << static_cast<int>(rung);
    before = bytes;
  }
}

// The bytes that one layer saves per token, from the dataflow (Llama block, fp32, flash attention, full fine-tuning): block input, both norm
// outputs and rstd, q, k, v, attention output, log-sum-exp, the input of the second norm, gate, up and their product.
TEST(ProgramTest, SavedBytesMatchTheClosedForm) {
  const ModelSpec m = ToyModel(2, true);
  Mix mix{.method = Method::kFull, .attention = AttentionKernel::kFlash, .micro_batch = 2};
  const auto program = BuildProgram(ToyInputs(m, mix));
  ASSERT_TRUE(program.ok());
  int64_t bytes = 0;
  for (const Buffer& b : program->buffers) {
    if (b.region == Region::kSaved && b.instance_count == 2) bytes += InstanceBytes(b);
    if (b.region == Region::kSaved && b.instance_count == 3)
      bytes += InstanceBytes(b);  // the block's input
  }
  const int64_t a = m.head_count * m.head_size, k = m.kv_head_count * m.head_size;
  const int64_t per_token =
      4 * (4 * m.hidden_size + 2 + (a + 2 * k) + a + m.head_count + 3 * m.intermediate_size);
  EXPECT_EQ(bytes, per_token * 2 * 16);
}

TEST(ProgramTest, LoraSavesNoGradientAndNoStateOfFrozenWeights) {
  const auto program =
      BuildProgram(ToyInputs(ToyModel(2, true), {.method = Method::kLora, .lora = {.rank = 3}}));
  ASSERT_TRUE(program.ok());
  int64_t adapters = 0;
  for (const Parameter& p : program->parameters) {
    const std::string name = program->buffers[static_cast<size_t>(p.weight)].name.Text();
    EXPECT_EQ(p.trainable, name.find("lora_") != std::string::npos) << name;
    EXPECT_EQ(p.trainable, p.gradient >= 0 && p.moment1 >= 0 && p.moment2 >= 0) << name;
    adapters += p.trainable;
  }
  EXPECT_EQ(adapters, 14);
}

// Outputs of the products of the forward of a layer whose weights' names have `part`, in order.
std::vector<int64_t> ProductWidths(const ModelSpec& model, const Mix& mix, const char* part) {
  const Program program = *BuildProgram(ToyInputs(model, mix));
  const auto layer = std::find_if(program.blocks.begin(), program.blocks.end(),
                                  [](const Block& block) { return block.name == "layer"; });
  std::vector<int64_t> widths;
  for (const Op& op : layer->ops) {
    if (op.kind != OpKind::kLinear && op.kind != OpKind::kLinearBias) continue;
    const Buffer& weight = program.buffers[static_cast<size_t>(op.inputs[1].buffer)];
    if (weight.name.Text().find(part) != std::string::npos) widths.push_back(weight.dims[0]);
  }
  return widths;
}

using Widths = std::vector<int64_t>;

TEST(ProgramTest, AdaptersThatReadOneInputHaveOneProductWithTheirA) {
  const auto widths = [](const LoraSpec& lora, OptimizerState state = OptimizerState::kFp32) {
    return ProductWidths(
        ToyModel(2, true),
        {.method = Method::kLora, .lora = lora, .optimizer_state = state, .micro_batch = 2},
        "lora_A");
  };
  constexpr int64_t kRank = kStackedRank, kOdd = kOddRank;
  // Of q, k and v; o; gate and up; down.
  EXPECT_EQ(widths({.rank = kOdd}), (Widths{3 * kOdd, kOdd, 2 * kOdd, kOdd}));
  EXPECT_EQ(widths({.rank = kRank}, OptimizerState::kInt8),
            (Widths{3 * kRank, kRank, 2 * kRank, kRank}));
  LoraSpec some{.rank = kRank};
  some.targets = 1u << kProjectionQ | 1u << kProjectionV | 1u << kProjectionUp;
  EXPECT_EQ(widths(some), (Widths{2 * kRank, kRank}));
  // Each drops other elements of its input; these begin at no whole blocks of states.
  EXPECT_EQ(widths({.rank = kRank, .dropout = 0.5}), Widths(7, kRank));
  EXPECT_EQ(widths({.rank = kOdd}, OptimizerState::kInt8), Widths(7, kOdd));
}

TEST(ProgramTest, ProjectionsOfOneInputAreOneProduct) {
  const ModelSpec model = ToyModel(2, true, /*qkv_bias=*/true);
  const auto widths = [&model](Mix mix) {
    mix.micro_batch = 2;
    return ProductWidths(model, mix, "proj.weight");
  };
  const int64_t q = 24, kv = 8, hidden = 24, inner = 40;
  const AttentionKernel flash = AttentionKernel::kFlash;
  EXPECT_EQ(widths({.method = Method::kFull, .attention = flash}),
            (Widths{q + 2 * kv, hidden, 2 * inner, hidden}));
  EXPECT_EQ(widths({.method = Method::kFull, .attention = AttentionKernel::kEager}),
            (Widths{q, kv, kv, hidden, 2 * inner, hidden}));
  // Adapters add to each its own.
  EXPECT_EQ(widths({.method = Method::kLora, .attention = flash}),
            (Widths{q, kv, kv, hidden, inner, inner, hidden}));
  LoraSpec attention_only;
  attention_only.targets = 1u << kProjectionQ;
  EXPECT_EQ(widths({.method = Method::kLora, .lora = attention_only, .attention = flash}),
            (Widths{q, kv, kv, hidden, 2 * inner, hidden}));
  const Mix int8{.method = Method::kFull,
                 .optimizer_state = OptimizerState::kInt8,
                 .attention = flash,
                 .micro_batch = 2};
  EXPECT_EQ(widths(int8), (Widths{q, kv, kv, hidden, inner, inner, hidden}));
  EXPECT_EQ(ProductWidths(EvenToyModel(2, true), int8, "proj.weight"),
            (Widths{32 + 2 * 8, 32, 2 * inner, 32}));
}

TEST(ProgramTest, DigestTellsMixesApartAndIsStable) {
  std::set<std::string> digests;
  size_t count = 0;
  for (const ProgramInputs& inputs : ToyGrid(2)) {
    // In tiles nothing of the MLP is saved, so that some rungs are the same program.
    if (inputs.mix.mlp_tile_count > 1) continue;
    ++count;
    const std::string digest = ProgramDigest(*BuildProgram(inputs));
    EXPECT_EQ(digest, ProgramDigest(*BuildProgram(inputs)));
    digests.insert(digest);
  }
  EXPECT_EQ(digests.size(), count);
}

TEST(ProgramTest, RefusesABatchThatDoesNotMultiplyOut) {
  ProgramInputs inputs = ToyGrid(2).front();
  inputs.workload.rows_per_step = 7;
  const auto status = BuildProgram(inputs).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(status.message()).find("!= rows per step(7)"), std::string::npos) << status;
}

TEST(ProgramTest, RefusesAxisValuesThatAreNotBuilt) {
  const auto code_of = [](auto change) {
    ProgramInputs inputs = ToyGrid(2).front();
    change(inputs.mix);
    return BuildProgram(inputs).status().code();
  };
  const auto unimplemented = absl::StatusCode::kUnimplemented;
  EXPECT_EQ(code_of([](Mix& m) {
              m.precision = Precision::kBf16;
              m.attention = AttentionKernel::kEager;
            }),
            unimplemented);
}

TEST(ProgramTest, LayersOnTheHostRungHoldTwoInputsOnTheDevice) {
  Mix mix{.method = Method::kLora,
          .attention = AttentionKernel::kFlash,
          .micro_batch = 16,
          .accumulation_count = 2};
  const ModelSpec model = ToyModel(8, true);
  const auto plan_with = [&](int64_t host) {
    mix.recompute = {};
    mix.recompute[static_cast<size_t>(Rung::kHost)] = host;
    mix.recompute[static_cast<size_t>(Rung::kBlock)] = 8 - host;
    return PlanMemory(*BuildProgram(ToyInputs(model, mix)));
  };
  const int64_t input = 16 * 16 * model.hidden_size * 4;
  const MemoryPlan none = plan_with(0), six = plan_with(6);
  EXPECT_EQ(none.host_bytes(), 0);
  EXPECT_EQ(six.host_bytes(), 6 * input);
  EXPECT_EQ(none.device_bytes() - six.device_bytes(), (6 - kHostSlotCount) * input);
}

// Tiles of the MLP hold one tile's gate, up and product at a time.
TEST(ProgramTest, TilesShrinkWhatTheMlpHolds) {
  ModelSpec model = ToyModel(2, true);
  model.intermediate_size = 4096;
  Mix mix{.method = Method::kLora, .attention = AttentionKernel::kFlash, .micro_batch = 4};
  mix.recompute[static_cast<size_t>(Rung::kBlock)] = 2;
  const int64_t whole = PlanMemory(*BuildProgram(ToyInputs(model, mix))).device_bytes();
  mix.mlp_tile_count = 4;
  const int64_t tiled = PlanMemory(*BuildProgram(ToyInputs(model, mix))).device_bytes();
  // Gate, up, product and their gradients: at least three of them together, three quarters of which are gone.
  EXPECT_LT(tiled, whole - 3 * 48 * model.intermediate_size * 4);
}

TEST(ProgramTest, PlansStayNearTheLiveBound) {
  for (const ProgramInputs& inputs : ToyGrid(3)) {
    const Program program = *BuildProgram(inputs);
    const int64_t planned = PlanMemory(program).device_bytes(),
                  bound = LiveLowerBoundBytes(program);
    EXPECT_GE(planned, bound) << FormatMix(inputs.mix);
    EXPECT_LE(planned, bound + bound / 4) << FormatMix(inputs.mix);
  }
}

}  // namespace
}  // namespace tunesmith::planner
