#include <gtest/gtest.h>

#include <string>

#include "tests/benchmarks/accuracy_points.h"

namespace tunesmith {
namespace {

// What `./dev bench accuracy --save` measured on a host, and how good predictions of it are. A change that makes them worse fails; one that makes them better
// lowers the bar in the same commit. All were measured before projections of one input were one product (ADR 34), and what is replayed are the programs of
// today: up to half a per cent of the errors is that.
struct Bar {
  const char* file;
  double mean_error, worst_error, covered_share;
};
constexpr Bar kBars[] = {{"xeon-2-processors.json", 0.0555, 0.2, 0.88},
                         {"epyc-2-processors.json", 0.025, 0.101, 0.98},
                         {"epyc-2-processors-bf16.json", 0.093, 0.244, 0.97}};

TEST(ReplayTest, PredictionsAreAsGoodAsTheyWere) {
  for (const Bar& bar : kBars) {
    const auto host = ReadMeasuredHost(std::string("tests/profiler/testdata/") + bar.file);
    ASSERT_TRUE(host.ok()) << host.status();
    const auto replayed = ReplayHost(*host);
    ASSERT_TRUE(replayed.ok()) << replayed.status();
    EXPECT_LE(replayed->mean_error, bar.mean_error) << bar.file;
    EXPECT_LE(replayed->worst_error, bar.worst_error) << bar.file;
    EXPECT_GE(replayed->covered_share, bar.covered_share) << bar.file;
  }
}

}  // namespace
}  // namespace tunesmith
