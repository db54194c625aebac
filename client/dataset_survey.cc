#include "client/dataset_survey.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>

#include "common/file.h"
#include "common/json.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "common/units.h"

namespace tunesmith::client {
namespace {

constexpr double kBinsPerOctave = 8;
constexpr uint64_t kPieceKey = 11;

struct Length {
  int64_t tokens = 0;
  int64_t predicted = 0;
};

int64_t TokensOf(const std::string& text) {
  return CeilDivide(static_cast<int64_t>(text.size()), kBytesPerToken);
}

constexpr int64_t kTokensPerTurn = 5;  // what chat templates write around what is said, about

std::string TextOf(const nlohmann::json& object, const char* field) {
  return JsonFieldOr<std::string>(object, field, "", "row").value_or("");
}

// What is said in a turn: a text, or parts that have one each.
int64_t TokensOfContent(const nlohmann::json& turn) {
  const auto content = turn.find("content");
  if (content == turn.end() || !content->is_array())
    return TokensOf(TextOf(turn, content == turn.end() ? "value" : "content"));
  int64_t tokens = 0;
  for (const nlohmann::json& part : *content)
    if (part.is_object()) tokens += TokensOf(TextOf(part, "text"));
  return tokens;
}

// A conversation, of which the assistant's turns are learned.
std::optional<Length> LengthOfTurns(const nlohmann::json& turns) {
  Length length;
  if (!turns.is_array()) return std::nullopt;
  for (const nlohmann::json& turn : turns) {
    if (!turn.is_object()) return std::nullopt;
    const std::string role = TextOf(turn, turn.contains("role") ? "role" : "from");
    const int64_t tokens = TokensOfContent(turn) + 1;
    length.tokens += tokens + kTokensPerTurn;
    if (role == "assistant" || role == "gpt") length.predicted += tokens;
  }
  return length;
}

Length LengthOfPair(std::string_view prompt, std::string_view completion) {
  const int64_t predicted = TokensOf(std::string(completion)) + 1;
  return {TokensOf(std::string(prompt)) + predicted, predicted};
}

// The length of a row's document, the end token included.
std::optional<Length> LengthOf(std::string_view line) {
  const auto object = ParseJson(line, "row");
  if (!object.ok() || !object->is_object()) return std::nullopt;
  for (const char* field : {"messages", "conversations"}) {
    if (object->contains(field)) return LengthOfTurns((*object)[field]);
  }
  if (const auto text = JsonField<std::string>(*object, "text", "row"); text.ok()) {
    const int64_t tokens = TokensOf(*text) + 1;
    return Length{tokens, tokens};
  }
  if (object->contains("instruction") && object->contains("output")) {
    return LengthOfPair(TextOf(*object, "instruction") + TextOf(*object, "input"),
                        TextOf(*object, "output"));
  }
  const auto prompt = JsonField<std::string>(*object, "prompt", "row"),
             completion = JsonField<std::string>(*object, "completion", "row");
  if (!prompt.ok() || !completion.ok()) return std::nullopt;
  return LengthOfPair(*prompt, *completion);
}

int64_t UpperEdge(int64_t bin) {
  return std::llround(std::exp2(static_cast<double>(bin) / kBinsPerOctave));
}

// The first bin whose edge is not below `tokens`.
int64_t BinOf(int64_t tokens) {
  auto bin = static_cast<int64_t>(kBinsPerOctave * std::log2(static_cast<double>(tokens)));
  while (UpperEdge(bin) < tokens) ++bin;
  while (bin > 0 && UpperEdge(bin - 1) >= tokens) --bin;
  return bin;
}

class Surveyor {
 public:
  void Read(std::string_view text, size_t begin, size_t end) {
    // A line belongs to the piece that it begins in.
    if (begin > 0) begin = NextLine(text, begin - 1);
    while (begin < end) {
      const size_t next = NextLine(text, begin);
      if (const auto length = LengthOf(text.substr(begin, next - begin))) Add(*length);
      begin = next;
    }
  }

  DatasetSurvey Finish(double read_share) {
    survey_.read_share = read_share;
    const auto scaled = [&](int64_t count) {
      return std::llround(static_cast<double>(count) / read_share);
    };
    survey_.document_count = scaled(survey_.document_count);
    survey_.token_count = scaled(survey_.token_count);
    survey_.predicted_token_count = scaled(survey_.predicted_token_count);
    if (bins_.empty()) return std::move(survey_);
    // Empty bins matter too: they say where the others begin.
    for (int64_t b = std::max<int64_t>(0, bins_.begin()->first - 1); b <= bins_.rbegin()->first;
         ++b) {
      const auto found = bins_.find(b);
      planner::LengthBin bin{.upper_edge = UpperEdge(b)};
      if (found != bins_.end()) {
        bin.document_count = scaled(found->second.document_count);
        bin.predicted_token_count = std::min<int64_t>(scaled(found->second.predicted_token_count),
                                                      bin.document_count * bin.upper_edge);
      }
      const bool repeats =
          !survey_.histogram.empty() && survey_.histogram.back().upper_edge >= bin.upper_edge;
      if (!repeats) survey_.histogram.push_back(bin);
    }
    return std::move(survey_);
  }

 private:
  static size_t NextLine(std::string_view text, size_t at) {
    const size_t newline = text.find('\n', at);
    return newline == std::string_view::npos ? text.size() : newline + 1;
  }

  void Add(const Length& length) {
    planner::LengthBin& bin = bins_[BinOf(length.tokens)];
    ++bin.document_count;
    bin.predicted_token_count += length.predicted;
    ++survey_.document_count;
    survey_.token_count += length.tokens;
    survey_.predicted_token_count += length.predicted;
    survey_.longest_predicted = std::max(survey_.longest_predicted, length.predicted);
  }

  DatasetSurvey survey_;
  std::map<int64_t, planner::LengthBin> bins_;  // by BinOf
};

}  // namespace

absl::StatusOr<DatasetSurvey> SurveyDataset(const std::string& path, const SurveyOptions& options) {
  TUNESMITH_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const std::string_view text = file.bytes();
  Surveyor surveyor;
  const auto most = static_cast<size_t>(options.most_bytes);
  if (text.size() <= most) {
    surveyor.Read(text, 0, text.size());
    return surveyor.Finish(1.0);
  }
  const auto pieces = static_cast<size_t>(options.piece_count);
  const size_t stride = text.size() / pieces, size = most / pieces;
  for (size_t i = 0; i < pieces; ++i) {
    // At a random place of its part of the file, lest a period of the file be met at one phase.
    const int64_t shift = RandomBelow(kPieceKey, i, static_cast<int64_t>(stride - size) + 1);
    const size_t begin = i * stride + static_cast<size_t>(shift);
    surveyor.Read(text, begin, begin + size);
  }
  return surveyor.Finish(static_cast<double>(size * pieces) / static_cast<double>(text.size()));
}

}  // namespace tunesmith::client
