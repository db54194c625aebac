#include "server/operations/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "server/operations/call_metrics.h"
#include "server/operations/server_metrics.h"
#include "tests/server/server_process.h"

namespace tunesmith::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(MetricsTest, TextHasEveryFigureUnderOneHeader) {
  Metrics metrics;
  metrics.CounterOf("b_total", "Of b.", {{"x", "1"}}).Add(3);
  metrics.CounterOf("b_total", "Of b.", {{"x", "1"}}).Add();
  metrics.CounterOf("b_total", "Of b.", {{"x", "2"}}).Add();
  metrics.GaugeOf("a", "Of a.").Set(-0.5);
  EXPECT_EQ(
      metrics.Text(),
      "# HELP a Of a.\n# TYPE a gauge\na -0.5\n"
      "# HELP b_total Of b.\n# TYPE b_total counter\nb_total{x=\"1\"} 4\nb_total{x=\"2\"} 1\n");
}

TEST(MetricsTest, LabelsAreEscaped) {
  Metrics metrics;
  metrics.GaugeOf("a", "Of a.", {{"x", "\"\\\n"}}).Set(1);
  EXPECT_THAT(metrics.Text(), HasSubstr("a{x=\"\\\"\\\\\\n\"} 1\n"));
}

TEST(MetricsTest, AHistogramsBucketsSumUp) {
  Metrics metrics;
  Histogram& histogram = metrics.HistogramOf("h_seconds", "Of h.", {{"x", "1"}});
  for (const double seconds : {0.0001, 0.002, 0.002, 1000.0}) histogram.Observe(seconds);
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("h_seconds_bucket{x=\"1\",le=\"0.0001\"} 1\n"))
      << "bounds are included";
  EXPECT_THAT(text, HasSubstr("h_seconds_bucket{x=\"1\",le=\"0.001\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("h_seconds_bucket{x=\"1\",le=\"0.003\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("h_seconds_bucket{x=\"1\",le=\"100\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("h_seconds_bucket{x=\"1\",le=\"+Inf\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("h_seconds_count{x=\"1\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("h_seconds_sum{x=\"1\"} 1000.0"));
}

TEST(MetricsTest, CollectorsRunBeforeATextUntilTheirHandleGoes) {
  Metrics metrics;
  int count = 0;
  auto handle = metrics.Collect([&] { metrics.GaugeOf("a", "Of a.").Set(++count); });
  EXPECT_THAT(metrics.Text(), HasSubstr("a 1\n"));
  EXPECT_THAT(metrics.Text(), HasSubstr("a 2\n"));
  handle.reset();
  EXPECT_THAT(metrics.Text(), HasSubstr("a 2\n"));
}

TEST(MetricsTest, CountsOfManyThreadsAreAllThere) {
  Metrics metrics;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 10000; ++n) metrics.CounterOf("a_total", "Of a.").Add();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(metrics.CounterOf("a_total", "Of a.").value(), 40000);
}

TEST(CallMetricsTest, WhatUsersSendMakesNoNewLabels) {
  Metrics metrics;
  CallRecord record;
  record.method = "/tunesmith.v1.JobService/GetJob";
  record.code = absl::StatusCode::kNotFound;
  record.duration = absl::Milliseconds(2);
  CountCall(metrics, record);
  for (const char* method :
       {"/evil/One", "/evil/Two", "", "/", "x", "/grpc.health.v1.Health/Evil"}) {
    record.method = method;
    CountCall(metrics, record);
  }
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("grpc_server_handled_total{grpc_service=\"tunesmith.v1.JobService\","
                              "grpc_method=\"GetJob\",grpc_code=\"NOT_FOUND\"} 1\n"));
  EXPECT_THAT(
      text, HasSubstr("grpc_server_handled_total{grpc_service=\"unknown\",grpc_method=\"unknown\","
                      "grpc_code=\"NOT_FOUND\"} 6\n"));
  EXPECT_THAT(text, Not(HasSubstr("vil")));
}

// Their time is not that of calls, and there may be floods of them.
TEST(CallMetricsTest, CallsThatWereRefusedAtTheDoorHaveNoTime) {
  Metrics metrics;
  CallRecord record;
  record.method = "/tunesmith.v1.JobService/GetJob";
  record.code = absl::StatusCode::kUnauthenticated;
  CountCall(metrics, record);
  EXPECT_THAT(metrics.Text(), HasSubstr("grpc_code=\"UNAUTHENTICATED\"} 1\n"));
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("grpc_server_handling_seconds")));
}

// promtool is of Debian's package prometheus.
TEST(MetricsTest, PromtoolHasNothingToSay) {
  const char promtool[] = "/usr/bin/promtool";
  if (!std::filesystem::exists(promtool)) GTEST_SKIP() << "no promtool; ./dev setup installs it";
  Metrics metrics;
  CountCall(metrics,
            {.method = "/tunesmith.v1.JobService/GetJob", .duration = absl::Milliseconds(2)});
  TellBuild(metrics);
  TellDrift(metrics, "step_seconds", 1.02);
  const ScratchDirectory scratch;
  const std::string path = scratch.File("metrics", metrics.Text());
  const ProcessResult result =
      RunProcess({"/bin/sh", "-c", "exec /usr/bin/promtool check metrics < \"$0\"", path});
  EXPECT_EQ(result.status, 0) << result.errors << result.output;
  const std::string bad = scratch.File("bad", "# HELP a A.\n# TYPE a counter\na 1\n");
  EXPECT_NE(
      RunProcess({"/bin/sh", "-c", "exec /usr/bin/promtool check metrics < \"$0\"", bad}).status,
      0);
}

}  // namespace
}  // namespace tunesmith::server
