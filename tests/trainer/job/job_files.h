#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "planner/answer/search.h"
#include "tests/trainer/model_io/model_files.h"
#include "tunesmith/v1/events.pb.h"
#include "tunesmith/v1/job_spec.pb.h"

namespace tunesmith::trainer {

inline constexpr char kLoraMix[] =
    "method=lora:r4 precision=fp32 recompute=keep:2 attention=flash loss=full batch=2x2";
inline constexpr char kQloraMix[] =
    "method=qlora:r4 precision=fp32 recompute=norms:1,block:1 attention=flash loss=full batch=2x2";
inline constexpr char kFullMix[] =
    "method=full precision=fp32 recompute=keep:1,block:1 attention=eager loss=chunked batch=1x4";

// Two layers and the vocabulary of the small tokenizer among the tests' data.
planner::ModelSpec SmallModel();

// A model directory with weights large enough for attention to matter, and a tokenizer whose end token is </s>.
void WriteModelDirectory(const std::string& directory, const planner::ModelSpec& spec,
                         uint64_t seed = 1);

// Sentences that repeat often enough to be learned: `count` rows of text.
std::string SmallData(int count);

// `count` rows of prompts and completions.
std::string SmallCompletions(int count);

// `count` rows of conversations.
std::string SmallConversations(int count);

// A directory with model/, train.jsonl, held_out.jsonl and the files of a job that runs in the directory run.
class JobFiles {
 public:
  explicit JobFiles(std::string_view mix = kLoraMix,
                    const planner::ModelSpec& model = SmallModel());

  v1::JobSpec& spec() { return spec_; }
  // Writes plan.json and job.json into run directory `name`, and returns its path.
  std::string WriteRun(const std::string& name = "run");
  std::string File(const std::string& name) const { return directory_.File(name); }
  const planner::Question& question() const { return question_; }
  planner::DeviceGroup& devices() { return question_.devices; }
  planner::Workload& workload() { return question_.workload; }
  const planner::Mix& mix() const { return mix_; }

 private:
  TemporaryDirectory directory_;
  planner::Question question_;
  planner::Mix mix_;
  v1::JobSpec spec_;
};

std::vector<v1::Event> ReadEvents(const std::string& run_directory);

// The step of the newest checkpoint; -1: there is none.
int64_t NewestStep(const std::string& run_directory);

// Loss by step. A step that was taken twice must have had the same loss.
std::map<int64_t, double> LossesOf(const std::string& run_directory);

}  // namespace tunesmith::trainer
