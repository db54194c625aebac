#include "trainer/model_io/oniguruma.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "trainer/model_io/regex.h"

namespace tunesmith::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> Matches(const std::string& pattern, const std::string& text) {
  const auto regex = Regex::Compile({pattern});
  EXPECT_TRUE(regex.ok()) << regex.status();
  std::vector<std::string> found;
  if (!regex.ok()) return found;
  const auto matches = regex->FindAll(text);
  for (const Regex::Match& match : *matches)
    found.push_back(text.substr(match.begin, match.end - match.begin));
  return found;
}

TEST(OnigurumaTest, WhiteSpaceIsUnicodes) {
  EXPECT_THAT(Matches("\\s+", "a \t\u00a0\u2028b\u180ec"), ElementsAre(" \t\u00a0\u2028"));
  EXPECT_THAT(Matches("[\\s]", "\u180e\u3000"), ElementsAre("\u3000"));
  EXPECT_THAT(Matches("\\S", "\u180e\u3000"), ElementsAre("\u180e"));
  EXPECT_THAT(Matches("[^\\S]+", "x \u0085y"), ElementsAre(" \u0085"));
}

TEST(OnigurumaTest, WordsHaveMarksAndHexadecimalDigits) {
  EXPECT_THAT(Matches("\\w+", "e\u0301t_1 \u24b6-\u00bd"), ElementsAre("e\u0301t_1", "\u24b6"));
  EXPECT_THAT(Matches("[\\w.]+", "e\u0301.x y"), ElementsAre("e\u0301.x", "y"));
  EXPECT_THAT(Matches("\\W", "a b"), ElementsAre(" "));
  EXPECT_THAT(Matches("\\h+", "fA9 g"), ElementsAre("fA9"));
}

TEST(OnigurumaTest, ClassesInClasses) {
  EXPECT_THAT(Matches("[a[bc]d]+", "xabcdy"), ElementsAre("abcd"));
  EXPECT_THAT(Matches("[^(\\s|[.,])]+", "ab.c|d(e"), ElementsAre("ab", "c", "d", "e"));
  EXPECT_THAT(Matches("[\\[x]+", "a[x]"), ElementsAre("[x"));
  EXPECT_THAT(Matches("[]x]+", "a]x["), ElementsAre("]x"));
  EXPECT_THAT(Matches("[[:digit:]]", "a1"), ElementsAre("1"));
}

TEST(OnigurumaTest, IntersectionsAndScripts) {
  EXPECT_THAT(Matches("[\\p{L}&&[^\\p{Han}]]+", "ab\u6f22cd"), ElementsAre("ab", "cd"));
  EXPECT_THAT(Matches("[a-f&&c-z]+", "abcdefg"), ElementsAre("cdef"));
  EXPECT_THAT(Matches("[a-z&&[^c]&&[^d]]+", "abcde"), ElementsAre("ab", "e"));
  EXPECT_THAT(Matches("\\p{Han}+", "\u3002\u6f22"), ElementsAre("\u6f22"))
      << "U+3002 has Han among its extensions only";
  EXPECT_THAT(Matches("\\p{^Lu}", "Aa"), ElementsAre("a"));
  EXPECT_THAT(Matches("\\P{L}", "a1"), ElementsAre("1"));
}

TEST(OnigurumaTest, APlusBehindAnIntervalRepeatsIt) {
  EXPECT_THAT(Matches("\\p{N}{1,3}+", "12345678"), ElementsAre("12345678"));
  EXPECT_THAT(Matches("(ab){2}+", "ababababab"), ElementsAre("abababab"));
  EXPECT_THAT(Matches("[0-9]{2}+x", "1234x"), ElementsAre("1234x"));
  EXPECT_THAT(Matches("a++a", "aaa"), IsEmpty()) << "that one is possessive";
}

TEST(OnigurumaTest, LinesAndLiterals) {
  EXPECT_THAT(Matches("^x$", "y\nx\nz"), ElementsAre("x"));
  const auto literal = Regex::Compile({"a.\\E[", true});
  ASSERT_TRUE(literal.ok()) << literal.status();
  EXPECT_EQ(literal->FindAll("ab\\E[ a.\\E[")->size(), 1u);
}

TEST(OnigurumaTest, WhatHasNoTranslationIsNamed) {
  for (const char* pattern : {"[a[^b]]", "[^a&&b]", "[a&&", "[a", "[\\W]", "\\H", "(unclosed",
                              "\\p{Klingon}", "[&&a]", "[[[[[[[[[[[a]]]]]]]]]]]"}) {
    const auto regex = Regex::Compile({pattern});
    EXPECT_EQ(regex.status().code(), absl::StatusCode::kUnimplemented) << pattern;
    EXPECT_THAT(std::string(regex.status().message()), HasSubstr(pattern));
  }
}

}  // namespace
}  // namespace tunesmith::trainer
