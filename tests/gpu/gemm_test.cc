#include "trainer/cuda/gemm.h"

#include <vector>

#include "tests/gpu/twins.h"
#include "trainer/cuda/cuda_context_impl.h"
#include "trainer/cuda/gemm_fallback.h"

// The two ways of a product against a loop in double: cublasLt, and the plain kernel that stands in for it.
namespace tunesmith::trainer {
namespace {

struct GemmCase {
  int64_t m, n, k, batch_count;
  bool transpose_a, transpose_b;
  float beta;
  int64_t slack =
      3;  // elements after every row: an odd number makes strides that cublasLt does not take
  bool bias = false;
};
const std::vector<GemmCase> kCases = {{1, 1, 1, 1, false, false, 0.0f},
                                      {33, 17, 65, 1, false, true, 1.0f},
                                      {40, 24, 64, 3, true, false, 0.5f},
                                      {64, 128, 32, 2, true, true, 0.0f},
                                      {16, 48, 80, 5, false, false, 1.0f},
                                      {3, 5, 0, 2, false, false, 2.0f},
                                      {33, 24, 64, 1, false, true, 1.0f, 8},
                                      {40, 24, 64, 3, true, false, 0.5f, 16},
                                      {64, 128, 32, 2, true, true, 0.0f, 8},
                                      {16, 48, 80, 5, false, false, 1.0f, 8},
                                      {33, 24, 64, 1, false, true, 0.0f, 8, true},
                                      {7, 40, 16, 1, false, true, 1.0f, 8, true},
                                      {33, 17, 65, 1, false, true, 1.0f, 3, true},
                                      {3, 5, 0, 1, false, false, 1.0f, 3, true}};

class GemmTest : public TwinTest {
 protected:
  // A batch of (rows, columns), with slack after every row.
  Twin& Matrices(const std::string& name, const GemmCase& c, int64_t rows, int64_t columns,
                 DType dtype) {
    return Random(name, {c.batch_count, rows > 0 ? rows : 1, columns + c.slack}, dtype);
  }

  static GemmOperand Operand(const Tensor& tensor) {
    return {.data = tensor.data,
            .row_stride = tensor.dims[2],
            .batch_stride = tensor.dims[1] * tensor.dims[2]};
  }

  // What the product has to be, into d's copy on the CPU.
  static void Multiply(const GemmCase& c, const Tensor& a, const Tensor& b, const Tensor& d,
                       float alpha, const Tensor& bias) {
    const auto at = [](const Tensor& t, int64_t batch, int64_t row, int64_t column) -> float& {
      return t.as<float>()[(batch * t.dims[1] + row) * t.dims[2] + column];
    };
    for (int64_t batch = 0; batch < c.batch_count; ++batch) {
      for (int64_t i = 0; i < c.m; ++i) {
        for (int64_t j = 0; j < c.n; ++j) {
          double sum = 0;
          for (int64_t l = 0; l < c.k; ++l) {
            sum += double{c.transpose_a ? at(a, batch, l, i) : at(a, batch, i, l)} *
                   (c.transpose_b ? at(b, batch, j, l) : at(b, batch, l, j));
          }
          float& out = at(d, batch, i, j);
          const double added = c.bias ? bias.as<float>()[j] : 0.0;
          out = static_cast<float>(alpha * sum + double{c.beta} * out + added);
        }
      }
    }
  }

  template <typename Product>
  void Check(const GemmCase& c, DType output, const Product& product) {
    Twin& a = Matrices("a", c, c.transpose_a ? c.k : c.m, c.transpose_a ? c.m : c.k, T());
    Twin& b = Matrices("b", c, c.transpose_b ? c.n : c.k, c.transpose_b ? c.k : c.n, T());
    Twin& d = Matrices("d", c, c.m, c.n, output);
    Twin& bias = Random("bias", {c.n}, output);
    const GemmArgs args = {.m = c.m,
                           .n = c.n,
                           .k = c.k,
                           .batch_count = c.batch_count,
                           .input_dtype = T(),
                           .output_dtype = output,
                           .a = Operand(a.cuda),
                           .transpose_a = c.transpose_a,
                           .b = Operand(b.cuda),
                           .transpose_b = c.transpose_b,
                           .c = Operand(d.cuda),
                           .d = Operand(d.cuda),
                           .bias = c.bias ? bias.cuda.data : nullptr,
                           .alpha = 0.75f,
                           .beta = c.beta};
    ASSERT_TRUE(product(args).ok());
    Multiply(c, a.cpu, b.cpu, d.cpu, args.alpha, bias.cpu);
    ExpectClose(d, Tolerance(output, 0, static_cast<double>(c.k)));
  }
};
INSTANTIATE_FOR_CUDA_DTYPES(GemmTest);

TEST_P(GemmTest, CublasLt) {
  for (const GemmCase& c : kCases) {
    for (const DType output : AccumulatorTypes()) {
      Check(c, output, [&](const GemmArgs& args) { return Gemm(*cuda_context().cuda, args); });
    }
  }
}

TEST_P(GemmTest, PlainKernel) {
  for (const GemmCase& c : kCases) {
    for (const DType output : AccumulatorTypes()) {
      Check(c, output, [&](const GemmArgs& args) {
        return GemmFallback(args, cuda_context().cuda->impl().stream.get());
      });
    }
  }
}

TEST_P(GemmTest, RefusesOtherDTypes) {
  GemmArgs args;
  args.input_dtype = DType::kF64;
  args.output_dtype = DType::kF64;
  EXPECT_EQ(Gemm(*cuda_context().cuda, args).code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace tunesmith::trainer
