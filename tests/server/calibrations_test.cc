#include "server/calibrations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/file.h"
#include "common/host_fingerprint.h"
#include "proto/convert/json.h"
#include "proto/convert/prediction.h"
#include "server/store.h"
#include "tests/server/server_process.h"

namespace tunesmith::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CalibrationsTest : public ::testing::Test {
 protected:
  void Put(const std::string& id, planner::Precision precision = planner::Precision::kFp32) const {
    planner::Calibration calibration;
    calibration.id = id;
    calibration.precision = precision;
    calibration.outside_arena_bytes = 17;
    calibration.device_name = "cpu";
    calibration.fingerprint = HostFingerprint();
    calibration.measured_at = "2026-03-01T10:15:00Z";
    const std::string directory = scratch_.path() + "/calibrations";
    ASSERT_TRUE(MakeDirectories(directory).ok());
    ASSERT_TRUE(WriteFileAtomically(directory + "/" + id + ".json",
                                    convert::ToJson(convert::ToProto(calibration)))
                    .ok());
  }
  void Raw(const std::string& sql) {
    const absl::Status status =
        store_->pool().Write([&](Database& database) { return database.Execute(sql); });
    ASSERT_TRUE(status.ok()) << status;
  }
  std::optional<planner::Calibration> Find(planner::Precision precision) {
    return calibrations_.Find("cpu", precision);
  }
  size_t RememberedCount() {
    const auto list = history_.List({});
    EXPECT_TRUE(list.ok()) << list.status();
    return list.ok() ? static_cast<size_t>(list->calibrations_size()) : 0;
  }

  ScratchDirectory scratch_;
  std::vector<std::string> log_;
  const std::unique_ptr<Store> store_ = Store::Open(scratch_.path() + "/test.db").value();
  CalibrationHistory history_{store_->pool()};
  Calibrations calibrations_{scratch_.path(), std::nullopt, history_,
                             [this](const std::string& line) { log_.push_back(line); }};
};

// The directory has not changed since, so only what the history lacks tells that it is to be told.
TEST_F(CalibrationsTest, AHistoryThatCouldNotBeWrittenIsWrittenLater) {
  Put("cpu-1");
  Raw("ALTER TABLE calibrations RENAME TO elsewhere");
  EXPECT_EQ(Find(planner::Precision::kFp32)->id, "cpu-1") << "answers need no history";
  const int64_t version = calibrations_.version();
  EXPECT_THAT(log_, ElementsAre(HasSubstr("the history of calibrations")))
      << "told once, not at every look";
  Raw("ALTER TABLE elsewhere RENAME TO calibrations");
  EXPECT_EQ(Find(planner::Precision::kFp32)->id, "cpu-1");
  EXPECT_EQ(RememberedCount(), 1u);
  EXPECT_EQ(calibrations_.version(), version) << "answers are what they were";
}

TEST_F(CalibrationsTest, AFileThatCannotBeReadIsPassedOverAndTold) {
  Put("cpu-1");
  ASSERT_TRUE(WriteFileAtomically(scratch_.path() + "/calibrations/cpu-2.json", "{\"id\":").ok());
  EXPECT_EQ(Find(planner::Precision::kFp32)->id, "cpu-1");
  EXPECT_THAT(log_, ElementsAre(HasSubstr("cpu-2.json")));
  EXPECT_EQ(RememberedCount(), 1u);
}

// What is imported again after an upgrade is what the history has.
TEST_F(CalibrationsTest, OneOfBeforePrecisionsIsOfItsDevicesUsual) {
  for (const auto& [device, precision] :
       {std::pair("cpu", v1::PRECISION_FP32), std::pair("H100-SXM", v1::PRECISION_BF16)}) {
    v1::Calibration before;
    before.set_id(device);
    before.set_device_name(device);
    before.set_fingerprint(HostFingerprint());
    before.set_measured_at("2026-03-01T10:15:00Z");
    ASSERT_TRUE(history_.Add(before, "file").ok());
    const auto record = calibrations_.Get(CalibrationName(device));
    ASSERT_TRUE(record.ok()) << record.status();
    EXPECT_EQ(record->calibration().precision(), precision);
  }
}

// Rates of one precision say nothing of another's; how much memory a process holds does not depend on it.
TEST_F(CalibrationsTest, RatesServeTheirPrecision) {
  using planner::Precision;
  Put("cpu-fp32");
  const auto shared = Find(Precision::kBf16);
  ASSERT_TRUE(shared.has_value());
  EXPECT_EQ(shared->id, "") << "rates come from the datasheet";
  EXPECT_EQ(shared->outside_arena_bytes, 17);
  Put("cpu-bf16", Precision::kBf16);
  EXPECT_EQ(Find(Precision::kBf16)->id, "cpu-bf16");
  EXPECT_EQ(Find(Precision::kFp32)->id, "cpu-fp32");
  const auto list = calibrations_.List({});
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->calibrations_size(), 2);
  for (const v1::CalibrationRecord& record : list->calibrations())
    EXPECT_EQ(record.use(), v1::CALIBRATION_USE_IN_USE) << record.name();
}

TEST_F(CalibrationsTest, AFixedOneIsForItsPrecision) {
  using planner::Precision;
  planner::Calibration fixed;
  fixed.id = "cpu-fixed";
  fixed.device_name = "cpu";
  Calibrations calibrations(scratch_.path(), fixed, history_, [](const std::string&) {});
  EXPECT_EQ(calibrations.Find("cpu", Precision::kFp32)->id, "cpu-fixed");
  EXPECT_EQ(calibrations.Find("cpu", Precision::kBf16)->id, "");
  Put("cpu-bf16", Precision::kBf16);
  EXPECT_EQ(calibrations.Find("cpu", Precision::kBf16)->id, "cpu-bf16");
}

}  // namespace
}  // namespace tunesmith::server
