#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "nlohmann/json.hpp"
#include "tests/client/command.h"

// Settings and contexts as users have them.
namespace tunesmith::client {
namespace {

using server::ProcessResult;
using server::ScratchDirectory;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kFile[] =
    "# where we work\n"
    "use-context: lab\n"
    "timeout: 7\n"
    "contexts:\n"
    "  lab: {server: \"lab.example:1\"}\n"
    "  cloud:\n"
    "    server: cloud.example:2\n"
    "    timeout: 90\n";

class ConfigTest : public ::testing::Test {
 protected:
  ProcessResult Tunesmith(std::vector<std::string> arguments,
                          std::map<std::string, std::string> environment = {}) {
    environment.emplace("TUNESMITH_CONFIG", path_);
    return client::Tunesmith(std::move(arguments), environment);
  }

  // "VALUE from ORIGIN" of a setting.
  std::string Setting(const std::string& name, std::vector<std::string> flags = {},
                      const std::map<std::string, std::string>& environment = {}) {
    flags.insert(flags.end(), {"config", "view", "-o", "json"});
    const ProcessResult result = Tunesmith(flags, environment);
    const auto json = nlohmann::json::parse(result.output, nullptr, false);
    if (json.is_discarded()) return result.errors;
    for (const auto& setting : json["settings"])
      if (setting["name"] == name)
        return setting["value"].get<std::string>() + " from " +
               setting["origin"].get<std::string>();
    return "none";
  }

  ScratchDirectory scratch_;
  std::string path_ = scratch_.File("config.yaml", kFile);
};

TEST_F(ConfigTest, ViewTellsWhereEachValueIsFrom) {
  EXPECT_EQ(Setting("server"), "lab.example:1 from " + path_ + ":5");
  EXPECT_EQ(Setting("timeout"), "7 from " + path_ + ":3");
  EXPECT_EQ(Setting("offline"), "false from default");
  EXPECT_EQ(Setting("server", {}, {{"TUNESMITH_SERVER", "e:3"}}),
            "e:3 from environment TUNESMITH_SERVER");
  EXPECT_EQ(Setting("server", {"--server", "f:4"}, {{"TUNESMITH_SERVER", "e:3"}}), "f:4 from flag");
}

TEST_F(ConfigTest, AContextIsChosenByFlagOrEnvironment) {
  EXPECT_EQ(Setting("server", {"--use-context", "cloud"}), "cloud.example:2 from " + path_ + ":7");
  EXPECT_EQ(Setting("timeout", {}, {{"TUNESMITH_CONTEXT", "cloud"}}), "90 from " + path_ + ":8");
}

TEST_F(ConfigTest, UseKeepsTheRestOfTheFile) {
  ASSERT_EQ(Tunesmith({"config", "use", "cloud"}).status, 0);
  EXPECT_EQ(Setting("server"), "cloud.example:2 from " + path_ + ":7");
  std::string expected = kFile;
  expected.replace(expected.find("use-context: lab"), 16, "use-context: \"cloud\"");
  EXPECT_EQ(*ReadFile(path_), expected);
}

TEST_F(ConfigTest, TheServerOfTheContextIsAsked) {
  const ProcessResult result = Tunesmith({"jobs", "list", "--timeout", "0.3"});
  EXPECT_EQ(result.status, 6);
  EXPECT_THAT(result.errors, HasSubstr("lab.example:1"));
}

TEST_F(ConfigTest, UnknownContextsAndSettingsAreNamed) {
  const ProcessResult context = Tunesmith({"config", "use", "clout"});
  EXPECT_EQ(context.status, 7);
  EXPECT_THAT(context.errors, AllOf(HasSubstr("'clout'"), HasSubstr("did you mean 'cloud'")));
  path_ = scratch_.File("bad.yaml", "timeout: 3\nserverr: x\n");
  const ProcessResult setting = Tunesmith({"version"});
  EXPECT_EQ(setting.status, 2);
  EXPECT_THAT(setting.errors, AllOf(HasSubstr("bad.yaml:2"), HasSubstr("did you mean 'server'")));
}

TEST_F(ConfigTest, AFileThatWasNamedMustBeThere) {
  const ProcessResult named =
      Tunesmith({"version"}, {{"TUNESMITH_CONFIG", scratch_.path() + "/none.yaml"}});
  EXPECT_EQ(named.status, 7);
  EXPECT_THAT(named.errors, HasSubstr("none.yaml"));
  const ProcessResult usual =
      Tunesmith({"version"}, {{"TUNESMITH_CONFIG", ""}, {"XDG_CONFIG_HOME", scratch_.path()}});
  EXPECT_EQ(usual.status, 0) << usual.errors;
}

}  // namespace
}  // namespace tunesmith::client
