#pragma once

#include <array>
#include <cassert>
#include <string>
#include <string_view>

namespace tunesmith::planner {

// What a buffer or block is called: up to five string literals, read as one text. Programs are built by the thousand in a search, so names
// own nothing and are not put together until somebody reads them.
class Name {
 public:
  constexpr Name() = default;
  // `literal` must live for ever. "{}" in it stands for the instance.
  constexpr Name(const char* literal) : parts_{literal} {}  // NOLINT: a literal is a name

  constexpr Name With(const char* suffix) const {
    Name name = *this;
    size_t at = 0;
    while (at < name.parts_.size() && name.parts_[at] != nullptr) ++at;
    assert(at < name.parts_.size());
    name.parts_[at] = suffix;
    return name;
  }
  constexpr Name After(const char* prefix) const {
    assert(parts_.back() == nullptr);
    Name name;
    name.parts_[0] = prefix;
    for (size_t i = 0; i + 1 < parts_.size(); ++i) name.parts_[i + 1] = parts_[i];
    return name;
  }

  std::string Text() const;
  // The text with "{}" replaced.
  std::string Text(int64_t instance) const;
  // Whether the text has a place for the instance: the buffer belongs to a layer.
  bool HasInstance() const { return First().find("{}") != std::string_view::npos; }

  // By text.
  bool operator==(const Name& other) const { return Text() == other.Text(); }

  template <typename Visit>
  void ForEachPart(Visit visit) const {
    for (const char* part : parts_) {
      if (part != nullptr) visit(std::string_view(part));
    }
  }

 private:
  // "{}" stands in a prefix, never across parts.
  std::string_view First() const { return parts_[0] == nullptr ? "" : parts_[0]; }

  std::array<const char*, 5> parts_ = {};
};

}  // namespace tunesmith::planner
