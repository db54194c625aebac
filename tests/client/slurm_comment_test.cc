#include "client/slurm_comment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tunesmith::client {
namespace {

using ::testing::HasSubstr;

TEST(SlurmCommentTest, IsAQuestion) {
  const auto flags = ParseSlurmComment(
      "tunesmith:model=Llama-2-7b-hf,context=4096,method=lora,batch=32,dataset_tokens=1000,"
      "epochs=1.5");
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->model, "Llama-2-7b-hf");
  EXPECT_EQ(flags->context, 4096);
  EXPECT_EQ(flags->method, "lora");
  EXPECT_EQ(flags->batch, 32);
  EXPECT_EQ(flags->dataset_tokens, 1000);
  EXPECT_EQ(flags->epochs, 1.5);
}

TEST(SlurmCommentTest, RefusesWhatIsNotOnTheList) {
  const std::pair<std::string, const char*> wrong[] = {
      {"model=a,context=1", "does not begin"},
      {"tunesmith:", "has \"\", which is not known"},
      {"tunesmith:model=a", "names no context"},
      {"tunesmith:context=4", "names no model"},
      {"tunesmith:model=,context=4", "names no model"},
      {"tunesmith:model=-x,context=4", "names no model"},
      {"tunesmith:model=../x,context=4", "has a character"},
      {"tunesmith:model=..,context=4", "names no model"},
      {"tunesmith:model=a,context=0", "where a count"},
      {"tunesmith:model=a,context=9999999999999999999", "where a count"},
      {"tunesmith:model=a,context=4,method=magic", "none of any"},
      {"tunesmith:model=a,context=4,epochs=nan", "for epochs"},
      {"tunesmith:model=a,context=4,gpus=8", "\"gpus\", which is not known"},
      {"tunesmith:model=a;id,context=4", "has a character"},
      {"tunesmith:model=$(id),context=4", "has a character"},
      {"tunesmith:model=a\n,context=4", "has a character"},
      {"tunesmith:model=" + std::string(200, 'a'), "more than"}};
  for (const auto& [comment, message] : wrong) {
    const auto flags = ParseSlurmComment(comment);
    EXPECT_FALSE(flags.ok()) << comment;
    EXPECT_THAT(std::string(flags.status().message()), HasSubstr(message)) << comment;
  }
}

}  // namespace
}  // namespace tunesmith::client
