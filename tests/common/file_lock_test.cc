#include "common/file_lock.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "common/file.h"

namespace tunesmith {
namespace {

class FileLockTest : public ::testing::Test {
 protected:
  FileLockTest() { std::filesystem::remove(path_); }
  ~FileLockTest() override { std::filesystem::remove(path_); }

  const std::string path_ = ::testing::TempDir() + "/file_lock_test." + std::to_string(getpid());
};

TEST_F(FileLockTest, OneHolderAtATime) {
  EXPECT_FALSE(IsFileLocked(path_)) << "there is no file";
  std::optional<FileLock> lock = FileLock::Take(path_).value();
  EXPECT_TRUE(IsFileLocked(path_));
  EXPECT_EQ(FileLock::Take(path_).status().code(), absl::StatusCode::kFailedPrecondition);
  FileLock moved = *std::move(lock);
  lock.reset();
  EXPECT_TRUE(IsFileLocked(path_)) << "the lock has moved";
  { const FileLock gone = std::move(moved); }
  EXPECT_FALSE(IsFileLocked(path_));
  EXPECT_TRUE(FileLock::Take(path_).ok());
}

TEST_F(FileLockTest, AskingDoesNotTakeOrLetGo) {
  const auto lock = FileLock::Take(path_);
  ASSERT_TRUE(lock.ok());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(IsFileLocked(path_));
  EXPECT_FALSE(FileLock::Take(path_).ok());
}

TEST_F(FileLockTest, AHolderThatIsKilledLetsGo) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto lock = FileLock::Take(path_);
    (void)!write(ready[1], "x", 1);
    pause();
    _exit(lock.ok() ? 0 : 1);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_TRUE(IsFileLocked(path_));
  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(IsFileLocked(path_));
}

TEST_F(FileLockTest, WhatTheHolderWritesReplacesWhatWasThere) {
  auto lock = FileLock::Take(path_).value();
  ASSERT_TRUE(lock.Write("process 123456").ok());
  ASSERT_TRUE(lock.Write("process 7").ok());
  EXPECT_EQ(ReadFile(path_).value(), "process 7");
  EXPECT_FALSE(FileLock::Take(path_).ok());
}

TEST_F(FileLockTest, AFileThatCannotBeMadeIsNamed) {
  const auto lock = FileLock::Take("/absent-directory/lock");
  EXPECT_EQ(lock.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(lock.status().message().find("/absent-directory/lock"), absl::string_view::npos);
}

}  // namespace
}  // namespace tunesmith
