#include "trainer/jinja/expression_parser.h"

#include <algorithm>
#include <utility>

#include "common/numbers.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer::jinja {
namespace {

constexpr int64_t kMaxDepth = 100;      // parsing recurses
constexpr int64_t kMaxTreeDepth = 300;  // running and freeing do

std::string Describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kEnd:
      return "the end of the template";
    case TokenKind::kText:
      return "text";
    case TokenKind::kBlock:
      return "{%";
    case TokenKind::kBlockEnd:
      return "%}";
    case TokenKind::kPrint:
      return "{{";
    case TokenKind::kPrintEnd:
      return "}}";
    default:
      return StrCat("\"", token.text, "\"");
  }
}

// Names that end an operand of a test without arguments.
bool EndsTest(const Token& token) {
  return token.text == "else" || token.text == "or" || token.text == "and" || token.text == "is" ||
         token.text == "if" || token.text == "in" || token.text == "not";
}

bool BeginsTestArgument(const Token& token) {
  if (token.kind == TokenKind::kName) return !EndsTest(token);
  if (token.kind == TokenKind::kOperator) return token.text == "[" || token.text == "{";
  return token.kind == TokenKind::kString || token.kind == TokenKind::kInteger ||
         token.kind == TokenKind::kReal;
}

}  // namespace

Token TokenStream::Take() {
  Token token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool TokenStream::SeesOperator(std::string_view text) const {
  return current().kind == TokenKind::kOperator && current().text == text;
}

bool TokenStream::SeesName(std::string_view text) const {
  return current().kind == TokenKind::kName && current().text == text;
}

bool TokenStream::TakeOperator(std::string_view text) {
  if (!SeesOperator(text)) return false;
  Take();
  return true;
}

bool TokenStream::TakeName(std::string_view text) {
  if (!SeesName(text)) return false;
  Take();
  return true;
}

absl::Status TokenStream::Expected(std::string_view what) const {
  return absl::InvalidArgumentError(
      StrCat("line ", current().line, ": expected ", what, ", found ", Describe(current())));
}

absl::Status TokenStream::Expect(TokenKind kind, std::string_view what) {
  if (current().kind != kind) return Expected(what);
  Take();
  return absl::OkStatus();
}

absl::Status TokenStream::ExpectOperator(std::string_view text) {
  return TakeOperator(text) ? absl::OkStatus() : Expected(StrCat("\"", text, "\""));
}

absl::StatusOr<std::string> TokenStream::ExpectName() {
  if (current().kind != TokenKind::kName) return Expected("a name");
  return Take().text;
}

ExpressionPtr ExpressionParser::Make(ExpressionKind kind) const {
  auto expression = std::make_unique<Expression>();
  expression->kind = kind;
  expression->line = tokens_.current().line;
  return expression;
}

ExpressionPtr ExpressionParser::Make(ExpressionKind kind, std::string name,
                                     ExpressionPtr child) const {
  ExpressionPtr expression = Make(kind);
  expression->name = std::move(name);
  expression->Add(std::move(child));
  return expression;
}

absl::Status ExpressionParser::AddTo(const ExpressionPtr& parent,
                                     absl::StatusOr<ExpressionPtr> child) const {
  TUNESMITH_RETURN_IF_ERROR(child.status());
  parent->Add(*std::move(child));
  return absl::OkStatus();
}

absl::Status ExpressionParser::CheckDepth(const ExpressionPtr& tree) const {
  if (tree == nullptr || tree->depth <= kMaxTreeDepth) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("line ", tokens_.current().line,
                                           ": an expression of more than ", kMaxTreeDepth,
                                           " parts in a row"));
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseTuple() {
  TUNESMITH_ASSIGN_OR_RETURN(ExpressionPtr first, ParseExpression());
  if (!tokens_.SeesOperator(",")) return first;
  ExpressionPtr list = Make(ExpressionKind::kList, "", std::move(first));
  list->is_tuple = true;
  while (tokens_.TakeOperator(",")) {
    if (tokens_.current().kind == TokenKind::kBlockEnd || tokens_.SeesOperator(")")) break;
    TUNESMITH_RETURN_IF_ERROR(AddTo(list, ParseExpression()));
  }
  return list;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseExpression() {
  if (++depth_ > kMaxDepth) {
    return absl::InvalidArgumentError(StrCat("line ", tokens_.current().line,
                                             ": an expression nested deeper than ", kMaxDepth,
                                             " levels"));
  }
  absl::StatusOr<ExpressionPtr> result = ParseConditional();
  --depth_;
  return result;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseConditional() {
  TUNESMITH_ASSIGN_OR_RETURN(ExpressionPtr value, ParseOr());
  while (tokens_.TakeName("if")) {
    TUNESMITH_ASSIGN_OR_RETURN(ExpressionPtr condition, ParseOr());
    ExpressionPtr otherwise;
    if (tokens_.TakeName("else")) {
      TUNESMITH_ASSIGN_OR_RETURN(otherwise, ParseExpression());
    }
    ExpressionPtr conditional = Make(ExpressionKind::kConditional, "", std::move(condition));
    conditional->Add(std::move(value));
    conditional->Add(std::move(otherwise));
    value = std::move(conditional);
    TUNESMITH_RETURN_IF_ERROR(CheckDepth(value));
  }
  return value;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseOr() {
  TUNESMITH_ASSIGN_OR_RETURN(ExpressionPtr left, ParseAnd());
  while (tokens_.TakeName("or")) {
    TUNESMITH_ASSIGN_OR_RETURN(ExpressionPtr right, ParseAnd());
    left = Make(ExpressionKind::kOr, "", std::move(left));
    left->Add(std::move(right));
    TUNESMITH_RETURN_IF_ERROR(CheckDepth(left));
  }
  return left;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseAnd() {
  TUNESMITH_ASSIGN_OR_RETURN(ExpressionPtr left, ParseNot());
  while (tokens_.TakeName("and")) {
    TUNESMITH_ASSIGN_OR_RETURN(ExpressionPtr right, ParseNot());
    left = Make(ExpressionKind::kAnd, "", std::move(left));
    left->Add(std::move(right));
    TUNESMITH_RETURN_IF_ERROR(CheckDepth(left));
  }
  return left;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseNot() {
  int64_t count = 0;
  while (tokens_.TakeName("not")) ++count;
  TUNESMITH_ASSIGN_OR_RETURN(ExpressionPtr result, ParseComparison());
  if (count == 0) return result;
  result = Make(ExpressionKind::kNot, "", std::move(result));
  return count % 2 == 1 ? std::move(result) : Make(ExpressionKind::kNot, "", std::move(result));
}

absl::StatusOr<std::string> ExpressionParser::TakeComparison() {
  for (const char* known : {"==", "!=", "<=", ">=", "<", ">"}) {
    if (tokens_.TakeOperator(known)) return known;
  }
  if (tokens_.TakeName("in")) return "in";
  if (!tokens_.SeesName("not") || tokens_.next().text != "in") return "";
  tokens_.Take();
  tokens_.Take();
  return "not in";
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseComparison() {
  TUNESMITH_ASSIGN_OR_RETURN(ExpressionPtr left, ParseSum());
  ExpressionPtr comparison;
  for (;;) {
    TUNESMITH_ASSIGN_OR_RETURN(std::string name, TakeComparison());
    if (name.empty()) return comparison != nullptr ? std::move(comparison) : std::move(left);
    if (comparison == nullptr) comparison = Make(ExpressionKind::kComparison, "", std::move(left));
    TUNESMITH_RETURN_IF_ERROR(AddTo(comparison, ParseSum()));
    comparison->operators.push_back(std::move(name));
  }
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseBinary(
    Parser operand, std::initializer_list<std::string_view> operators) {
  TUNESMITH_ASSIGN_OR_RETURN(ExpressionPtr left, (this->*operand)());
  for (;;) {
    const auto* found = std::find_if(operators.begin(), operators.end(),
                                     [&](std::string_view o) { return tokens_.SeesOperator(o); });
    if (found == operators.end()) return left;
    tokens_.Take();
    TUNESMITH_ASSIGN_OR_RETURN(ExpressionPtr right, (this->*operand)());
    left = Make(ExpressionKind::kBinary, std::string(*found), std::move(left));
    left->Add(std::move(right));
    TUNESMITH_RETURN_IF_ERROR(CheckDepth(left));
  }
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseSum() {
  return ParseBinary(&ExpressionParser::ParseConcatenation, {"+", "-"});
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseConcatenation() {
  return ParseBinary(&ExpressionParser::ParseProduct, {"~"});
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseProduct() {
  return ParseBinary(&ExpressionParser::ParsePower, {"*", "/", "//", "%"});
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParsePower() {
  return ParseBinary(&ExpressionParser::ParseUnary, {"**"});
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseUnary() { return ParseSigned(true); }

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseSigned(bool takes_filters) {
  ExpressionPtr result;
  if (tokens_.SeesOperator("-") || tokens_.SeesOperator("+")) {
    if (++depth_ > kMaxDepth) return tokens_.Expected("a shorter run of signs");
    const auto kind =
        tokens_.Take().text == "-" ? ExpressionKind::kNegative : ExpressionKind::kPositive;
    TUNESMITH_ASSIGN_OR_RETURN(ExpressionPtr operand, ParseSigned(false));
    --depth_;
    result = Make(kind, "", std::move(operand));
  } else {
    TUNESMITH_ASSIGN_OR_RETURN(result, ParsePrimary());
  }
  TUNESMITH_ASSIGN_OR_RETURN(result, ParsePostfix(std::move(result)));
  return takes_filters ? ParseFiltersAndTests(std::move(result)) : std::move(result);
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParsePrimary() {
  const Token& token = tokens_.current();
  ExpressionPtr literal = Make(ExpressionKind::kLiteral);
  if (token.kind == TokenKind::kName) return ParseName();
  if (token.kind == TokenKind::kString) {
    std::string text;
    while (tokens_.current().kind == TokenKind::kString) text += tokens_.Take().text;
    literal->literal = std::move(text);
    return literal;
  }
  if (token.kind == TokenKind::kInteger) {
    int64_t number = 0;
    ParseInt64(tokens_.Take().text, &number);
    literal->literal = number;
    return literal;
  }
  if (token.kind == TokenKind::kReal) {
    double number = 0;
    ParseDouble(tokens_.Take().text, &number);
    literal->literal = number;
    return literal;
  }
  if (tokens_.SeesOperator("[")) return ParseList();
  if (tokens_.SeesOperator("{")) return ParseDict();
  if (!tokens_.TakeOperator("(")) return tokens_.Expected("an expression");
  if (tokens_.TakeOperator(")")) {
    ExpressionPtr empty = Make(ExpressionKind::kList);
    empty->is_tuple = true;
    return empty;
  }
  TUNESMITH_ASSIGN_OR_RETURN(ExpressionPtr inner, ParseTuple());
  TUNESMITH_RETURN_IF_ERROR(tokens_.ExpectOperator(")"));
  return inner;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseName() {
  ExpressionPtr expression = Make(ExpressionKind::kLiteral);
  const std::string name = tokens_.Take().text;
  if (name == "true" || name == "True") {
    expression->literal = true;
  } else if (name == "false" || name == "False") {
    expression->literal = false;
  } else if (name != "none" && name != "None") {
    expression->kind = ExpressionKind::kName;
    expression->name = name;
  }
  return expression;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseList() {
  ExpressionPtr list = Make(ExpressionKind::kList);
  tokens_.Take();
  while (!tokens_.TakeOperator("]")) {
    TUNESMITH_RETURN_IF_ERROR(AddTo(list, ParseExpression()));
    if (!tokens_.SeesOperator("]")) TUNESMITH_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
  }
  return list;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseDict() {
  ExpressionPtr dict = Make(ExpressionKind::kDict);
  tokens_.Take();
  while (!tokens_.TakeOperator("}")) {
    TUNESMITH_RETURN_IF_ERROR(AddTo(dict, ParseExpression()));
    TUNESMITH_RETURN_IF_ERROR(tokens_.ExpectOperator(":"));
    TUNESMITH_RETURN_IF_ERROR(AddTo(dict, ParseExpression()));
    if (!tokens_.SeesOperator("}")) TUNESMITH_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
  }
  return dict;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParsePostfix(ExpressionPtr target) {
  for (;;) {
    TUNESMITH_RETURN_IF_ERROR(CheckDepth(target));
    if (tokens_.TakeOperator(".")) {
      if (tokens_.current().kind == TokenKind::kInteger) {
        TUNESMITH_ASSIGN_OR_RETURN(ExpressionPtr index, ParsePrimary());
        target = Make(ExpressionKind::kItem, "", std::move(target));
        target->Add(std::move(index));
        continue;
      }
      TUNESMITH_ASSIGN_OR_RETURN(std::string name, tokens_.ExpectName());
      target = Make(ExpressionKind::kAttribute, std::move(name), std::move(target));
    } else if (tokens_.TakeOperator("[")) {
      TUNESMITH_ASSIGN_OR_RETURN(target, ParseSubscript(std::move(target)));
    } else if (tokens_.SeesOperator("(")) {
      target = Make(ExpressionKind::kCall, "", std::move(target));
      TUNESMITH_RETURN_IF_ERROR(ParseArguments(target));
    } else {
      return target;
    }
  }
}

// Behind "[".
absl::StatusOr<ExpressionPtr> ExpressionParser::ParseSubscript(ExpressionPtr target) {
  ExpressionPtr result = Make(ExpressionKind::kItem, "", std::move(target));
  std::vector<ExpressionPtr> parts(1);
  while (!tokens_.TakeOperator("]")) {
    if (tokens_.TakeOperator(":")) {
      if (parts.size() == 3) return tokens_.Expected("\"]\"");
      parts.emplace_back();
    } else if (parts.back() != nullptr) {
      return tokens_.Expected("\"]\"");
    } else {
      TUNESMITH_ASSIGN_OR_RETURN(parts.back(), ParseExpression());
    }
  }
  if (parts.size() == 1 && parts[0] == nullptr) return tokens_.Expected("an index before \"]\"");
  if (parts.size() > 1) {
    result->kind = ExpressionKind::kSlice;
    parts.resize(3);
  }
  for (ExpressionPtr& part : parts) result->Add(std::move(part));
  return result;
}

absl::Status ExpressionParser::ParseArguments(const ExpressionPtr& call) {
  TUNESMITH_RETURN_IF_ERROR(tokens_.ExpectOperator("("));
  while (!tokens_.TakeOperator(")")) {
    const bool is_named = tokens_.current().kind == TokenKind::kName &&
                          tokens_.next().kind == TokenKind::kOperator && tokens_.next().text == "=";
    if (is_named) {
      std::string name = tokens_.Take().text;
      tokens_.Take();
      TUNESMITH_ASSIGN_OR_RETURN(ExpressionPtr value, ParseExpression());
      call->depth = std::max(call->depth, value->depth + 1);
      call->named.emplace_back(std::move(name), std::move(value));
    } else {
      if (!call->named.empty()) return tokens_.Expected("a named argument");
      TUNESMITH_RETURN_IF_ERROR(AddTo(call, ParseExpression()));
    }
    if (!tokens_.SeesOperator(")")) TUNESMITH_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
  }
  return absl::OkStatus();
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseFilter(ExpressionPtr target) {
  bool takes_bar = target != nullptr;
  while (!takes_bar || tokens_.TakeOperator("|")) {
    takes_bar = true;
    TUNESMITH_RETURN_IF_ERROR(CheckDepth(target));
    TUNESMITH_ASSIGN_OR_RETURN(std::string name, tokens_.ExpectName());
    target = Make(ExpressionKind::kFilter, std::move(name), std::move(target));
    if (tokens_.SeesOperator("(")) TUNESMITH_RETURN_IF_ERROR(ParseArguments(target));
  }
  return target;
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseFiltersAndTests(ExpressionPtr target) {
  for (;;) {
    TUNESMITH_RETURN_IF_ERROR(CheckDepth(target));
    if (tokens_.SeesOperator("|")) {
      TUNESMITH_ASSIGN_OR_RETURN(target, ParseFilter(std::move(target)));
    } else if (tokens_.TakeName("is")) {
      TUNESMITH_ASSIGN_OR_RETURN(target, ParseTest(std::move(target)));
    } else if (tokens_.SeesOperator("(")) {
      target = Make(ExpressionKind::kCall, "", std::move(target));
      TUNESMITH_RETURN_IF_ERROR(ParseArguments(target));
    } else {
      return target;
    }
  }
}

absl::StatusOr<ExpressionPtr> ExpressionParser::ParseTest(ExpressionPtr target) {
  const bool is_negated = tokens_.TakeName("not");
  if (tokens_.current().kind == TokenKind::kOperator) return tokens_.Expected("the name of a test");
  TUNESMITH_ASSIGN_OR_RETURN(std::string name, tokens_.ExpectName());
  ExpressionPtr test = Make(ExpressionKind::kTest, std::move(name), std::move(target));
  if (tokens_.SeesOperator("(")) {
    TUNESMITH_RETURN_IF_ERROR(ParseArguments(test));
  } else if (BeginsTestArgument(tokens_.current())) {
    TUNESMITH_ASSIGN_OR_RETURN(ExpressionPtr argument, ParsePrimary());
    TUNESMITH_RETURN_IF_ERROR(AddTo(test, ParsePostfix(std::move(argument))));
  }
  return is_negated ? Make(ExpressionKind::kNot, "", std::move(test)) : std::move(test);
}

}  // namespace tunesmith::trainer::jinja
