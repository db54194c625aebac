#include "common/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "common/file.h"

namespace tunesmith {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SettingsTest : public ::testing::Test {
 protected:
  SettingsTest() {
    app_.add_option("--server", server_, "")
        ->envname("TUNESMITH_TEST_SERVER")
        ->capture_default_str();
    app_.add_option("--timeout", timeout_, "")->check(CLI::PositiveNumber)->capture_default_str();
    app_.add_option("--launchers", launchers_, "")->delimiter(',');
    app_.add_flag("--offline", offline_, "");
    app_.add_subcommand("go", "")->fallthrough();
    path_ = (std::filesystem::path(::testing::TempDir()) / "settings.yaml").string();
  }
  ~SettingsTest() override { unsetenv("TUNESMITH_TEST_SERVER"); }

  absl::StatusOr<std::map<std::string, Setting>> Apply(const std::string& arguments,
                                                       const std::string& yaml) {
    app_.parse(arguments);
    EXPECT_TRUE(WriteFileAtomically(path_, yaml).ok());
    const auto file = ReadSettingsFile(path_);
    if (!file.ok()) return file.status();
    const auto settings = ApplySettings(app_, *file);
    if (!settings.ok()) return settings.status();
    std::map<std::string, Setting> by_name;
    for (const Setting& setting : *settings) by_name[setting.name] = setting;
    return by_name;
  }

  CLI::App app_;
  std::string server_ = "here:1";
  double timeout_ = 30;
  std::vector<std::string> launchers_;
  bool offline_ = false;
  std::string path_;
};

TEST_F(SettingsTest, AFlagWinsOverTheEnvironmentOverTheFileOverTheDefault) {
  constexpr char kFile[] = "# comment\nserver: file:2\ntimeout: 60\noffline: true\n";
  setenv("TUNESMITH_TEST_SERVER", "environment:3", 1);
  const auto settings = Apply("go --server flag:4", kFile);
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(server_, "flag:4");
  EXPECT_EQ(settings->at("server").origin, "flag");
  EXPECT_EQ(timeout_, 60);
  EXPECT_EQ(settings->at("timeout").origin, path_ + ":3");
  EXPECT_EQ(settings->at("timeout").value, "60");
  EXPECT_TRUE(offline_);
}

TEST_F(SettingsTest, TheEnvironmentWinsOverTheFile) {
  setenv("TUNESMITH_TEST_SERVER", "environment:3", 1);
  const auto settings = Apply("go", "server: file:2\n");
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(server_, "environment:3");
  EXPECT_EQ(settings->at("server").origin, "environment TUNESMITH_TEST_SERVER");
}

TEST_F(SettingsTest, WithoutAnythingTheDefaultHolds) {
  const auto settings = Apply("go", "");
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->at("server").value, "here:1");
  EXPECT_EQ(settings->at("server").origin, "default");
  EXPECT_EQ(settings->at("offline").value, "false");
}

TEST_F(SettingsTest, ListsAreSeveralValues) {
  ASSERT_TRUE(Apply("go", "launchers: [host, slurm]\n").ok());
  EXPECT_THAT(launchers_, ElementsAre("host", "slurm"));
}

TEST_F(SettingsTest, UnknownKeysAreRefusedWithTheirLineAndTheNearest) {
  const auto settings = Apply("go", "timeout: 5\nsever: x\n");
  EXPECT_EQ(settings.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(settings.status().message()),
              AllOf(HasSubstr("settings.yaml:2"), HasSubstr("'sever'"), HasSubstr("'server'")));
}

TEST_F(SettingsTest, ValuesThatTheFlagRefusesAreRefused) {
  const auto settings = Apply("go", "timeout: soon\n");
  EXPECT_EQ(settings.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(settings.status().message()),
              AllOf(HasSubstr("settings.yaml:1"), HasSubstr("timeout")));
}

TEST_F(SettingsTest, BrokenFilesAreRefusedWithTheirLine) {
  for (const char* yaml : {"server: [", "a: b: c", "- server", "just text", "server: {a: }"}) {
    const auto settings = Apply("go", yaml);
    EXPECT_EQ(settings.status().code(), absl::StatusCode::kInvalidArgument) << yaml;
    EXPECT_THAT(std::string(settings.status().message()), HasSubstr("settings.yaml:")) << yaml;
    app_.clear();
  }
}

}  // namespace
}  // namespace tunesmith
