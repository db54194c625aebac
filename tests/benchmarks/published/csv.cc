#include "tests/benchmarks/published/csv.h"

#include "common/str_cat.h"

namespace tunesmith::published {
namespace {

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool AtEnd() const { return position_ >= text_.size(); }
  int64_t line() const { return line_; }

  CsvRecord ReadRecord() {
    CsvRecord record{.line = line_, .cells = {}};
    do {
      record.cells.push_back(ReadCell());
    } while (Skip(','));
    Skip('\r');
    if (Skip('\n')) ++line_;
    return record;
  }
  // Line of a quote that the text ends before closing; 0: none.
  int64_t open_quote_line() const { return open_quote_line_; }

 private:
  bool Skip(char wanted) {
    if (AtEnd() || text_[position_] != wanted) return false;
    ++position_;
    return true;
  }

  std::string ReadCell() {
    if (Skip('"')) return ReadQuoted();
    const size_t end = std::min(text_.find_first_of(",\r\n", position_), text_.size());
    std::string cell(text_.substr(position_, end - position_));
    position_ = end;
    return cell;
  }

  std::string ReadQuoted() {
    std::string cell;
    open_quote_line_ = line_;
    while (!AtEnd()) {
      const char c = text_[position_++];
      if (c == '\n') ++line_;
      if (c == '"' && !Skip('"')) {
        open_quote_line_ = 0;
        break;
      }
      cell += c;
    }
    return cell;
  }

  std::string_view text_;
  size_t position_ = 0;
  int64_t line_ = 1;
  int64_t open_quote_line_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<CsvRecord>> ParseCsv(std::string_view text, std::string_view what) {
  std::vector<CsvRecord> records;
  Reader reader(text);
  while (!reader.AtEnd()) {
    records.push_back(reader.ReadRecord());
    if (reader.open_quote_line() != 0) {
      return absl::InvalidArgumentError(
          StrCat(what, ":", reader.open_quote_line(), ": a quote is opened and never closed"));
    }
  }
  if (records.empty()) return absl::InvalidArgumentError(StrCat(what, ": holds no rows"));
  return records;
}

}  // namespace tunesmith::published
