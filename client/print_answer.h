#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "client/commands.h"
#include "proto/convert/json.h"

namespace tunesmith::client {

// In a table the notes are part of the answer; with JSON they go to stderr, since they are the client's.
template <typename Answer>
void PrintAnswer(const Answer& answer, const std::vector<std::string>& notes, Format format,
                 std::string (*show)(const Answer&, const std::vector<std::string>&)) {
  if (format == Format::kTable) {
    std::fputs(show(answer, notes).c_str(), stdout);
    return;
  }
  for (const std::string& note : notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  std::puts(convert::ToJson(answer).c_str());
}

// An answer with what it was asked for, where several were: "2 nodes of 8 x L4".
template <typename Answer>
struct HeadedAnswer {
  std::string heading;
  Answer answer;
};

// One after the other: tables under their headings, JSON as one array.
template <typename Answer>
void PrintAnswers(const std::vector<HeadedAnswer<Answer>>& answers,
                  const std::vector<std::string>& notes, Format format,
                  std::string (*show)(const Answer&, const std::vector<std::string>&)) {
  if (answers.size() == 1) return PrintAnswer(answers.front().answer, notes, format, show);
  const char* before = format == Format::kTable ? "" : "[";
  for (const HeadedAnswer<Answer>& headed : answers) {
    std::fputs(before, stdout);
    if (format == Format::kTable) std::printf("== %s\n", headed.heading.c_str());
    PrintAnswer(headed.answer, notes, format, show);
    before = format == Format::kTable ? "\n" : ",";
  }
  if (format == Format::kJson) std::puts("]");
}

}  // namespace tunesmith::client
