#include "common/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tunesmith {
namespace {

using testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(JsonTest, ParseErrorsGiveFileLineAndByte) {
  const auto result = ParseJson("{\n \"a\": 1,\n \"b\": ]}", "config.json");
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(result.status()),
              HasSubstr("config.json: not valid JSON at line 3 (byte 18)"));
  EXPECT_FALSE(ParseJson("", "f").ok());
  EXPECT_FALSE(ParseJson("{} x", "f").ok());
  EXPECT_FALSE(ParseJson("\"\xff\"", "f").ok());
  EXPECT_FALSE(ParseJson("1e999", "f").ok());
}

TEST(JsonTest, NestingIsBounded) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + "\"]\\\"[\"" + std::string(depth, ']');
  };
  EXPECT_TRUE(ParseJson(nested(200), "f").ok());
  EXPECT_THAT(Message(ParseJson(nested(201), "f").status()),
              HasSubstr("f: JSON nested deeper than 200"));
  EXPECT_FALSE(ParseJson(nested(1000000), "f").ok());
}

TEST(JsonTest, DuplicateNamesAreFoundPerObject) {
  EXPECT_TRUE(
      ParseJsonWithUniqueKeys(R"({"a": {"x": 1}, "b": {"x": 1}, "c": [{"x": 1}, {"x": 2}]})", "f")
          .ok());
  EXPECT_THAT(
      Message(ParseJsonWithUniqueKeys(R"({"a": {"x": 1, "y": {"x": 3}, "x": 2}})", "f").status()),
      HasSubstr("the name \"x\" occurs twice"));
  EXPECT_FALSE(ParseJsonWithUniqueKeys(R"({"a": 1, "a": 2})", "f").ok());
  EXPECT_TRUE(ParseJson(R"({"a": 1, "a": 2})", "f").ok());
}

TEST(JsonTest, FieldsAreTypedAndErrorsNameThem) {
  const nlohmann::json object = *ParseJson(
      R"({"i": 3, "d": 0.5, "s": "x", "b": true, "n": null, "v": [1, 2], "w": ["p"], "big": 18446744073709551615})",
      "f");
  EXPECT_EQ(*JsonField<int64_t>(object, "i", "f"), 3);
  EXPECT_EQ(*JsonField<double>(object, "i", "f"), 3.0);
  EXPECT_EQ(*JsonField<double>(object, "d", "f"), 0.5);
  EXPECT_EQ(*JsonField<std::string>(object, "s", "f"), "x");
  EXPECT_TRUE(*JsonField<bool>(object, "b", "f"));
  EXPECT_EQ(*JsonField<std::vector<int64_t>>(object, "v", "f"), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(*JsonField<std::vector<std::string>>(object, "w", "f"), std::vector<std::string>{"p"});
  EXPECT_EQ(*JsonFieldOr<int64_t>(object, "n", 7, "f"), 7);
  EXPECT_EQ(*JsonFieldOr<int64_t>(object, "absent", 8, "f"), 8);
  EXPECT_EQ(Message(JsonField<int64_t>(object, "absent", "f").status()),
            "f: the field \"absent\" is missing");
  EXPECT_EQ(Message(JsonField<int64_t>(object, "d", "f").status()),
            "f: \"d\" must be an integer of at most 63 bits, found 0.5");
  EXPECT_FALSE(JsonField<int64_t>(object, "big", "f").ok());
  EXPECT_FALSE(JsonField<std::vector<int64_t>>(object, "w", "f").ok());
  EXPECT_FALSE(JsonFieldOr<bool>(object, "i", false, "f").ok());
  EXPECT_FALSE(JsonArray(object, "i", "f").ok());
  EXPECT_FALSE(JsonObject(object, "v", "f").ok());
  EXPECT_THAT(Message(JsonField<bool>(nlohmann::json(3), "i", "f").status()),
              HasSubstr("expected an object, found 3"));
}

}  // namespace
}  // namespace tunesmith
