#include "client/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "client/manual.h"
#include "common/file.h"
#include "tests/client/command.h"

namespace tunesmith::client {
namespace {

using server::BinaryPath;
using server::ProcessResult;
using server::RunProcess;
using server::ScratchDirectory;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class CompleteTest : public ::testing::Test {
 protected:
  CompleteTest() : app_("Does things", "tool") {
    app_.add_option("--server", text_, "Where");
    app_.add_flag("--offline", offline_, "Alone");
    CLI::App* ask = app_.add_subcommand("ask", "Ask");
    ask->add_option("--model", text_, "Which");
    ask->add_option("--count", number_, "How many");
    ask->add_option("-o,--format", text_, "How")->check(CLI::IsMember({"table", "json"}));
    CLI::App* jobs = app_.add_subcommand("jobs", "Jobs");
    jobs->add_subcommand("get", "Get one")->add_option("JOB", text_, "Which")->required();
    jobs->add_subcommand("list", "List");
    app_.add_subcommand("secret", "Hidden")->group("");
  }

  std::vector<std::string> At(const std::vector<std::string>& words) {
    completion_ = Complete(CommandTreeOf(app_), words,
                           [&](const std::string& name, const std::string& server) {
                             asked_ = name + "@" + server;
                             return std::vector<Candidate>{{"one"}, {"other"}, {"third"}};
                           });
    std::vector<std::string> texts;
    for (const Candidate& candidate : completion_.candidates) texts.push_back(candidate.text);
    return texts;
  }

  CLI::App app_;
  std::string text_;
  int64_t number_ = 0;
  bool offline_ = false;
  Completion completion_;
  std::string asked_;
};

TEST_F(CompleteTest, OffersCommandsThatBeginSo) {
  EXPECT_THAT(At({""}), ElementsAre("ask", "jobs"));
  EXPECT_THAT(At({"j"}), ElementsAre("jobs"));
  EXPECT_THAT(At({"jobs", ""}), ElementsAre("get", "list"));
  EXPECT_THAT(At({"--offline", "jobs", "l"}), ElementsAre("list"));
  EXPECT_THAT(At({}), ElementsAre("ask", "jobs"));
}

TEST_F(CompleteTest, OffersFlagsOfTheCommandAndOfItsParents) {
  EXPECT_THAT(At({"ask", "-"}),
              ElementsAre("--help", "--model", "--count", "--format", "--server", "--offline"));
  EXPECT_THAT(At({"ask", "--m"}), ElementsAre("--model"));
}

TEST_F(CompleteTest, OffersTheValuesOfAFlag) {
  EXPECT_THAT(At({"ask", "--format", ""}), ElementsAre("table", "json"));
  EXPECT_THAT(At({"ask", "-o", "j"}), ElementsAre("json"));
  EXPECT_FALSE(completion_.files_too);
  EXPECT_THAT(At({"ask", "--format=j"}), ElementsAre("--format=json"));
  EXPECT_THAT(At({"ask", "--format", "="}), ElementsAre("table", "json")) << "as bash splits";
  EXPECT_THAT(At({"ask", "--format", "=", "j"}), ElementsAre("json"));
}

TEST_F(CompleteTest, LooksValuesUpWithTheServerThatWasNamed) {
  EXPECT_THAT(At({"--server", "lab:1", "ask", "--model", "o"}), ElementsAre("one", "other"));
  EXPECT_EQ(asked_, "--model@lab:1");
  EXPECT_TRUE(completion_.files_too);
  EXPECT_THAT(At({"jobs", "get", "t"}), ElementsAre("third"));
  EXPECT_EQ(asked_, "JOB@");
  EXPECT_FALSE(completion_.files_too);
  EXPECT_THAT(At({"jobs", "get", "third", ""}), IsEmpty());
}

TEST_F(CompleteTest, ANumberIsNoFile) {
  At({"ask", "--count", ""});
  EXPECT_FALSE(completion_.files_too);
}

ProcessResult Shell(const std::string& shell, const std::string& script) {
  const std::string directory = std::filesystem::path(BinaryPath("tunesmith")).parent_path();
  return RunProcess({"/usr/bin/env", shell, "-c", script},
                    {{"PATH", directory + ":" + std::getenv("PATH")}});
}

bool HasShell(const std::string& shell) {
  return RunProcess({"/usr/bin/env", shell, "-c", "true"}).status == 0;
}

// Bash splits words at '=', as COMP_WORDS has them.
TEST(BashCompletionTest, CompletesInARealShell) {
  const auto complete = [](const std::string& words, int index) {
    return Shell("bash", "source <(tunesmith completion bash); COMP_WORDS=(" + words +
                             "); COMP_CWORD=" + std::to_string(index) +
                             "; _tunesmith 2>/dev/null; printf '%s\\n' \"${COMPREPLY[@]}\"")
        .output;
  };
  EXPECT_EQ(complete("tunesmith rec", 1), "recommend\n");
  EXPECT_EQ(complete("tunesmith models -o ''", 3), "table\nwide\njson\nyaml\ncsv\nname\n");
  EXPECT_EQ(complete("tunesmith models --format = js", 4), "json\n");
  EXPECT_THAT(complete("tunesmith recommend --model SmolLM2-1", 3), HasSubstr("SmolLM2-135M\n"));
  EXPECT_THAT(complete("tunesmith recommend --gpus H1", 3), HasSubstr("H100-SXM\n"));
}

TEST(FishCompletionTest, CompletesInARealShell) {
  if (!HasShell("fish")) GTEST_SKIP() << "fish is not installed";
  const ProcessResult result =
      Shell("fish",
            "tunesmith completion fish | source; complete -C 'tunesmith rec'; "
            "complete -C 'tunesmith models --format=js'");
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("recommend\tRank the mixes"));
  EXPECT_THAT(result.output, HasSubstr("--format=json"));
}

// compadd is what zsh's functions end in: a list of candidates, their descriptions apart.
TEST(ZshCompletionTest, CompletesInARealShell) {
  if (!HasShell("zsh")) GTEST_SKIP() << "zsh is not installed";
  const ProcessResult result = Shell(
      "zsh",
      "autoload -Uz compinit && compinit -u -D; source <(tunesmith completion zsh); "
      "_describe() { print -l -- \"$1\" \"${(@P)${:-candidates}}\" }; _files() { print files }; "
      "words=(tunesmith models --format js); CURRENT=4; _tunesmith; "
      "words=(tunesmith recommend --dataset ''); CURRENT=4; _tunesmith; "
      "print ${_comps[tunesmith]}");
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("json:"));
  EXPECT_THAT(result.output, HasSubstr("files\n"));
  EXPECT_THAT(result.output, HasSubstr("_tunesmith\n"));
}

// A shell that completes knows the server from the environment or the configuration file.
TEST(JobCompletionTest, AsksTheServerThatIsConfigured) {
  const ScratchDirectory scratch;
  server::ServerProcess server(scratch.path() + "/data");
  const auto request = server::TestJob(scratch, 1);
  grpc::ClientContext context;
  v1::CreateJobResponse made;
  ASSERT_TRUE(server.jobs().CreateJob(&context, request, &made).ok());
  const std::string file = scratch.File("config.yaml", "server: \"" + server.address() + "\"\n");
  for (const auto& environment : {std::map<std::string, std::string>{{"TUNESMITH_CONFIG", file}},
                                  {{"TUNESMITH_SERVER", server.address()}}}) {
    const ProcessResult result = Tunesmith({"__complete", "jobs", "get", "jobs/"}, environment);
    EXPECT_THAT(result.output, HasSubstr(made.job().name() + "\t"));
  }
}

TEST(CompletionCommandTest, OtherShellsAreRefused) {
  const ProcessResult result = Tunesmith({"completion", "tcsh"});
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.errors, HasSubstr("tcsh"));
}

// What is committed is what the binary knows.
TEST(ReferenceTest, TheCommittedPageIsCurrent) {
  const ProcessResult result = Tunesmith({"__reference"});
  ASSERT_EQ(result.status, 0) << result.errors;
  const auto committed = ReadFile(std::string(TUNESMITH_SOURCE_DIR) + "/docs/reference/cli.md");
  ASSERT_TRUE(committed.ok()) << committed.status();
  EXPECT_TRUE(*committed == result.output)
      << "write it anew: build/bin/tunesmith __reference > docs/reference/cli.md";
}

TEST(ManPageTest, EveryPageIsCleanForMan) {
  if (RunProcess({"/usr/bin/env", "man", "--version"}).status != 0)
    GTEST_SKIP() << "man-db is not installed";
  const ScratchDirectory scratch;
  ASSERT_EQ(Tunesmith({"__man-pages", scratch.path()}).status, 0);
  int page_count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(scratch.path())) {
    const ProcessResult result =
        RunProcess({"/usr/bin/env", "man", "--warnings", "-l", entry.path()},
                   {{"MANPAGER", "cat"}, {"LC_ALL", "C.UTF-8"}, {"MANWIDTH", "100"}});
    EXPECT_EQ(result.status, 0) << entry.path();
    EXPECT_THAT(result.errors, IsEmpty()) << entry.path();
    EXPECT_THAT(result.output, HasSubstr("SYNOPSIS"));
    ++page_count;
  }
  EXPECT_GT(page_count, 20);
  const auto page = ReadFile(scratch.path() + "/tunesmith-jobs-watch.1");
  ASSERT_TRUE(page.ok());
  EXPECT_THAT(*page, HasSubstr("\\-\\-after"));
}

}  // namespace
}  // namespace tunesmith::client
