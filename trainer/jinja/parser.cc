#include "trainer/jinja/parser.h"

#include <initializer_list>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/jinja/expression_parser.h"
#include "trainer/jinja/lexer.h"

namespace tunesmith::trainer::jinja {
namespace {

constexpr int64_t kMaxNesting = 50;

using Names = std::initializer_list<std::string_view>;

class StatementParser {
 public:
  explicit StatementParser(std::vector<Token> tokens)
      : tokens_(std::move(tokens)), expressions_(&tokens_) {}

  absl::StatusOr<Statements> Run() {
    TUNESMITH_ASSIGN_OR_RETURN(Statements statements, ParseUntil({}));
    if (tokens_.current().kind == TokenKind::kEnd) return statements;
    return absl::InvalidArgumentError(StrCat("line ", tokens_.current().line, ": \"",
                                             tokens_.current().text, "\" has no beginning"));
  }

 private:
  // Statements up to a block that begins with one of `ends`; then the stream stands at that name.
  absl::StatusOr<Statements> ParseUntil(Names ends) {
    if (++nesting_ > kMaxNesting) return tokens_.Expected("fewer blocks within blocks");
    Statements statements;
    while (tokens_.current().kind != TokenKind::kEnd) {
      if (tokens_.current().kind == TokenKind::kBlock) {
        tokens_.Take();
        if (SeesAny(ends) || tokens_.current().text.starts_with("end") ||
            tokens_.SeesName("else") || tokens_.SeesName("elif"))
          break;
        TUNESMITH_ASSIGN_OR_RETURN(statements.emplace_back(), ParseStatement());
      } else {
        TUNESMITH_ASSIGN_OR_RETURN(statements.emplace_back(), ParseOutput());
      }
    }
    --nesting_;
    return statements;
  }

  bool SeesAny(Names names) const {
    for (const std::string_view name : names) {
      if (tokens_.SeesName(name)) return true;
    }
    return false;
  }

  // As ParseUntil, where the block must end so, and with the end taken.
  absl::StatusOr<Statements> ParseBody(std::string_view end) {
    TUNESMITH_RETURN_IF_ERROR(EndBlock());
    TUNESMITH_ASSIGN_OR_RETURN(Statements body, ParseUntil({end}));
    if (!tokens_.TakeName(end)) return tokens_.Expected(end);
    return body;
  }

  absl::Status EndBlock() { return tokens_.Expect(TokenKind::kBlockEnd, "%}"); }

  absl::StatusOr<Statement> ParseOutput() {
    Statement statement;
    statement.line = tokens_.current().line;
    if (tokens_.current().kind == TokenKind::kText) {
      statement.text = tokens_.Take().text;
      return statement;
    }
    statement.kind = StatementKind::kPrint;
    TUNESMITH_RETURN_IF_ERROR(tokens_.Expect(TokenKind::kPrint, "{{"));
    TUNESMITH_ASSIGN_OR_RETURN(statement.value, expressions_.ParseTuple());
    TUNESMITH_RETURN_IF_ERROR(tokens_.Expect(TokenKind::kPrintEnd, "}}"));
    return statement;
  }

  absl::StatusOr<Statement> ParseStatement() {
    Statement statement;
    statement.line = tokens_.current().line;
    TUNESMITH_ASSIGN_OR_RETURN(const std::string name, tokens_.ExpectName());
    TUNESMITH_RETURN_IF_ERROR(ParseKind(name, &statement));
    TUNESMITH_RETURN_IF_ERROR(EndBlock());
    return statement;
  }

  // Up to, not with, the end of the statement's last block.
  absl::Status ParseKind(std::string_view name, Statement* statement) {
    if (name == "if") return ParseIf(statement);
    if (name == "for") return ParseFor(statement);
    if (name == "set") return ParseSet(statement);
    if (name == "macro") return ParseMacro(statement);
    if (name == "filter") return ParseFilterBlock(statement);
    if (name == "generation") {
      statement->kind = StatementKind::kGeneration;
      TUNESMITH_ASSIGN_OR_RETURN(statement->body, ParseBody("endgeneration"));
      return absl::OkStatus();
    }
    if (name != "break" && name != "continue") {
      return absl::UnimplementedError(StrCat(
          "line ", statement->line, ": the statement \"", name,
          "\" is not known here; known: if, for, set, macro, filter, generation, break, continue"));
    }
    if (loop_depth_ == 0)
      return absl::InvalidArgumentError(
          StrCat("line ", statement->line, ": \"", name, "\" outside of a for"));
    statement->kind = name == "break" ? StatementKind::kBreak : StatementKind::kContinue;
    return absl::OkStatus();
  }

  absl::Status ParseIf(Statement* statement) {
    statement->kind = StatementKind::kIf;
    TUNESMITH_ASSIGN_OR_RETURN(statement->value, expressions_.ParseTuple());
    TUNESMITH_RETURN_IF_ERROR(EndBlock());
    TUNESMITH_ASSIGN_OR_RETURN(statement->body, ParseUntil({"elif", "else", "endif"}));
    const int64_t line = tokens_.current().line;
    if (tokens_.TakeName("elif")) {
      if (++nesting_ > kMaxNesting * 4) return tokens_.Expected("fewer elifs");
      Statement next;
      next.line = line;
      TUNESMITH_RETURN_IF_ERROR(ParseIf(&next));
      --nesting_;
      statement->otherwise.push_back(std::move(next));
      return absl::OkStatus();
    }
    if (tokens_.TakeName("else")) {
      TUNESMITH_ASSIGN_OR_RETURN(statement->otherwise, ParseBody("endif"));
      return absl::OkStatus();
    }
    return tokens_.TakeName("endif") ? absl::OkStatus() : tokens_.Expected("endif");
  }

  absl::Status ParseFor(Statement* statement) {
    statement->kind = StatementKind::kFor;
    TUNESMITH_RETURN_IF_ERROR(ParseTargets(statement));
    if (!statement->attribute.empty() || !tokens_.TakeName("in")) return tokens_.Expected("\"in\"");
    TUNESMITH_ASSIGN_OR_RETURN(statement->value, expressions_.ParseOr());
    if (tokens_.TakeName("if")) {
      TUNESMITH_ASSIGN_OR_RETURN(statement->condition, expressions_.ParseExpression());
    }
    TUNESMITH_RETURN_IF_ERROR(EndBlock());
    ++loop_depth_;
    TUNESMITH_ASSIGN_OR_RETURN(statement->body, ParseUntil({"else", "endfor"}));
    --loop_depth_;
    if (tokens_.TakeName("else")) {
      TUNESMITH_ASSIGN_OR_RETURN(statement->otherwise, ParseBody("endfor"));
      return absl::OkStatus();
    }
    return tokens_.TakeName("endfor") ? absl::OkStatus() : tokens_.Expected("endfor");
  }

  // "a", "a, b", "(a, b)" or "a.b".
  absl::Status ParseTargets(Statement* statement) {
    const bool has_bracket = tokens_.TakeOperator("(");
    do {
      TUNESMITH_ASSIGN_OR_RETURN(statement->targets.emplace_back(), tokens_.ExpectName());
    } while (tokens_.TakeOperator(","));
    if (has_bracket) return tokens_.ExpectOperator(")");
    if (statement->targets.size() > 1 || !tokens_.TakeOperator(".")) return absl::OkStatus();
    TUNESMITH_ASSIGN_OR_RETURN(statement->attribute, tokens_.ExpectName());
    return absl::OkStatus();
  }

  absl::Status ParseSet(Statement* statement) {
    TUNESMITH_RETURN_IF_ERROR(ParseTargets(statement));
    if (tokens_.TakeOperator("=")) {
      statement->kind = StatementKind::kSet;
      TUNESMITH_ASSIGN_OR_RETURN(statement->value, expressions_.ParseTuple());
      return absl::OkStatus();
    }
    statement->kind = StatementKind::kSetBlock;
    if (tokens_.TakeOperator("|")) {
      TUNESMITH_ASSIGN_OR_RETURN(statement->value, expressions_.ParseFilter(nullptr));
    }
    TUNESMITH_ASSIGN_OR_RETURN(statement->body, ParseBody("endset"));
    return absl::OkStatus();
  }

  absl::Status ParseMacro(Statement* statement) {
    if (loop_depth_ > 0 || in_macro_) {
      return absl::UnimplementedError(
          StrCat("line ", statement->line, ": a macro within a for or a macro is not known here"));
    }
    statement->kind = StatementKind::kMacro;
    TUNESMITH_ASSIGN_OR_RETURN(statement->text, tokens_.ExpectName());
    TUNESMITH_RETURN_IF_ERROR(tokens_.ExpectOperator("("));
    while (!tokens_.TakeOperator(")")) {
      TUNESMITH_ASSIGN_OR_RETURN(statement->targets.emplace_back(), tokens_.ExpectName());
      statement->defaults.emplace_back();
      if (tokens_.TakeOperator("=")) {
        TUNESMITH_ASSIGN_OR_RETURN(statement->defaults.back(), expressions_.ParseExpression());
      }
      if (!tokens_.SeesOperator(")")) TUNESMITH_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
    }
    in_macro_ = true;
    TUNESMITH_ASSIGN_OR_RETURN(statement->body, ParseBody("endmacro"));
    in_macro_ = false;
    tokens_.TakeName(statement->text);  // {% endmacro name %}
    return absl::OkStatus();
  }

  absl::Status ParseFilterBlock(Statement* statement) {
    statement->kind = StatementKind::kFilter;
    TUNESMITH_ASSIGN_OR_RETURN(statement->value, expressions_.ParseFilter(nullptr));
    TUNESMITH_ASSIGN_OR_RETURN(statement->body, ParseBody("endfilter"));
    return absl::OkStatus();
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  int64_t nesting_ = 0;
  int64_t loop_depth_ = 0;
  bool in_macro_ = false;
};

}  // namespace

absl::StatusOr<Statements> Parse(std::string_view source) {
  TUNESMITH_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  return StatementParser(std::move(tokens)).Run();
}

}  // namespace tunesmith::trainer::jinja
