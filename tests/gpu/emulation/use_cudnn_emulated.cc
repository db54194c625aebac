#include <cstdlib>

namespace {

// Before LoadCudnn looks for another.
[[maybe_unused]] const int named = setenv("TUNESMITH_CUDNN", TUNESMITH_EMULATED_CUDNN, 1);

}  // namespace
