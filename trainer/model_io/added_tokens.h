#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/model_io/tokenizer_spec.h"

namespace tunesmith::trainer {

// Finds added tokens in a text: leftmost first, of those the longest.
class AddedTokens {
 public:
  struct Piece {
    std::string_view text;
    int32_t id = -1;  // of the added token that the piece is; -1: text between
  };

  explicit AddedTokens(std::vector<AddedToken> tokens);

  // Pieces pointing into `text` that cover it, less the white space that lstrip and rstrip take.
  std::vector<Piece> Split(std::string_view text) const;

 private:
  const AddedToken* LongestAt(std::string_view text) const;

  std::array<std::vector<AddedToken>, 256> by_first_byte_;  // longest first
};

}  // namespace tunesmith::trainer
