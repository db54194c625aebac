#include "server/grpc_status.h"

#include <gtest/gtest.h>

#include "common/str_cat.h"
#include "proto/convert/violations.h"
#include "server/error_info.h"
#include "tunesmith/v1/status.pb.h"

namespace tunesmith::server {
namespace {

v1::RichStatus RichOf(const grpc::Status& status) {
  v1::RichStatus rich;
  EXPECT_TRUE(rich.ParseFromString(status.error_details()));
  return rich;
}

TEST(GrpcStatusTest, FitsIntoTrailersWhateverItSays) {
  convert::Violations violations;
  for (int i = 0; i < 300; ++i)
    violations.Add(StrCat("field", i, std::string(500, 'f')), std::string(9000, '\x01'));
  const grpc::Status status = ToGrpcStatus(
      WithReason(violations.ToStatus(), "REASON", {{"one", std::string(9000, 'x')}, {"two", "2"}}));
  const size_t trailers = 3 * status.error_message().size() + status.error_details().size() * 4 / 3;
  EXPECT_LT(trailers, 8000u);
  const v1::RichStatus rich = RichOf(status);
  ASSERT_EQ(rich.details_size(), 2);
  v1::ErrorInfo info;
  ASSERT_TRUE(info.ParseFromString(rich.details(0).value()));
  EXPECT_EQ(info.reason(), "REASON");
  v1::BadRequest bad;
  ASSERT_TRUE(bad.ParseFromString(rich.details(1).value()));
  EXPECT_GT(bad.field_violations_size(), 2);
  const int told = bad.field_violations_size() - 1;
  EXPECT_EQ(bad.field_violations().rbegin()->description(), StrCat("and ", 300 - told, " more"));
}

TEST(GrpcStatusTest, IsNotCutWithinACharacter) {
  std::string text;
  while (text.size() < 2000) text += "\xe2\x82\xac";  // a character of three bytes
  for (int shift = 0; shift < 3; ++shift) {
    const grpc::Status status =
        ToGrpcStatus(absl::NotFoundError(std::string(static_cast<size_t>(shift), 'a') + text));
    EXPECT_LE(status.error_message().size(), 1024u);
    EXPECT_EQ(RichOf(status).message(), status.error_message());
    EXPECT_EQ(static_cast<int>(status.error_message().rfind("\xe2\x82\xac")) + 3 + 3,
              static_cast<int>(status.error_message().size()));
  }
}

TEST(GrpcStatusTest, BytesThatAreNoTextDoNotSpoilTheDetails) {
  const grpc::Status status =
      ToGrpcStatus(absl::NotFoundError("a\xff"
                                       "b"));
  EXPECT_EQ(RichOf(status).message(),
            "a\xef\xbf\xbd"
            "b");
}

TEST(GrpcStatusTest, ShortOnesAreWhole) {
  const grpc::Status status = ToGrpcStatus(absl::NotFoundError("gone"));
  EXPECT_EQ(status.error_message(), "gone");
  EXPECT_EQ(RichOf(status).details_size(), 1);
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
}

}  // namespace
}  // namespace tunesmith::server
