#include "trainer/data/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "common/json.h"
#include "common/str_cat.h"
#include "tests/trainer/model_io/model_files.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::ordered_json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kGolden[] = "tests/trainer/data/testdata/chat_templates.golden.json";

ChatVariables FromText(const std::string& json) {
  return *jinja::FromJson(ordered_json::parse(json)).dict();
}

ChatTemplate Make(const std::string& source) {
  auto made =
      ChatTemplate::Create(source, "t", FromText(R"({"bos_token": "<s>", "eos_token": "</s>"})"));
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

// tests/parity/make_template_golden.py wrote the expected texts with transformers.
TEST(ChatTemplateTest, TextsAreTransformers) {
  const auto golden = ordered_json::parse(*ReadFile(kGolden));
  const auto special = jinja::FromJson(golden["special_tokens"]);
  ASSERT_GE(golden["cases"].size(), 200u);
  for (const auto& c : golden["cases"]) {
    const auto source = golden["templates"][c["template"].get<size_t>()].get<std::string>();
    const auto made = ChatTemplate::Create(source, "t", *special.dict());
    const auto variables = jinja::FromJson(c["variables"]);
    const auto text = made.ok() ? made->Render(*variables.dict(), c["prompt"].get<bool>())
                                : absl::StatusOr<std::string>(made.status());
    if (c["text"].is_null()) {
      EXPECT_FALSE(text.ok()) << source << "\n" << *text;
    } else {
      ASSERT_TRUE(text.ok()) << text.status() << "\n" << source;
      EXPECT_EQ(*text, c["text"].get<std::string>()) << source;
    }
  }
}

// The parts of the text that are learned.
std::vector<std::string> Learned(const std::string& source, const std::string& messages) {
  const auto masked = Make(source).RenderMasked(FromText(StrCat("{\"messages\": ", messages, "}")));
  EXPECT_TRUE(masked.ok()) << masked.status();
  std::vector<std::string> parts;
  for (const auto& span : masked->learned)
    parts.push_back(masked->text.substr(static_cast<size_t>(span.begin),
                                        static_cast<size_t>(span.end - span.begin)));
  return parts;
}

constexpr char kTwoTurns[] =
    R"([{"role": "system", "content": "S"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
        {"role": "user", "content": "b"}, {"role": "assistant", "content": "d", "name": null}])";

TEST(ChatTemplateMaskTest, WhatTheAssistantSaysWithItsEnd) {
  EXPECT_THAT(Learned("{% for m in messages %}<{{ m.role }}>\n{{ m.content }}<end>\n{% endfor %}"
                      "{% if add_generation_prompt %}<assistant>\n{% endif %}",
                      kTwoTurns),
              ElementsAre("b<end>", "d<end>"));
}

TEST(ChatTemplateMaskTest, TheHeaderMayBeInTheUsersTurn) {
  EXPECT_THAT(Learned("{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] "
                      "{{ m.content }} [/INST]{% elif m.role == 'assistant' %} "
                      "{{ m.content + eos_token }}{% endif %}{% endfor %}",
                      kTwoTurns),
              ElementsAre(" b</s>", " d</s>"));
}

// Only the last turn is written with its thoughts, so a shorter conversation is not how the longer one begins.
TEST(ChatTemplateMaskTest, TurnsThatAreWrittenOtherwiseLater) {
  EXPECT_THAT(Learned("{% for m in messages %}<{{ m.role }}>\n{% if loop.last and m.role == "
                      "'assistant' %}<think></think>{% endif %}{{ m.content }}<end>\n{% endfor %}"
                      "{% if add_generation_prompt %}<assistant>\n{% endif %}",
                      kTwoTurns),
              ElementsAre("b<end>", "<think></think>d<end>"));
}

TEST(ChatTemplateMaskTest, TheTemplatesOwnMarksCount) {
  EXPECT_THAT(Learned("{% for m in messages %}{% if m.role == 'assistant' %}A: {% generation %}"
                      "{{ m.content }} {% endgeneration %}\n{% else %}{{ m.content }}\n{% endif %}"
                      "{% endfor %}",
                      kTwoTurns),
              ElementsAre("b ", "d "));
}

TEST(ChatTemplateMaskTest, AMessageOfWeightZeroIsNotLearned) {
  EXPECT_THAT(
      Learned(
          "{% for m in messages %}{{ m.content }};{% endfor %}",
          R"([{"role": "user", "content": "q"}, {"role": "assistant", "content": "x", "weight": 0},
                          {"role": "assistant", "content": "y", "weight": 1}])"),
      ElementsAre("y;"));
}

TEST(ChatTemplateMaskTest, NorIsItWhereTheTemplateMarksIt) {
  EXPECT_THAT(
      Learned(
          "{% for m in messages %}{% if m.role == 'assistant' %}A: {% generation %}{{ m.content }};"
          "{% endgeneration %}{% endif %}{% endfor %}",
          R"([{"role": "assistant", "content": "w"}, {"role": "assistant", "content": "x", "weight": 0},
              {"role": "assistant", "content": "y", "weight": 1}])"),
      ElementsAre("w;", "y;"));
}

TEST(ChatTemplateMaskTest, ATemplateWhoseTurnsCannotBeToldApartIsRefused) {
  const auto masked =
      Make(
          "{% set ns = namespace(t='') %}{% for m in messages %}{% set ns.t = m.content ~ ns.t %}"
          "{% endfor %}{{ ns.t }}")
          .RenderMasked(FromText(StrCat("{\"messages\": ", kTwoTurns, "}")));
  EXPECT_THAT(std::string(masked.status().message()), HasSubstr("mark what the assistant says"));
}

std::string Failure(const std::string& source) {
  const auto made = ChatTemplate::Create(source, "t", {});
  if (!made.ok()) return std::string(made.status().message());
  const auto text = made->Render(FromText(StrCat("{\"messages\": ", kTwoTurns, "}")), false);
  EXPECT_FALSE(text.ok()) << source;
  return std::string(text.status().message());
}

TEST(ChatTemplateTest, ErrorsNameTheLine) {
  EXPECT_THAT(Failure("a\n{{ 1 + }}"), HasSubstr("t: line 2: expected an expression, found }}"));
  EXPECT_THAT(Failure("{% if a %}\n"), HasSubstr("expected endif, found the end of the template"));
  EXPECT_THAT(Failure("\n\n{{ 'x }}"), HasSubstr("line 3: a string without its end"));
  EXPECT_THAT(Failure("{% include 'x' %}"), HasSubstr("the statement \"include\" is not known"));
  EXPECT_THAT(Failure("\n{{ x.y }}"), HasSubstr("line 2: 'x' is undefined"));
  EXPECT_THAT(Failure("\n{{ messages[0].nope.x }}"), HasSubstr("no attribute 'nope'"));
  EXPECT_THAT(Failure("{{ 1 | zip }}"), HasSubstr("the filter \"zip\" is not known here"));
  EXPECT_THAT(Failure("{{ 'a' + 1 }}"), HasSubstr("\"+\" between a str and a int"));
  EXPECT_THAT(Failure("\n\n\n{{ raise_exception('no system turn') }}"),
              HasSubstr("line 4: the template refuses the conversation: no system turn"));
  EXPECT_THAT(Failure("\xff"), HasSubstr("not UTF-8 at byte 0"));
}

TEST(ChatTemplateTest, WhatNeverEndsEnds) {
  EXPECT_THAT(
      Failure("{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"),
      HasSubstr("5 million steps"));
  EXPECT_THAT(Failure("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
              HasSubstr("within others"));
  EXPECT_THAT(Failure("{% set ns = namespace(s='ab') %}{% for i in range(99) %}"
                      "{% set ns.s = ns.s + ns.s %}{% endfor %}"),
              HasSubstr("256 MiB"));
  EXPECT_THAT(Failure("{{ 'x' * 999999999999 }}"), HasSubstr("256 MiB"));
  EXPECT_THAT(Failure("{% set ns = namespace(l=[]) %}{% for i in range(9999) %}"
                      "{% set ns.l = [ns.l] %}{% endfor %}"),
              HasSubstr("nested deeper"));
  EXPECT_THAT(Failure(StrCat("{{ 1", std::string(9999, '+'), "1 }}")), HasSubstr("signs"));
  std::string sum = "{{ 1";
  for (int i = 0; i < 9999; ++i) sum += " + 1";
  EXPECT_THAT(Failure(sum + " }}"), HasSubstr("parts in a row"));
  EXPECT_THAT(Failure("{{ " + std::string(9999, '(') + "1" + std::string(9999, ')') + " }}"),
              HasSubstr("nested deeper than"));
}

TEST(ChatTemplateTest, NamespacesThatHoldEachOtherAreFreed) {
  EXPECT_EQ(*Make("{% set a = namespace() %}{% set a.a = [a] %}{% for i in [1] %}"
                  "{% set a.l = loop %}{{ loop.changed(loop) }}{% endfor %}")
                 .Render(FromText("{\"messages\": []}"), false),
            "True");
}

TEST(ChatTemplateTest, TheDateIsTheOneThatIsSet) {
  ChatTemplate dated = Make("{{ strftime_now('%d %b %Y') }}");
  const ChatVariables none = FromText("{\"messages\": []}");
  EXPECT_EQ(*dated.Render(none, false), "01 Jan 1970");
  dated.set_unix_seconds(1'750'000'000);
  EXPECT_EQ(*dated.Render(none, false), "15 Jun 2025");
}

TEST(OpenChatTemplateTest, TheModelsFilesAreLookedAtInTurn) {
  TemporaryDirectory directory;
  const auto write = [&](const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(directory.File(name), text).ok());
  };
  const auto render = [&] {
    const auto opened = OpenChatTemplate(directory.path());
    EXPECT_TRUE(opened.ok() && opened->has_value()) << opened.status();
    return *(*opened)->Render(FromText("{\"messages\": []}"), false);
  };
  EXPECT_FALSE(OpenChatTemplate(directory.path())->has_value());
  write("tokenizer_config.json",
        R"({"bos_token": {"content": "<b>"}, "chat_template": "1{{ bos_token }}"})");
  EXPECT_EQ(render(), "1<b>");
  write(
      "tokenizer_config.json",
      R"({"chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "2"}]})");
  EXPECT_EQ(render(), "2");
  write("chat_template.json", R"({"chat_template": "3"})");
  EXPECT_EQ(render(), "3");
  write("special_tokens_map.json", R"({"eos_token": "<e>"})");
  write("chat_template.jinja", "4{{ eos_token }}\n");
  EXPECT_EQ(render(), "4<e>");
  write("other.jinja", "5");
  EXPECT_TRUE(ReadChatTemplate(directory.File("other.jinja"), directory.path()).ok());
  write("chat_template.jinja", "{% if %}");
  EXPECT_THAT(std::string(OpenChatTemplate(directory.path()).status().message()),
              HasSubstr("chat_template.jinja: line 1"));
}

}  // namespace
}  // namespace tunesmith::trainer
