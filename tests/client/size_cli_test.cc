#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nlohmann/json.hpp"
#include "tests/client/command.h"

// tunesmith size, and recommend with prices and clusters: exit statuses and output, by the linked planner and by a server.
namespace tunesmith::client {
namespace {

using server::ProcessResult;
using server::ScratchDirectory;
using server::ServerProcess;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using Arguments = std::vector<std::string>;

ProcessResult Ask(const std::string& command, const Arguments& more,
                  const std::string& server = "") {
  Arguments arguments = {command};
  if (server.empty()) arguments.insert(arguments.begin(), "--offline");
  arguments.insert(arguments.end(), {"--model", "SmolLM2-135M", "--batch", "32"});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return Tunesmith(arguments, {{"TUNESMITH_SERVER", server}});
}

ProcessResult Size(Arguments more, const std::string& server = "") {
  more.insert(more.begin(), {"--context", "512", "--method", "lora"});
  return Ask("size", more, server);
}

// Hours of the only count of devices that is asked about.
double Hours(const char* devices) {
  const ProcessResult result =
      Ask("recommend", {"--context", "512", "--method", "lora", "--gpus", devices,
                        "--dataset-tokens", "1000000000", "-o", "json"});
  EXPECT_EQ(result.status, 0) << result.errors;
  return Json(result)["ranked"][0]["prediction"]["time"]["total_hours"].get<double>();
}

const Arguments kData = {"--dataset-tokens", "1000000000"};

Arguments WithData(Arguments more) {
  more.insert(more.end(), kData.begin(), kData.end());
  return more;
}

TEST(SizeCliTest, FewestDevicesForADeadlineAgreeWithRecommend) {
  const double two = Hours("2xL4");
  const std::string minutes = std::to_string(static_cast<int>(two * 60) + 2) + "m";
  const ProcessResult result = Size(WithData({"--gpus", "L4", "--deadline", minutes}));
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_THAT(result.errors, IsEmpty());
  for (const char* text : {"* chosen: fewest devices among the counts that finish within",
                           "too late", "too long", "device-hours", "2 devices more", "binds at:",
                           "not possible: 24 devices; of the first: rows per step(32) % "
                           "devices(24) = 8"})
    EXPECT_THAT(result.output, HasSubstr(text));
  EXPECT_THAT(result.output, Not(HasSubstr("cost")));
  const nlohmann::json json =
      Json(Size(WithData({"--gpus", "L4", "--deadline", minutes, "-o", "json"})));
  for (const nlohmann::json& tried : json["device_counts"]["tried"]) {
    if (tried["rank"] != "1") continue;
    EXPECT_EQ(tried["device_count"], "2");
    EXPECT_DOUBLE_EQ(tried["best"]["prediction"]["time"]["total_hours"].get<double>(), two);
    EXPECT_DOUBLE_EQ(tried["best"]["device_hours"].get<double>(), 2 * two);
  }
  EXPECT_EQ(json["device_counts"]["plan"]["inputs"]["devices"]["device_count"], "2");
}

TEST(SizeCliTest, NothingInTimeIsStatus3WithTheNearest) {
  const ProcessResult result = Size(WithData({"--gpus", "L4", "--deadline", "1s"}));
  EXPECT_EQ(result.status, 3) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("no count that was tried finishes within 1.00 s; "
                                       "nearest: 32 x L4 in 4 nodes takes"));
}

TEST(SizeCliTest, TheCheapestKindAndCountIsChosenAndTheRunnerUpNamed) {
  const Arguments asked =
      WithData({"--price", "H100=2.99", "--price", "L4=0.7", "--max-devices", "8"});
  const ProcessResult result = Size(asked);
  EXPECT_EQ(result.status, 0) << result.errors;
  for (const char* text : {"* chosen: least cost for the data set among the counts that fit; next:",
                           "more", "H100-SXM", "L4", "cost"})
    EXPECT_THAT(result.output, HasSubstr(text));
  const double least = std::min(Hours("H100") * 2.99, Hours("L4") * 0.7);
  Arguments as_json = asked;
  as_json.insert(as_json.end(), {"-o", "json"});
  const nlohmann::json tried = Json(Size(as_json))["device_counts"]["tried"];
  double cheapest = 0;
  for (const nlohmann::json& t : tried) {
    if (t["rank"] == "1") cheapest = t["best"]["cost"].get<double>();
  }
  EXPECT_DOUBLE_EQ(cheapest, least) << "one device shares nothing and waits for nobody";
}

TEST(SizeCliTest, PricesMayBeAFile) {
  const ScratchDirectory scratch;
  const std::string path = scratch.File("prices.json", R"({"L4": 0.7, "H100": 2.99})");
  const ProcessResult flags = Size(WithData(
      {"--gpus", "L4,H100", "--price", "L4=0.7", "--price", "H100=2.99", "--max-devices", "4"}));
  const ProcessResult file =
      Size(WithData({"--gpus", "L4,H100", "--prices", path, "--max-devices", "4"}));
  EXPECT_EQ(file.status, 0) << file.errors;
  EXPECT_EQ(file.output, flags.output);
}

TEST(SizeCliTest, LongestContextSaysWhatBinds) {
  const ProcessResult whole =
      Ask("size", {"--longest-context", "--method", "lora", "--gpus", "A100-80GB"});
  EXPECT_EQ(whole.status, 0) << whole.errors;
  EXPECT_THAT(whole.output, HasSubstr("longest context: 8192 tokens"));
  EXPECT_THAT(whole.output, HasSubstr("The model's own limit binds, not memory: 8192 tokens."));
  const Arguments little = {"--longest-context", "--method",        "lora",   "--gpus",
                            "A100-80GB",         "--memory-budget", "1060MiB"};
  const ProcessResult result = Ask("size", little);
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("tokens the smallest mix needs"));
  Arguments as_json = little;
  as_json.insert(as_json.end(), {"-o", "json"});
  const nlohmann::json answer = Json(Ask("size", as_json))["longest_context"];
  const int64_t context = std::stoll(answer["context"].get<std::string>());
  EXPECT_EQ(context % 256, 0);
  for (const int64_t at : {context, context + 256}) {
    const ProcessResult there =
        Ask("recommend", {"--context", std::to_string(at), "--documents-per-row", "64", "--method",
                          "lora", "--gpus", "A100-80GB", "--memory-budget", "1060MiB"});
    EXPECT_EQ(there.status, at == context ? 0 : 3) << at << there.errors;
  }
}

TEST(SizeCliTest, ServerAndLinkedPlannerSayTheSame) {
  const ScratchDirectory scratch;
  ServerProcess server(scratch.path() + "/data");
  const Arguments counts =
      WithData({"--price", "H100=2.99", "--deadline", "2d", "--max-devices", "8", "-o", "json"});
  const ProcessResult served = Size(counts, server.address());
  EXPECT_EQ(served.status, 0) << served.errors;
  EXPECT_EQ(served.output, Size(counts).output);
  const Arguments context = {"--longest-context", "--gpus", "L4", "-o", "json"};
  EXPECT_EQ(Ask("size", context, server.address()).output, Ask("size", context).output);
  const ProcessResult bad = Size({"--gpus", "H10", "--max-devices", "4"}, server.address());
  EXPECT_EQ(bad.status, 7);
  EXPECT_THAT(bad.errors, HasSubstr("did you mean"));
}

TEST(SizeCliTest, BadInputsNameTheThing) {
  const struct {
    Arguments arguments;
    int status;
    const char* says;
  } cases[] = {
      {{"--gpus", "L4", "--deadline", "8h"}, 2, "--dataset-tokens"},
      {{"--price", "L4=1"}, 2, "--dataset-tokens"},
      {WithData({"--gpus", "L4", "--deadline", "0h"}), 2, "--deadline: \"0h\" is not a time"},
      {WithData({"--gpus", "L4", "--deadline", "-8h"}), 2, "\"-8h\" is not a time"},
      {WithData({"--gpus", "L4", "--deadline", "8"}), 2, "such as 8h"},
      {WithData({"--gpus", "L4", "--price", "L40=1"}), 2,
       "price of L40: that kind is not asked about; did you mean 'L4'"},
      {WithData({"--gpus", "L4,H100", "--price", "L4=1"}), 2, "H100 has no price while others"},
      {WithData({"--gpus", "L4,H100", "--price", "1"}), 2, "name its device, such as L4=1"},
      {WithData({"--gpus", "L4", "--price", "L4=0"}), 2, "\"L4=0\" is not a number above 0"},
      {WithData({"--gpus", "L4", "--price", "L4=1", "--price", "L4=2"}), 2, "two prices"},
      {WithData({"--gpus", "L4", "--prices", "/absent.json"}), 7, "/absent.json"},
      {{}, 2, "--gpus is missing"},
      {{"--gpus", "H10"}, 7, "no device 'H10'"},
      {{"--gpus", "L4", "--objective", "memory"}, 2, "objective must be time"},
      {{"--gpus", "L4", "--longest-context"}, 2, "--context"},
      {{"--gpus", "L4", "--cluster", "/absent"}, 2, "--cluster"},
      {{"--cluster", "/absent.json"}, 7, "/absent.json"},
      {{"--gpus", "L4", "--micro-batch", "64"}, 2, "pinned micro_batch(64)"},
  };
  for (const auto& bad : cases) {
    const ProcessResult result = Size(bad.arguments);
    EXPECT_EQ(result.status, bad.status) << result.errors << bad.says;
    EXPECT_THAT(result.errors, HasSubstr(bad.says));
    EXPECT_THAT(result.output, IsEmpty());
  }
}

TEST(SizeCliTest, RecommendTellsTheCostWhereAPriceIsGiven) {
  const Arguments asked = WithData({"--context", "512", "--gpus", "2xL4"});
  Arguments priced = asked;
  priced.insert(priced.end(), {"--price", "0.7"});
  EXPECT_THAT(Ask("recommend", priced).output, HasSubstr("device-hours, cost "));
  EXPECT_THAT(Ask("recommend", asked).output, Not(HasSubstr("cost")));
  priced.insert(priced.end(), {"-o", "json"});
  for (const nlohmann::json& mix : Json(Ask("recommend", priced))["ranked"]) {
    const double hours = mix["prediction"]["time"]["total_hours"].get<double>();
    EXPECT_DOUBLE_EQ(mix["device_hours"].get<double>(), 2 * hours);
    EXPECT_DOUBLE_EQ(mix["cost"].get<double>(), 2 * hours * 0.7);
  }
  const ProcessResult unsized =
      Ask("recommend", {"--context", "512", "--gpus", "L4", "--price", "1"});
  EXPECT_EQ(unsized.status, 2);
  EXPECT_THAT(unsized.errors, HasSubstr("--price needs the size of the data set"));
}

TEST(SizeCliTest, AClusterIsAskedKindByKind) {
  const ScratchDirectory scratch;
  const std::string path = scratch.File("cluster.json", R"({"nodes": [
    {"name": "a", "count": 2, "device": "H100", "device_count": 2, "network_gigabits_per_second": 400},
    {"name": "b", "device": "L4", "device_count": 4, "network_gigabits_per_second": 100,
     "host_memory_gib": 64}]})");
  const Arguments asked = {"--context", "512", "--cluster", path};
  const ProcessResult both = Ask("recommend", asked);
  EXPECT_EQ(both.status, 0) << both.errors;
  EXPECT_THAT(both.output, HasSubstr("== 2 nodes of 2 x H100-SXM\n"));
  EXPECT_THAT(both.output, HasSubstr("== a node of 4 x L4\n"));
  Arguments as_json = asked;
  as_json.insert(as_json.end(), {"-o", "json"});
  const nlohmann::json answers = Json(Ask("recommend", as_json));
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[0]["inputs"]["devices"]["network_bytes_per_second"], 50e9);
  EXPECT_EQ(answers[1]["inputs"]["host_memory_budget_bytes"], std::to_string(int64_t{16} << 30));
  const nlohmann::json tried =
      Json(Size({"--cluster", path, "-o", "json"}))["device_counts"]["tried"];
  std::vector<std::string> counts;
  for (const nlohmann::json& t : tried)
    counts.push_back(t["device_name"].get<std::string>() + " " +
                     t["device_count"].get<std::string>());
  EXPECT_THAT(counts, ::testing::ElementsAre("H100-SXM 1", "H100-SXM 2", "H100-SXM 4", "L4 1",
                                             "L4 2", "L4 4"));
  const std::string bad = scratch.File("bad.json", R"({"nodes": [
    {"name": "a", "device": "H100", "network_gigabits_per_second": 400},
    {"name": "gpu7", "device": "H100"}]})");
  const ProcessResult refused = Ask("recommend", {"--context", "512", "--cluster", bad});
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.errors, HasSubstr("node 2 'gpu7' has no network"));
}

TEST(SizeCliTest, APlanOfTheChoiceIsWritten) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/plan.json";
  const ProcessResult result = Size({"--gpus", "L4", "--max-devices", "2", "--plan-out", path});
  EXPECT_EQ(result.status, 0) << result.errors;
  EXPECT_THAT(result.errors, HasSubstr("plan written to"));
}

TEST(SizeCliTest, MoreDevicesAreOfferedWhereNothingFits) {
  const ProcessResult result =
      Tunesmith({"--offline", "recommend", "--model", "Llama-3.1-8B", "--context", "4096", "--gpus",
                 "A100-80GB", "--method", "full", "--batch", "16"});
  EXPECT_EQ(result.status, 3) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("devices instead of 1."));
}

}  // namespace
}  // namespace tunesmith::client
