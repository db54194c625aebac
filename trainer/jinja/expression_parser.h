#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/jinja/lexer.h"
#include "trainer/jinja/syntax.h"

namespace tunesmith::trainer::jinja {

// The tokens of a template and where the parser stands. The last is kEnd and is never passed.
class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  Token Take();
  bool SeesOperator(std::string_view text) const;
  bool SeesName(std::string_view text) const;
  bool TakeOperator(std::string_view text);  // whether it was there
  bool TakeName(std::string_view text);
  absl::Status Expect(TokenKind kind, std::string_view what);
  absl::Status ExpectOperator(std::string_view text);
  absl::StatusOr<std::string> ExpectName();

  // "line 3: expected WHAT, found ...".
  absl::Status Expected(std::string_view what) const;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

// Parses expressions by Jinja's grammar, in which filters and tests bind more closely than operators.
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream* tokens) : tokens_(*tokens) {}

  // One expression, or several between commas as a list.
  absl::StatusOr<ExpressionPtr> ParseTuple();
  absl::StatusOr<ExpressionPtr> ParseExpression();
  // As ParseExpression, without "a if b else c" at its top: for what stands before a for's own if.
  absl::StatusOr<ExpressionPtr> ParseOr();
  // "| name(...)" as often as it comes, on what `target` is; null in a filter block, where the first bar is left out.
  absl::StatusOr<ExpressionPtr> ParseFilter(ExpressionPtr target);

 private:
  using Parser = absl::StatusOr<ExpressionPtr> (ExpressionParser::*)();

  absl::StatusOr<ExpressionPtr> ParseConditional();
  absl::StatusOr<ExpressionPtr> ParseAnd();
  absl::StatusOr<ExpressionPtr> ParseNot();
  absl::StatusOr<ExpressionPtr> ParseComparison();
  absl::StatusOr<ExpressionPtr> ParseSum();
  absl::StatusOr<ExpressionPtr> ParseConcatenation();
  absl::StatusOr<ExpressionPtr> ParseProduct();
  absl::StatusOr<ExpressionPtr> ParsePower();
  absl::StatusOr<ExpressionPtr> ParseUnary();
  absl::StatusOr<ExpressionPtr> ParseSigned(bool takes_filters);
  absl::StatusOr<ExpressionPtr> ParsePrimary();
  absl::StatusOr<ExpressionPtr> ParseName();
  absl::StatusOr<ExpressionPtr> ParseList();
  absl::StatusOr<ExpressionPtr> ParseDict();
  absl::StatusOr<ExpressionPtr> ParsePostfix(ExpressionPtr target);
  absl::StatusOr<ExpressionPtr> ParseSubscript(ExpressionPtr target);
  absl::StatusOr<ExpressionPtr> ParseFiltersAndTests(ExpressionPtr target);
  absl::StatusOr<ExpressionPtr> ParseTest(ExpressionPtr target);
  absl::Status ParseArguments(const ExpressionPtr& call);
  absl::StatusOr<std::string> TakeComparison();  // empty where none follows
  absl::StatusOr<ExpressionPtr> ParseBinary(Parser operand,
                                            std::initializer_list<std::string_view> operators);

  absl::Status AddTo(const ExpressionPtr& parent, absl::StatusOr<ExpressionPtr> child) const;
  absl::Status CheckDepth(const ExpressionPtr& tree) const;
  ExpressionPtr Make(ExpressionKind kind) const;
  ExpressionPtr Make(ExpressionKind kind, std::string name, ExpressionPtr child) const;

  TokenStream& tokens_;
  int64_t depth_ = 0;
};

}  // namespace tunesmith::trainer::jinja
