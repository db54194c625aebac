#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "planner/answer/candidates.h"
#include "planner/program/build_program.h"
#include "tests/trainer/job/job_files.h"
#include "tests/trainer/logits_recorder.h"
#include "trainer/job/session.h"
#include "trainer/open_device.h"

namespace tunesmith::trainer {
namespace {

class GenerateTest : public testing::Test {
 protected:
  void SetUp() override {
    auto program = planner::BuildProgram(planner::InputsFor(files_.question(), files_.mix()));
    ASSERT_TRUE(program.ok()) << program.status();
    const auto weights = OpenModel(files_.File("model"));
    auto session = Session::Create(*std::move(program), device_->context(), **weights, 1);
    ASSERT_TRUE(session.ok()) << session.status();
    session_ = *std::move(session);
  }

  // The most likely next token at every position of `tokens`, from one evaluation of all of them.
  std::vector<int32_t> MostLikely(const std::vector<int32_t>& tokens) {
    const auto size = static_cast<int64_t>(tokens.size());
    Batch batch{.row_count = files_.mix().micro_batch,
                .context = files_.question().workload.context};
    const auto total = static_cast<size_t>(batch.row_count * batch.context);
    batch.tokens.assign(total, 0);
    batch.labels.assign(total, -1);
    batch.positions.assign(total, 0);
    for (size_t i = 0; i < total; ++i)
      batch.document_starts.push_back(static_cast<int32_t>(i % static_cast<size_t>(batch.context)));
    for (size_t i = 0; i < tokens.size(); ++i) {
      batch.tokens[i] = tokens[i];
      batch.positions[i] = static_cast<int32_t>(i);
      batch.document_starts[i] = 0;
    }
    batch.labels[0] = 0;  // an evaluation without a label would not run
    batch.valid_label_count = 1;
    LogitsRecorder logits;
    session_->executor().set_observer(&logits);
    EvaluationResult result;
    EXPECT_TRUE(session_->Evaluate(batch, result).ok());
    session_->executor().set_observer(nullptr);
    std::vector<int32_t> best;
    for (int64_t i = 0; i < size; ++i) {
      const float* row = logits.of_token(i);
      best.push_back(static_cast<int32_t>(std::max_element(row, row + logits.vocab_size()) - row));
    }
    return best;
  }

  JobFiles files_;
  absl::StatusOr<OpenDevice> device_ = OpenDevice::Open("cpu", 2);
  std::unique_ptr<Session> session_;
};

TEST_F(GenerateTest, CachedDecodingChoosesWhatTheWholeForwardFindsMostLikely) {
  const std::vector<int32_t> prompt = {40, 300, 17, 5, 221};
  const auto generated = session_->Generate(prompt, 12, {});
  ASSERT_TRUE(generated.ok()) << generated.status();
  ASSERT_EQ(generated->size(), 12u);
  std::vector<int32_t> all = prompt;
  all.insert(all.end(), generated->begin(), generated->end());
  const std::vector<int32_t> best = MostLikely(all);
  for (size_t i = 0; i < generated->size(); ++i)
    EXPECT_EQ((*generated)[i], best[prompt.size() - 1 + i]) << "token " << i;
  EXPECT_GT(std::set<int32_t>(generated->begin(), generated->end()).size(), 2u)
      << "a constant answer would prove little";
}

TEST_F(GenerateTest, EndsAtAnEndTokenAndAtTheContext) {
  const std::vector<int32_t> prompt = {40, 300, 17};
  const auto generated = session_->Generate(prompt, 100, {});
  ASSERT_TRUE(generated.ok()) << generated.status();
  const int64_t context = files_.question().workload.context;
  EXPECT_EQ(static_cast<int64_t>(generated->size()),
            context - 3 + 1);  // the last is predicted at the last position, and not read
  const int32_t end = (*generated)[4];
  const auto first = std::find(generated->begin(), generated->end(), end);
  const auto shorter = session_->Generate(prompt, 100, {end});
  EXPECT_EQ(*shorter, std::vector<int32_t>(generated->begin(), first));
  EXPECT_EQ(session_->Generate({}, 4, {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(session_->Generate(std::vector<int32_t>(static_cast<size_t>(context), 1), 4, {})
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tunesmith::trainer
