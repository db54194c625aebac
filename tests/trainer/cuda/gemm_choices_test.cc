#include "trainer/cuda/gemm_choices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "common/file.h"
#include "tests/common/temporary_directory.h"

namespace tunesmith::trainer {
namespace {

GemmKey KeyOf(int64_t m) {
  GemmKey key{};
  key[0] = m;
  key[7] = -1;
  return key;
}

GemmAlgorithm Algorithm(uint64_t word) {
  GemmAlgorithm algorithm{};
  algorithm[0] = word;
  algorithm[7] = ~uint64_t{0};
  return algorithm;
}

class GemmChoicesTest : public ::testing::Test {
 protected:
  std::string Path() const { return scratch_.path() + "/deep/products.txt"; }
  TemporaryDirectory scratch_;
};

TEST_F(GemmChoicesTest, ComeBackFromTheirFile) {
  GemmChoices choices(Path());
  EXPECT_EQ(choices.Find(KeyOf(1)), nullptr);
  choices.Add(KeyOf(1), Algorithm(7));
  ASSERT_NE(choices.Find(KeyOf(1)), nullptr);
  ASSERT_TRUE(choices.Save().ok());
  const GemmChoices read(Path());
  ASSERT_NE(read.Find(KeyOf(1)), nullptr);
  EXPECT_EQ(*read.Find(KeyOf(1)), Algorithm(7));
  EXPECT_EQ(read.Find(KeyOf(2)), nullptr);
}

TEST_F(GemmChoicesTest, KeepWhatOthersStoredMeanwhile) {
  GemmChoices first(Path()), second(Path());
  first.Add(KeyOf(1), Algorithm(1));
  second.Add(KeyOf(2), Algorithm(2));
  ASSERT_TRUE(first.Save().ok());
  ASSERT_TRUE(second.Save().ok());
  const GemmChoices read(Path());
  EXPECT_NE(read.Find(KeyOf(1)), nullptr);
  EXPECT_NE(read.Find(KeyOf(2)), nullptr);
}

TEST_F(GemmChoicesTest, LinesThatAreNoneAreLeftOut) {
  GemmChoices choices(Path());
  choices.Add(KeyOf(1), Algorithm(1));
  choices.Add(KeyOf(2), Algorithm(2));
  ASSERT_TRUE(choices.Save().ok());
  std::string text = *ReadFile(Path());
  text.erase(text.size() - 20);  // the last line is cut
  ASSERT_TRUE(WriteFileAtomically(Path(), "not a product\n" + text + "\n1 2 3 : zz\n").ok());
  const GemmChoices read(Path());
  EXPECT_NE(read.Find(KeyOf(1)), nullptr);
  EXPECT_EQ(read.Find(KeyOf(2)), nullptr);
}

TEST_F(GemmChoicesTest, WithoutAPathNothingIsWritten) {
  GemmChoices choices("");
  choices.Add(KeyOf(1), Algorithm(1));
  EXPECT_TRUE(choices.Save().ok());
  EXPECT_NE(choices.Find(KeyOf(1)), nullptr);
}

TEST_F(GemmChoicesTest, AnUnwritablePlaceIsTold) {
  ASSERT_TRUE(WriteFileAtomically(scratch_.path() + "/file", "x").ok());
  GemmChoices choices(scratch_.path() + "/file/products.txt");
  choices.Add(KeyOf(1), Algorithm(1));
  const absl::Status status = choices.Save();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("/file"));
}

TEST_F(GemmChoicesTest, AFileIsOfADeviceAndALibrary) {
  setenv("XDG_CACHE_HOME", "/cache", 1);
  EXPECT_EQ(GemmChoicesPath("NVIDIA H100 80GB HBM3", 130200),
            "/cache/tunesmith/products-nvidia-h100-80gb-hbm3-130200.txt");
  unsetenv("XDG_CACHE_HOME");
  setenv("HOME", "/home/someone", 1);
  EXPECT_EQ(GemmChoicesPath("A", 1), "/home/someone/.cache/tunesmith/products-a-1.txt");
  unsetenv("HOME");
  EXPECT_EQ(GemmChoicesPath("A", 1), "");
}

}  // namespace
}  // namespace tunesmith::trainer
