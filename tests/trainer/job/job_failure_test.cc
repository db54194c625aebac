#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <filesystem>

#include "proto/convert/json.h"
#include "proto/convert/plan.h"
#include "proto/convert/run_directory.h"
#include "tests/trainer/job/job_files.h"
#include "tests/trainer/model_io/nf4_files.h"
#include "trainer/job/convert_model.h"
#include "trainer/job/evaluate.h"
#include "trainer/job/run_job.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::trainer {
namespace {

using testing::HasSubstr;

namespace fs = std::filesystem;

// Runs the job and expects that it fails, says `reason` in each place where people look, and leaves no result.
void ExpectFailure(const std::string& run, const std::string& reason) {
  const std::atomic<bool> never_stops{false};
  const v1::JobExit exit = RunJob(run, never_stops);
  EXPECT_EQ(exit.state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(exit.reason(), HasSubstr(reason));
  v1::JobExit written;
  ASSERT_TRUE(convert::ReadJsonFile(convert::InDirectory(run, convert::kExitFile), &written).ok());
  EXPECT_EQ(written.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(written.reason(), exit.reason());
  EXPECT_NE(written.exit_code(), 0);
  const std::vector<v1::Event> events = ReadEvents(run);
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back().log().severity(), v1::LOG_SEVERITY_ERROR);
  EXPECT_TRUE(!fs::exists(run + "/output") || fs::is_empty(run + "/output"));
  for (const auto& entry : fs::recursive_directory_iterator(run))
    EXPECT_THAT(entry.path().string(), Not(testing::AnyOf(HasSubstr(".partial"), HasSubstr(".tmp"),
                                                          HasSubstr("adapter_"))));
}

TEST(JobFailureTest, APlanOfAnotherVersionIsRefused) {
  JobFiles files;
  const std::string run = files.WriteRun(), path = run + "/plan.json";
  auto plan = convert::ReadPlanFile(path);
  ASSERT_TRUE(plan.ok()) << plan.status();
  char& digit = plan->prediction.program_digest[0];
  digit = digit == '0' ? '1' : '0';
  ASSERT_TRUE(convert::WritePlanFile(path, *plan).ok());
  ExpectFailure(run, plan->prediction.program_digest);
}

TEST(JobFailureTest, AnotherModelThanThePlansIsRefused) {
  JobFiles files;
  planner::ModelSpec other = SmallModel();
  other.intermediate_size = 96;
  WriteModelDirectory(files.File("other"), other);
  files.spec().set_model_path(files.File("other"));
  ExpectFailure(files.WriteRun(), "the plan is for another model");
}

TEST(JobFailureTest, ATokenizerThatIsLargerThanTheVocabularyIsRefused) {
  JobFiles files;
  const std::string run = files.WriteRun(), path = files.File("model/tokenizer.json");
  std::string text = *ReadFile(path);
  const std::string first = "\"added_tokens\":[";
  text.insert(text.find(first) + first.size(),
              "{\"id\":5000,\"content\":\"<x>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":"
              "false,\"normalized\":false,\"special\":true},");
  ASSERT_TRUE(WriteFileAtomically(path, text).ok());
  ExpectFailure(run, "the tokenizer has 5001 tokens");
}

TEST(JobFailureTest, AMissingDataFileIsNamed) {
  JobFiles files;
  files.spec().set_dataset_path(files.File("absent.jsonl"));
  ExpectFailure(files.WriteRun(), "absent.jsonl");
}

TEST(JobFailureTest, ABadRowIsNamedByItsLine) {
  JobFiles files;
  ASSERT_TRUE(WriteFileAtomically(files.File("train.jsonl"),
                                  SmallData(4) + "{\"text\": \"broken\n" + SmallData(2))
                  .ok());
  ExpectFailure(files.WriteRun(), "train.jsonl, line 5");
}

TEST(JobFailureTest, ASkippedBadRowIsCounted) {
  JobFiles files;
  ASSERT_TRUE(
      WriteFileAtomically(files.File("train.jsonl"), SmallData(8) + "{\"text\": \"broken\n").ok());
  files.spec().set_skip_bad_rows(true);
  const std::atomic<bool> never_stops{false};
  const v1::JobExit exit = RunJob(files.WriteRun(), never_stops);
  EXPECT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
  EXPECT_EQ(exit.summary().skipped_row_count(), 1);
}

TEST(JobFailureTest, ConversationsWithoutATemplateOrAnAnswerAreNamed) {
  JobFiles files;
  ASSERT_TRUE(WriteFileAtomically(files.File("train.jsonl"), SmallConversations(4)).ok());
  ExpectFailure(files.WriteRun("a"), "the model has no chat template");
  ASSERT_TRUE(WriteFileAtomically(files.File("t.jinja"),
                                  "{% for m in messages %}{{ m.content }}{% endfor %}")
                  .ok());
  files.spec().set_chat_template_path(files.File("t.jinja"));
  ASSERT_TRUE(
      WriteFileAtomically(files.File("train.jsonl"),
                          "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}\n")
          .ok());
  ExpectFailure(files.WriteRun("b"), "no document has a token to learn");
}

TEST(JobFailureTest, AnEvaluationShareBesideAFileIsRefused) {
  JobFiles files;
  files.spec().set_evaluation_path(files.File("held_out.jsonl"));
  files.spec().set_evaluation_share(0.1);
  ExpectFailure(files.WriteRun(), "evaluation_share");
}

TEST(JobFailureTest, EmptyDataIsNamed) {
  JobFiles files;
  ASSERT_TRUE(WriteFileAtomically(files.File("train.jsonl"), "\n").ok());
  ExpectFailure(files.WriteRun(), "train.jsonl");
}

TEST(JobFailureTest, AnEmptyHeldOutFileIsNamed) {
  JobFiles files;
  ASSERT_TRUE(WriteFileAtomically(files.File("held_out.jsonl"), "").ok());
  files.spec().set_evaluation_path(files.File("held_out.jsonl"));
  ExpectFailure(files.WriteRun(), "held_out.jsonl");
}

// A place where not even root may write. It is looked at before the first step, not after the last.
TEST(JobFailureTest, AnOutputDirectoryThatCannotBeWrittenIsNamedBeforeTraining) {
  JobFiles files;
  for (const std::string& output :
       {std::string("/proc/tunesmith-output"), files.File("train.jsonl/output")}) {
    files.spec().set_output_dir(output);
    const std::string run = files.WriteRun();
    ExpectFailure(run, output);
    EXPECT_TRUE(LossesOf(run).empty());
  }
}

TEST(JobFailureTest, ACheckpointOfAnotherMethodIsRefused) {
  JobFiles lora;
  const std::string run = lora.WriteRun();
  const std::atomic<bool> stops{true};
  ASSERT_EQ(RunJob(run, stops).state(), v1::JOB_STATE_CANCELLED);  // saves step 0
  auto plan = convert::ReadPlanFile(run + "/plan.json");
  plan->prediction = *planner::Estimate(lora.question(), *planner::ParseMix(kFullMix));
  ASSERT_TRUE(convert::WritePlanFile(run + "/plan.json", *plan).ok());
  ExpectFailure(run, "was saved with 'method=lora:r4");
}

TEST(JobFailureTest, ACheckpointOnABaseThatWasQuantizedOtherwiseIsRefused) {
  JobFiles files(kQloraMix);
  const std::string run = files.WriteRun();
  const std::atomic<bool> stops{true};
  ASSERT_EQ(RunJob(run, stops).state(), v1::JOB_STATE_CANCELLED);
  planner::Mix single = files.mix();
  single.double_quantization = false;
  auto plan = convert::ReadPlanFile(run + "/plan.json");
  plan->prediction = *planner::Estimate(files.question(), single);
  ASSERT_TRUE(convert::WritePlanFile(run + "/plan.json", *plan).ok());
  ExpectFailure(run, "was saved with double quantization of the base, the plan is without it");
}

TEST(JobFailureTest, ADamagedCheckpointIsNamed) {
  JobFiles files;
  const std::string run = files.WriteRun();
  const std::atomic<bool> stops{true};
  ASSERT_EQ(RunJob(run, stops).state(), v1::JOB_STATE_CANCELLED);
  ASSERT_EQ(NewestStep(run), 0);
  fs::resize_file(run + "/checkpoints/step-0/state.safetensors", 100);
  ExpectFailure(run, "step-0/state.safetensors");
}

// Files may not grow beyond a size while this lives: a disk that is full for large files.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t most_bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const struct rlimit limit = {most_bytes, before_.rlim_max};
    handler_ = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SmallDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

 private:
  struct rlimit before_ = {};
  void (*handler_)(int) = SIG_DFL;
};

// The job fails and says where there is no room; the checkpoint from before is whole, and goes on as if nothing had been.
TEST(JobFailureTest, AFullDiskLeavesTheOldCheckpoint) {
  for (const char* mix : {kLoraMix, kFullMix}) {
    JobFiles files(mix);
    files.spec().set_checkpoint_every_step_count(5);
    const std::string whole = files.WriteRun("whole"), run = files.WriteRun();
    const std::atomic<bool> never_stops{false}, stops{true};
    ASSERT_EQ(RunJob(whole, never_stops).state(), v1::JOB_STATE_SUCCEEDED);
    ASSERT_EQ(RunJob(run, stops).state(), v1::JOB_STATE_CANCELLED);
    {
      const SmallDisk disk(20'000);
      ExpectFailure(run, "state.safetensors: File too large; free space there");
    }
    EXPECT_EQ(NewestStep(run), 0);
    ASSERT_EQ(RunJob(run, never_stops).state(), v1::JOB_STATE_SUCCEEDED);
    EXPECT_EQ(*ReadFile(run + "/checkpoints/step-12/state.safetensors"),
              *ReadFile(whole + "/checkpoints/step-12/state.safetensors"));
  }
}

TEST(JobFailureTest, EveryMissingAndEveryForeignTensorIsNamed) {
  JobFiles files;
  const std::string run = files.WriteRun();
  const auto model = OpenModel(files.File("model"));
  RawTensors tensors;
  for (const NamedShape& tensor : TensorsOfModel(SmallModel())) {
    const std::vector<float> values = ReadTensor(**model, tensor.name);
    RawTensor& raw = tensors[tensor.name] = RawOf(DType::kF32, values.data(), values.size());
    raw.shape = tensor.shape;
  }
  const std::string first = "model.layers.0.mlp.up_proj.weight", second = "model.norm.weight";
  for (const std::string& name : {first, second}) {
    tensors["my." + name] = tensors.at(name);
    tensors.erase(name);
  }
  WriteRaw(files.File("model/model.safetensors"), tensors);
  for (const std::string& name : {first, second}) {
    ExpectFailure(run, name + " is missing");
    ExpectFailure(run, "my." + name + " is unexpected");
  }
}

absl::Status EvaluateWith(const JobFiles& files, const std::string& adapter) {
  return EvaluateModel({.model_path = files.File("model"),
                        .adapter_path = adapter,
                        .dataset_path = files.File("held_out.jsonl"),
                        .context = 32})
      .status();
}

// Of other sizes, and of other modules.
TEST(JobFailureTest, AnAdapterOfAnotherModelIsRefusedWithWhatDiffers) {
  JobFiles files;
  ASSERT_EQ(RunJob(files.WriteRun(), std::atomic<bool>(false)).state(), v1::JOB_STATE_SUCCEEDED);
  const std::string output = files.File("run/output");
  ASSERT_TRUE(EvaluateWith(files, output).ok());
  planner::ModelSpec other = SmallModel();
  other.intermediate_size = 96;
  other.layer_count = 1;
  WriteModelDirectory(files.File("model"), other);
  const absl::Status status = EvaluateWith(files, output);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  const std::string text(status.message());
  EXPECT_THAT(text, HasSubstr("the adapter was made for another model ("));
  EXPECT_THAT(text, HasSubstr("model.layers.0.mlp.up_proj is for a layer of 64 x 32, the model's "
                              "has 96 x 32"));
  EXPECT_THAT(text, HasSubstr("model.layers.1.self_attn.q_proj is not a linear layer of this"));
  const absl::Status merged = ConvertModel({.model_path = files.File("model"),
                                            .output_path = files.File("merged"),
                                            .adapter_path = output});
  EXPECT_EQ(merged.message(), status.message());
}

}  // namespace
}  // namespace tunesmith::trainer
