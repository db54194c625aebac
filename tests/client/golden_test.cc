#include <gtest/gtest.h>

#include <cstdlib>

#include "client/listings.h"
#include "client/output.h"
#include "client/show.h"
#include "common/file.h"
#include "google/protobuf/text_format.h"

// What every form of an answer looks like, whole: a change of it is seen. With UPDATE_GOLDEN=1 the files are written anew.
namespace tunesmith::client {
namespace {

constexpr char kAnswer[] = R"pb(
  ranked {
    mix_line: "method=lora:r16 zero_stage=0 recompute=keep:32 attention=flash loss=full batch=1x16"
    program_digest: "0123456789abcdef"
    prediction {
      fits: true
      memory {
        arena_bytes: 70000000000
        outside_arena_bytes: 650000000
        total_bytes: 70650000000
        budget_bytes: 84975550464
        by_class {
          weights_bytes: 16060000000
          gradients_bytes: 167000000
          optimizer_bytes: 503000000
          activations_bytes: 52220000000
          logits_bytes: 1050000000
        }
        binding_instant: "loss"
        host_bytes: 2000000000
      }
      time {
        step_picoseconds: 38970000000000
        step_seconds: 38.97
        low_seconds: 35.1
        high_seconds: 42.9
        compute_seconds: 38.97
        tokens_per_second: 1682
        total_hours: 1.65
        evidence: EVIDENCE_MEASURED_HERE
      }
    }
    device_hours: 1.65
    cost: 4.93
  }
  ranked {
    mix_line: "method=qlora:r16 zero_stage=0 recompute=block:32 attention=flash loss=chunked batch=2x8"
    prediction {
      fits: true
      memory {
        total_bytes: 20000000000
        budget_bytes: 84975550464
        by_class { weights_bytes: 6000000000 activations_bytes: 14000000000 }
        binding_instant: "backward of layer 31"
      }
      time {
        step_seconds: 51.5
        low_seconds: 46
        high_seconds: 57
        tokens_per_second: 1272
        total_hours: 2.18
        evidence: EVIDENCE_DATASHEET
      }
    }
    device_hours: 2.18
    cost: 6.52
  }
  choice_rule: "least time per step"
  candidate_count: 1000
  evaluated_count: 12
  notes: "Hours assume that the packer fills the rows."
)pb";

constexpr char kJobs[] = R"pb(
  jobs {
    name: "jobs/job-7"
    state: JOB_STATE_RUNNING
    attempt: 2
    launcher: "slurm"
    run_directory: "/var/lib/tunesmith/jobs/job-7"
    spec { model_path: "/models/a, \"quoted\" one" }
    create_time { seconds: 1790000000 }
    start_time { seconds: 1790000060 }
    progress { step: 12 step_count: 400 loss: 2.3456 }
  }
  jobs {
    name: "jobs/job-6"
    state: JOB_STATE_FAILED
    attempt: 1
    launcher: "host"
    reason: "the trainer ended with status 1: loss is not finite"
    cause: END_CAUSE_TRAINER_FAILED
    run_directory: "/var/lib/tunesmith/jobs/job-6"
    spec { model_path: "/models/b" }
    create_time { seconds: 1789990000 }
    start_time { seconds: 1789990001 }
    end_time { seconds: 1789990500 }
  }
)pb";

template <typename Message>
Message Parse(const char* text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

const std::pair<const char*, Output> kForms[] = {
    {"table", {}},
    {"wide", {.format = Format::kWide}},
    {"pictures", {.pictures = true}},
    {"json", {.format = Format::kJson}},
    {"yaml", {.format = Format::kYaml}},
    {"csv", {.format = Format::kCsv}},
    {"name", {.format = Format::kName}},
    {"no-headers.csv", {.format = Format::kCsv, .headers = false}},
};

void ExpectGolden(const std::string& name, const std::string& text) {
  const std::string path = std::string(TUNESMITH_SOURCE_DIR) + "/tests/client/golden/" + name;
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    ASSERT_TRUE(WriteFileAtomically(path, text).ok());
    return;
  }
  const auto golden = ReadFile(path);
  ASSERT_TRUE(golden.ok()) << golden.status() << "; UPDATE_GOLDEN=1 writes it";
  EXPECT_EQ(*golden, text) << "of " << path;
}

TEST(GoldenTest, Recommendation) {
  const auto answer = Parse<v1::RecommendResponse>(kAnswer);
  setenv("COLUMNS", "100", 1);
  for (const auto& [form, output] : kForms) {
    ::testing::internal::CaptureStdout();
    Print(output, answer, MixListing(answer.ranked(), true),
          output.IsText() ? ShowRecommendation(output, answer, {"A note of the client."}) : "");
    ExpectGolden(std::string("recommend.") + form, ::testing::internal::GetCapturedStdout());
  }
}

TEST(GoldenTest, Jobs) {
  const auto answer = Parse<v1::ListJobsResponse>(kJobs);
  for (const auto& [form, output] : kForms) {
    ::testing::internal::CaptureStdout();
    Print(output, answer, JobListing(answer.jobs()));
    ExpectGolden(std::string("jobs.") + form, ::testing::internal::GetCapturedStdout());
  }
  ExpectGolden("job.table", ShowJob(answer.jobs(1)));
}

}  // namespace
}  // namespace tunesmith::client
