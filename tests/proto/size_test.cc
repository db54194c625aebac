#include "proto/convert/size.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tunesmith::convert {
namespace {

using ::testing::HasSubstr;

std::optional<planner::Calibration> NoCalibration(std::string_view, planner::Precision) {
  return std::nullopt;
}

v1::SizeRequest CountsRequest() {
  v1::SizeRequest request;
  v1::Question& question = *request.mutable_question();
  question.set_model_name("SmolLM2-135M");
  question.set_method(v1::METHOD_LORA);
  question.mutable_workload()->set_context(256);
  question.mutable_workload()->set_rows_per_step(8);
  question.mutable_workload()->set_dataset_token_count(1 << 20);
  request.mutable_device_counts()->add_kinds()->set_device_name("L4");
  return request;
}

std::string Refusal(const v1::SizeRequest& request) {
  const auto answer = AnswerSize(request, NoCalibration);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(answer.status().message());
}

TEST(SizeTest, AnswersWithRanksCostsAndAPlan) {
  v1::SizeRequest request = CountsRequest();
  request.mutable_device_counts()->mutable_kinds(0)->set_price_per_device_hour(0.5);
  request.mutable_device_counts()->set_most_device_count(2);
  const auto answer = AnswerSize(request, NoCalibration);
  ASSERT_TRUE(answer.ok()) << answer.status();
  const v1::DeviceCountsAnswer& counts = answer->device_counts();
  ASSERT_EQ(counts.tried_size(), 2);
  for (const v1::SizedDevices& sized : counts.tried()) {
    EXPECT_EQ(sized.verdict(), v1::SIZE_VERDICT_FINISHES);
    EXPECT_EQ(sized.device_name(), "L4");
    EXPECT_DOUBLE_EQ(sized.best().device_hours(), sized.best().prediction().time().total_hours() *
                                                      static_cast<double>(sized.device_count()));
    EXPECT_DOUBLE_EQ(sized.best().cost(), sized.best().device_hours() * 0.5);
    if (sized.rank() == 1) {
      EXPECT_EQ(counts.plan().program_digest(), sized.best().program_digest());
    }
  }
  EXPECT_EQ(counts.tried(static_cast<int>(counts.fewest_index())).device_count(), 1);
}

TEST(SizeTest, EveryKindIsPricedWithItsOwnCalibration) {
  const auto fast = [](std::string_view device,
                       planner::Precision) -> std::optional<planner::Calibration> {
    if (device != "L4") return std::nullopt;
    return planner::Calibration{
        .id = "c", .device_name = "L4", .step_factor = 1.0, .relative_error = 0.1};
  };
  v1::SizeRequest request = CountsRequest();
  request.mutable_device_counts()->add_kinds()->set_device_name("A10G");
  request.mutable_device_counts()->set_most_device_count(1);
  const auto answer = AnswerSize(request, fast);
  ASSERT_TRUE(answer.ok()) << answer.status();
  const auto evidence = [&](int i) {
    return answer->device_counts().tried(i).best().prediction().time().evidence();
  };
  EXPECT_EQ(evidence(0), v1::EVIDENCE_MEASURED_ON_KIND);
  EXPECT_EQ(answer->device_counts().tried(0).calibration_id(), "c");
  EXPECT_EQ(answer->device_counts().tried(1).calibration_id(), "");
  EXPECT_EQ(evidence(1), v1::EVIDENCE_DATASHEET);
}

TEST(SizeTest, RefusesWithThePathOfTheField) {
  v1::SizeRequest request = CountsRequest();
  request.clear_unknown();
  EXPECT_THAT(Refusal(request), HasSubstr("ask for device_counts or longest_context"));
  request = CountsRequest();
  request.mutable_device_counts()->clear_kinds();
  EXPECT_THAT(Refusal(request), HasSubstr("device_counts.kinds: are 0"));
  request = CountsRequest();
  request.mutable_device_counts()->add_kinds();
  EXPECT_THAT(Refusal(request), HasSubstr("device_counts.kinds[1].device_name: is missing"));
  request = CountsRequest();
  request.mutable_device_counts()->set_finish_within_seconds(-1);
  request.mutable_device_counts()->mutable_kinds(0)->set_price_per_device_hour(-2);
  EXPECT_THAT(Refusal(request), HasSubstr("kinds[0].price_per_device_hour"));
  EXPECT_THAT(Refusal(request), HasSubstr("finish_within_seconds"));
  request = CountsRequest();
  request.mutable_question()->mutable_workload()->clear_rows_per_step();
  EXPECT_THAT(Refusal(request), HasSubstr("question.workload.rows_per_step"));
  request.mutable_question()->mutable_runtime();
  EXPECT_EQ(AnswerSize(request, NoCalibration).status().code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace tunesmith::convert
