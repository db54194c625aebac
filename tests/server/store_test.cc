#include "server/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/job_states.h"
#include "server/launch/launcher.h"
#include "server/migrations.h"
#include "tests/server/server_process.h"

namespace tunesmith::server {
namespace {

using ::testing::HasSubstr;

class StoreTest : public ::testing::Test {
 protected:
  std::string Path() const { return scratch_.path() + "/test.db"; }
  std::unique_ptr<Store> Open() {
    auto store = Store::Open(Path());
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  absl::StatusOr<v1::Job> TryCreate(Store& store, const std::string& request_id,
                                    int64_t step_count) {
    const v1::CreateJobRequest request = TestJob(scratch_, step_count);
    v1::Job job;
    *job.mutable_plan() = request.plan();
    *job.mutable_spec() = request.spec();
    job.set_launcher("host");
    return store.CreateJob(job, "/jobs", KeyOf("CreateJob", request_id, request));
  }
  v1::Job Create(Store& store, const std::string& request_id = "") {
    auto job = TryCreate(store, request_id, 3);
    EXPECT_TRUE(job.ok()) << job.status();
    return *std::move(job);
  }
  void Raw(const std::string& sql) {
    auto database = Database::Open(Path());
    ASSERT_TRUE(database.ok());
    ASSERT_TRUE(database->Execute(sql).ok()) << sql;
  }

  ScratchDirectory scratch_;
};

TEST_F(StoreTest, JobsAndEventsSurviveReopening) {
  const std::string name = Create(*Open()).name();
  auto store = Open();
  const auto job = store->GetJob(name);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->state(), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(job->plan().program_digest(), "digest-of-a-test");
  EXPECT_EQ(job->run_directory(), "/jobs/job-1");
  EXPECT_EQ(store->EventsAfter(name, 0, 10)->size(), 1u);
}

TEST_F(StoreTest, RefusesADatabaseOfANewerVersion) {
  Open();
  Raw("PRAGMA user_version = 999");
  const auto store = Store::Open(Path());
  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("newer"));
}

TEST_F(StoreTest, RefusesADatabaseOfAnotherApplication) {
  Raw("CREATE TABLE theirs (a INTEGER)");
  EXPECT_EQ(Store::Open(Path()).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(StoreTest, RefusesAFileThatIsNoDatabase) {
  scratch_.File("test.db", std::string(5000, 'x'));
  EXPECT_EQ(Store::Open(Path()).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(StoreTest, ARepeatedRequestIdGivesTheSameJob) {
  auto store = Open();
  EXPECT_EQ(Create(*store, "abc").name(), Create(*store, "abc").name());
  EXPECT_EQ(store->ListJobs({}, 0, 10)->size(), 1u);
  EXPECT_EQ(TryCreate(*store, "abc", 99).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(StoreTest, EventsAreNumberedWithoutHoles) {
  auto store = Open();
  const std::string name = Create(*store).name();
  ASSERT_TRUE(MarkLaunching(*store, name).ok());
  ASSERT_TRUE(
      IngestLines(
          *store, name,
          {R"({"sequence":"41","progress":{"step":"1"}})", "garbage", R"({"stateChanged":{}})"}, 77)
          .ok());
  const auto events = store->EventsAfter(name, 0, 100);
  ASSERT_EQ(events->size(), 5u);
  for (size_t i = 0; i < events->size(); ++i)
    EXPECT_EQ((*events)[i].sequence(), static_cast<int64_t>(i) + 1);
  EXPECT_TRUE((*events)[2].has_progress());
  EXPECT_TRUE((*events)[3].has_log()) << "a line that does not parse is said";
  EXPECT_TRUE((*events)[4].has_log()) << "a trainer cannot change the state";
  const auto record = store->GetRecord(name);
  EXPECT_EQ(record->event_offset, 77);
  EXPECT_EQ(record->job.progress().step(), 1);
}

// What commands and trainers say may be any bytes.
TEST_F(StoreTest, ReasonsThatAreNoTextAreStoredAsText) {
  auto store = Open();
  const std::string name = Create(*store).name();
  ASSERT_TRUE(MarkWaiting(*store, name, "caf\xe9 waits").ok());
  EXPECT_EQ(store->GetRecord(name)->job.reason(), "caf\xef\xbf\xbd waits");
  ASSERT_TRUE(MarkLaunching(*store, name).ok());
  // Cut in the middle of a character.
  ASSERT_TRUE(IngestLines(*store, name, {std::string(199, 'x') + "\xc3\xa9"}, 7).ok());
  ASSERT_TRUE(MarkEnded(*store, name, ExitFor(v1::END_CAUSE_LOST, "caf\xe9")).ok());
  const auto job = store->GetJob(name);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->reason(), "caf\xef\xbf\xbd");
  const auto events = store->EventsAfter(name, 0, 100);
  ASSERT_TRUE(events.ok()) << events.status();
  EXPECT_EQ(events->size(), 4u);
}

TEST_F(StoreTest, ARowThatDoesNotParseDoesNotKeepOthersFromBeingLookedAt) {
  auto store = Open();
  const std::string bad = Create(*store).name();
  const std::string good = Create(*store).name();
  Raw("UPDATE jobs SET job = x'ff' WHERE job_id = 1");
  Store::Problems problems;
  const auto records = store->JobsInState(v1::JOB_STATE_QUEUED, "", -1, &problems);
  ASSERT_TRUE(records.ok()) << records.status();
  ASSERT_EQ(records->size(), 1u);
  EXPECT_EQ(records->front().job.name(), good);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_TRUE(absl::IsDataLoss(problems[bad]));
  EXPECT_TRUE(absl::IsDataLoss(store->GetJob(bad).status()));
}

TEST_F(StoreTest, ACopyEndsThoughOthersWrite) {
  auto store = Open();
  Raw("CREATE TABLE filler (bytes BLOB); "
      "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2000) "
      "INSERT INTO filler SELECT randomblob(4000) FROM numbers");
  auto database = Database::Open(Path());
  int call_count = 0;
  const absl::Status copied = database->CopyTo(scratch_.path() + "/copy.db", [&] {
    if (++call_count < 100) Create(*store);
  });
  ASSERT_TRUE(copied.ok()) << copied;
  EXPECT_LT(call_count, 50) << "it did not begin anew";
  auto copy = Database::Open(scratch_.path() + "/copy.db");
  EXPECT_EQ(*copy->QueryInteger("SELECT count(*) FROM jobs"), 0) << "of the moment it began in";
}

TEST_F(StoreTest, AnErrorInAChangeLeavesEverythingAsItWas) {
  auto store = Open();
  const std::string name = Create(*store).name();
  const auto result = store->Update(name, [](JobRecord& record, std::vector<v1::Event>& events) {
    record.job.set_reason("half");
    events.emplace_back();
    return absl::AbortedError("no");
  });
  EXPECT_EQ(result.status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(store->GetJob(name)->reason(), "");
  EXPECT_EQ(store->GetJob(name)->last_sequence(), 1);
}

TEST_F(StoreTest, StatesFollowTheirArrowsOnly) {
  auto store = Open();
  const std::string name = Create(*store).name();
  EXPECT_EQ(Requeue(*store, name).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(MarkRunning(*store, name).status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(MarkLaunching(*store, name).ok());
  ASSERT_TRUE(MarkRunning(*store, name).ok());
  ASSERT_TRUE(MarkEnded(*store, name, ExitFor(v1::END_CAUSE_LOST, "why")).ok());
  EXPECT_EQ(RequestCancel(*store, name).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Requeue(*store, name)->state(), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(MarkLaunching(*store, name)->attempt(), 2);
}

TEST_F(StoreTest, AResumedJobGoesToTheEndOfTheQueue) {
  auto store = Open();
  const std::string first = Create(*store).name();
  const std::string second = Create(*store).name();
  ASSERT_TRUE(RequestCancel(*store, first).ok());
  ASSERT_TRUE(Requeue(*store, first).ok());
  const auto queue = store->JobsInState(v1::JOB_STATE_QUEUED);
  ASSERT_EQ(queue->size(), 2u);
  EXPECT_EQ(queue->front().job.name(), second);
}

TEST_F(StoreTest, NamesOfJobs) {
  EXPECT_EQ(*JobId("jobs/job-12"), 12);
  for (const char* name : {"job-12", "jobs/job-", "jobs/job-012", "jobs/job-1x", ""})
    EXPECT_FALSE(JobId(name).ok()) << name;
  EXPECT_EQ(Open()->GetJob("jobs/job-5").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace tunesmith::server
