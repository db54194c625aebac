#include "server/answer_cache.h"

#include <gtest/gtest.h>

#include "grpcpp/support/slice.h"

namespace tunesmith::server {
namespace {

grpc::ByteBuffer Bytes(const std::string& text) {
  const grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

std::string Text(const grpc::ByteBuffer& bytes) {
  grpc::Slice slice;
  EXPECT_TRUE(bytes.DumpToSingleSlice(&slice).ok());
  return std::string(reinterpret_cast<const char*>(slice.begin()), slice.size());
}

TEST(AnswerCacheTest, GivesWhatWasAdded) {
  AnswerCache cache(1 << 20);
  EXPECT_FALSE(cache.Find("a"));
  cache.Add("a", Bytes("one"));
  cache.Add("a", Bytes("two"));
  ASSERT_TRUE(cache.Find("a"));
  EXPECT_EQ(Text(*cache.Find("a")), "one") << "the first stays";
}

TEST(AnswerCacheTest, HoldsNoMoreThanItMayAndDropsWhatWasNotAskedFor) {
  AnswerCache cache(8 * 10000);  // eight parts
  const std::string answer(1000, 'x');
  cache.Add("often", Bytes(answer));
  for (int i = 0; i < 1000; ++i) {
    cache.Add(std::to_string(i), Bytes(answer));
    EXPECT_TRUE(cache.Find("often")) << i;
  }
  int held = 0;
  for (int i = 0; i < 1000; ++i) held += cache.Find(std::to_string(i)).has_value() ? 1 : 0;
  EXPECT_LT(held, 80);
  EXPECT_GT(held, 40);
  cache.Add("large", Bytes(std::string(100000, 'x')));
  EXPECT_FALSE(cache.Find("large"));
}

}  // namespace
}  // namespace tunesmith::server
