// What transformers computed, once, on small models of every family whose weights are a function of names and indices: logits, loss, and every
// gradient's norm and order. The file is written by tests/parity/families.py --golden.
#include <gtest/gtest.h>

#include <cmath>

#include "common/file.h"
#include "common/json.h"
#include "common/random.h"
#include "planner/program/build_program.h"
#include "tests/trainer/checkpoint_gradients.h"
#include "tests/trainer/logits_recorder.h"
#include "trainer/job/session.h"
#include "trainer/thread_pool.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::json;

// In [-1, 1).
double NoiseAt(uint64_t key, size_t i) { return 2 * RandomUniform(key, i) - 1; }

class FormulaWeights : public WeightSource {
 public:
  explicit FormulaWeights(const planner::ModelSpec& spec) : WeightSource(spec) {}

  absl::Status Read(std::string_view name, absl::Span<float> out) const override {
    TUNESMITH_RETURN_IF_ERROR(CheckRead(name, out.size()));
    TUNESMITH_ASSIGN_OR_RETURN(const std::vector<int64_t> shape, Shape(name));
    const bool vector = shape.size() == 1;
    const bool norm = vector && !name.ends_with("bias") && !spec().norm_adds_one;
    const double scale = vector ? 0.3 : 1.5 / std::sqrt(static_cast<double>(shape.back()));
    const uint64_t key = RandomKey(0, name);
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<float>(NoiseAt(key, i) * scale + (norm ? 1.0 : 0.0));
    return absl::OkStatus();
  }
};

Batch BatchOf(int64_t context, int64_t vocab_size) {
  Batch batch{.row_count = 1, .context = context};
  const auto token_at = [&](int64_t t) { return static_cast<int32_t>((7 * t + 3) % vocab_size); };
  for (int64_t t = 0; t < context; ++t) {
    batch.tokens.push_back(token_at(t));
    batch.labels.push_back(t + 1 < context ? token_at(t + 1) : -1);
    batch.positions.push_back(static_cast<int32_t>(t));
    batch.document_starts.push_back(0);
  }
  batch.token_count = context;
  batch.valid_label_count = context - 1;
  return batch;
}

void ExpectLogits(Session& session, const Batch& batch, const json& expected) {
  LogitsRecorder recorder;
  session.executor().set_observer(&recorder);
  EvaluationResult result;
  ASSERT_TRUE(session.Evaluate(batch, result).ok());
  session.executor().set_observer(nullptr);
  double error = 0, norm = 0;
  for (size_t v = 0; v < expected.size(); ++v) {
    const double logit = expected[v], ours = recorder.of_token(batch.context - 1)[v];
    error += (ours - logit) * (ours - logit);
    norm += logit * logit;
  }
  EXPECT_LE(std::sqrt(error / norm), 1e-5);
}

void ExpectGradients(Session& session, const json& expected) {
  const auto gradients = CheckpointGradients(session);
  ASSERT_TRUE(gradients.ok()) << gradients.status();
  ASSERT_EQ(gradients->size(), expected.size());
  double all = 0;
  for (const auto& [name, value] : expected.items()) all += std::pow(double{value[0]}, 2);
  for (const auto& [name, value] : expected.items()) {
    ASSERT_TRUE(gradients->contains(name)) << name;
    const std::vector<float>& values = gradients->at(name).values;
    const uint64_t key = RandomKey(0, "probe " + name);
    double squares = 0, probe = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      squares += double{values[i]} * values[i];
      probe += values[i] * NoiseAt(key, i);
    }
    // Some gradients are zero but for rounding.
    const double bar = 1e-4 * std::max(double{value[0]}, 1e-5 * std::sqrt(all));
    EXPECT_NEAR(std::sqrt(squares), double{value[0]}, bar) << name;
    EXPECT_NEAR(probe, double{value[1]}, bar * std::sqrt(static_cast<double>(values.size())))
        << name;
  }
}

void ExpectFamily(const json& row, int64_t context, planner::AttentionKernel attention,
                  ThreadPool& threads) {
  const std::string name = row["name"];
  SCOPED_TRACE(name);
  const auto spec = planner::ModelSpecFromConfigJson(row["config"].dump(), name);
  ASSERT_TRUE(spec.ok()) << spec.status();
  planner::Mix mix{.method = planner::Method::kFull, .attention = attention};
  mix.recompute[0] = spec->layer_count;
  auto program = planner::BuildProgram(
      {.model = *spec,
       .workload = {.context = context, .rows_per_step = 1, .generates = false},
       .mix = mix});
  ASSERT_TRUE(program.ok()) << program.status();
  auto session =
      Session::Create(*std::move(program), {.threads = &threads}, FormulaWeights(*spec), 0);
  ASSERT_TRUE(session.ok()) << session.status();
  const Batch batch = BatchOf(context, spec->vocab_size);
  ExpectLogits(**session, batch, row["logits"]);
  const auto step = (*session)->Step({&batch, 1}, {});
  ASSERT_TRUE(step.ok()) << step.status();
  EXPECT_NEAR(step->mean_loss, double{row["loss"]}, 1e-5 * double{row["loss"]});
  ExpectGradients(**session, row["gradients"]);
}

TEST(FamilyGoldenTest, ComputesWhatTransformersComputed) {
  // Tests run in the root of the tree.
  const auto text = ReadFile("tests/trainer/testdata/families.golden.json");
  ASSERT_TRUE(text.ok()) << text.status();
  const auto golden = ParseJson(*text, "families.golden.json");
  ASSERT_TRUE(golden.ok()) << golden.status();
  ASSERT_GE((*golden)["families"].size(), 20u);
  ThreadPool threads(2);
  for (const json& row : (*golden)["families"]) {
    for (auto attention : {planner::AttentionKernel::kEager, planner::AttentionKernel::kFlash})
      ExpectFamily(row, (*golden)["context"], attention, threads);
  }
}

}  // namespace
}  // namespace tunesmith::trainer
