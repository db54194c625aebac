#include "trainer/model_io/added_tokens.h"

#include <algorithm>

#include "trainer/model_io/unicode_text.h"

namespace tunesmith::trainer {
namespace {

bool IsInsideWord(std::string_view before, std::string_view after) {
  return (!before.empty() && IsWordCharacter(LastCharacter(before))) ||
         (!after.empty() && IsWordCharacter(FirstCharacter(after)));
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) {
  for (AddedToken& token : tokens) {
    if (!token.content.empty())
      by_first_byte_[static_cast<uint8_t>(token.content[0])].push_back(std::move(token));
  }
  for (std::vector<AddedToken>& bucket : by_first_byte_) {
    std::stable_sort(bucket.begin(), bucket.end(), [](const AddedToken& a, const AddedToken& b) {
      return a.content.size() > b.content.size();
    });
  }
}

const AddedToken* AddedTokens::LongestAt(std::string_view text) const {
  for (const AddedToken& token : by_first_byte_[static_cast<uint8_t>(text[0])]) {
    if (text.starts_with(token.content)) return &token;
  }
  return nullptr;
}

std::vector<AddedTokens::Piece> AddedTokens::Split(std::string_view text) const {
  std::vector<Piece> pieces;
  size_t begin = 0;  // of the text that is not in a piece yet
  size_t at = 0;
  while (at < text.size()) {
    const AddedToken* token = LongestAt(text.substr(at));
    if (token == nullptr) {
      ++at;
      continue;
    }
    const size_t token_begin = at;
    at += token->content.size();
    if (token->single_word && IsInsideWord(text.substr(0, token_begin), text.substr(at))) continue;
    std::string_view before =
        text.substr(begin, std::max(token_begin, begin) - begin);  // rstrip may have gone further
    if (token->lstrip) before = TrimRight(before);
    if (!before.empty()) pieces.push_back({before, -1});
    pieces.push_back({text.substr(token_begin, token->content.size()), token->id});
    begin = token->rstrip ? text.size() - TrimLeft(text.substr(at)).size() : at;
  }
  if (begin < text.size()) pieces.push_back({text.substr(begin), -1});
  return pieces;
}

}  // namespace tunesmith::trainer
