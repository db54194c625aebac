#pragma once

#include <string>
#include <vector>

namespace tunesmith::client {

// Columns padded to their widest cell (in characters), two spaces apart; the last column is not padded. Columns named in
// `right_aligned` are aligned to the right. Each line ends in a newline.
class Table {
 public:
  explicit Table(std::vector<std::string> header, std::vector<size_t> right_aligned = {});

  // REQUIRES: as many cells as the header has.
  void AddRow(std::vector<std::string> cells);

  // The row that was added last stands out, where there is colour.
  void EmphasizeLast() { emphasized_ = rows_.size() - 1; }

  // Without `headers`, the rows alone, in columns as wide as they need.
  std::string ToString(bool headers = true) const;

 private:
  std::vector<std::vector<std::string>> rows_;  // the first is the header
  std::vector<size_t> right_aligned_;
  size_t emphasized_ = 0;  // the header: none
};

// Characters in UTF-8 text.
size_t CharacterCount(const std::string& text);

}  // namespace tunesmith::client
