#include "tests/trainer/job/job_files.h"

#include "proto/convert/json.h"
#include "proto/convert/plan.h"
#include "proto/convert/run_directory.h"
#include "trainer/job/checkpoint.h"
#include "trainer/model_io/model_writer.h"
#include "trainer/model_io/tokenizer.h"

namespace tunesmith::trainer {
namespace {

constexpr char kTokenizer[] =
    "tests/trainer/model_io/testdata/smollm";  // tests run in the root of the tree
constexpr float kWeightScale = 5;              // from a deviation of 0.02 to 0.1

planner::Question QuestionFor(const std::string& model_directory) {
  planner::Question question;
  const auto model = OpenModel(model_directory);
  EXPECT_TRUE(model.ok()) << model.status();
  question.model = (*model)->spec();
  question.workload = {.context = 32, .rows_per_step = 4, .document_capacity = 4};
  question.devices = *planner::ParseDeviceGroup("cpu");
  question.precision = planner::Precision::kFp32;
  return question;
}

}  // namespace

planner::ModelSpec SmallModel() {
  planner::ModelSpec spec = TinySpec();
  spec.vocab_size = OpenTokenizer(kTokenizer)->vocab_size();
  return spec;
}

void WriteModelDirectory(const std::string& directory, const planner::ModelSpec& spec,
                         uint64_t seed) {
  const auto model = RandomModel(spec, seed);
  const auto read = [&](std::string_view name, absl::Span<float> out) {
    const absl::Status status = model->Read(name, out);
    if (name.find("norm") == std::string_view::npos)
      for (float& x : out) x *= kWeightScale;
    return status;
  };
  ASSERT_TRUE(WriteModel(directory, spec, DType::kF32, read).ok());
  ASSERT_TRUE(WriteTokenizerFiles(kTokenizer, directory).ok());
  ASSERT_TRUE(
      WriteFileAtomically(directory + "/tokenizer_config.json", "{\"eos_token\": \"</s>\"}").ok());
}

std::string SmallData(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    const std::string thing = i % 3 == 0 ? "tools" : i % 3 == 1 ? "files" : "a library";
    text +=
        "{\"text\": \"The package provides " + thing + " number " + std::to_string(i) + ".\"}\n";
  }
  return text;
}

std::string SmallCompletions(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += "{\"prompt\": \"Does package number " + std::to_string(i) +
            " provide tools? \", \"completion\": \"" + (i % 2 == 0 ? "yes" : "no") + "\"}\n";
  }
  return text;
}

std::string SmallConversations(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += R"({"messages": [{"role": "user", "content": "Number )" + std::to_string(i) +
            R"(?"}, {"role": "assistant", "content": ")" + (i % 2 == 0 ? "yes" : "no") + "\"}]}\n";
  }
  return text;
}

JobFiles::JobFiles(std::string_view mix, const planner::ModelSpec& model)
    : mix_(*planner::ParseMix(mix)) {
  WriteModelDirectory(File("model"), model);
  EXPECT_TRUE(WriteFileAtomically(File("train.jsonl"), SmallData(30)).ok());
  EXPECT_TRUE(WriteFileAtomically(File("held_out.jsonl"), SmallData(5)).ok());
  question_ = QuestionFor(File("model"));
  question_.devices.device_count = planner::RankCount(mix_);
  question_.workload.rows_per_step =
      mix_.micro_batch * mix_.accumulation_count * mix_.data_parallel;
  spec_.set_model_path(File("model"));
  spec_.set_dataset_path(File("train.jsonl"));
  spec_.set_thread_count(2);
  spec_.mutable_training()->set_learning_rate(1e-2);
  spec_.mutable_training()->set_step_count(12);
  spec_.mutable_training()->set_seed(7);
}

std::string JobFiles::WriteRun(const std::string& name) {
  const std::string run = File(name);
  const auto prediction = planner::Estimate(question_, mix_);
  EXPECT_TRUE(prediction.ok()) << prediction.status();
  EXPECT_TRUE(MakeDirectories(run).ok());
  EXPECT_TRUE(convert::WritePlanFile(convert::InDirectory(run, convert::kPlanFile),
                                     convert::MakePlan(question_, *prediction))
                  .ok());
  EXPECT_TRUE(convert::WriteJsonFile(convert::InDirectory(run, convert::kJobSpecFile), spec_).ok());
  return run;
}

std::vector<v1::Event> ReadEvents(const std::string& run_directory) {
  std::vector<v1::Event> events;
  const auto read = convert::ReadEventLines(run_directory, 0);
  EXPECT_TRUE(read.ok()) << read.status();
  for (const std::string& line : read->lines) {
    auto event = convert::DecodeEventLine(line);
    EXPECT_TRUE(event.ok()) << event.status();
    events.push_back(*std::move(event));
  }
  return events;
}

int64_t NewestStep(const std::string& run_directory) {
  const auto newest = NewestCheckpoint(run_directory);
  EXPECT_TRUE(newest.ok()) << newest.status();
  return newest.ok() ? newest->value_or(-1) : -1;
}

std::map<int64_t, double> LossesOf(const std::string& run_directory) {
  std::map<int64_t, double> losses;
  for (const v1::Event& event : ReadEvents(run_directory)) {
    if (!event.has_progress()) continue;
    const auto at = losses.emplace(event.progress().step(), event.progress().loss()).first;
    EXPECT_EQ(at->second, event.progress().loss()) << "step " << at->first;
  }
  return losses;
}

}  // namespace tunesmith::trainer
