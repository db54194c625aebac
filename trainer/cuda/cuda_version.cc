#include "common/str_cat.h"
#include "trainer/cuda/cuda_context.h"

namespace tunesmith::trainer {

std::string CudaVersionText(int version) {
  return StrCat(version / 1000, ".", version % 1000 / 10);
}

}  // namespace tunesmith::trainer
