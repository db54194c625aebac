#include "profiler/kept_samples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "common/file.h"
#include "planner/model/catalog.h"
#include "planner/program/build_program.h"
#include "profiler/probe_programs.h"
#include "tunesmith/v1/calibration.pb.h"

namespace tunesmith::profiler {
namespace {

class KeptSamplesTest : public ::testing::Test {
 protected:
  KeptSamplesTest() { std::filesystem::remove_all(directory_); }
  ~KeptSamplesTest() override { std::filesystem::remove_all(directory_); }

  static std::shared_ptr<const planner::Program> Program(size_t index) {
    const auto programs = ProbePrograms({.model = planner::FindModel("SmolLM2-135M").value()},
                                        {.kind = planner::BackendKind::kCpu});
    return std::make_shared<const planner::Program>(planner::BuildProgram(programs[index]).value());
  }
  static Sample Measured(const std::shared_ptr<const planner::Program>& program) {
    Sample sample{.program = program,
                  .ops = OpStatistics(program.get()),
                  .step_seconds = 1.5,
                  .step_spread = 0.25,
                  .spent_seconds = 8,
                  .waited_share = 0.125,
                  .pace_before_seconds = 0.0625,
                  .pace_after_seconds = 0.25};
    sample.ops.Add({planner::OpKind::kLinear, {128, 576, 192}}, 3e10);
    sample.ops.Add({planner::OpKind::kLinear, {128, 576, 192}}, 1e10);
    sample.ops.Add({planner::OpKind::kRmsNorm, {4096, 0, 0}}, 7e9);
    return sample;
  }
  std::string OnlyFile() const {
    std::filesystem::directory_iterator entry(directory_);
    return entry->path().string();
  }
  // What is kept, changed as only time or another host would.
  void Change(const std::function<void(v1::ProbedProgram&)>& change) {
    v1::ProbedProgram probed;
    ASSERT_TRUE(probed.ParseFromString(ReadFile(OnlyFile()).value()));
    change(probed);
    ASSERT_TRUE(WriteFileAtomically(OnlyFile(), probed.SerializeAsString()).ok());
  }

  const std::string directory_ =
      ::testing::TempDir() + "/kept_samples_test." + std::to_string(getpid());
  const KeptSamples kept_{directory_, "this host", 2};
};

TEST_F(KeptSamplesTest, ASampleComesBackAsItWas) {
  const auto program = Program(0);
  ASSERT_TRUE(kept_.Keep(Measured(program)).ok());
  const auto found = KeptSamples(directory_, "this host", 2).Find(Program(0));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->ops.rates(), Measured(program).ops.rates());
  EXPECT_EQ(found->step_seconds, 1.5);
  EXPECT_EQ(found->step_spread, 0.25);
  EXPECT_EQ(found->spent_seconds, 8);
  EXPECT_EQ(found->waited_share, 0.125);
  EXPECT_EQ(found->pace_before_seconds, 0.0625);
  EXPECT_EQ(found->pace_after_seconds, 0.25);
}

TEST_F(KeptSamplesTest, AnotherProgramHostOrCountOfThreadsTakesNothingUp) {
  ASSERT_TRUE(kept_.Keep(Measured(Program(0))).ok());
  EXPECT_FALSE(kept_.Find(Program(1)));
  EXPECT_FALSE(KeptSamples(directory_, "that host", 2).Find(Program(0)));
  EXPECT_FALSE(KeptSamples(directory_, "this host", 1).Find(Program(0)));
}

TEST_F(KeptSamplesTest, NothingIsTakenUpFromBeforeAStartOrSixHoursAgo) {
  ASSERT_TRUE(kept_.Keep(Measured(Program(0))).ok());
  Change([](v1::ProbedProgram& probed) {
    probed.set_boot_seconds(probed.boot_seconds() - 6 * 3600 + 60);
  });
  EXPECT_TRUE(kept_.Find(Program(0)));
  Change([](v1::ProbedProgram& probed) { probed.set_boot_seconds(probed.boot_seconds() - 120); });
  EXPECT_FALSE(kept_.Find(Program(0)));
  Change(
      [](v1::ProbedProgram& probed) { probed.set_boot_seconds(probed.boot_seconds() + 6 * 3600); });
  EXPECT_TRUE(kept_.Find(Program(0)));
  Change([](v1::ProbedProgram& probed) { probed.set_boot_id("another boot"); });
  EXPECT_FALSE(kept_.Find(Program(0)));
}

TEST_F(KeptSamplesTest, ABrokenFileIsAsNone) {
  ASSERT_TRUE(kept_.Keep(Measured(Program(0))).ok());
  const std::string whole = ReadFile(OnlyFile()).value();
  ASSERT_TRUE(WriteFileAtomically(OnlyFile(), whole.substr(0, whole.size() / 2)).ok());
  EXPECT_FALSE(kept_.Find(Program(0)));
  ASSERT_TRUE(WriteFileAtomically(OnlyFile(), "").ok());
  EXPECT_FALSE(kept_.Find(Program(0)));
}

TEST_F(KeptSamplesTest, ClearingRemovesWhatWasKeptAndNothingElse) {
  ASSERT_TRUE(kept_.Keep(Measured(Program(0))).ok());
  ASSERT_TRUE(WriteFileAtomically(directory_ + "/mine.txt", "x").ok());
  ClearKeptSamples(directory_);
  EXPECT_FALSE(kept_.Find(Program(0)));
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/mine.txt"));
}

// A disk that is full, or one that cannot be written.
TEST_F(KeptSamplesTest, WhatCannotBeKeptIsToldBeforeMoreIsMeasured) {
  const KeptSamples nowhere("/proc/kept", "this host", 2);
  EXPECT_THAT(std::string(nowhere.Keep(Measured(Program(0))).message()),
              ::testing::AllOf(::testing::HasSubstr("what was measured cannot be kept"),
                               ::testing::HasSubstr("/proc/kept")));
}

TEST_F(KeptSamplesTest, WithoutADirectoryNothingIsKept) {
  const KeptSamples nowhere("", "this host", 2);
  EXPECT_TRUE(nowhere.Keep(Measured(Program(0))).ok());
  EXPECT_FALSE(nowhere.Find(Program(0)));
}

}  // namespace
}  // namespace tunesmith::profiler
