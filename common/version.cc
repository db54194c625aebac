#include "common/version.h"

namespace tunesmith {

const char* Version() { return TUNESMITH_VERSION; }

}  // namespace tunesmith
