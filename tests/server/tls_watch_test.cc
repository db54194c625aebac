#include "server/security/tls_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <mutex>

#include "absl/time/clock.h"
#include "server/operations/server_metrics.h"
#include "tests/server/certificates.h"
#include "tests/server/server_process.h"

// Which of the TLS files that lie there are served. (Over the wire: security_tls_test.)
namespace tunesmith::server {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class TlsWatchTest : public ::testing::Test {
 protected:
  TlsWatchTest() {
    Install("server");
    fs::create_directories(Lists());
  }

  std::string Live(const std::string& name) const { return live_.path() + "/" + name; }
  std::string Lists() const { return Live("crl"); }
  void Install(const std::string& from) const {
    for (const char* end : {".key", ".crt"})
      fs::copy_file(Certificate(from + end), Live("server") + end,
                    fs::copy_options::overwrite_existing);
  }
  std::unique_ptr<TlsWatch> Watch() {
    auto watch = TlsWatch::Start({.certificate_path = Live("server.crt"),
                                  .key_path = Live("server.key"),
                                  .client_authority_path = Certificate("ca.crt"),
                                  .revocation_directory = Lists()},
                                 [this](const std::string& line) {
                                   std::lock_guard lock(mutex_);
                                   log_.push_back(line);
                                 });
    EXPECT_TRUE(watch.ok()) << watch.status();
    return *std::move(watch);
  }
  std::vector<std::string> Log() {
    std::lock_guard lock(mutex_);
    return log_;
  }
  // Until so many lines were told.
  std::vector<std::string> AwaitLog(size_t count) {
    for (int tries = 0; tries < 500 && Log().size() < count; ++tries)
      absl::SleepFor(absl::Milliseconds(20));
    return Log();
  }

  ScratchDirectory live_;
  std::mutex mutex_;
  std::vector<std::string> log_;
};

TEST_F(TlsWatchTest, TheMetricTellsOfWhatIsServed) {
  const auto watch = Watch();
  Metrics metrics;
  CollectCertificate(metrics, watch->copies().certificate_path);
  const std::string before = metrics.Text();
  EXPECT_THAT(before, HasSubstr("tunesmith_tls_certificate_end_timestamp_seconds "));
  Install("server-expired");
  EXPECT_THAT(AwaitLog(1).front(), HasSubstr("TLS stays as it was"));
  CollectCertificate(metrics, watch->copies().certificate_path);
  EXPECT_EQ(metrics.Text(), before) << "an expired certificate lies there and is not served";
  EXPECT_EQ(Slurp(watch->copies().certificate_path), Slurp(Certificate("server.crt")));
}

// What it lacked was not in the files.
TEST_F(TlsWatchTest, WhatWasRefusedIsTriedAgain) {
  const auto watch = Watch();
  fs::rename(Lists(), Live("away"));
  Install("server-other");
  EXPECT_THAT(AwaitLog(1).front(), HasSubstr("--tls-crl-dir"));
  absl::SleepFor(absl::Milliseconds(2300));
  EXPECT_EQ(Log().size(), 1u) << "what lasts is told once";
  fs::rename(Live("away"), Lists());
  EXPECT_THAT(AwaitLog(2).back(), HasSubstr("were taken up"));
  EXPECT_EQ(Slurp(watch->copies().certificate_path), Slurp(Certificate("server-other.crt")));
}

}  // namespace
}  // namespace tunesmith::server
