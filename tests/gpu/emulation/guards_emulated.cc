#include <sanitizer/asan_interface.h>

#include "tests/gpu/guards.h"

namespace tunesmith::trainer {

void HideGuard(const void* guard, int64_t bytes) { ASAN_POISON_MEMORY_REGION(guard, bytes); }
void ShowGuard(const void* guard, int64_t bytes) { ASAN_UNPOISON_MEMORY_REGION(guard, bytes); }

}  // namespace tunesmith::trainer
