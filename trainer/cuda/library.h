#pragma once

#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/str_cat.h"

// Libraries that are looked up at run time, so that every binary starts without them.
namespace tunesmith::trainer {

// The file that the environment variable `variable` names, and no other, or the first of `files` that loads; it stays loaded as long as the process.
// UNAVAILABLE, with the loader's reason for each file and the cure: "`what` is not found (...); install `package`, or name the file in `variable`".
inline absl::StatusOr<void*> OpenLibrary(const char* what, const char* package,
                                         const char* variable, std::vector<std::string> files) {
  if (const char* named = std::getenv(variable); named != nullptr && *named != '\0')
    files = {named};
  std::string reasons;
  for (const std::string& file : files) {
    if (void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
    absl::StrAppend(&reasons, reasons.empty() ? "" : "; ", dlerror());
  }
  return absl::UnavailableError(StrCat(what, " is not found (", reasons, "); install ", package,
                                       ", or name the file in ", variable));
}

// FAILED_PRECONDITION: the library `what` has no such function.
template <typename Function>
absl::Status Look(const char* what, void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat(what, " has no function ", name, "; install a newer one"));
}

}  // namespace tunesmith::trainer
