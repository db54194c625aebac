#include "tests/gpu/guards.h"

namespace tunesmith::trainer {

void HideGuard(const void*, int64_t) {}
void ShowGuard(const void*, int64_t) {}

}  // namespace tunesmith::trainer
