#include "trainer/cuda/document_ends.h"

#include <vector>

#include "tests/gpu/attention_cases.h"
#include "tests/gpu/twins.h"

namespace tunesmith::trainer {
namespace {

class DocumentEndsTest : public TwinTest {
 protected:
  // As its header says, by a walk from the row's end.
  static void Walk(const Tensor& starts, int64_t context, const Tensor& ends) {
    for (int64_t i = starts.element_count() - 1; i >= 0; --i) {
      const int64_t t = i % context;
      const bool last = t + 1 == context || starts.as<int32_t>()[i + 1] != starts.as<int32_t>()[i];
      ends.as<int32_t>()[i] = last ? static_cast<int32_t>(t + 1) : ends.as<int32_t>()[i + 1];
    }
  }

  void Check(int64_t rows, int64_t context, const std::vector<int32_t>& lengths) {
    Twin& starts =
        Integers("starts", {rows * context}, DocumentStarts({rows, context, 1, 1, 1}, lengths));
    Twin& ends = Poisoned("ends", {rows * context}, DType::kI32);
    RunBoth([&](const OpContext& op_context, auto pick) {
      if (op_context.device == planner::BackendKind::kCuda)
        return DocumentEnds(*op_context.cuda, pick(starts), context,
                            pick(ends).template as<int32_t>());
      Walk(pick(starts), context, pick(ends));
      return absl::OkStatus();
    });
    ExpectEqual(ends);
  }
};
INSTANTIATE_TEST_SUITE_P(DTypes, DocumentEndsTest, ::testing::Values(DType::kI32), DTypeTestName);

TEST_P(DocumentEndsTest, OneDocumentARow) { Check(2, 70, {70}); }
TEST_P(DocumentEndsTest, OneTokenADocument) { Check(3, 5, {1}); }
TEST_P(DocumentEndsTest, OneToken) { Check(1, 1, {1}); }
TEST_P(DocumentEndsTest, OfAllLengths) {
  Check(4, 301, RandomIntegers(64, 1, 40));
  Check(1, 1000, RandomIntegers(64, 1, 400));
}

}  // namespace
}  // namespace tunesmith::trainer
