#include "trainer/job/job_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>

#include "tests/trainer/job/job_files.h"
#include "trainer/job/run_job.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::trainer {
namespace {

using testing::HasSubstr;

v1::JobExit RunToEnd(const std::string& run) {
  const std::atomic<bool> never_stops{false};
  return RunJob(run, never_stops);
}

// A job of four steps.
class JobOutputTest : public testing::Test {
 protected:
  JobOutputTest() { files_.spec().mutable_training()->set_step_count(4); }
  JobFiles files_;
};

TEST_F(JobOutputTest, TheModelItselfIsRefusedBeforeTraining) {
  JobFiles files(kFullMix);
  const std::string weights = *ReadFile(files.File("model/model.safetensors"));
  files.spec().set_output_dir(files.File("data/../model"));
  ASSERT_TRUE(MakeDirectories(files.File("data")).ok());
  const std::string run = files.WriteRun();
  const v1::JobExit exit = RunToEnd(run);
  EXPECT_EQ(exit.state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(exit.reason(), HasSubstr("/data/../model is the model itself"));
  EXPECT_TRUE(LossesOf(run).empty());
  EXPECT_EQ(*ReadFile(files.File("model/model.safetensors")), weights);
}

TEST_F(JobOutputTest, SoIsItsPlaceAsTheMergedModel) {
  std::filesystem::rename(files_.File("model"), files_.File("merged"));
  files_.spec().set_model_path(files_.File("merged"));
  files_.spec().set_output_dir(files_.File("."));
  files_.spec().set_merge_output(true);
  EXPECT_THAT(RunToEnd(files_.WriteRun()).reason(), HasSubstr("/merged is the model itself"));
}

TEST_F(JobOutputTest, TheChatTemplateIsWithEveryModelAsItWasAtTheStart) {
  const std::string path = files_.File("run/output/chat_template.jinja"),
                    text = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}";
  files_.spec().set_chat_template_path(path);
  files_.spec().set_merge_output(true);
  const std::string run = files_.WriteRun();
  ASSERT_TRUE(MakeDirectories(run + "/output").ok());
  ASSERT_TRUE(WriteFileAtomically(path, text).ok());
  const v1::JobExit exit = RunToEnd(run);
  ASSERT_EQ(exit.state(), v1::JOB_STATE_SUCCEEDED) << exit.reason();
  EXPECT_EQ(*ReadFile(path), text);
  EXPECT_EQ(*ReadFile(run + "/output/merged/chat_template.jinja"), text);
}

TEST_F(JobOutputTest, TheTemplateOfAnEarlierJobDoesNotStay) {
  const std::string run = files_.WriteRun(), path = run + "/output/chat_template.jinja";
  ASSERT_TRUE(MakeDirectories(run + "/output").ok());
  ASSERT_TRUE(WriteFileAtomically(path, "{{ messages }}").ok());
  ASSERT_EQ(RunToEnd(run).state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(JobOutputTest, TheCardSaysWhatTheDirectoryHolds) {
  for (const char* mix : {kLoraMix, kFullMix, kQloraMix}) {
    SCOPED_TRACE(mix);
    JobFiles files(mix);
    files.spec().mutable_training()->set_step_count(2);
    const std::string run = files.WriteRun();
    ASSERT_EQ(RunToEnd(run).state(), v1::JOB_STATE_SUCCEEDED);
    const std::string card = *ReadFile(run + "/output/README.md");
    const bool is_model = std::filesystem::exists(run + "/output/model.safetensors");
    EXPECT_THAT(card, HasSubstr(is_model ? "library_name: transformers" : "library_name: peft"));
    EXPECT_THAT(card, HasSubstr(is_model ? "# model, fine-tuned" : "# LoRA adapter for model"));
  }
}

}  // namespace
}  // namespace tunesmith::trainer
