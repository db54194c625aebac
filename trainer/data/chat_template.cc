#include "trainer/data/chat_template.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/utf8.h"
#include "trainer/jinja/parser.h"
#include "trainer/jinja/python_text.h"

namespace tunesmith::trainer {
namespace {

using jinja::List;
using jinja::TextSpan;
using jinja::Value;
using Spans = std::vector<TextSpan>;

bool IsAssistant(const Value& message) {
  const Value* role = message.dict() == nullptr ? nullptr : FindKey(*message.dict(), "role");
  return role != nullptr && role->text() != nullptr && *role->text() == "assistant";
}

bool IsLearned(const Value& message) {
  const Value* weight = FindKey(*message.dict(), "weight");
  return weight == nullptr || !weight->IsNumber() || weight->AsReal() != 0;
}

// Fields that are null are as if they were not there, as transformers sees them.
Value WithoutNulls(const Value& message) {
  if (message.dict() == nullptr) return message;
  jinja::Dict kept;
  for (const auto& [key, value] : *message.dict()) {
    if (!value.is_none()) kept.emplace_back(key, value);
  }
  return kept;
}

TextSpan WithoutSpaceBehind(std::string_view text, TextSpan span) {
  const std::string_view part =
      text.substr(static_cast<size_t>(span.begin), static_cast<size_t>(span.end - span.begin));
  span.end = span.begin + static_cast<int64_t>(jinja::Strip(part, nullptr, {false, true}).size());
  return span;
}

// In order, none empty, those that overlap as one.
Spans Merged(Spans spans) {
  std::sort(spans.begin(), spans.end(),
            [](const TextSpan& a, const TextSpan& b) { return a.begin < b.begin; });
  Spans merged;
  for (const TextSpan& span : spans) {
    if (span.begin >= span.end) continue;
    if (!merged.empty() && span.begin < merged.back().end) {
      merged.back().end = std::max(merged.back().end, span.end);
    } else {
      merged.push_back(span);
    }
  }
  return merged;
}

List FirstOf(const List& list, size_t count) {
  return {list.begin(), list.begin() + static_cast<std::ptrdiff_t>(count)};
}

}  // namespace

absl::StatusOr<ChatTemplate> ChatTemplate::Create(std::string_view source, std::string_view what,
                                                  ChatVariables special_tokens) {
  if (const int64_t at = FirstInvalidUtf8(source); at >= 0)
    return absl::InvalidArgumentError(StrCat(what, ": not UTF-8 at byte ", at));
  absl::StatusOr<jinja::Statements> statements = jinja::Parse(source);
  if (!statements.ok()) {
    return absl::Status(statements.status().code(),
                        StrCat(what, ": ", ToStd(statements.status().message())));
  }
  ChatTemplate result;
  result.what_ = what;
  result.statements_ = std::make_shared<const jinja::Statements>(*std::move(statements));
  result.special_tokens_ = std::move(special_tokens);
  return result;
}

absl::StatusOr<jinja::Rendering> ChatTemplate::Run(const ChatVariables& chat, const Value& messages,
                                                   bool adds_prompt) const {
  ChatVariables variables = {{"tools", Value()}, {"documents", Value()}};
  for (const auto& [name, value] : special_tokens_) SetKey(name, value, &variables);
  for (const auto& [name, value] : chat) SetKey(name, value, &variables);
  SetKey("messages", messages, &variables);
  SetKey("add_generation_prompt", Value(adds_prompt), &variables);
  absl::StatusOr<jinja::Rendering> rendering = jinja::Run(*statements_, variables, unix_seconds_);
  if (rendering.ok()) return rendering;
  return absl::Status(rendering.status().code(),
                      StrCat(what_, ": ", ToStd(rendering.status().message())));
}

namespace {

absl::StatusOr<List> MessagesOf(const ChatVariables& chat) {
  const Value* messages = FindKey(chat, "messages");
  if (messages == nullptr || messages->list() == nullptr)
    return absl::InvalidArgumentError("a conversation has no list of messages");
  List kept;
  for (const Value& message : *messages->list()) {
    if (message.dict() == nullptr)
      return absl::InvalidArgumentError(
          StrCat("message ", kept.size(), " is a ", message.KindName(), ", not an object"));
    kept.push_back(WithoutNulls(message));
  }
  return kept;
}

}  // namespace

absl::StatusOr<std::string> ChatTemplate::Render(const ChatVariables& chat,
                                                 bool adds_prompt) const {
  TUNESMITH_ASSIGN_OR_RETURN(List messages, MessagesOf(chat));
  TUNESMITH_ASSIGN_OR_RETURN(jinja::Rendering rendering,
                             Run(chat, Value(std::move(messages)), adds_prompt));
  return std::move(rendering.text);
}

absl::StatusOr<std::optional<Spans>> ChatTemplate::SpansByPrompts(const ChatVariables& chat,
                                                                  const List& messages,
                                                                  std::string_view text) const {
  Spans spans;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!IsAssistant(messages[i])) continue;
    // A template may refuse a conversation that ends here; then this is not the way.
    const auto prompt = Run(chat, Value(FirstOf(messages, i)), true);
    const auto with_turn = Run(chat, Value(FirstOf(messages, i + 1)), false);
    if (!prompt.ok() || !with_turn.ok()) return std::nullopt;
    const bool nests = text.starts_with(prompt->text) && text.starts_with(with_turn->text) &&
                       prompt->text.size() <= with_turn->text.size();
    if (!nests) return std::nullopt;
    if (!IsLearned(messages[i])) continue;
    spans.push_back(WithoutSpaceBehind(text, {static_cast<int64_t>(prompt->text.size()),
                                              static_cast<int64_t>(with_turn->text.size())}));
  }
  return spans;
}

namespace {

// What a template writes to have the model speak: what comes behind the same conversation without it.
std::string_view PromptBehind(std::string_view without, std::string_view with) {
  return with.starts_with(without) ? with.substr(without.size()) : std::string_view();
}

}  // namespace

absl::StatusOr<TextSpan> ChatTemplate::PassOf(const List& messages, size_t index,
                                              const jinja::Rendering& rendering) const {
  for (const auto& pass : rendering.passes)
    if (pass.item.IsSame(messages[index])) return pass.span;
  return absl::InvalidArgumentError(
      StrCat(what_, ": cannot tell which part of the text message ", index,
             " is; mark what the assistant says with {% generation %} blocks"));
}

absl::StatusOr<Spans> ChatTemplate::SpansByPasses(const ChatVariables& chat, const List& messages,
                                                  const jinja::Rendering& rendering) const {
  TUNESMITH_ASSIGN_OR_RETURN(const jinja::Rendering with_prompt, Run(chat, Value(messages), true));
  const std::string_view text = rendering.text;
  const std::string_view prompt = PromptBehind(text, with_prompt.text);
  Spans spans;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!IsAssistant(messages[i])) continue;
    TUNESMITH_ASSIGN_OR_RETURN(TextSpan span, PassOf(messages, i, rendering));
    if (text.substr(static_cast<size_t>(span.begin)).starts_with(prompt))
      span.begin += static_cast<int64_t>(prompt.size());
    span = WithoutSpaceBehind(text, span.begin <= span.end ? span : TextSpan{span.end, span.end});
    if (IsLearned(messages[i])) spans.push_back(span);
  }
  return spans;
}

absl::StatusOr<Spans> ChatTemplate::SpansByBlocks(const List& messages,
                                                  const jinja::Rendering& rendering) const {
  Spans spans = rendering.generations;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (!IsAssistant(messages[i]) || IsLearned(messages[i])) continue;
    TUNESMITH_ASSIGN_OR_RETURN(const TextSpan pass, PassOf(messages, i, rendering));
    std::erase_if(spans, [&pass](const TextSpan& span) {
      return span.begin >= pass.begin && span.end <= pass.end;
    });
  }
  return spans;
}

absl::StatusOr<MaskedText> ChatTemplate::RenderMasked(const ChatVariables& chat) const {
  TUNESMITH_ASSIGN_OR_RETURN(const List messages, MessagesOf(chat));
  TUNESMITH_ASSIGN_OR_RETURN(jinja::Rendering rendering, Run(chat, Value(messages), false));
  MaskedText masked;
  if (!rendering.generations.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(masked.learned, SpansByBlocks(messages, rendering));
  } else {
    TUNESMITH_ASSIGN_OR_RETURN(std::optional<Spans> spans,
                               SpansByPrompts(chat, messages, rendering.text));
    if (!spans.has_value()) {
      TUNESMITH_ASSIGN_OR_RETURN(spans, SpansByPasses(chat, messages, rendering));
    }
    masked.learned = *std::move(spans);
  }
  masked.learned = Merged(std::move(masked.learned));
  masked.text = std::move(rendering.text);
  return masked;
}

}  // namespace tunesmith::trainer
