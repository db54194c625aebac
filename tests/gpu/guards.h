#pragma once

#include <cstdint>

namespace tunesmith::trainer {

// Guards of device memory may not be touched until they are shown again. On the emulation AddressSanitizer ends the process at once where a kernel
// reads or writes them; on a device their bytes tell of writes alone.
void HideGuard(const void* guard, int64_t bytes);
void ShowGuard(const void* guard, int64_t bytes);

}  // namespace tunesmith::trainer
