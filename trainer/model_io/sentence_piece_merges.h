#pragma once

#include <string>
#include <utility>
#include <vector>

namespace tunesmith::trainer {

// The merge list of a SentencePiece BPE vocabulary, which has scores instead: every pair of pieces that makes a piece, best score of what they make
// first, as Hugging Face's converter orders them (transformers, convert_slow_tokenizer.py, generate_merges). REQUIRES: as many scores as tokens; tokens are UTF-8.
std::vector<std::pair<std::string, std::string>> MergesFromScores(
    const std::vector<std::string>& tokens, const std::vector<double>& scores);

}  // namespace tunesmith::trainer
