#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "nlohmann/json.hpp"
#include "tests/client/command.h"

// explain, compare, report, export and pictures as users have them.
namespace tunesmith::client {
namespace {

using server::BinaryPath;
using server::ProcessResult;
using server::RunProcess;
using server::ScratchDirectory;
using server::ServerProcess;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> Ask(const std::string& verb, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {verb,        "--offline", "--model", "SmolLM2-135M",
                                        "--context", "256",       "--gpus",  "A100-80GB",
                                        "--batch",   "8"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

class ReportTest : public ::testing::Test {
 protected:
  std::string Plan(const std::string& name, const std::vector<std::string>& flags = {}) {
    const std::string path = scratch_.path() + "/" + name;
    std::vector<std::string> arguments = Ask("recommend", flags);
    arguments.insert(arguments.end(), {"--plan-out", path});
    EXPECT_EQ(Tunesmith(arguments).status, 0);
    return path;
  }

  // What a browser has to say about a page: nothing, where all is well.
  static void ExpectQuietInBrowser(const std::string& html) {
    if (RunProcess({"/usr/bin/env", "chromium", "--version"}).status != 0)
      GTEST_SKIP() << "chromium is not installed: ./dev setup --browser";
    const ProcessResult result =
        RunProcess({"/usr/bin/env", "chromium", "--headless", "--no-sandbox", "--disable-gpu",
                    "--enable-logging=stderr", "--dump-dom", "file://" + html});
    EXPECT_THAT(result.output, AllOf(HasSubstr("<svg"), HasSubstr("</html>")));
    EXPECT_THAT(result.errors, Not(HasSubstr("CONSOLE")));
  }

  ScratchDirectory scratch_;
};

TEST_F(ReportTest, APlanIsOnePageThatLoadsNothing) {
  const std::string html = scratch_.path() + "/r.html";
  const ProcessResult result =
      Tunesmith({"report", "--offline", "--plan", Plan("plan.json"), "--html", html});
  ASSERT_EQ(result.status, 0) << result.errors;
  const std::string page = *ReadFile(html);
  for (const char* text : {"SmolLM2-135M", "Memory of a device by class", "backward of layer 29",
                           "Time of a step by stream", "Step time and memory", "not chosen"})
    EXPECT_TRUE(page.find(text) != std::string::npos) << text;
  for (const char* text : {"src=", "http://www.w3.org/2000/svg\" onload", "<script", "@import"})
    EXPECT_TRUE(page.find(text) == std::string::npos) << text;
  ExpectQuietInBrowser(html);
}

TEST_F(ReportTest, AJobHasItsCurvesAndWhatWasMeasured) {
  ServerProcess server(scratch_.path() + "/data");
  grpc::ClientContext context;
  v1::CreateJobResponse made;
  const auto request = server::TestJob(scratch_, 5);
  ASSERT_TRUE(server.jobs().CreateJob(&context, request, &made).ok());
  server.WaitFor(made.job().name());
  const std::string html = scratch_.path() + "/job.html";
  const ProcessResult result =
      Tunesmith({"report", made.job().name(), "--html", html, "--server", server.address()});
  ASSERT_EQ(result.status, 0) << result.errors;
  const std::string page = *ReadFile(html);
  for (const char* text :
       {"Predicted and measured", "aria-label=\"Loss\"", "Throughput", "SUCCEEDED"})
    EXPECT_TRUE(page.find(text) != std::string::npos) << text;
  ExpectQuietInBrowser(html);
  EXPECT_EQ(
      Tunesmith({"report", "jobs/job-99", "--html", html, "--server", server.address()}).status, 7);
}

TEST_F(ReportTest, WithoutAPlanOrAJobTheCureIsSaid) {
  const ProcessResult result = Tunesmith({"report", "--offline", "--html", "/tmp/x.html"});
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.errors, HasSubstr("--plan FILE"));
  const std::string other = scratch_.File("other.json", "{}");
  const ProcessResult none =
      Tunesmith({"report", "--offline", "--plan", other, "--html", scratch_.path() + "/x.html"});
  EXPECT_EQ(none.status, 2);
  EXPECT_THAT(none.errors, AllOf(HasSubstr("other.json"), HasSubstr("--plan-out")));
}

TEST_F(ReportTest, ExplainOfAPlanIsThatOfItsQuestion) {
  const std::string plan = Plan("plan.json", {"--method", "lora"});
  const ProcessResult by_plan = Tunesmith({"explain", "--offline", "--plan", plan}),
                      by_flags = Tunesmith(Ask("explain", {"--method", "lora"}));
  EXPECT_EQ(by_plan.status, 0) << by_plan.errors;
  EXPECT_THAT(by_plan.output, AllOf(HasSubstr("method=lora:r16"), HasSubstr("not chosen")));
  EXPECT_EQ(by_plan.output, by_flags.output);
}

TEST_F(ReportTest, CompareTakesPlansAndMixes) {
  const std::string plan = Plan("plan.json", {"--method", "lora"});
  std::vector<std::string> arguments = Ask("compare", {"--plan", plan, "--mix"});
  arguments.push_back(
      "method=full precision=bf16 zero_stage=0 recompute=block:30 attention=flash loss=chunked "
      "batch=1x8");
  const ProcessResult result = Tunesmith(arguments);
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_THAT(result.output, AllOf(HasSubstr("lora:r16"), HasSubstr("block:30"),
                                   HasSubstr("step, to the first"), HasSubstr(plan)));
  arguments.insert(arguments.end(), {"-o", "json"});
  const nlohmann::json json = Json(Tunesmith(arguments));
  EXPECT_EQ(json["compared"].size(), 2u);
  const ProcessResult one = Tunesmith({"compare", "--offline", "--plan", plan});
  EXPECT_EQ(one.status, 2);
  EXPECT_THAT(one.errors, HasSubstr("at least two"));
}

TEST_F(ReportTest, ExportWritesTheFilesOfAStack) {
  const std::string directory = scratch_.path() + "/config";
  const ProcessResult result =
      Tunesmith({"export", "--offline", "--runtime", "deepspeed", "--model", "Llama-2-7b-hf",
                 "--gpus", "8xA100-80GB", "--context", "2048", "--export", directory});
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_THAT(*ReadFile(directory + "/deepspeed.json"), HasSubstr("zero_optimization"));
  EXPECT_EQ(Tunesmith(Ask("export")).status, 2);
}

TEST_F(ReportTest, PicturesAreDrawnWhereTheyAreWanted) {
  const ProcessResult plain = Tunesmith(Ask("recommend", {"--pareto", "4"})),
                      drawn = Tunesmith(Ask("recommend", {"--pareto", "4", "--pictures"}));
  EXPECT_THAT(plain.output, Not(HasSubstr("memory of each mix")));
  EXPECT_THAT(drawn.output,
              AllOf(HasSubstr("memory of each mix"), HasSubstr("   1 |"), HasSubstr("+----")));
  EXPECT_THAT(drawn.output, Not(HasSubstr("\x1b[")));
  EXPECT_THAT(Tunesmith(Ask("recommend", {"--color", "always"})).output, HasSubstr("\x1b[1;32m*"));
}

// On a terminal, by script(1): colour and bars unasked, none where NO_COLOR is set.
TEST_F(ReportTest, ATerminalHasColourUnlessToldOtherwise) {
  const std::string command =
      BinaryPath("tunesmith") +
      " recommend --offline --model SmolLM2-135M --context 256 --gpus A100-80GB";
  const auto on_terminal = [&](const std::string& environment) {
    return RunProcess({"/usr/bin/env", "script", "-qec", environment + " " + command, "/dev/null"},
                      {{"TERM", "xterm"}})
        .output;
  };
  EXPECT_THAT(on_terminal(""), AllOf(HasSubstr("\x1b["), HasSubstr("memory of each mix")));
  EXPECT_THAT(on_terminal("NO_COLOR=1"),
              AllOf(Not(HasSubstr("\x1b[")), HasSubstr("memory of each")));
  EXPECT_THAT(on_terminal("TERM=dumb"), Not(HasSubstr("\x1b[")));
}

}  // namespace
}  // namespace tunesmith::client
