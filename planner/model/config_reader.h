#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

// Reads the fields of a config.json and collects everything that is wrong with them, so that one error names all.
namespace tunesmith::planner {

// What is wrong with a config.json. Unsupported things are right by themselves but not built here.
struct ConfigProblems {
  std::vector<std::string> invalid;
  std::vector<std::string> unsupported;
  // Fields whose value could not be read: nothing more is to be said of them.
  std::set<std::string, std::less<>> told_fields;

  bool empty() const { return invalid.empty() && unsupported.empty(); }

  // OK if empty; INVALID_ARGUMENT with all of both lists if anything is invalid; else UNIMPLEMENTED.
  absl::Status ToStatus(std::string_view name) const;
};

// Fields of one JSON object. A field that is null counts as absent, as in Hugging Face's files. The object and the problems must outlive
// the reader. `path` is what messages put before a field's name ("rope_scaling.").
class ConfigReader {
 public:
  ConfigReader(const nlohmann::json& object, std::string path, ConfigProblems* problems)
      : object_(object), path_(std::move(path)), problems_(problems) {}

  bool Has(const char* field) const { return Find(field) != nullptr; }
  // As Has, but true for null.
  bool Contains(const char* field) const { return object_.contains(field); }

  // The value, or none if absent. A value of another type is a problem and counts as absent.
  std::optional<int64_t> Integer(const char* field);
  std::optional<double> Real(const char* field);
  std::optional<bool> Boolean(const char* field);
  std::optional<std::string> Text(const char* field);
  const nlohmann::json* Object(const char* field);
  const nlohmann::json* Array(const char* field);
  std::optional<std::vector<double>> Reals(const char* field);  // an array of finite numbers

  // The same, and absence is a problem.
  std::optional<int64_t> RequiredInteger(const char* field);
  std::optional<double> RequiredReal(const char* field);
  std::optional<std::string> RequiredText(const char* field);
  std::optional<std::vector<double>> RequiredReals(const char* field);

  void Invalid(std::string problem) { problems_->invalid.push_back(std::move(problem)); }
  void Unsupported(std::string problem) { problems_->unsupported.push_back(std::move(problem)); }
  // The field was derived from one that is at fault.
  void MarkTold(const char* field) { problems_->told_fields.insert(path_ + field); }
  const std::string& path() const { return path_; }
  ConfigProblems* problems() const { return problems_; }

 private:
  const nlohmann::json* Find(const char* field) const;
  void WrongType(const char* field, std::string_view wanted);
  void Missing(const char* field);

  const nlohmann::json& object_;
  std::string path_;
  ConfigProblems* problems_;
};

}  // namespace tunesmith::planner
