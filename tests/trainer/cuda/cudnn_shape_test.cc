#include <string>

#include "gmock/gmock.h"
#include "trainer/cuda/cudnn_attention.h"

// What is refused before cuDNN is asked, with CUDA or without.
namespace tunesmith::trainer {
namespace {

using ::testing::HasSubstr;

CudnnAttentionShape Llama() {
  return {.attention = {.context = 1024, .head_count = 32, .kv_head_count = 8, .head_size = 128},
          .rows = 2};
}

std::string Refusal(const CudnnAttentionShape& shape) {
  const absl::Status status = CheckCudnnTakes(shape);
  EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
  return std::string(status.message());
}

TEST(CudnnShapeTest, TakesBf16OfAnyEvenHeads) {
  EXPECT_TRUE(CheckCudnnTakes(Llama()).ok());
  CudnnAttentionShape odd = Llama();
  odd.attention = {
      .context = 1000, .head_count = 14, .kv_head_count = 2, .head_size = 72, .window = 33};
  EXPECT_TRUE(CheckCudnnTakes(odd).ok());
}

TEST(CudnnShapeTest, RefusesF32) {
  CudnnAttentionShape shape = Llama();
  shape.dtype = DType::kF32;
  EXPECT_THAT(Refusal(shape), HasSubstr("use bf16"));
}

TEST(CudnnShapeTest, RefusesChangedScores) {
  CudnnAttentionShape capped = Llama();
  capped.attention.soft_cap = 50.0;
  EXPECT_THAT(Refusal(capped), HasSubstr("soft cap"));
  CudnnAttentionShape sloped = Llama();
  sloped.attention.alibi_bias_max = 8.0;
  EXPECT_THAT(Refusal(sloped), HasSubstr("ALiBi"));
}

TEST(CudnnShapeTest, RefusesHeadsThatItCannotRead) {
  for (const int64_t head_size : {2, 60, 264}) {
    CudnnAttentionShape shape = Llama();
    shape.attention.head_size = head_size;
    EXPECT_THAT(Refusal(shape), HasSubstr("multiples of 8 up to 256"));
  }
}

TEST(CudnnShapeTest, RefusesRowsOfOneToken) {
  CudnnAttentionShape shape = Llama();
  shape.attention.context = 1;
  EXPECT_THAT(Refusal(shape), HasSubstr("one token"));
}

TEST(CudnnShapeTest, SizesThatMakeNoShapeAreInvalid) {
  CudnnAttentionShape uneven = Llama();
  uneven.attention.kv_head_count = 5;
  EXPECT_TRUE(absl::IsInvalidArgument(CheckCudnnTakes(uneven)));
  CudnnAttentionShape empty = Llama();
  empty.rows = 0;
  EXPECT_TRUE(absl::IsInvalidArgument(CheckCudnnTakes(empty)));
}

}  // namespace
}  // namespace tunesmith::trainer
