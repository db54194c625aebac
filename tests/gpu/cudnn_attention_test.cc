#include "trainer/cuda/cudnn_attention.h"

#include <cmath>
#include <vector>

#include "common/str_cat.h"
#include "planner/program/workspace.h"
#include "tests/gpu/attention_cases.h"
#include "tests/gpu/twins.h"
#include "trainer/cuda/cudnn_engines.h"

// cuDNN's attention against the CPU's flash attention. In the emulation a stand-in computes what the graphs say, operation by operation; only on a device is it
// cuDNN that is tested.
namespace tunesmith::trainer {
namespace {

struct CudnnCase {
  AttentionCase sizes;
  int32_t longest_document =
      0;  // documents of 1 to so many tokens; 0: one for a row, and cuDNN is told
  int64_t window = 0;
  bool side_by_side = false;  // q, k and v are columns of one matrix, and so are their gradients
};

// Skips where there is no device or cuDNN.
class CudnnAttentionTest : public TwinTest {
 protected:
  static CudnnAttentionShape ShapeOf(const CudnnCase& c) {
    const int64_t stride =
        c.side_by_side ? QueriesOf(c.sizes).d1 + 2 * KeysOf(c.sizes).d1 : int64_t{0};
    return {.attention = {.context = c.sizes.context,
                          .head_count = c.sizes.heads,
                          .kv_head_count = c.sizes.kv_heads,
                          .head_size = c.sizes.head_size,
                          .scale = 1.0 / std::sqrt(static_cast<double>(c.sizes.head_size)),
                          .window = c.window},
            .rows = c.sizes.rows,
            .query_stride = stride,
            .key_stride = stride,
            .documents = c.longest_document > 0};
  }

  // Null, with the test skipped, where cuDNN is not there or of a version that is refused; what it does not take is a failure.
  std::unique_ptr<CudnnAttention> Open(const CudnnCase& c) {
    auto cudnn = CudnnAttention::Create(*cuda_context().cuda, ShapeOf(c));
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

  // What both directions read and write.
  struct Operands {
    HeadTwins x;
    Twin &starts, &o, &log_sum_exp, &cpu_workspace;
  };
  Operands MakeOperands(const CudnnCase& c) {
    const AttentionCase& s = c.sizes;
    return {.x = MakeHeads(s, c.side_by_side,
                           [this](const char* name, Shape shape) -> Twin& {
                             return Random(name, shape, T(), 1.25);
                           }),
            .starts = Starts(c),
            .o = Poisoned("o", QueriesOf(s), T()),
            .log_sum_exp = Poisoned("log_sum_exp", {s.rows * s.heads, s.context}, DType::kF32),
            .cpu_workspace = Poisoned(
                "cpu_workspace", {planner::FlashAttentionWorkspaceElements(s.head_size, 2)}, T())};
  }
  // Poisoned, so that what is added up without being cleared shows.
  Twin& Workspace(int64_t bytes) {
    return Poisoned("workspace", {(bytes + 3) / 4 + 1}, DType::kF32);
  }
  static bool IsCuda(const OpContext& context) {
    return context.device == planner::BackendKind::kCuda;
  }
  static double Terms(const CudnnCase& c) {
    return static_cast<double>(2 * c.sizes.context + c.sizes.head_size);
  }

  void Check(const CudnnCase& c) {
    const std::unique_ptr<CudnnAttention> cudnn = Open(c);
    if (cudnn == nullptr) return;
    const Operands operands = MakeOperands(c);
    CheckForward(c, *cudnn, operands);
    CheckBackward(c, *cudnn, operands);
  }

  void CheckForward(const CudnnCase& c, const CudnnAttention& cudnn, const Operands& operands) {
    Twin& workspace = Workspace(cudnn.forward_workspace_bytes());
    RunBoth([&](const OpContext& context, auto pick) {
      const FlashAttentionArgs args = {
          .q = operands.x.Q(pick),
          .k = operands.x.K(pick),
          .v = operands.x.V(pick),
          .document_starts = pick(operands.starts),
          .o = pick(operands.o),
          .log_sum_exp = pick(operands.log_sum_exp),
          .workspace = pick(IsCuda(context) ? workspace : operands.cpu_workspace),
          .shape = ShapeOf(c).attention};
      return IsCuda(context) ? cudnn.Forward(*context.cuda, args) : FlashAttention(context, args);
    });
    ExpectClose(operands.o, Tolerance(T(), 1, Terms(c)));
    // Its exponentials and logarithms are the hardware's.
    ExpectClose(operands.log_sum_exp, 4 * Tolerance(DType::kF32, 0, Terms(c)));
  }

  void CheckBackward(const CudnnCase& c, const CudnnAttention& cudnn, const Operands& operands) {
    Twin& d_o = Random("d_o", QueriesOf(c.sizes), T());
    const HeadTwins dx =
        MakeHeads(c.sizes, c.side_by_side, [this](const char* name, Shape shape) -> Twin& {
          return Poisoned(StrCat("d", name), shape, T());
        });
    Twin& workspace = Workspace(cudnn.backward_workspace_bytes());
    RunBoth([&](const OpContext& context, auto pick) {
      const FlashAttentionBackwardArgs args = {
          .d_o = pick(d_o),
          .q = operands.x.Q(pick),
          .k = operands.x.K(pick),
          .v = operands.x.V(pick),
          .o = pick(operands.o),
          .log_sum_exp = pick(operands.log_sum_exp),
          .document_starts = pick(operands.starts),
          .dq = dx.Q(pick),
          .dk = dx.K(pick),
          .dv = dx.V(pick),
          .workspace = pick(IsCuda(context) ? workspace : operands.cpu_workspace),
          .shape = ShapeOf(c).attention};
      return IsCuda(context) ? cudnn.Backward(*context.cuda, args)
                             : FlashAttentionBackward(context, args);
    });
    // Roundings as in the flash tests: probabilities and the gradients of scores are bf16, and so is o, which moves the deltas. Where heads share keys, the gradients
    // of each are rounded before they are added.
    if (c.side_by_side) return ExpectClose(*dx.q, Tolerance(T(), 4, Terms(c)));
    ExpectClose(*dx.v, Tolerance(T(), 2, Terms(c)));
    ExpectClose(*dx.q, Tolerance(T(), 3, Terms(c)));
    ExpectClose(*dx.k, Tolerance(T(), 4, Terms(c)));
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

TEST_P(CudnnAttentionTest, HeadsOfQueriesKeysAndValuesSideBySide) {
  Check({.sizes = {2, 80, 4, 2, 64}, .side_by_side = true});
  Check({.sizes = {1, 200, 2, 2, 128}, .longest_document = 90, .side_by_side = true});
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

// What ops ask by: one engine for a shape, and what it does not take is told once and left to the other kernels.
TEST_P(CudnnAttentionTest, EnginesAreKeptByShape) {
  const CudnnCase c = {.sizes = {1, 64, 2, 1, 64}, .longest_document = 20};
  if (Open(c) == nullptr) return;
  CudaContext& cuda = *cuda_context().cuda;
  CudnnEngines engines;
  CudnnAttentionShape shape = ShapeOf(c);
  const auto first = engines.Find(cuda, shape);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_NE(*first, nullptr);
  EXPECT_EQ(*engines.Find(cuda, shape), *first);
  EXPECT_TRUE(cuda.TakeNotes().empty());
  EXPECT_FALSE(engines.lacks_some());
  shape.attention.window = 8;
  EXPECT_NE(*engines.Find(cuda, shape), *first);
  for (const double cap : {30.0, 50.0}) {
    shape.attention.soft_cap = cap;
    const auto capped = engines.Find(cuda, shape);
    ASSERT_TRUE(capped.ok()) << capped.status();
    EXPECT_EQ(*capped, nullptr);
  }
  const std::vector<std::string> notes = cuda.TakeNotes();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("soft cap"), std::string::npos) << notes[0];
  EXPECT_TRUE(engines.lacks_some());
}

}  // namespace
}  // namespace tunesmith::trainer
