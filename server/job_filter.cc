#include "server/job_filter.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/utf8.h"
#include "tunesmith/v1/events.pb.h"

namespace tunesmith::server {
namespace {

constexpr size_t kMaxFilterBytes = 2048;
constexpr size_t kMaxConditionCount = 16;

enum class ValueKind { kState, kText, kTime };

struct Field {
  std::string_view name;
  std::string_view column;
  ValueKind kind;
};

constexpr std::array<Field, 6> kFields = {{{"state", "state", ValueKind::kState},
                                           {"model", "model", ValueKind::kText},
                                           {"launcher", "launcher", ValueKind::kText},
                                           {"uid", "uid", ValueKind::kText},
                                           {"create_time", "create_micros", ValueKind::kTime},
                                           {"end_time", "end_micros", ValueKind::kTime}}};

struct Token {
  std::string text;
  bool quoted = false;
};

bool IsOperatorCharacter(char c) { return c == '=' || c == '!' || c == '<' || c == '>'; }

bool IsWordCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.' ||
         c == ':' || c == '/' || c == '+';
}

absl::Status Refuse(std::string_view what) {
  return absl::InvalidArgumentError(
      StrCat(what,
             "; a filter is comparisons joined by AND, such as state = FAILED AND model = "
             "\"SmolLM2-135M\""));
}

std::string TakeWhile(std::string_view& rest, bool (*belongs)(char)) {
  const auto end = std::find_if_not(rest.begin(), rest.end(), belongs);
  const std::string taken(rest.begin(), end);
  rest.remove_prefix(taken.size());
  return taken;
}

// From behind the opening quote to the closing one; a backslash takes the next character as it is.
absl::StatusOr<Token> TakeQuoted(std::string_view& rest) {
  Token token{.text = {}, .quoted = true};
  for (size_t i = 1; i < rest.size(); ++i) {
    if (rest[i] == '"') {
      rest.remove_prefix(i + 1);
      return token;
    }
    if (rest[i] == '\\') ++i;
    if (i < rest.size()) token.text += rest[i];
  }
  return Refuse("a quote is not closed");
}

absl::StatusOr<std::vector<Token>> Tokenize(std::string_view rest) {
  std::vector<Token> tokens;
  while (true) {
    while (!rest.empty() && absl::ascii_isspace(static_cast<unsigned char>(rest[0])))
      rest.remove_prefix(1);
    if (rest.empty()) return tokens;
    if (rest[0] == '"') {
      TUNESMITH_ASSIGN_OR_RETURN(Token token, TakeQuoted(rest));
      tokens.push_back(std::move(token));
    } else if (IsOperatorCharacter(rest[0])) {
      tokens.push_back({TakeWhile(rest, IsOperatorCharacter)});
    } else if (IsWordCharacter(rest[0])) {
      tokens.push_back({TakeWhile(rest, IsWordCharacter)});
    } else {
      const auto bytes = std::max<int64_t>(1, Utf8CharacterBytes(rest));
      return Refuse(StrCat("'", rest.substr(0, static_cast<size_t>(bytes)), "' is not understood"));
    }
  }
}

const Field* FindField(const std::string& name) {
  const auto field = std::find_if(kFields.begin(), kFields.end(),
                                  [&](const Field& candidate) { return candidate.name == name; });
  return field == kFields.end() ? nullptr : &*field;
}

absl::Status CheckOperator(const Field& field, const std::string& text) {
  const bool equality = text == "=" || text == "!=";
  const bool order = text == "<" || text == "<=" || text == ">" || text == ">=";
  if (field.kind == ValueKind::kTime ? order : equality) return absl::OkStatus();
  return Refuse(StrCat("'", text, "' cannot compare ", field.name, ", which takes ",
                       field.kind == ValueKind::kTime ? "<, <=, > or >=" : "= or !="));
}

absl::Status SetValue(const Field& field, const std::string& text, JobCondition& condition) {
  v1::JobState state = v1::JOB_STATE_UNSPECIFIED;
  absl::Time time;
  std::string error;
  switch (field.kind) {
    case ValueKind::kText:
      condition.is_text = true;
      condition.text = text;
      return absl::OkStatus();
    case ValueKind::kState:
      if (!v1::JobState_Parse(StrCat("JOB_STATE_", text), &state) ||
          state == v1::JOB_STATE_UNSPECIFIED)
        return Refuse(StrCat("there is no state ", text));
      condition.integer = state;
      return absl::OkStatus();
    case ValueKind::kTime:
      break;
  }
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error))
    return Refuse(StrCat("\"", text, "\" is no time such as \"2026-01-31T00:00:00Z\""));
  condition.integer = absl::ToUnixMicros(time);
  return absl::OkStatus();
}

absl::StatusOr<JobCondition> ConditionOf(const Token& name, const Token& comparison,
                                         const Token& value) {
  const Field* field = name.quoted ? nullptr : FindField(name.text);
  if (field == nullptr) {
    return Refuse(StrCat("there is no field '", name.text,
                         "' (state, model, launcher, uid, create_time, end_time)"));
  }
  TUNESMITH_RETURN_IF_ERROR(CheckOperator(*field, comparison.text));
  if (!value.quoted && (value.text.empty() || !IsWordCharacter(value.text[0])))
    return Refuse(StrCat("a value must follow ", comparison.text));
  JobCondition condition{.column = std::string(field->column), .operator_text = comparison.text};
  TUNESMITH_RETURN_IF_ERROR(SetValue(*field, value.text, condition));
  return condition;
}

}  // namespace

absl::StatusOr<std::vector<JobCondition>> ParseJobFilter(std::string_view filter) {
  if (filter.size() > kMaxFilterBytes)
    return Refuse(StrCat("the filter is longer than ", kMaxFilterBytes, " bytes"));
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<Token> tokens, Tokenize(filter));
  std::vector<JobCondition> conditions;
  for (size_t i = 0; i < tokens.size(); i += 4) {
    if (tokens.size() - i < 3) return Refuse("the last comparison is not whole");
    TUNESMITH_ASSIGN_OR_RETURN(JobCondition condition,
                               ConditionOf(tokens[i], tokens[i + 1], tokens[i + 2]));
    conditions.push_back(std::move(condition));
    if (i + 3 == tokens.size()) break;
    if (tokens[i + 3].quoted || tokens[i + 3].text != "AND")
      return Refuse(StrCat("'", tokens[i + 3].text, "' stands where AND must"));
    if (i + 4 == tokens.size()) return Refuse("a comparison must follow AND");
  }
  if (conditions.size() > kMaxConditionCount)
    return Refuse(StrCat("there are more than ", kMaxConditionCount, " comparisons"));
  // A job that has not ended has the time 0, which is before every other.
  const bool by_end = std::any_of(conditions.begin(), conditions.end(),
                                  [](const JobCondition& c) { return c.column == "end_micros"; });
  if (by_end) conditions.push_back({.column = "end_micros", .operator_text = ">"});
  return conditions;
}

}  // namespace tunesmith::server
