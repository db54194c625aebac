#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "client/listing.h"
#include "client/output.h"
#include "client/show.h"
#include "common/str_cat.h"
#include "proto/convert/json.h"

namespace tunesmith::client {

// How a kind of answer is printed: for people, and as records.
template <typename Answer>
struct AnswerForms {
  std::string (*show)(const Output&, const Answer&, const std::vector<std::string>& notes);
  Listing (*records)(const Answer&);
};

// In text the notes are part of the answer; else they go to stderr, since they are the client's.
template <typename Answer>
void PrintAnswer(const Answer& answer, const std::vector<std::string>& notes, const Output& output,
                 const AnswerForms<Answer>& forms) {
  if (!output.IsText()) std::fputs(ShowNotes(notes).c_str(), stderr);
  Print(output, answer, forms.records(answer),
        output.IsText() ? forms.show(output, answer, notes) : "");
}

// An answer with what it was asked for, where several were: "2 nodes of 8 x L4".
template <typename Answer>
struct HeadedAnswer {
  std::string heading;
  Answer answer;
};

// The records of all, told apart by their headings.
template <typename Answer>
Listing RecordsOf(const std::vector<HeadedAnswer<Answer>>& answers,
                  const AnswerForms<Answer>& forms) {
  std::vector<Listing> parts;
  for (const auto& [heading, answer] : answers) {
    parts.push_back(forms.records(answer));
    parts.back().Prepend({"nodes", "nodes"}, heading);
  }
  for (size_t i = 1; i < parts.size(); ++i) parts[0].Append(std::move(parts[i]));
  return parts[0];
}

// One after the other: tables under their headings, JSON as one array.
template <typename Answer>
void PrintAnswers(const std::vector<HeadedAnswer<Answer>>& answers,
                  const std::vector<std::string>& notes, const Output& output,
                  const AnswerForms<Answer>& forms) {
  if (answers.size() == 1) return PrintAnswer(answers.front().answer, notes, output, forms);
  std::string text, json;
  for (const auto& [heading, answer] : answers) {
    absl::StrAppend(&text, text.empty() ? "" : "\n", "== ", heading, "\n",
                    output.IsText() ? forms.show(output, answer, notes) : "");
    absl::StrAppend(&json, json.empty() ? "[" : ",",
                    output.IsText() ? "" : convert::ToJson(answer));
  }
  if (!output.IsText()) std::fputs(ShowNotes(notes).c_str(), stderr);
  PrintJson(output, json + "]", RecordsOf(answers, forms), text);
}

}  // namespace tunesmith::client
