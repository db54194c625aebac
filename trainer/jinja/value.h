#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

// The values that a template works with: Python's, as far as templates see them. Copies are cheap: text and containers are shared and, but for
// namespaces and loops, never change.
namespace tunesmith::trainer::jinja {

class Value;
using List = std::vector<Value>;
using Dict = std::vector<std::pair<std::string, Value>>;  // in order of insertion, keys unique

struct Undefined {
  std::string hint;  // "'x' is undefined": what to say when it is used
};
struct None {};
struct Namespace;
struct Loop;

struct Arguments {
  List positional;
  Dict named;

  // The argument at `index` or of that name; null where there is none.
  const Value* Find(size_t index, std::string_view name) const;
};
// Macros, methods bound to their object, and global functions.
struct Callable {
  std::string name;
  std::function<absl::StatusOr<Value>(const Arguments&)> call;
};

class Value {
 public:
  Value() : data_(None()) {}
  Value(Undefined value) : data_(std::move(value)) {}  // NOLINT: values convert implicitly
  Value(None value) : data_(value) {}                  // NOLINT
  Value(bool value) : data_(value) {}                  // NOLINT
  Value(int64_t value) : data_(value) {}               // NOLINT
  Value(double value) : data_(value) {}                // NOLINT
  Value(std::string value)                             // NOLINT
      : data_(std::make_shared<const std::string>(std::move(value))) {}
  Value(std::string_view value) : Value(std::string(value)) {}                          // NOLINT
  Value(const char* value) : Value(std::string(value)) {}                               // NOLINT
  Value(List value);                                                                    // NOLINT
  Value(Dict value);                                                                    // NOLINT
  Value(std::shared_ptr<Namespace> value) : data_(std::move(value)) {}                  // NOLINT
  Value(std::shared_ptr<Loop> value) : data_(std::move(value)) {}                       // NOLINT
  Value(Callable value) : data_(std::make_shared<const Callable>(std::move(value))) {}  // NOLINT

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  const Undefined& undefined() const { return std::get<Undefined>(data_); }
  const bool* boolean() const { return std::get_if<bool>(&data_); }
  const int64_t* integer() const { return std::get_if<int64_t>(&data_); }
  const double* real() const { return std::get_if<double>(&data_); }
  // Null where the value is of another kind.
  const std::string* text() const { return Shared<std::string>(); }
  const List* list() const { return Shared<List>(); }
  const Dict* dict() const { return Shared<Dict>(); }
  const Callable* callable() const { return Shared<Callable>(); }
  Namespace* name_space() const { return Mutable<Namespace>(); }
  Loop* loop() const { return Mutable<Loop>(); }

  bool IsNumber() const {
    return boolean() != nullptr || integer() != nullptr || real() != nullptr;
  }
  // As Python's bool() does. REQUIRES: IsNumber() for the two numbers.
  bool IsTrue() const;
  double AsReal() const;
  int64_t AsInteger() const;  // a boolean or an integer

  // "str", "dict object": what Jinja calls the kind in messages.
  std::string_view KindName() const;

  // The same list as a tuple, which differs in how it is printed and in being equal to no list. REQUIRES: list().
  static Value Tuple(List value);
  bool is_tuple() const { return is_tuple_; }

  // How deep lists and dicts lie within each other; 0 for other values. Printing and freeing recurse.
  int64_t depth() const { return depth_; }

  // Whether both are the very same list, dict or text.
  bool IsSame(const Value& other) const;

 private:
  template <typename T>
  const T* Shared() const {
    const auto* pointer = std::get_if<std::shared_ptr<const T>>(&data_);
    return pointer == nullptr ? nullptr : pointer->get();
  }
  template <typename T>
  T* Mutable() const {
    const auto* pointer = std::get_if<std::shared_ptr<T>>(&data_);
    return pointer == nullptr ? nullptr : pointer->get();
  }

  std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const List>, std::shared_ptr<const Dict>, std::shared_ptr<Namespace>,
               std::shared_ptr<Loop>, std::shared_ptr<const Callable>>
      data_;
  int64_t depth_ = 0;
  bool is_tuple_ = false;
};

struct Namespace {
  Dict values;
};

// The variable "loop" of a for.
struct Loop {
  Value items;  // a list
  int64_t index = 0;
  Value last_changed = Undefined{"none"};  // what loop.changed saw last
  bool has_changed = false;
};

// Null where the key is missing.
const Value* FindKey(const Dict& dict, std::string_view key);
void SetKey(std::string key, Value value, Dict* dict);

Value FromJson(const nlohmann::ordered_json& json);

// Python's str() and repr().
std::string ToText(const Value& value);
std::string ToRepresentation(const Value& value);

// Python's json.dumps(ensure_ascii=False). indent < 0: on one line. INVALID_ARGUMENT for what JSON has no form for.
struct JsonStyle {
  int64_t indent = -1;
  bool sorts_keys = false;
};
absl::StatusOr<std::string> ToJson(const Value& value, const JsonStyle& style);

bool AreEqual(const Value& a, const Value& b);
// Negative, 0 or positive. INVALID_ARGUMENT for kinds that have no order.
absl::StatusOr<int> Compare(const Value& a, const Value& b);

// The items that a for goes over: of a list, a dict's keys, a text's characters; none of an undefined value. INVALID_ARGUMENT for others.
absl::StatusOr<List> ItemsOf(const Value& value);
absl::StatusOr<int64_t> LengthOf(const Value& value);

}  // namespace tunesmith::trainer::jinja
