#include "trainer/job/checkpoint_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "tests/common/temporary_directory.h"

namespace tunesmith::trainer {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class CheckpointDirectoryTest : public testing::Test {
 protected:
  // A directory among the checkpoints with a file that says `contents`.
  void Make(const std::string& name, const std::string& contents) {
    ASSERT_TRUE(MakeDirectories(Path(name)).ok());
    ASSERT_TRUE(WriteFileAtomically(Path(name) + "/state.json", contents).ok());
  }
  std::string Path(const std::string& name) const { return run_.File("checkpoints/" + name); }
  std::string ContentsOf(const std::string& name) {
    return ReadFile(Path(name) + "/state.json").value_or("none");
  }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(run_.File("checkpoints")))
      names.push_back(entry.path().filename());
    return names;
  }

  TemporaryDirectory run_;
};

TEST_F(CheckpointDirectoryTest, OnlyWholeOnesCount) {
  EXPECT_THAT(*CheckpointSteps(run_.path()), ElementsAre());
  for (const char* name :
       {"step-3", "step-12", "step-4.partial", "step-5.replaced", "step-", "other"})
    Make(name, "");
  EXPECT_THAT(*CheckpointSteps(run_.path()), UnorderedElementsAre(3, 12));
}

// Else a job would begin anew and remove them.
TEST_F(CheckpointDirectoryTest, WhatCannotBeListedIsNotNone) {
  std::filesystem::create_symlink(run_.File("checkpoints"), run_.File("checkpoints"));
  const auto steps = CheckpointSteps(run_.path());
  EXPECT_EQ(steps.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(steps.status().message()), testing::HasSubstr(run_.File("checkpoints")));
  EXPECT_FALSE(RecoverCheckpoints(run_.path()).ok());
}

TEST_F(CheckpointDirectoryTest, OneThatIsFinishedReplacesTheOneBefore) {
  for (const char* contents : {"first", "second"}) {
    Make("step-3.partial", contents);
    EXPECT_EQ(PartialCheckpoint(run_.path(), 3), Path("step-3.partial"));
    ASSERT_TRUE(FinishCheckpoint(run_.path(), 3).ok());
    EXPECT_EQ(ContentsOf("step-3"), contents);
    EXPECT_THAT(Names(), ElementsAre("step-3"));
  }
}

TEST_F(CheckpointDirectoryTest, WhereNoneCanTakeItsPlaceTheOneBeforeStays) {
  Make("step-3", "first");
  EXPECT_FALSE(FinishCheckpoint(run_.path(), 3).ok());
  EXPECT_EQ(ContentsOf("step-3"), "first");
  EXPECT_THAT(Names(), ElementsAre("step-3"));
}

// As after a kill before, between and after the two renames.
TEST_F(CheckpointDirectoryTest, AfterAKillOneOfTheTwoIsWhole) {
  Make("step-3", "first");
  Make("step-3.partial", "second");
  ASSERT_TRUE(RecoverCheckpoints(run_.path()).ok());
  EXPECT_EQ(ContentsOf("step-3"), "first");
  EXPECT_THAT(Names(), ElementsAre("step-3"));

  std::filesystem::rename(Path("step-3"), Path("step-3.replaced"));
  Make("step-3.partial", "second");
  Make("other.partial", "not ours");
  ASSERT_TRUE(RecoverCheckpoints(run_.path()).ok());
  EXPECT_EQ(ContentsOf("step-3"), "first");
  EXPECT_THAT(Names(), UnorderedElementsAre("step-3", "other.partial"));
  std::filesystem::remove_all(Path("other.partial"));

  std::filesystem::rename(Path("step-3"), Path("step-3.replaced"));
  Make("step-3", "second");
  ASSERT_TRUE(RecoverCheckpoints(run_.path()).ok());
  EXPECT_EQ(ContentsOf("step-3"), "second");
  EXPECT_THAT(Names(), ElementsAre("step-3"));
}

}  // namespace
}  // namespace tunesmith::trainer
