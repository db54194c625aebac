#include "common/utf8.h"

#include <gtest/gtest.h>

namespace tunesmith {
namespace {

TEST(Utf8Test, ValidTextIsLeftAlone) {
  const std::string text = "a\u00e9\u20ac\U0001f600\U0010ffff";
  EXPECT_EQ(FirstInvalidUtf8(text), -1);
  EXPECT_EQ(ReplaceInvalidUtf8(text), text);
  EXPECT_EQ(Utf8CharacterBytes("\U0001f600x"), 4);
}

TEST(Utf8Test, InvalidSequencesAreFoundAndReplaced) {
  const struct {
    const char* text;
    int64_t offset;
    const char* replaced;
  } cases[] = {
      {"a\x80", 1, "a\ufffd"},                              // a continuation byte alone
      {"\xc0\xaf", 0, "\ufffd\ufffd"},                      // overlong
      {"\xe0\x80\xaf", 0, "\ufffd\ufffd\ufffd"},            // overlong
      {"\xed\xa0\x80", 0, "\ufffd\ufffd\ufffd"},            // a surrogate
      {"\xf4\x90\x80\x80", 0, "\ufffd\ufffd\ufffd\ufffd"},  // above U+10FFFF
      {"x\xe2\x82", 1, "x\ufffd"},                          // truncated: one maximal part
      {"\xf0\x9f\x98z", 0, "\ufffdz"},
      {"\xff", 0, "\ufffd"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(FirstInvalidUtf8(c.text), c.offset) << c.replaced;
    EXPECT_EQ(ReplaceInvalidUtf8(c.text), c.replaced);
  }
}

}  // namespace
}  // namespace tunesmith
