#include "server/migrations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <vector>

#include "absl/time/clock.h"
#include "server/backup.h"
#include "server/calibration_runs.h"
#include "server/data_lock.h"
#include "server/job_states.h"
#include "server/measurements.h"
#include "server/store.h"
#include "tests/server/server_process.h"

namespace tunesmith::server {
namespace {

using ::testing::HasSubstr;

class MigrationsTest : public ::testing::Test {
 protected:
  std::string Path() const { return scratch_.path() + "/tunesmith.db"; }
  std::string Backups() const { return scratch_.path() + "/backups"; }

  // The database as that version's server left it.
  void LoadSchema(int64_t version) {
    const std::string sql =
        Slurp(std::string(SCHEMAS_DIR) + "/schema-" + std::to_string(version) + ".sql");
    ASSERT_FALSE(sql.empty());
    auto database = Database::Open(Path());
    ASSERT_TRUE(database.ok());
    const absl::Status loaded = database->Execute(sql);
    ASSERT_TRUE(loaded.ok()) << loaded;
  }
  static int64_t Query(const std::string& path, const std::string& sql) {
    auto database = Database::Open(path, OpenMode::kReadWrite);
    EXPECT_TRUE(database.ok()) << database.status();
    const auto value = database->QueryInteger(sql);
    EXPECT_TRUE(value.ok()) << value.status();
    return value.value_or(-1);
  }

  ScratchDirectory scratch_;
};

TEST_F(MigrationsTest, AnEmptyFileGetsTheNewestSchema) {
  scratch_.File("tunesmith.db", "");
  ASSERT_TRUE(Store::Open(Path(), Backups()).ok());
  EXPECT_EQ(Query(Path(), "PRAGMA user_version"), SchemaVersion());
  EXPECT_EQ(Query(Path(), "PRAGMA application_id"), kApplicationId);
  EXPECT_FALSE(std::filesystem::exists(Backups())) << "nothing was there to be copied";
}

TEST_F(MigrationsTest, ThereIsAFixtureOfEveryEarlierVersion) {
  for (int64_t version = 1; version < SchemaVersion(); ++version) {
    EXPECT_TRUE(std::filesystem::exists(std::string(SCHEMAS_DIR) + "/schema-" +
                                        std::to_string(version) + ".sql"))
        << version;
  }
}

TEST_F(MigrationsTest, EveryTableIsStrict) {
  ASSERT_TRUE(Store::Open(Path()).ok());
  EXPECT_EQ(Query(Path(),
                  "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'table' "
                  "AND strict = 0 AND name NOT LIKE 'sqlite_%'"),
            0);
}

TEST_F(MigrationsTest, JobsOfSchema1KeepAllTheyHad) {
  LoadSchema(1);
  auto opened = Store::Open(Path(), Backups());
  ASSERT_TRUE(opened.ok()) << opened.status();
  Store& store = **opened;
  const auto jobs = store.ListJobs({}, 0, 10);
  ASSERT_EQ(jobs->size(), 5u);
  std::set<std::string> uids;
  for (const v1::Job& job : *jobs) {
    uids.insert(job.uid());
    EXPECT_EQ(job.uid().size(), 36u);
    EXPECT_EQ(job.launcher(), "host");
    const auto whole = store.GetJob(job.name());
    ASSERT_TRUE(whole.ok()) << whole.status();
    EXPECT_FALSE(whole->plan().program_digest().empty());
    const auto events = store.EventsAfter(job.name(), 0, 1000);
    EXPECT_EQ(static_cast<int64_t>(events->size()), job.last_sequence());
  }
  EXPECT_EQ(uids.size(), 5u);
  EXPECT_EQ(jobs->back().state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(jobs->back().summary().step(), 3);
  const auto running = store.JobsInState(v1::JOB_STATE_RUNNING);
  ASSERT_EQ(running->size(), 1u);
  EXPECT_EQ(running->front().event_offset, 2585);
  EXPECT_EQ(store.ListJobs(*ParseJobFilter("model = model AND state = CANCELLED"), 0, 10)->size(),
            1u);
  EXPECT_EQ(Query(Path(), "SELECT count(*) FROM pragma_foreign_key_check"), 0);
}

TEST_F(MigrationsTest, RequestIdsOfSchema1StillGiveTheirJobs) {
  LoadSchema(1);
  auto store = Store::Open(Path(), Backups());
  ASSERT_TRUE(store.ok()) << store.status();
  const auto job = (*store)->CreateJob({}, "/jobs", {"CreateJob", "first-request", "any"});
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->name(), "jobs/job-1");
}

TEST_F(MigrationsTest, IdsGoOnAfterSchema1) {
  LoadSchema(1);
  auto store = Store::Open(Path(), Backups());
  v1::Job job;
  *job.mutable_plan() = TestJob(scratch_, 1).plan();
  job.set_launcher("host");
  const auto made = (*store)->CreateJob(job, "/jobs", {});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->name(), "jobs/job-6");
}

TEST_F(MigrationsTest, Schema2KeepsAllItHadAndGetsCalibrations) {
  LoadSchema(2);
  auto opened = Store::Open(Path(), Backups());
  ASSERT_TRUE(opened.ok()) << opened.status();
  Store& store = **opened;
  EXPECT_EQ(store.ListJobs({}, 0, 10)->size(), 3u);
  EXPECT_EQ(store.EventsAfter("jobs/job-1", 0, 100)->size(), 8u);
  EXPECT_EQ(store.CreateJob({}, "/jobs", {"CreateJob", "first-request", "any"}).status().code(),
            absl::StatusCode::kAlreadyExists)
      << "another request";
  const auto measurements = ListMeasurements(store, {});
  ASSERT_EQ(measurements->measurements_size(), 1);
  EXPECT_EQ(measurements->measurements(0).measured().step_seconds(), 0.25);
  EXPECT_EQ(Query(Path(), "SELECT count(*) FROM models WHERE name = 'acme-tiny'"), 1);
  EXPECT_EQ(Query(Backups() + "/before-schema-3.db", "PRAGMA user_version"), 2);
  CalibrationRuns runs(store.pool());
  EXPECT_TRUE(runs.Active()->empty());
  v1::CalibrationSpec spec;
  spec.set_device("cpu");
  EXPECT_EQ(runs.Start(spec, {})->run().name(), "calibrationRuns/1");
}

TEST_F(MigrationsTest, ACopyFromBeforeIsKeptAndCanBeMigratedAgain) {
  LoadSchema(1);
  ASSERT_TRUE(Store::Open(Path(), Backups()).ok());
  const std::string copy = Backups() + "/before-schema-2.db";
  EXPECT_EQ(Query(copy, "PRAGMA user_version"), 1);
  EXPECT_EQ(Query(copy, "SELECT count(*) FROM jobs"), 5);
  EXPECT_TRUE(Store::Open(copy, scratch_.path() + "/more").ok());
}

// Somebody went back to the old version, which has written since.
TEST_F(MigrationsTest, ASecondUpgradeIsCopiedBeforeAsTheFirst) {
  LoadSchema(1);
  ASSERT_TRUE(Store::Open(Path(), Backups()).ok());
  const std::string copy = Backups() + "/before-schema-2.db";
  std::filesystem::copy_file(copy, Path(), std::filesystem::copy_options::overwrite_existing);
  Query(Path(), "DELETE FROM events");
  Query(Path(), "DELETE FROM jobs WHERE job_id = 5");
  ASSERT_TRUE(Store::Open(Path(), Backups()).ok());
  EXPECT_EQ(Query(copy, "SELECT count(*) FROM jobs"), 4);
}

TEST_F(MigrationsTest, AStepThatFailsLeavesTheDatabaseAsItWas) {
  LoadSchema(1);
  {
    auto database = Database::Open(Path());
    ASSERT_TRUE(database->Execute("UPDATE jobs SET job = x'ff' WHERE job_id = 3").ok());
  }
  EXPECT_EQ(Store::Open(Path(), Backups()).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Query(Path(), "PRAGMA user_version"), 1);
  EXPECT_EQ(Query(Path(), "SELECT count(*) FROM jobs WHERE request_id IS NOT NULL"), 2);
}

TEST_F(MigrationsTest, WhetherTheLastStopWasOrderlyIsKnown) {
  EXPECT_TRUE((*Store::Open(Path()))->pool().was_closed()) << "a new one";
  EXPECT_TRUE((*Store::Open(Path()))->pool().was_closed());
  auto open = Store::Open(Path());
  EXPECT_FALSE((*Store::Open(Path()))->pool().was_closed()) << "one that another has open";
}

TEST_F(MigrationsTest, ABackupIsOfOneMomentAndCanBeRestored) {
  {
    auto store = Store::Open(Path());
    v1::Job job;
    *job.mutable_plan() = TestJob(scratch_, 1).plan();
    job.set_launcher("host");
    ASSERT_TRUE((*store)->CreateJob(job, scratch_.path() + "/jobs", {}).ok());
    ASSERT_TRUE(BackUpDatabase(Path(), scratch_.path() + "/copy.db").ok()) << "while it is open";
    EXPECT_EQ(BackUpDatabase(Path(), scratch_.path() + "/copy.db").code(),
              absl::StatusCode::kAlreadyExists);
    ASSERT_TRUE((*store)->CreateJob(job, scratch_.path() + "/jobs", {}).ok());
  }
  std::filesystem::create_directories(scratch_.path() + "/jobs/job-2");
  const absl::Status restored = RestoreDatabase(scratch_.path() + "/copy.db", scratch_.path());
  ASSERT_TRUE(restored.ok()) << restored;
  auto store = Store::Open(Path());
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->ListJobs({}, 0, 10)->size(), 1u);
  v1::Job job;
  *job.mutable_plan() = TestJob(scratch_, 1).plan();
  EXPECT_EQ((*store)->CreateJob(job, "/jobs", {})->name(), "jobs/job-3")
      << "job-2 has a run directory";
}

TEST_F(MigrationsTest, CalibrationRunsAfterARestoreGetNewNumbers) {
  ASSERT_TRUE(Store::Open(Path()).ok());
  ASSERT_TRUE(BackUpDatabase(Path(), scratch_.path() + "/copy.db").ok());
  std::filesystem::create_directories(scratch_.path() + "/calibration-runs/run-3");
  ASSERT_TRUE(RestoreDatabase(scratch_.path() + "/copy.db", scratch_.path()).ok());
  auto store = Store::Open(Path());
  ASSERT_TRUE(store.ok()) << store.status();
  v1::CalibrationSpec spec;
  spec.set_device("cpu");
  EXPECT_EQ(CalibrationRuns((*store)->pool()).Start(spec, {})->run().name(), "calibrationRuns/4");
}

TEST_F(MigrationsTest, ADamagedDatabaseIsReplacedAndKept) {
  ASSERT_TRUE(Store::Open(Path()).ok());
  ASSERT_TRUE(BackUpDatabase(Path(), scratch_.path() + "/copy.db").ok());
  scratch_.File("tunesmith.db", std::string(5000, 'x'));
  scratch_.File("tunesmith.db-wal", "what was last");
  const absl::Status restored = RestoreDatabase(scratch_.path() + "/copy.db", scratch_.path());
  ASSERT_TRUE(restored.ok()) << restored;
  EXPECT_FALSE(std::filesystem::exists(Path() + "-wal")) << "it would be taken for the new one's";
  EXPECT_TRUE(Store::Open(Path()).ok());
  std::vector<std::string> kept;
  for (const auto& entry : std::filesystem::directory_iterator(scratch_.path())) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("tunesmith.db.before-restore-")) kept.push_back(Slurp(entry.path()));
  }
  EXPECT_EQ(kept, std::vector<std::string>{std::string(5000, 'x')});
}

TEST_F(MigrationsTest, TheDataDirectoryIsClosedToOthersAlone) {
  const std::string directory = scratch_.path() + "/data";
  const auto mode = [&] {
    return static_cast<int>(std::filesystem::status(directory).permissions()) & 0777;
  };
  ASSERT_TRUE(LockDataDirectory(directory).ok());
  EXPECT_EQ(mode(), 0700);
  std::filesystem::permissions(directory, std::filesystem::perms(0755));
  ASSERT_TRUE(LockDataDirectory(directory).ok());
  EXPECT_EQ(mode(), 0750) << "a group's rights are whoever gave them's";
}

TEST_F(MigrationsTest, RestoringRefusesWhatItMust) {
  ASSERT_TRUE(Store::Open(Path()).ok());
  EXPECT_EQ(RestoreDatabase(scratch_.path() + "/absent.db", scratch_.path()).code(),
            absl::StatusCode::kNotFound);
  EXPECT_FALSE(RestoreDatabase(scratch_.File("x", std::string(5000, 'x')), scratch_.path()).ok());
  const auto lock = LockDataDirectory(scratch_.path());
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(RestoreDatabase(Path(), scratch_.path()).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(MigrationsTest, EndedJobsLeaveAfterTheirTime) {
  LoadSchema(1);
  auto store = Store::Open(Path(), Backups());
  EXPECT_EQ(*(*store)->DeleteEnded(absl::Now() - absl::Hours(24 * 365 * 100), 10), 0);
  EXPECT_EQ(*(*store)->DeleteEnded(absl::Now(), 2), 2) << "as many as were allowed";
  EXPECT_EQ(*(*store)->DeleteEnded(absl::Now(), 10), 1);
  EXPECT_EQ((*store)->ListJobs({}, 0, 10)->size(), 2u) << "the running and the queued one stay";
  EXPECT_EQ(Query(Path(), "SELECT count(DISTINCT job_id) FROM events"), 2);
  EXPECT_EQ(Query(Path(), "SELECT count(*) FROM pragma_foreign_key_check"), 0);
}

}  // namespace
}  // namespace tunesmith::server
