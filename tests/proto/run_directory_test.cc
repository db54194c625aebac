#include "proto/convert/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "proto/convert/json.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::convert {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RunDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "run_directory_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void AppendRaw(const std::string& text) {
    std::ofstream(InDirectory(directory_, kEventsFile), std::ios::app) << text;
  }

  static v1::Event LogEvent(const std::string& text) {
    v1::Event event;
    event.mutable_log()->set_text(text);
    return event;
  }

  std::string directory_;
};

TEST_F(RunDirectoryTest, EventsKeepTheirTextThroughALine) {
  v1::Event event = LogEvent("two\nlines and \"quotes\" \xE2\x82\xAC");
  event.set_sequence(7);
  const std::string line = EncodeEventLine(event);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto decoded = DecodeEventLine(line);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->log().text(), event.log().text());
  EXPECT_EQ(decoded->sequence(), 7);
}

TEST_F(RunDirectoryTest, DecodeIgnoresFieldsOfANewerVersionAndRefusesGarbage) {
  EXPECT_TRUE(DecodeEventLine(R"({"sequence":"3","log":{"text":"a"},"later_field":1})").ok());
  EXPECT_EQ(DecodeEventLine("{\"sequence\":").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(RunDirectoryTest, WriterNumbersEventsAndGoesOnAfterReopening) {
  for (int round = 0; round < 2; ++round) {
    auto writer = EventWriter::Open(directory_);
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->Append(LogEvent("x")).ok());
    ASSERT_TRUE((*writer)->Append(LogEvent("y")).ok());
    EXPECT_EQ((*writer)->last_sequence(), 2 * round + 2);
  }
  const auto lines = ReadEventLines(directory_, 0);
  ASSERT_TRUE(lines.ok());
  ASSERT_EQ(lines->lines.size(), 4u);
  EXPECT_EQ(DecodeEventLine(lines->lines[3])->sequence(), 4);
  EXPECT_TRUE(DecodeEventLine(lines->lines[3])->has_time());
}

TEST_F(RunDirectoryTest, WriterCutsATornLine) {
  ASSERT_TRUE((*EventWriter::Open(directory_))->Append(LogEvent("whole")).ok());
  AppendRaw(R"({"sequence":"2","log":{"te)");
  auto writer = EventWriter::Open(directory_);
  ASSERT_TRUE(writer.ok());
  EXPECT_EQ((*writer)->last_sequence(), 1);
  ASSERT_TRUE((*writer)->Append(LogEvent("next")).ok());
  const auto lines = ReadEventLines(directory_, 0);
  ASSERT_EQ(lines->lines.size(), 2u);
  EXPECT_EQ(DecodeEventLine(lines->lines[1])->log().text(), "next");
}

TEST_F(RunDirectoryTest, ReaderLeavesATornLineForLater) {
  AppendRaw("{\"a\":1}\n{\"b\"");
  auto lines = ReadEventLines(directory_, 0);
  EXPECT_THAT(lines->lines, ElementsAre("{\"a\":1}"));
  AppendRaw(":2}\n");
  lines = ReadEventLines(directory_, lines->next_offset);
  EXPECT_THAT(lines->lines, ElementsAre("{\"b\":2}"));
}

TEST_F(RunDirectoryTest, ReaderTakesALineLongerThanItsBuffer) {
  const std::string line(3 << 20, 'x');
  AppendRaw(line + "\n");
  const auto lines = ReadEventLines(directory_, 0);
  EXPECT_THAT(lines->lines, ElementsAre(line));
}

// A power cut takes the end of a file, and the next attempt goes on behind what is left.
TEST_F(RunDirectoryTest, ReaderGoesOnBehindWhatIsLeftOfAFile) {
  AppendRaw("{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
  const int64_t offset = ReadEventLines(directory_, 0)->next_offset;
  EXPECT_EQ(offset, 24);
  std::filesystem::resize_file(InDirectory(directory_, kEventsFile), 12);
  auto lines = ReadEventLines(directory_, offset);
  ASSERT_TRUE(lines.ok()) << lines.status();
  EXPECT_TRUE(lines->lines.empty());
  EXPECT_EQ(lines->next_offset, 8);
  std::filesystem::resize_file(InDirectory(directory_, kEventsFile), 8);
  AppendRaw("{\"d\":4}\n");
  EXPECT_THAT(ReadEventLines(directory_, lines->next_offset)->lines, ElementsAre("{\"d\":4}"));
  std::filesystem::resize_file(InDirectory(directory_, kEventsFile), 0);
  EXPECT_EQ(ReadEventLines(directory_, offset)->next_offset, 0);
}

TEST_F(RunDirectoryTest, ReaderOfNoFileHasNoLines) {
  const auto lines = ReadEventLines(directory_, 0);
  ASSERT_TRUE(lines.ok());
  EXPECT_TRUE(lines->lines.empty());
}

TEST_F(RunDirectoryTest, NewestAttemptIsTheGreatestNumber) {
  EXPECT_EQ(*NewestAttempt(directory_), 0);
  for (const char* name : {"attempt-2", "attempt-10", "attempt-x", "exit.json"}) {
    std::ofstream(InDirectory(directory_, name)) << "";
  }
  EXPECT_EQ(*NewestAttempt(directory_), 10);
  EXPECT_FALSE(NewestAttempt(directory_ + "/absent").ok());
}

TEST_F(RunDirectoryTest, JsonFilesNameTheFileAndFieldThatIsWrong) {
  const std::string path = InDirectory(directory_, kExitFile);
  v1::JobExit exit;
  exit.set_exit_code(137);
  exit.set_reason("killed by signal 9 (SIGKILL)");
  ASSERT_TRUE(WriteJsonFile(path, exit).ok());
  v1::JobExit read;
  ASSERT_TRUE(ReadJsonFile(path, &read).ok());
  EXPECT_EQ(read.reason(), exit.reason());
  std::ofstream(path) << R"({"exit_kode": 1})";
  const absl::Status status = ReadJsonFile(path, &read);
  EXPECT_THAT(std::string(status.message()), HasSubstr("exit_kode"));
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));
}

}  // namespace
}  // namespace tunesmith::convert
