#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "trainer/jinja/value.h"

// A parsed template. Plain data.
namespace tunesmith::trainer::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

enum class ExpressionKind {
  kLiteral,     // literal
  kName,        // name
  kList,        // children
  kDict,        // children: key, value, key, value ...
  kAttribute,   // children[0].name
  kItem,        // children[0][children[1]]
  kSlice,       // children[0][children[1]:children[2]:children[3]], absent ones null
  kCall,        // children[0](children[1] ..., named)
  kFilter,      // children[0] | name(children[1] ..., named); children[0] is null in a filter block
  kTest,        // children[0] is name(children[1] ..., named)
  kNot,         // not children[0]
  kNegative,    // -children[0]
  kPositive,    // +children[0]
  kBinary,      // children[0] name children[1]
  kComparison,  // children[0] operators[0] children[1] operators[1] children[2] ...
  kAnd,         // children[0] and children[1]
  kOr,          // children[0] or children[1]
  kConditional,  // children[1] if children[0] else children[2], which may be null
};

struct Expression {
  ExpressionKind kind = ExpressionKind::kLiteral;
  int64_t line = 1;
  int64_t depth = 1;  // of the tree that it is the root of
  std::string name;
  Value literal;
  std::vector<ExpressionPtr> children;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  std::vector<std::string> operators;
  bool is_tuple = false;  // a kList

  void Add(ExpressionPtr child) {
    if (child != nullptr && child->depth >= depth) depth = child->depth + 1;
    children.push_back(std::move(child));
  }
};

enum class StatementKind {
  kText,        // text
  kPrint,       // value
  kIf,          // value: body, else otherwise
  kFor,         // targets in value, if condition: body; otherwise where there was no item
  kSet,         // targets = value
  kSetBlock,    // targets = what body prints
  kMacro,       // text: the name; targets: parameters; defaults, null where there is none; body
  kFilter,      // value is a kFilter without its first child: applied to what body prints
  kGeneration,  // body: what the model says
  kBreak,
  kContinue,
};

struct Statement {
  StatementKind kind = StatementKind::kText;
  int64_t line = 1;
  std::string text;
  std::vector<std::string> targets;
  std::string attribute;  // of a set of NAME.ATTRIBUTE
  ExpressionPtr value;
  ExpressionPtr condition;
  std::vector<ExpressionPtr> defaults;
  std::vector<Statement> body;
  std::vector<Statement> otherwise;
};

using Statements = std::vector<Statement>;

}  // namespace tunesmith::trainer::jinja
