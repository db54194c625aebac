#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "absl/time/clock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "proto/convert/run_directory.h"
#include "server/security/connections.h"
#include "tests/common/eventually.h"
#include "tests/server/api_calls.h"
#include "tests/server/process_use.h"
#include "tests/server/security_fixture.h"

// Attacks on the server as users have it: more than it should bear of calls, bytes, connections and readers.
namespace tunesmith::server {
namespace {

using ::testing::HasSubstr;
using Code = grpc::StatusCode;

TEST_F(SecurityTest, TooLargeTooOftenAndTooManyAreRefused) {
  const std::string audit = scratch_.path() + "/audit.jsonl";
  ServerProcess server(DataDirectory(), {},
                       {"--access-file", AccessFile(), "--max-calls-per-second", "5",
                        "--max-calls-at-once", "3", "--audit-log", audit});
  const auto channel = Connect(server.address());
  const Headers reader = Bearer(tokens_["reader"]);
  EXPECT_EQ(CallAny(channel, kReaderMethod, Bearer(tokens_["submitter"]), 5 << 20).error_code(),
            Code::RESOURCE_EXHAUSTED);
  EXPECT_EQ(CallAny(channel, kReaderMethod, {}, 5 << 20).error_code(), Code::UNAUTHENTICATED)
      << "nothing of nobody is read";
  int refused_count = 0;
  for (int i = 0; i < 60; ++i)
    refused_count += CallAny(channel, kReaderMethod, reader).ok() ? 0 : 1;
  EXPECT_EQ(CallAny(channel, kReaderMethod, Bearer(tokens_["admin"])).error_code(), Code::OK)
      << "another caller is not held up";
  EXPECT_GT(refused_count, 0);
  EXPECT_LE(refused_count, 30) << "a burst of six seconds' worth is let in";
  EXPECT_TRUE(IsHealthy(channel));
  int64_t audited_count = 0;
  int64_t left_out_count = 0;
  for (const nlohmann::json& line : Lines(audit)) {
    if (line["code"] != "RESOURCE_EXHAUSTED" || line["caller"] != "reader-token") continue;
    ++audited_count;
    left_out_count += line.value("left_out_count", 0);
  }
  EXPECT_GE(audited_count, std::min(refused_count, 10));
  EXPECT_LE(audited_count + left_out_count, refused_count);
}

TEST_F(SecurityTest, StreamsCountAsCallsInProgress) {
  ServerProcess server(DataDirectory(), {{"FAKE_STEP_MILLISECONDS", "50"}},
                       {"--max-calls-at-once", "3"});
  grpc::ClientContext create;
  v1::CreateJobResponse created;
  ASSERT_TRUE(server.jobs().CreateJob(&create, TestJob(scratch_, 1000), &created).ok());
  v1::WatchJobRequest request;
  request.set_name(created.job().name());
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::WatchJobResponse>>> readers;
  v1::WatchJobResponse update;
  for (int i = 0; i < 3; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    readers.push_back(server.jobs().WatchJob(contexts.back().get(), request));
    ASSERT_TRUE(readers.back()->Read(&update));
  }
  const auto channel = Connect(server.address());
  const grpc::Status status = CallAny(channel, kReaderMethod);
  EXPECT_EQ(status.error_code(), Code::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("--max-calls-at-once"));
  contexts[0]->TryCancel();
  while (readers[0]->Read(&update)) {
  }
  (void)readers[0]->Finish();
  EXPECT_TRUE(Eventually([&] { return CallAny(channel, kReaderMethod).ok(); }))
      << "a stream that ended counts no more";
  for (int i = 1; i < 3; ++i) contexts[static_cast<size_t>(i)]->TryCancel();
  for (int i = 1; i < 3; ++i) (void)readers[static_cast<size_t>(i)]->Finish();
}

TEST_F(SecurityTest, StrangersStreamsOfHealthAreBounded) {
  ServerProcess server(DataDirectory(), {},
                       {"--access-file", AccessFile(), "--max-calls-at-once", "3"});
  const auto channel = Connect(server.address());
  const auto stub = grpc::health::v1::Health::NewStub(channel);
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<grpc::health::v1::HealthCheckResponse>>> readers;
  grpc::health::v1::HealthCheckResponse health;
  const auto watch = [&] {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    contexts.back()->set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    readers.push_back(stub->Watch(contexts.back().get(), {}));
    return readers.back()->Read(&health);
  };
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(watch());
  EXPECT_FALSE(watch());
  EXPECT_EQ(readers.back()->Finish().error_code(), Code::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(CallAny(channel, kReaderMethod, Bearer(tokens_["reader"])).ok())
      << "who is known is not held up";
  for (int i = 0; i < 3; ++i) contexts[static_cast<size_t>(i)]->TryCancel();
  for (int i = 0; i < 3; ++i) (void)readers[static_cast<size_t>(i)]->Finish();
  EXPECT_TRUE(Eventually([&] { return IsHealthy(channel); }));
}

class RawConnections {
 public:
  RawConnections(int port, int count) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < count; ++i) {
      const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      if (descriptor < 0) break;
      (void)connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
      descriptors_.push_back(descriptor);
    }
  }
  ~RawConnections() {
    for (const int descriptor : descriptors_) close(descriptor);
  }
  size_t count() const { return descriptors_.size(); }

 private:
  std::vector<int> descriptors_;
};

TEST_F(SecurityTest, AFloodOfConnectionsThatSayNothingIsOutlived) {
  std::vector<std::string> flags = Tls();
  flags.insert(flags.end(), {"--access-file", AccessFile(), "--max-connections", "100"});
  ServerProcess server(DataDirectory(), {}, flags, "127.0.0.1:0", TlsClient());
  RaiseOpenFileLimit();
  const RawConnections flood(server.port(), 10000);
  ASSERT_EQ(flood.count(), 10000u) << "as many files may this process open";
  absl::SleepFor(absl::Milliseconds(500));
  EXPECT_EQ(FirstCall(server.address(), TlsClient(), Bearer(tokens_["reader"])).error_code(),
            Code::UNAVAILABLE);
  const absl::Time start = absl::Now();
  grpc::Status status;
  do {
    absl::SleepFor(absl::Milliseconds(500));
    status = FirstCall(server.address(), TlsClient(), Bearer(tokens_["reader"]));
  } while (!status.ok() && absl::Now() - start < absl::Seconds(30));
  EXPECT_TRUE(status.ok()) << "who says nothing for ten seconds loses the place; "
                           << status.error_message();
}

TEST_F(SecurityTest, ReadersThatDoNotReadTakeLittleMemoryAndHoldNobodyUp) {
  ServerProcess server(DataDirectory());
  grpc::ClientContext create;
  v1::CreateJobResponse created;
  ASSERT_TRUE(server.jobs().CreateJob(&create, TestJob(scratch_, 1), &created).ok());
  const v1::Job job = server.WaitFor(created.job().name());
  std::ofstream(convert::InDirectory(job.run_directory(), convert::kTrainerLogFile))
      << std::string(size_t{64} << 20, 'x');
  const int64_t before = UseOf(server.pid()).resident_bytes;
  v1::StreamLogsRequest request;
  request.set_name(job.name());
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::StreamLogsResponse>>> readers;
  v1::StreamLogsResponse chunk;
  for (int i = 0; i < 50; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    readers.push_back(server.jobs().StreamLogs(contexts.back().get(), request));
    ASSERT_TRUE(readers.back()->Read(&chunk));
  }
  absl::SleepFor(absl::Seconds(1));
  EXPECT_LT(UseOf(server.pid()).resident_bytes - before, int64_t{50} << 20)
      << "of 3200 MiB that were asked for";
  EXPECT_TRUE(CallAny(Connect(server.address(), 7), kReaderMethod).ok());
  for (const auto& context : contexts) context->TryCancel();
  for (const auto& reader : readers) (void)reader->Finish();
}

}  // namespace
}  // namespace tunesmith::server
