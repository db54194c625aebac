#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include "client/listing.h"
#include "client/yaml.h"
#include "nlohmann/json.hpp"

namespace tunesmith::client {
namespace {

Listing Rows() {
  Listing listing(
      {{"name", "job"}, {"memory_bytes", "memory GiB", true}, {"why", "why", false, true}}, "name");
  listing.AddRow({"jobs/job-1", BytesCell(int64_t{3} << 29), "said \"no\", twice\nand left"});
  listing.AddRow({"jobs/job-20", BytesCell(0), ""});
  return listing;
}

TEST(ListingTest, TablesShowUnitsAndLeaveWideColumnsOut) {
  EXPECT_EQ(Rows().ToTable(/*wide=*/false, /*headers=*/true),
            "job          memory GiB\njobs/job-1         1.50\njobs/job-20        0.00\n");
  EXPECT_EQ(Rows().ToTable(/*wide=*/false, /*headers=*/false),
            "jobs/job-1   1.50\njobs/job-20  0.00\n");
}

TEST(ListingTest, CsvHasRawValuesOfAllColumnsQuotedWhereNeeded) {
  EXPECT_EQ(Rows().ToCsv(/*headers=*/true),
            "name,memory_bytes,why\njobs/job-1,1610612736,\"said \"\"no\"\", twice\nand left\"\n"
            "jobs/job-20,0,\n");
}

TEST(ListingTest, NamesAreOnePerLine) { EXPECT_EQ(Rows().ToNames(), "jobs/job-1\njobs/job-20\n"); }

TEST(ListingTest, PartsArePutTogetherUnderTheirHeadings) {
  Listing first = Rows(), second = Rows();
  first.Prepend({"group", "group"}, "a");
  second.Prepend({"group", "group"}, "b");
  first.Append(std::move(second));
  EXPECT_THAT(first.ToCsv(true), ::testing::HasSubstr("a,jobs/job-20,0,\nb,jobs/job-1,"));
}

// What another reader makes of it.
nlohmann::json Read(const YAML::Node& node) {
  if (node.IsMap()) {
    auto json = nlohmann::json::object();
    for (const auto& member : node) json[member.first.Scalar()] = Read(member.second);
    return json;
  }
  if (node.IsSequence()) {
    auto json = nlohmann::json::array();
    for (const YAML::Node& item : node) json.push_back(Read(item));
    return json;
  }
  // Quoted scalars have the tag "!": they are text whatever they look like.
  if (node.IsNull()) return nullptr;
  if (node.Tag() == "!") return node.Scalar();
  const auto parsed = nlohmann::json::parse(node.Scalar(), nullptr, false);
  return parsed.is_discarded() ? nlohmann::json(node.Scalar()) : parsed;
}

TEST(YamlTest, SaysWhatTheJsonSays) {
  for (
      const char* text :
      {R"({"a": 1, "b": [1, 2.5, "x"], "c": {"d": true, "e": null}, "f": [], "g": {}})",
       R"({"list": [[1, [2]], {"a": [{"b": 1, "c": [3]}]}, []]})",
       R"({"s": ["12", "no", "True", "~", "null", "1e5", "", " x", "x ", "a: b", "a #b", "- a", "é", "a\nb\"c\\", "x:", "*a", "&a", "!a", "%a", "@a", "{", "0x10", "1_0", ".5", "on"]})",
       R"({"method=lora:r16 zero_stage=0": "method=lora:r16", "needs: quotes": "jobs/job-1"})",
       R"([])", R"("text")", R"(12)"}) {
    const std::string yaml = YamlOfJson(text);
    EXPECT_EQ(Read(YAML::Load(yaml)), nlohmann::json::parse(text)) << yaml;
  }
}

TEST(YamlTest, IsInBlockStyle) {
  EXPECT_EQ(YamlOfJson(R"({"name": "jobs/job-1", "count": "12", "items": [{"a": 1, "b": 2}, 3]})"),
            "name: jobs/job-1\ncount: \"12\"\nitems:\n  - a: 1\n    b: 2\n  - 3\n");
}

}  // namespace
}  // namespace tunesmith::client
