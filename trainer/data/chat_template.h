#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/jinja/interpreter.h"

namespace tunesmith::trainer {

// A conversation as a template sees it: "messages", and "tools" or what else a row holds.
using ChatVariables = jinja::Dict;

// A text and the parts of it that are to be learned, in bytes, ascending and apart from each other.
struct MaskedText {
  std::string text;
  std::vector<jinja::TextSpan> learned;
};

// The Jinja template that a model's conversations are written by. Copies share it; thread-safe.
class ChatTemplate {
 public:
  // `special_tokens` (bos_token, eos_token ...) are variables of the template; `what` names it in messages. INVALID_ARGUMENT names line and reason.
  static absl::StatusOr<ChatTemplate> Create(std::string_view source, std::string_view what,
                                             ChatVariables special_tokens);

  // What strftime_now takes for now; the start of 1970 unless set, so that a text depends on nothing but its row.
  void set_unix_seconds(int64_t unix_seconds) { unix_seconds_ = unix_seconds; }

  // `adds_prompt`: up to where the model would answer. INVALID_ARGUMENT, UNIMPLEMENTED or RESOURCE_EXHAUSTED name the line.
  absl::StatusOr<std::string> Render(const ChatVariables& chat, bool adds_prompt) const;

  // What the assistant says is learned, with the token that ends its turn, without white space behind that:
  //   - by the template's own {% generation %} blocks; else
  //   - from where the prompt for a turn ends to where the conversation with that turn ends, if both are how the whole text begins; else
  //   - what the template's loop writes in the pass of that message, less the prompt that it begins with (templates that write earlier turns otherwise than
  //     the last one, as Qwen 3's).
  // Turns whose message has "weight": 0 are not learned. INVALID_ARGUMENT where none of this finds the turns.
  absl::StatusOr<MaskedText> RenderMasked(const ChatVariables& chat) const;

 private:
  ChatTemplate() = default;
  absl::StatusOr<jinja::Rendering> Run(const ChatVariables& chat, const jinja::Value& messages,
                                       bool adds_prompt) const;
  absl::StatusOr<std::optional<std::vector<jinja::TextSpan>>> SpansByPrompts(
      const ChatVariables& chat, const jinja::List& messages, std::string_view text) const;
  // What the template's loop writes for that message.
  absl::StatusOr<jinja::TextSpan> PassOf(const jinja::List& messages, size_t index,
                                         const jinja::Rendering& rendering) const;
  absl::StatusOr<std::vector<jinja::TextSpan>> SpansByBlocks(
      const jinja::List& messages, const jinja::Rendering& rendering) const;
  absl::StatusOr<std::vector<jinja::TextSpan>> SpansByPasses(
      const ChatVariables& chat, const jinja::List& messages,
      const jinja::Rendering& rendering) const;

  std::string what_;
  std::shared_ptr<const jinja::Statements> statements_;
  ChatVariables special_tokens_;
  int64_t unix_seconds_ = 0;
};

// The template of a model: of a Hugging Face directory chat_template.jinja, else "chat_template" of chat_template.json or tokenizer_config.json (its "default",
// where there are several); of a .gguf file tokenizer.chat_template. Nothing where the model has none.
absl::StatusOr<std::optional<ChatTemplate>> OpenChatTemplate(const std::string& model_path);

// The template in `path`, with the special tokens of the model.
absl::StatusOr<ChatTemplate> ReadChatTemplate(const std::string& path,
                                              const std::string& model_path);

}  // namespace tunesmith::trainer
