#include <dlfcn.h>

#include <cstdio>
#include <string>
#include <tuple>
#include <vector>

#include "common/str_cat.h"
#include "common/units.h"
#include "gmock/gmock.h"
#include "tests/trainer/cuda/described_devices.h"
#include "trainer/cuda/attention_plans.h"
#include "trainer/cuda/cudnn.h"

// cuDNN's own judgement of the graphs, for devices that are described to it: its heuristics know an engine, its compiler takes the kernels, and the workspaces are
// what is planned with. Nothing runs, so that nothing is said of results: tests/gpu/cudnn_attention_test.cc does that on a device.
namespace tunesmith::trainer {
namespace {

using ::testing::HasSubstr;

TEST(CudnnVersionTest, RefusesWhatIsFaultyOrUnknown) {
  EXPECT_TRUE(CheckCudnnVersion(91900).ok());
  EXPECT_TRUE(CheckCudnnVersion(91501).ok());
  for (const int64_t version : {91500, 91400, 91000, 90501, 8907, 100000}) {
    const absl::Status status = CheckCudnnVersion(version);
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << version;
    EXPECT_THAT(std::string(status.message()), HasSubstr("install cuDNN 9.15.1"));
  }
}

// A driver of this host would refuse kernels of other devices.
std::string WhyNoPlans() {
  static const auto* const reason = new std::string([]() -> std::string {
    if (dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) != nullptr)
      return "this host has a CUDA driver: tunesmith-gpu-tests has the tests for it";
    if (dlopen(TUNESMITH_CUDA_DRIVER_STUB, RTLD_NOW | RTLD_LOCAL) == nullptr) return dlerror();
    return std::string(LoadCudnn().status().message());
  }());
  return *reason;
}

struct PlanCase {
  int64_t rows, context, heads, kv_heads, head_size;
  int64_t window = 0;
  bool documents = false;
  bool side_by_side = false;  // q, k and v are columns of one matrix, and so are their gradients
};

// Each head size, each grouping, each context, each mask, each layout, together with others in turn.
const std::vector<PlanCase> kCases = {
    {4, 4096, 32, 8, 128},
    {4, 4096, 32, 8, 128, 0, true, true},
    {4, 4096, 32, 8, 128, 1024},
    {4, 4096, 32, 8, 128, 1024, true, true},
    {1, 16384, 32, 8, 128, 0, true},
    {8, 1024, 14, 2, 64},
    {8, 1024, 14, 2, 64, 0, true, true},
    {2, 4096, 14, 2, 64, 1024, true},
    {2, 1000, 32, 8, 64, 0, true},
    {2, 1024, 32, 32, 80},
    {2, 1000, 32, 32, 80, 0, true, true},
    {2, 4096, 32, 32, 80, 1024, true},
    {2, 1000, 14, 2, 96, 0, true, true},
    {2, 1024, 32, 32, 96, 0, true},
    {2, 4096, 32, 8, 96, 1024},
    {2, 1000, 32, 32, 128, 0, true},
    {2, 1000, 14, 2, 128},
    {3, 37, 6, 2, 72, 5, true, true},
};

CudnnAttentionShape ShapeOf(const PlanCase& c) {
  const int64_t stride = c.side_by_side ? (c.heads + 2 * c.kv_heads) * c.head_size : 0;
  return {.attention = {.context = c.context,
                        .head_count = c.heads,
                        .kv_head_count = c.kv_heads,
                        .head_size = c.head_size,
                        .window = c.window},
          .rows = c.rows,
          .query_stride = stride,
          .key_stride = stride,
          .documents = c.documents};
}

std::string NameOf(const PlanCase& c) {
  return StrCat(c.rows, "x", c.context, "_h", c.heads, "k", c.kv_heads, "d", c.head_size,
                c.window > 0 ? StrCat("_w", c.window) : "", c.documents ? "_documents" : "",
                c.side_by_side ? "_side_by_side" : "");
}

absl::StatusOr<AttentionPlans> PlansFor(const DescribedDevice& device,
                                        const CudnnAttentionShape& shape,
                                        const AttentionWorkspaces& workspaces) {
  const Cudnn& cudnn = **LoadCudnn();
  const absl::StatusOr<CudnnPointer> described = DescribeCudnnDevice(cudnn, device.json);
  if (!described.ok()) return described.status();
  return MakeAttentionPlans(cudnn, shape, {.device = described->get()}, workspaces);
}

class CudnnPlansTest : public ::testing::TestWithParam<std::tuple<size_t, size_t>> {
 protected:
  void SetUp() override {
    if (const std::string reason = WhyNoPlans(); !reason.empty()) GTEST_SKIP() << reason;
  }
  const DescribedDevice& device() const { return DescribedDevices()[std::get<0>(GetParam())]; }
  const PlanCase& plan_case() const { return kCases[std::get<1>(GetParam())]; }
};

TEST_P(CudnnPlansTest, HavePlansWithinWhatProgramsPlan) {
  const PlanCase& c = plan_case();
  const CudnnAttentionShape shape = ShapeOf(c);
  const auto plans =
      PlansFor(device(), shape, PlannedWorkspaces(shape, device().compute_capability));
  ASSERT_TRUE(plans.ok()) << plans.status();
  std::printf(
      "%s %s: forward engine %d, %d operations, %lld bytes; backward engine %d, %d "
      "operations, %lld bytes\n",
      device().name.c_str(), NameOf(c).c_str(), static_cast<int>(plans->forward.engine),
      static_cast<int>(plans->forward.graph.operation_count),
      static_cast<long long>(plans->forward_workspace_bytes()),
      static_cast<int>(plans->backward.engine),
      static_cast<int>(plans->backward.graph.operation_count),
      static_cast<long long>(plans->backward_workspace_bytes()));
}

std::string TestName(const ::testing::TestParamInfo<std::tuple<size_t, size_t>>& info) {
  return StrCat(DescribedDevices()[std::get<0>(info.param)].name, "_",
                NameOf(kCases[std::get<1>(info.param)]));
}

INSTANTIATE_TEST_SUITE_P(Devices, CudnnPlansTest,
                         ::testing::Combine(::testing::Range(size_t{0}, DescribedDevices().size()),
                                            ::testing::Range(size_t{0}, kCases.size())),
                         TestName);

class CudnnRefusalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = WhyNoPlans(); !reason.empty()) GTEST_SKIP() << reason;
  }
  const DescribedDevice& h100 = DescribedDevices()[0];
  const DescribedDevice& a100 = DescribedDevices()[1];
};

// What is planned is needed: dq's sums and, where heads share keys, the gradients of each.
TEST_F(CudnnRefusalTest, WorkspacesThatAreTooSmall) {
  const CudnnAttentionShape shape = ShapeOf({4, 4096, 32, 8, 128});
  AttentionWorkspaces small = PlannedWorkspaces(shape, h100.compute_capability);
  small.backward.end = small.backward.cudnn + (small.backward.end - small.backward.cudnn) / 2;
  const auto plans = PlansFor(h100, shape, small);
  EXPECT_TRUE(absl::IsResourceExhausted(plans.status())) << plans.status();
  EXPECT_THAT(std::string(plans.status().message()), HasSubstr("attention backward"));
}

// Heads of 256 have gradients on sm_90 alone; the reason is cuDNN's. The planner asks for none elsewhere.
TEST_F(CudnnRefusalTest, ShapesWithoutAnEngine) {
  const CudnnAttentionShape wide = ShapeOf({2, 1024, 16, 8, 256, 0, true});
  EXPECT_TRUE(PlansFor(h100, wide, PlannedWorkspaces(wide, h100.compute_capability)).ok());
  const absl::Status refused =
      PlansFor(a100, wide, PlannedWorkspaces(wide, a100.compute_capability)).status();
  EXPECT_TRUE(absl::IsUnimplemented(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("128"));
  for (const DescribedDevice* device : {&h100, &a100}) {
    EXPECT_EQ(planner::CheckCudnnTakes(AttributesOf(wide), DType::kBF16, wide.rows,
                                       device->compute_capability)
                  .ok(),
              device == &h100);
  }
}

TEST_F(CudnnRefusalTest, ShapesThatAreNotAsked) {
  CudnnAttentionShape capped = ShapeOf({2, 1024, 16, 8, 128});
  capped.attention.soft_cap = 30.0;
  EXPECT_TRUE(
      absl::IsUnimplemented(PlansFor(h100, capped, PlannedWorkspaces(capped, 90)).status()));
}

}  // namespace
}  // namespace tunesmith::trainer
