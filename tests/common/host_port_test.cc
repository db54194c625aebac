#include "common/host_port.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/loopback.h"

namespace tunesmith {
namespace {

using testing::HasSubstr;

TEST(HostPortTest, TakesNamesAndAddresses) {
  const auto expect = [](const char* text, const char* host, int32_t port) {
    const auto parts = ParseHostPort(text);
    ASSERT_TRUE(parts.ok()) << parts.status();
    EXPECT_EQ(parts->host, host);
    EXPECT_EQ(parts->port, port);
  };
  expect("127.0.0.1:7433", "127.0.0.1", 7433);
  expect("trainer.example:0", "trainer.example", 0);
  expect("[::1]:65535", "::1", 65535);
  expect("[fe80::1%eth0]:1", "fe80::1%eth0", 1);
}

TEST(HostPortTest, SaysWhatIsWrong) {
  const auto why = [](const char* text) {
    return std::string(ParseHostPort(text).status().message());
  };
  EXPECT_THAT(why("nonsense"), HasSubstr("\"nonsense\" is no HOST:PORT: it has no port"));
  EXPECT_THAT(why("::1:7433"), HasSubstr("in brackets"));
  for (const char* text : {"h:", "h:x", "h:-1", "h:+1", "h:65536", "h: 1", "[::1]"})
    EXPECT_FALSE(ParseHostPort(text).ok()) << text;
}

TEST(LoopbackTest, IsWhatOnlyThisHostReaches) {
  for (const char* address : {"127.0.0.1:1", "127.8.8.8:1", "localhost:1", "[::1]:1", "localhost"})
    EXPECT_TRUE(IsLoopback(address)) << address;
  for (const char* address :
       {"127.0.0.1.example:1", "0.0.0.0:1", "[::]:1", "::1:1", "localhost.x:1"})
    EXPECT_FALSE(IsLoopback(address)) << address;
}

}  // namespace
}  // namespace tunesmith
