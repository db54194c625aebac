#include "tests/server/certificates.h"

#include <gtest/gtest.h>

#include "tests/server/server_process.h"

namespace tunesmith::server {
namespace {

struct Certificates {
  Certificates() {
    const ProcessResult made = RunProcess({CERTIFICATES_SCRIPT, directory.path()});
    EXPECT_EQ(made.status, 0) << made.errors;
  }

  ScratchDirectory directory;
};

}  // namespace

std::string Certificate(const std::string& name) {
  static const Certificates certificates;
  return certificates.directory.path() + "/" + name;
}

}  // namespace tunesmith::server
