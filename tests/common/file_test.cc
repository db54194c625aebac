#include "common/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

namespace tunesmith {
namespace {

using testing::HasSubstr;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "file_test_" + std::to_string(::getpid());
    ASSERT_TRUE(MakeDirectories(directory_).ok());
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  int64_t FileCount() const {
    return std::distance(std::filesystem::directory_iterator(directory_), {});
  }

  std::string directory_;
};

TEST_F(FileTest, WritesAndReadsBack) {
  const std::string contents("a\0b\n", 4);
  ASSERT_TRUE(WriteFileAtomically(Path("f"), contents).ok());
  EXPECT_EQ(*ReadFile(Path("f")), contents);
  EXPECT_EQ(MappedFile::Open(Path("f"))->bytes(), contents);
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "").ok());  // replaces
  EXPECT_EQ(*ReadFile(Path("f")), "");
  EXPECT_EQ(MappedFile::Open(Path("f"))->bytes(), "");
  EXPECT_EQ(FileCount(), 1);
}

TEST_F(FileTest, AppendsLines) {
  ASSERT_TRUE(AppendLine(Path("log"), "one").ok());
  ASSERT_TRUE(AppendLine(Path("log"), "two").ok());
  EXPECT_EQ(*ReadFile(Path("log")), "one\ntwo\n");
}

TEST_F(FileTest, NothingAppearsBeforeCommitAndNothingStaysWithoutIt) {
  {
    absl::StatusOr<AtomicFileWriter> writer = AtomicFileWriter::Open(Path("big"));
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE(writer->Write("half").ok());
    AtomicFileWriter moved = *std::move(writer);
    EXPECT_FALSE(std::filesystem::exists(Path("big")));
    EXPECT_EQ(moved.written_bytes(), 4);
  }
  EXPECT_EQ(FileCount(), 0);
  absl::StatusOr<AtomicFileWriter> writer = AtomicFileWriter::Open(Path("big"));
  ASSERT_TRUE(writer->Write("whole").ok());
  ASSERT_TRUE(writer->Commit().ok());
  EXPECT_FALSE(writer->Commit().ok());
  EXPECT_FALSE(writer->Write("more").ok());
  EXPECT_EQ(*ReadFile(Path("big")), "whole");
  EXPECT_EQ(FileCount(), 1);
}

TEST_F(FileTest, ErrorsNameThePathAndTheCure) {
  EXPECT_EQ(ReadFile(Path("absent")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(ReadFile(Path("absent")).status().message()), HasSubstr(Path("absent")));
  EXPECT_EQ(MappedFile::Open(Path("absent")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadFile(directory_).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadFile("/dev/null").status().code(), absl::StatusCode::kInvalidArgument);
  const absl::Status no_parent = WriteFileAtomically(Path("absent/f"), "x");
  EXPECT_EQ(no_parent.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(no_parent.message()), HasSubstr("check the path"));
  ASSERT_TRUE(WriteFileAtomically(Path("f"), "x").ok());
  EXPECT_FALSE(MakeDirectories(Path("f/d")).ok());
  const absl::Status read_only = WriteFileAtomically("/proc/tunesmith", "x");
  EXPECT_FALSE(read_only.ok());
}

// A limit on the file size stands for a full disk: write() fails in the middle of the file.
TEST_F(FileTest, FailedWriteSaysHowMuchAndLeavesNothing) {
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 1000;
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = WriteFileAtomically(Path("big"), std::string(5000, 'x'));
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("write 5000 bytes after byte 0 of " + Path("big")));
  EXPECT_THAT(std::string(status.message()), HasSubstr("free space"));
  EXPECT_EQ(FileCount(), 0);
}

}  // namespace
}  // namespace tunesmith
