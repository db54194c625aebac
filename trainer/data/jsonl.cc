#include "trainer/data/jsonl.h"

#include <algorithm>
#include <utility>

#include "common/file.h"
#include "common/json.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/utf8.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::json;

struct ParsedRow {
  RowKind kind = RowKind::kText;
  DataRow row;
};

absl::StatusOr<std::string> NonEmptyString(const json& object, std::string_view field,
                                           std::string_view where) {
  TUNESMITH_ASSIGN_OR_RETURN(std::string text, JsonField<std::string>(object, field, where));
  if (text.empty()) return absl::InvalidArgumentError(StrCat(where, ": \"", field, "\" is empty"));
  return text;
}

absl::StatusOr<ParsedRow> ParseRow(std::string_view line, std::string_view where) {
  if (const int64_t at = FirstInvalidUtf8(line); at >= 0) {
    return absl::InvalidArgumentError(StrCat(where, ": not UTF-8 at byte ", at, " of the line"));
  }
  TUNESMITH_ASSIGN_OR_RETURN(const json object, ParseJson(line, where));
  ParsedRow parsed;
  const bool has_text = object.is_object() && object.contains("text");
  const bool has_pair =
      object.is_object() && (object.contains("prompt") || object.contains("completion"));
  if (has_text == has_pair) {
    return absl::InvalidArgumentError(StrCat(
        where, ": expected an object with \"text\", or with \"prompt\" and \"completion\", found ",
        has_text ? "both" : "neither"));
  }
  if (has_text) {
    TUNESMITH_ASSIGN_OR_RETURN(parsed.row.completion, NonEmptyString(object, "text", where));
    return parsed;
  }
  parsed.kind = RowKind::kPromptCompletion;
  TUNESMITH_ASSIGN_OR_RETURN(parsed.row.prompt, JsonField<std::string>(object, "prompt", where));
  TUNESMITH_ASSIGN_OR_RETURN(parsed.row.completion, NonEmptyString(object, "completion", where));
  return parsed;
}

constexpr std::string_view kBlank = " \t\r";

// Adds one line to `file`; the first row decides the kind.
absl::Status AddLine(std::string_view line, int64_t number, const JsonlOptions& options,
                     DataFile* file) {
  if (line.find_first_not_of(kBlank) == std::string_view::npos) return absl::OkStatus();
  const std::string where = StrCat(file->path, ", line ", number);
  absl::StatusOr<ParsedRow> parsed = ParseRow(line, where);
  if (!parsed.ok() && options.skips_bad_rows) {
    ++file->skipped_row_count;
    return absl::OkStatus();
  }
  TUNESMITH_RETURN_IF_ERROR(parsed.status());
  if (file->rows.empty()) file->kind = parsed->kind;
  if (parsed->kind != file->kind) {
    return absl::InvalidArgumentError(StrCat(
        where, ": a row of ", parsed->kind == RowKind::kText ? "text" : "prompt and completion",
        " in a file that began with the other kind; split the file by kind"));
  }
  parsed->row.line = number;
  file->rows.push_back(std::move(parsed->row));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DataFile> ParseJsonl(std::string_view text, const std::string& path,
                                    const JsonlOptions& options) {
  DataFile file;
  file.path = path;
  int64_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    TUNESMITH_RETURN_IF_ERROR(AddLine(text.substr(0, end), ++number, options, &file));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (!file.rows.empty()) return file;
  return absl::InvalidArgumentError(StrCat(
      path, ": the data set is empty: ", number, " lines, ", file.skipped_row_count,
      " of which do not parse; ",
      "give one JSON object per line, {\"text\": ...} or {\"prompt\": ..., \"completion\": ...}"));
}

absl::StatusOr<DataFile> ReadJsonl(const std::string& path, const JsonlOptions& options) {
  TUNESMITH_ASSIGN_OR_RETURN(const MappedFile mapped, MappedFile::Open(path));
  return ParseJsonl(mapped.bytes(), path, options);
}

}  // namespace tunesmith::trainer
