#include "planner/answer/size.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "common/units.h"
#include "planner/answer/predict.h"
#include "tests/planner/program_fixture.h"

namespace tunesmith::planner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Hardware Device(const char* name) { return *FindHardware(name); }

SizeQuestion ToySize(std::vector<const char*> devices, int64_t rows = 16) {
  SizeQuestion asked{
      .question = {
          .model = ToyModel(3, true),
          .workload = {.context = 64, .rows_per_step = rows, .dataset_token_count = 1 << 20},
          .method = MethodChoice::kFull}};
  for (const char* device : devices)
    asked.kinds.push_back({.hardware = Device(device), .devices_per_node = 4});
  return asked;
}

// What Recommend says of so many devices, asked without any of the code under test.
std::optional<Prediction> Linear(const SizeQuestion& asked, const DeviceKind& kind, int64_t count) {
  Question question = asked.question;
  question.precision = Precision::kBf16;
  question.devices = {
      .hardware = kind.hardware,
      .device_count = count,
      .node_count = count > kind.devices_per_node ? count / kind.devices_per_node : 1,
      .network_bytes_per_second = kind.network_bytes_per_second};
  const auto result = Recommend(question);
  if (!result.ok() || result->ranked.empty()) return std::nullopt;
  return result->ranked.front();
}

SizeAnswer Answer(const SizeQuestion& asked) {
  const auto answer = ChooseDevices(asked);
  EXPECT_TRUE(answer.ok()) << answer.status();
  return answer.ok() ? *answer : SizeAnswer{};
}

const SizedDevices& Chosen(const SizeAnswer& answer) {
  return answer.tried[static_cast<size_t>(answer.ranked.front())];
}

TEST(DeviceCountsTest, ArePowersOfTwoInANodeThenWholeNodes) {
  EXPECT_THAT(DeviceCounts(Device("H100"), 8, 32), ElementsAre(1, 2, 4, 8, 16, 24, 32));
  EXPECT_THAT(DeviceCounts(Device("H100"), 6, 13), ElementsAre(1, 2, 4, 6, 12));
  EXPECT_THAT(DeviceCounts(Device("H100"), 1, 3), ElementsAre(1, 2, 3));
  EXPECT_THAT(DeviceCounts(Device("H100"), 8, 5), ElementsAre(1, 2, 4));
  EXPECT_THAT(DeviceCounts(Device("cpu"), 8, 64), ElementsAre(1));
}

// Against a scan over every count there is, in nodes of 4 and for any time that may be allowed.
TEST(SizeTest, FewestDevicesAreThoseOfALinearScan) {
  SizeQuestion asked = ToySize({"A100-80GB"}, 24);
  std::map<int64_t, double> seconds;
  for (int64_t count = 1; count <= 24; ++count) {
    const bool asked_about = count <= 4 ? count != 3 : count % 4 == 0;
    const auto best = Linear(asked, asked.kinds[0], count);
    if (asked_about && best) seconds[count] = best->time.total_hours * 3600;
  }
  ASSERT_EQ(seconds.size(), 7u)
      << "1, 2, 4, 8, 12 and 24 divide the rows, and 16 where two share a micro-batch; 20 does not";
  std::set<int64_t> fewest_of_all;
  for (const auto& [_, limit] : seconds) {
    for (const double factor : {0.999, 1.0, 1.001}) {
      asked.finish_within_seconds = limit * factor;
      int64_t fewest = 0;
      for (const auto& [count, s] : seconds) {
        if (fewest == 0 && s <= asked.finish_within_seconds) fewest = count;
      }
      const SizeAnswer answer = Answer(asked);
      ASSERT_EQ(answer.ranked.empty(), fewest == 0);
      if (fewest == 0) continue;
      EXPECT_EQ(Chosen(answer).devices.device_count, fewest);
      EXPECT_EQ(answer.fewest, answer.ranked.front());
      fewest_of_all.insert(fewest);
    }
  }
  EXPECT_GT(fewest_of_all.size(), 1u) << "the times allowed make no difference";
}

TEST(SizeTest, CheapestIsTheLeastOfAllKindsAndCounts) {
  SizeQuestion asked = ToySize({"A100-80GB", "L4", "H100"});
  const double prices[] = {1.79, 0.45, 2.99};
  for (size_t i = 0; i < 3; ++i) asked.kinds[i].price_per_device_hour = prices[i];
  for (const double within : {0.0, 0.5, 0.1, 0.05}) {
    asked.finish_within_seconds = within;
    double least = -1;
    for (const DeviceKind& kind : asked.kinds) {
      for (const int64_t count : {1, 2, 4, 8, 16}) {
        const auto best = Linear(asked, kind, count);
        if (!best || (within > 0 && best->time.total_hours * 3600 > within)) continue;
        const double cost =
            best->time.total_hours * static_cast<double>(count) * kind.price_per_device_hour;
        if (least < 0 || cost < least) least = cost;
      }
    }
    const SizeAnswer answer = Answer(asked);
    ASSERT_EQ(answer.ranked.empty(), least < 0) << within;
    if (least < 0) continue;
    EXPECT_DOUBLE_EQ(Chosen(answer).cost, least) << within;
    for (size_t i = 1; i < answer.ranked.size(); ++i) {
      const SizedDevices& loser = answer.tried[static_cast<size_t>(answer.ranked[i])];
      EXPECT_GE(loser.cost, answer.tried[static_cast<size_t>(answer.ranked[i - 1])].cost);
      EXPECT_THAT(loser.sentence, HasSubstr("more"));
    }
    if (answer.ranked.size() > 1) {
      EXPECT_THAT(answer.choice_rule, HasSubstr("; next: "));
    }
  }
}

TEST(SizeTest, AmountsAreProductsOfHours) {
  SizeQuestion asked = ToySize({"A100-80GB"});
  asked.kinds[0].price_per_device_hour = 2.5;
  for (const SizedDevices& sized : Answer(asked).tried) {
    if (sized.verdict == SizeVerdict::kNotPossible) continue;
    ASSERT_EQ(sized.verdict, SizeVerdict::kFinishes) << sized.sentence;
    const auto count = static_cast<double>(sized.devices.device_count);
    EXPECT_DOUBLE_EQ(sized.device_hours, sized.best->time.total_hours * count);
    EXPECT_DOUBLE_EQ(sized.cost, sized.best->time.total_hours * count * 2.5);
    EXPECT_EQ(RankCount(sized.best->mix), sized.devices.device_count);
  }
}

TEST(SizeTest, MoreTimeNeverTakesMoreDevicesOrMoney) {
  SizeQuestion asked = ToySize({"L4", "A100-80GB"});
  asked.kinds[0].price_per_device_hour = 1;
  asked.kinds[1].price_per_device_hour = 3;
  double cost = 1e9;
  int64_t fewest = 1 << 20;
  for (double within = 0.02; within < 3; within *= 1.3) {
    asked.finish_within_seconds = within;
    const SizeAnswer answer = Answer(asked);
    if (answer.ranked.empty()) {
      EXPECT_EQ(cost, 1e9) << "what finished in less time";
      continue;
    }
    EXPECT_LE(Chosen(answer).cost, cost);
    cost = Chosen(answer).cost;
    const int64_t devices = answer.tried[static_cast<size_t>(*answer.fewest)].devices.device_count;
    EXPECT_LE(devices, fewest);
    fewest = devices;
  }
  EXPECT_EQ(fewest, 1);
}

TEST(SizeTest, CountsThatDoNotDivideAreToldWithTheEquation) {
  SizeQuestion asked = ToySize({"A100-80GB"}, 12);
  for (const SizedDevices& sized : Answer(asked).tried)
    EXPECT_NE(sized.verdict, SizeVerdict::kNotPossible) << "two of eight may share a micro-batch";
  asked.question.pinned.sequence_parallel = 1;
  const SizeAnswer answer = Answer(asked);
  std::map<int64_t, std::string> skipped;
  for (const SizedDevices& sized : answer.tried) {
    if (sized.verdict == SizeVerdict::kNotPossible)
      skipped[sized.devices.device_count] = sized.sentence;
  }
  ASSERT_EQ(skipped.size(), 1u);
  EXPECT_THAT(skipped.at(8), HasSubstr("rows per step(12) % devices(8) = 4"));
  EXPECT_EQ(answer.tried.back().devices.device_count, 12);
  EXPECT_EQ(answer.tried.back().devices.node_count, 3);
}

TEST(SizeTest, SharingMakesMoreDevicesFitWhereOneDoesNot) {
  SizeQuestion asked = ToySize({"A100-80GB"});
  Question alone = asked.question;
  alone.precision = Precision::kBf16;
  alone.devices.hardware = Device("A100-80GB");
  alone.memory_budget_bytes = 1;
  asked.question.memory_budget_bytes = Recommend(alone)->nearest->memory.total_bytes - 1;
  const SizeAnswer answer = Answer(asked);
  EXPECT_EQ(answer.tried[0].verdict, SizeVerdict::kDoesNotFit);
  EXPECT_THAT(answer.tried[0].sentence, HasSubstr("does not fit: 1 B more per device"));
  ASSERT_FALSE(answer.ranked.empty());
  EXPECT_GT(Chosen(answer).best->mix.zero_stage, 0);
  asked.question.memory_budget_bytes = 1;
  const SizeAnswer nowhere = Answer(asked);
  EXPECT_TRUE(nowhere.ranked.empty());
  EXPECT_THAT(nowhere.choice_rule, HasSubstr("no count that was tried fits; nearest: "));
}

TEST(SizeTest, OneRowIsSharedByDevices) {
  SizeQuestion asked = ToySize({"A100-80GB"}, /*rows=*/1);
  const SizeAnswer answer = Answer(asked);
  const auto two = std::find_if(answer.tried.begin(), answer.tried.end(),
                                [](const auto& sized) { return sized.devices.device_count == 2; });
  ASSERT_NE(two, answer.tried.end());
  ASSERT_TRUE(two->best.has_value()) << two->sentence;
  EXPECT_EQ(two->best->mix.sequence_parallel, 2);
  asked.question.pinned.sequence_parallel = 1;
  EXPECT_EQ(Answer(asked).tried.size(), 1u);
}

TEST(SizeTest, TooLateSaysByHowMuch) {
  SizeQuestion asked = ToySize({"A100-80GB"});
  asked.finish_within_seconds = 1e-6;
  const SizeAnswer answer = Answer(asked);
  EXPECT_TRUE(answer.ranked.empty());
  EXPECT_FALSE(answer.fewest.has_value());
  EXPECT_THAT(answer.tried[0].sentence, HasSubstr("too long"));
  EXPECT_THAT(answer.choice_rule, HasSubstr("nearest: "));
}

TEST(SizeTest, LimitsAndHostMemoryOfAKindAreKept) {
  SizeQuestion asked = ToySize({"A100-80GB"});
  asked.kinds[0].device_limit = 6;
  asked.kinds[0].host_memory_bytes = 64 * kGiB;
  const SizeAnswer answer = Answer(asked);
  EXPECT_EQ(answer.tried.back().devices.device_count, 4);
  EXPECT_EQ(answer.tried.back().best->memory.host_budget_bytes, 16 * kGiB);
  EXPECT_EQ(answer.tried.front().best->memory.host_budget_bytes, 64 * kGiB);
}

TEST(SizeTest, TheSearchsDeadlineLeavesCountsUntried) {
  SizeQuestion asked = ToySize({"A100-80GB"});
  asked.question.deadline = absl::InfinitePast();
  const SizeAnswer answer = Answer(asked);
  EXPECT_TRUE(answer.deadline_reached);
  EXPECT_TRUE(answer.ranked.empty());
  for (const SizedDevices& sized : answer.tried) {
    const int64_t count = sized.devices.device_count;
    const bool possible = 16 % count == 0 || count == 32;  // where two share a row
    EXPECT_EQ(sized.verdict, possible ? SizeVerdict::kNotTried : SizeVerdict::kNotPossible);
  }
}

TEST(SizeTest, RefusesWhatContradictsItself) {
  const auto says = [](const auto& change) {
    SizeQuestion asked = ToySize({"A100-80GB", "L4"});
    change(asked);
    const auto answer = ChooseDevices(asked);
    EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(answer.status().message());
  };
  EXPECT_THAT(says([](SizeQuestion& q) { q.kinds.clear(); }), HasSubstr("no kind of devices"));
  EXPECT_THAT(says([](SizeQuestion& q) { q.kinds[0].price_per_device_hour = 1; }),
              HasSubstr("kind L4 has no price while others have one"));
  EXPECT_THAT(says([](SizeQuestion& q) { q.kinds[1].price_per_device_hour = -1; }),
              HasSubstr("price_per_device_hour is -1"));
  EXPECT_THAT(says([](SizeQuestion& q) { q.finish_within_seconds = -3600; }),
              HasSubstr("deadline is -3600 s"));
  EXPECT_THAT(says([](SizeQuestion& q) {
                q.finish_within_seconds = 60;
                q.question.workload.dataset_token_count = 0;
              }),
              HasSubstr("a deadline or a price needs the size of the data set"));
  EXPECT_THAT(says([](SizeQuestion& q) {
                q.kinds[0].price_per_device_hour = q.kinds[1].price_per_device_hour = 1;
                q.question.workload.dataset_token_count = 0;
              }),
              HasSubstr("a price needs the size of the data set"));
  EXPECT_THAT(says([](SizeQuestion& q) { q.kinds[0].devices_per_node = 0; }),
              HasSubstr("kind A100-80GB: devices_per_node is 0"));
  EXPECT_THAT(says([](SizeQuestion& q) { q.question.objective = Objective::kMemory; }),
              HasSubstr("objective must be time"));
  EXPECT_THAT(says([](SizeQuestion& q) { q.question.workload.context = 4096; }),
              HasSubstr("context_limit"));
  SizeQuestion old = ToySize({"V100-16GB"});
  EXPECT_EQ(ChooseDevices(old).status().code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace tunesmith::planner
