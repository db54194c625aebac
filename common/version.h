#pragma once

namespace tunesmith {

// The version of the whole project, as in CMakeLists.txt: "0.1.0".
const char* Version();

}  // namespace tunesmith
