#include "server/launch/slots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "common/units.h"

namespace tunesmith::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::Job CpuJob(int64_t threads, int64_t memory_bytes = 0) {
  v1::Job job;
  job.mutable_claim()->set_cpu_thread_count(threads);
  job.mutable_claim()->set_host_memory_bytes(memory_bytes);
  return job;
}

v1::Job GpuJob(int64_t count, std::vector<int64_t> indices = {}, int64_t memory_bytes = 0) {
  v1::Job job;
  job.mutable_claim()->set_gpu_count(count);
  for (const int64_t index : indices) job.mutable_claim()->add_gpu_indices(index);
  job.mutable_claim()->set_host_memory_bytes(memory_bytes);
  return job;
}

std::vector<bool> Admitted(const std::vector<Admission>& admissions) {
  std::vector<bool> admitted;
  for (const Admission& admission : admissions) admitted.push_back(admission.admitted);
  return admitted;
}

const HostCapacity kHost = {.gpu_count = 4, .cpu_thread_count = 8, .host_memory_bytes = 10 * kGiB};

TEST(SlotsTest, JobsRunBesideEachOtherAsLongAsThereIsRoom) {
  const auto answers = AdmitInOrder(kHost, {CpuJob(4), CpuJob(4), CpuJob(1), GpuJob(2)}, {});
  EXPECT_THAT(Admitted(answers), ElementsAre(true, true, false, true));
  EXPECT_THAT(answers[2].reason, HasSubstr("waits for 1 threads; 0 are free"));
  EXPECT_THAT(answers[3].gpu_indices, ElementsAre(0, 1));
}

TEST(SlotsTest, TheLowestFreeGpusAreGiven) {
  const auto answers = AdmitInOrder(kHost, {GpuJob(2), GpuJob(1), GpuJob(1)}, {GpuJob(1, {1})});
  EXPECT_THAT(Admitted(answers), ElementsAre(true, true, false));
  EXPECT_THAT(answers[0].gpu_indices, ElementsAre(0, 2));
  EXPECT_THAT(answers[1].gpu_indices, ElementsAre(3));
}

TEST(SlotsTest, AGpuThatWasNamedIsWaitedFor) {
  EXPECT_THAT(Admitted(AdmitInOrder(kHost, {GpuJob(1, {1})}, {GpuJob(1, {1})})),
              ElementsAre(false));
  EXPECT_THAT(AdmitInOrder(kHost, {GpuJob(1, {1})}, {GpuJob(1, {0})})[0].gpu_indices,
              ElementsAre(1));
}

TEST(SlotsTest, ALargeJobIsNotOvertakenByThoseThatWantTheSame) {
  const auto answers = AdmitInOrder(kHost, {GpuJob(4), GpuJob(1), CpuJob(1)}, {GpuJob(1, {0})});
  EXPECT_THAT(Admitted(answers), ElementsAre(false, false, true));
  EXPECT_THAT(answers[1].reason, HasSubstr("behind another job"));
}

TEST(SlotsTest, MemoryHoldsEveryoneBack) {
  const auto answers =
      AdmitInOrder(kHost, {GpuJob(1, {}, 8 * kGiB), CpuJob(1, kGiB)}, {CpuJob(1, 4 * kGiB)});
  EXPECT_THAT(Admitted(answers), ElementsAre(false, false));
  EXPECT_THAT(answers[0].reason, HasSubstr("8.00 GiB"));
}

TEST(SlotsTest, AJobThatIsAloneIsAdmittedWhateverItClaims) {
  EXPECT_THAT(Admitted(AdmitInOrder(kHost, {CpuJob(99, 100 * kGiB)}, {})), ElementsAre(true));
  EXPECT_THAT(Admitted(AdmitInOrder(kHost, {CpuJob(99)}, {CpuJob(1)})), ElementsAre(false));
}

// The server was started anew with fewer GPUs.
TEST(SlotsTest, AJobThatCanNeverRunHoldsNobodyBack) {
  const auto answers = AdmitInOrder(kHost, {GpuJob(5), GpuJob(1, {4}), GpuJob(1)}, {});
  EXPECT_THAT(Admitted(answers), ElementsAre(false, false, true));
  for (int i = 0; i < 2; ++i)
    EXPECT_THAT(answers[static_cast<size_t>(i)].reason, HasSubstr("this host now has 4"));
}

// Whatever comes and goes: no GPU has two jobs, and no more is given than there is but to one alone.
TEST(SlotsTest, NothingIsGivenTwice) {
  std::mt19937 random(7);
  const auto draw = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint32_t>(n));
  };
  std::vector<v1::Job> active;
  for (int round = 0; round < 2000; ++round) {
    std::vector<v1::Job> queue;
    for (int i = 0; i < 6; ++i)
      queue.push_back(draw(2) ? CpuJob(1 + draw(9), draw(6) * kGiB)
                              : GpuJob(1 + draw(4), {}, draw(6) * kGiB));
    const auto answers = AdmitInOrder(kHost, queue, active);
    for (size_t i = 0; i < queue.size(); ++i) {
      if (!answers[i].admitted) continue;
      for (const int64_t index : answers[i].gpu_indices)
        queue[i].mutable_claim()->add_gpu_indices(index);
      active.push_back(queue[i]);
    }
    std::vector<int> users(4);
    int64_t threads = 0, memory = 0;
    for (const v1::Job& job : active) {
      for (const int64_t index : job.claim().gpu_indices()) ++users[static_cast<size_t>(index)];
      ASSERT_EQ(job.claim().gpu_indices_size(), job.claim().gpu_count());
      threads += job.claim().cpu_thread_count();
      memory += job.claim().host_memory_bytes();
    }
    for (const int count : users) ASSERT_LE(count, 1);
    if (active.size() > 1) {
      ASSERT_TRUE(threads <= 9 && memory <= 10 * kGiB);
    }
    std::erase_if(active, [&](const v1::Job&) { return draw(3) == 0; });
  }
}

}  // namespace
}  // namespace tunesmith::server
