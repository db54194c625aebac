#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/str_cat.h"

// Lines of YAML: the little that configuration files of trainers need.
namespace tunesmith::runtimes {

class YamlText {
 public:
  void Comment(std::string_view text) { Line(StrCat("# ", text)); }
  void Set(std::string_view key, std::string_view value) { Line(StrCat(key, ": ", value)); }
  void Set(std::string_view key, const char* value) { Set(key, std::string_view(value)); }
  void Set(std::string_view key, bool value) {
    Set(key, std::string_view(value ? "true" : "false"));
  }
  void Set(std::string_view key, int64_t value) { Line(StrCat(key, ": ", value)); }
  // Text that YAML would read otherwise.
  void SetQuoted(std::string_view key, std::string_view value) {
    Line(StrCat(key, ": \"", value, "\""));
  }
  void List(std::string_view key, const std::vector<std::string>& values) {
    Line(StrCat(key, ":"));
    for (const std::string& value : values) Line(StrCat("  - ", value));
  }
  void Open(std::string_view key) {
    Line(StrCat(key, ":"));
    indent_ += "  ";
  }
  void Close() { indent_.resize(indent_.size() - 2); }
  const std::string& text() const { return text_; }

 private:
  void Line(std::string_view line) { text_ += StrCat(indent_, line, "\n"); }

  std::string text_;
  std::string indent_;
};

}  // namespace tunesmith::runtimes
