#include "trainer/cuda/cudnn_attention.h"

#include <cmath>
#include <vector>

#include "common/units.h"
#include "planner/program/workspace.h"
#include "tests/gpu/attention_cases.h"
#include "tests/gpu/twins.h"

// cuDNN's attention against the CPU's flash attention. In the emulation a stand-in computes what the graphs say, operation by operation; only on a device is it
// cuDNN that is tested.
namespace tunesmith::trainer {
namespace {

struct CudnnCase {
  AttentionCase sizes;
  int32_t longest_document =
      0;  // documents of 1 to so many tokens; 0: one for a row, and cuDNN is told
  int64_t window = 0;
};

// Skips where there is no device or cuDNN.
class CudnnAttentionTest : public TwinTest {
 protected:
  static Shape Queries(const AttentionCase& c) {
    return {c.rows * c.context, c.heads * c.head_size};
  }
  static Shape Keys(const AttentionCase& c) {
    return {c.rows * c.context, c.kv_heads * c.head_size};
  }

  static CudnnAttentionShape ShapeOf(const CudnnCase& c) {
    return {.attention = {.context = c.sizes.context,
                          .head_count = c.sizes.heads,
                          .kv_head_count = c.sizes.kv_heads,
                          .head_size = c.sizes.head_size,
                          .scale = 1.0 / std::sqrt(static_cast<double>(c.sizes.head_size)),
                          .window = c.window},
            .rows = c.sizes.rows,
            .documents = c.longest_document > 0};
  }

  // Null, with the test skipped, where cuDNN is not there or of a version that is refused; what it does not take is a failure.
  std::unique_ptr<CudnnAttention> Open(const CudnnCase& c) {
    auto cudnn = CudnnAttention::Create(*cuda_context().cuda, ShapeOf(c), kGiB);
    if (cudnn.ok()) return *std::move(cudnn);
    if (absl::IsUnavailable(cudnn.status()) || absl::IsFailedPrecondition(cudnn.status())) {
      Skip(std::string(cudnn.status().message()));
    } else {
      ADD_FAILURE() << cudnn.status();
    }
    return nullptr;
  }
  static void Skip(const std::string& why) { GTEST_SKIP() << why; }

  Twin& Starts(const CudnnCase& c) {
    const auto context = static_cast<int32_t>(c.sizes.context);
    return Integers(
        "document_starts", {c.sizes.rows * c.sizes.context},
        DocumentStarts(c.sizes, c.longest_document > 0 ? RandomIntegers(64, 1, c.longest_document)
                                                       : std::vector<int32_t>{context}));
  }

  void Check(const CudnnCase& c) {
    const std::unique_ptr<CudnnAttention> cudnn = Open(c);
    if (cudnn == nullptr) return;
    const AttentionShape shape = ShapeOf(c).attention;
    Twin& starts = Starts(c);
    Twin& q = Random("q", Queries(c.sizes), T(), 2.0);
    Twin& k = Random("k", Keys(c.sizes), T());
    Twin& v = Random("v", Keys(c.sizes), T());
    Twin& o = Poisoned("o", Queries(c.sizes), T());
    Twin& log_sum_exp =
        Poisoned("log_sum_exp", {c.sizes.rows * c.sizes.heads, c.sizes.context}, DType::kF32);
    Twin& cpu_workspace = Poisoned(
        "cpu_workspace", {planner::FlashAttentionWorkspaceElements(c.sizes.head_size, 2)}, T());
    // Poisoned, so that what is added up without being cleared shows.
    Twin& workspace =
        Poisoned("workspace", {(cudnn->forward_workspace_bytes() + 3) / 4 + 1}, DType::kF32);
    RunBoth([&](const OpContext& context, auto pick) {
      const bool on_cuda = context.device == planner::BackendKind::kCuda;
      const FlashAttentionArgs args = {.q = pick(q),
                                       .k = pick(k),
                                       .v = pick(v),
                                       .document_starts = pick(starts),
                                       .o = pick(o),
                                       .log_sum_exp = pick(log_sum_exp),
                                       .workspace = pick(on_cuda ? workspace : cpu_workspace),
                                       .shape = shape};
      return on_cuda ? cudnn->Forward(*context.cuda, args) : FlashAttention(context, args);
    });
    // Roundings as in the flash tests: probabilities and the gradients of scores are bf16, and so is o, which moves the deltas.
    const auto terms = static_cast<double>(2 * c.sizes.context + c.sizes.head_size);
    ExpectClose(o, Tolerance(T(), 1, terms));
    // Its exponentials and logarithms are the hardware's.
    ExpectClose(log_sum_exp, 4 * Tolerance(DType::kF32, 0, terms));
    Twin& d_o = Random("d_o", Queries(c.sizes), T());
    Twin& dq = Poisoned("dq", Queries(c.sizes), T());
    Twin& dk = Poisoned("dk", Keys(c.sizes), T());
    Twin& dv = Poisoned("dv", Keys(c.sizes), T());
    Twin& backward_workspace =
        Poisoned("workspace", {(cudnn->backward_workspace_bytes() + 3) / 4 + 1}, DType::kF32);
    RunBoth([&](const OpContext& context, auto pick) {
      const bool on_cuda = context.device == planner::BackendKind::kCuda;
      const FlashAttentionBackwardArgs args = {
          .d_o = pick(d_o),
          .q = pick(q),
          .k = pick(k),
          .v = pick(v),
          .o = pick(o),
          .log_sum_exp = pick(log_sum_exp),
          .document_starts = pick(starts),
          .dq = pick(dq),
          .dk = pick(dk),
          .dv = pick(dv),
          .workspace = pick(on_cuda ? backward_workspace : cpu_workspace),
          .shape = shape};
      return on_cuda ? cudnn->Backward(*context.cuda, args) : FlashAttentionBackward(context, args);
    });
    // Where heads share keys, the gradients of each are rounded before they are added.
    ExpectClose(dv, Tolerance(T(), 2, terms));
    ExpectClose(dq, Tolerance(T(), 3, terms));
    ExpectClose(dk, Tolerance(T(), 4, terms));
  }
};
INSTANTIATE_TEST_SUITE_P(DTypes, CudnnAttentionTest, ::testing::Values(DType::kBF16),
                         DTypeTestName);

// Contexts of less than a tile, of whole tiles, and of a part of one.
TEST_P(CudnnAttentionTest, HeadSizes) {
  for (const AttentionCase& c : {AttentionCase{1, 16, 1, 1, 64}, AttentionCase{2, 192, 2, 2, 64},
                                 AttentionCase{1, 150, 2, 2, 72}, AttentionCase{1, 129, 2, 2, 80},
                                 AttentionCase{1, 70, 2, 2, 96}, AttentionCase{1, 256, 3, 3, 128}})
    Check({.sizes = c});
}

TEST_P(CudnnAttentionTest, Groups) {
  Check({.sizes = {2, 80, 8, 2, 64}});
  Check({.sizes = {1, 300, 7, 1, 128}});
  Check({.sizes = {2, 128, 14, 2, 64}});
}

// Short ones leave tiles of keys that a query sees nothing of; long ones cross tiles.
TEST_P(CudnnAttentionTest, Documents) {
  Check({.sizes = {2, 400, 2, 1, 64}, .longest_document = 5});
  Check({.sizes = {1, 512, 2, 1, 128}, .longest_document = 300});
  Check({.sizes = {1, 333, 4, 4, 80}, .longest_document = 100});
}

TEST_P(CudnnAttentionTest, Windows) {
  Check({.sizes = {1, 400, 2, 1, 64}, .window = 2});
  Check({.sizes = {1, 400, 2, 2, 128}, .window = 129});
  Check({.sizes = {2, 260, 4, 2, 128}, .longest_document = 200, .window = 32});
}

TEST_P(CudnnAttentionTest, RefusesWorkspacesThatAreTooSmall) {
  const CudnnCase c = {.sizes = {1, 64, 2, 1, 64}, .longest_document = 20};
  const std::unique_ptr<CudnnAttention> cudnn = Open(c);
  if (cudnn == nullptr) return;
  Twin& workspace = Poisoned("workspace", {1}, DType::kF32);
  EXPECT_TRUE(absl::IsResourceExhausted(
      cudnn->Forward(*cuda_context().cuda, {.workspace = workspace.cuda})));
  EXPECT_TRUE(absl::IsResourceExhausted(
      cudnn->Backward(*cuda_context().cuda, {.workspace = workspace.cuda})));
}

}  // namespace
}  // namespace tunesmith::trainer
