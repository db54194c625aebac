#include "trainer/model_io/token_decoder.h"

#include <charconv>
#include <string_view>
#include <utility>

#include "common/status_macros.h"
#include "common/text.h"
#include "common/utf8.h"
#include "trainer/model_io/byte_alphabet.h"

namespace tunesmith::trainer {
namespace {

constexpr std::string_view kReplacementCharacter = "\ufffd";

using Texts = std::vector<std::string>;

// All tokens together: a character may be spread over several.
Texts FromByteAlphabet(const Texts& texts) {
  std::string bytes;
  for (const std::string& text : texts) bytes += BytesOfToken(text).value_or(text);
  return {ReplaceInvalidUtf8(bytes)};
}

// The byte of "<0x0A>"; -1: another token.
int ByteOfFallback(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int byte = -1;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  return error == std::errc() && end == token.data() + 5 ? byte : -1;
}

// Runs of byte tokens become their text, or, where it is no valid UTF-8, one U+FFFD for each byte.
class ByteRuns {
 public:
  void Add(std::string text) {
    const int byte = ByteOfFallback(text);
    if (byte >= 0) {
      run_.push_back(static_cast<char>(byte));
      return;
    }
    EndRun();
    texts_.push_back(std::move(text));
  }

  Texts Finish() {
    EndRun();
    return std::move(texts_);
  }

 private:
  void EndRun() {
    if (FirstInvalidUtf8(run_) < 0) {
      if (!run_.empty()) texts_.push_back(run_);
    } else {
      texts_.insert(texts_.end(), run_.size(), std::string(kReplacementCharacter));
    }
    run_.clear();
  }

  Texts texts_;
  std::string run_;
};

Texts FromFallback(Texts texts) {
  ByteRuns runs;
  for (std::string& text : texts) runs.Add(std::move(text));
  return runs.Finish();
}

void Strip(const StripDecoder& step, std::string* text) {
  if (step.content.empty()) return;
  for (int64_t i = 0; i < step.start_count && text->starts_with(step.content); ++i)
    text->erase(0, step.content.size());
  for (int64_t i = 0; i < step.stop_count && text->ends_with(step.content); ++i)
    text->erase(text->size() - step.content.size());
}

std::string WithoutMetaspace(const MetaspaceDecoder& step, bool is_first, std::string_view text) {
  const std::string_view space = is_first && step.prepends ? "" : " ";
  std::string result;
  for (;;) {
    const size_t at = text.find(step.replacement);
    if (at == std::string_view::npos) break;
    result.append(text.substr(0, at)).append(space);
    text.remove_prefix(at + step.replacement.size());
  }
  return result.append(text);
}

}  // namespace

absl::StatusOr<TokenDecoder> TokenDecoder::Create(const std::vector<DecoderStep>& steps) {
  TokenDecoder result;
  for (const DecoderStep& step : steps) {
    result.steps_.push_back({step, std::nullopt});
    if (const auto* replace = std::get_if<ReplaceStep>(&step)) {
      TUNESMITH_ASSIGN_OR_RETURN(result.steps_.back().replacer, Replacer::Create(*replace));
    }
  }
  return result;
}

void TokenDecoder::ApplyStep(const Step& step, Texts* texts) {
  if (std::holds_alternative<ByteLevelDecoder>(step.spec)) {
    *texts = FromByteAlphabet(*texts);
  } else if (std::holds_alternative<ByteFallbackDecoder>(step.spec)) {
    *texts = FromFallback(std::move(*texts));
  } else if (std::holds_alternative<FuseDecoder>(step.spec)) {
    *texts = {StrJoin(*texts, "")};
  } else if (const auto* strip = std::get_if<StripDecoder>(&step.spec)) {
    for (std::string& text : *texts) Strip(*strip, &text);
  } else if (const auto* metaspace = std::get_if<MetaspaceDecoder>(&step.spec)) {
    for (size_t i = 0; i < texts->size(); ++i)
      (*texts)[i] = WithoutMetaspace(*metaspace, i == 0, (*texts)[i]);
  } else {
    for (std::string& text : *texts) {
      absl::StatusOr<std::string> replaced = step.replacer->Apply(text);
      if (replaced.ok()) text = *std::move(replaced);  // else the engine gave up: left as it is
    }
  }
}

std::string TokenDecoder::Decode(Texts tokens) const {
  if (steps_.empty()) return StrJoin(tokens, " ");
  for (const Step& step : steps_) ApplyStep(step, &tokens);
  return StrJoin(tokens, "");
}

}  // namespace tunesmith::trainer
