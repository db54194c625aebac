#include "trainer/jinja/interpreter.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer::jinja {
namespace {

// Variables of a block that has its own; those around it are seen through it.
struct Frame {
  Frame* parent = nullptr;
  Dict variables;
};

enum class Flow { kNext, kBreak, kContinue };

const Value* FindVariable(const Frame& frame, std::string_view name) {
  for (const Frame* f = &frame; f != nullptr; f = f->parent) {
    if (const Value* value = FindKey(f->variables, name)) return value;
  }
  return nullptr;
}

class Interpreter {
 public:
  Interpreter(const Dict& variables, int64_t unix_seconds)
      : context_{.budget = &budget_, .unix_seconds = unix_seconds, .namespaces = &namespaces_} {
    top_.variables = Globals(context_);
    for (const auto& [name, value] : variables) SetKey(name, value, &top_.variables);
  }

  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;
  ~Interpreter() {
    for (const auto& made : namespaces_) made->values.clear();
  }

  absl::StatusOr<Rendering> Run(const Statements& statements) {
    Rendering rendering;
    rendering_ = &rendering;
    output_ = &rendering.text;
    const absl::StatusOr<Flow> flow = Execute(statements, top_);
    if (flow.ok()) return rendering;
    return absl::Status(flow.status().code(),
                        StrCat("line ", line_, ": ", ToStd(flow.status().message())));
  }

 private:
  absl::StatusOr<Flow> Execute(const Statements& statements, Frame& frame) {
    for (const Statement& statement : statements) {
      TUNESMITH_ASSIGN_OR_RETURN(const Flow flow, ExecuteOne(statement, frame));
      if (flow != Flow::kNext) return flow;
    }
    return Flow::kNext;
  }

  // Every statement and expression that begins; LeaveOne where it ends well.
  absl::Status EnterOne(int64_t line) {
    line_ = line;
    if (++depth_ > Budget::kMaxDepth)
      return absl::ResourceExhaustedError(
          StrCat("more than ", Budget::kMaxDepth, " blocks, macros and expressions within others"));
    return budget_.TakeStep();
  }
  void LeaveOne() { --depth_; }

  absl::StatusOr<Flow> ExecuteOne(const Statement& statement, Frame& frame) {
    TUNESMITH_RETURN_IF_ERROR(EnterOne(statement.line));
    TUNESMITH_ASSIGN_OR_RETURN(const Flow flow, ExecuteKind(statement, frame));
    LeaveOne();
    return flow;
  }

  absl::StatusOr<Flow> ExecuteKind(const Statement& statement, Frame& frame) {
    switch (statement.kind) {
      case StatementKind::kText:
        return Next(Write(statement.text));
      case StatementKind::kPrint: {
        TUNESMITH_ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.value, frame));
        return Next(Write(ToText(value)));
      }
      case StatementKind::kIf: {
        TUNESMITH_ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.value, frame));
        return Execute(value.IsTrue() ? statement.body : statement.otherwise, frame);
      }
      case StatementKind::kFor:
        return ExecuteFor(statement, frame);
      case StatementKind::kSet: {
        TUNESMITH_ASSIGN_OR_RETURN(Value value, Evaluate(*statement.value, frame));
        return Next(Assign(statement, std::move(value), frame));
      }
      case StatementKind::kSetBlock:
      case StatementKind::kFilter:
        return Next(ExecuteCapture(statement, frame));
      case StatementKind::kMacro:
        SetKey(statement.text, MakeMacro(statement), &frame.variables);
        return Flow::kNext;
      case StatementKind::kGeneration:
        return ExecuteGeneration(statement, frame);
      case StatementKind::kBreak:
        return Flow::kBreak;
      case StatementKind::kContinue:
        return Flow::kContinue;
    }
    return Flow::kNext;
  }

  static absl::StatusOr<Flow> Next(const absl::Status& status) {
    if (!status.ok()) return status;
    return Flow::kNext;
  }

  absl::Status Write(std::string_view text) {
    TUNESMITH_RETURN_IF_ERROR(budget_.TakeBytes(static_cast<int64_t>(text.size())));
    output_->append(text);
    return absl::OkStatus();
  }

  bool IsCaptured() const { return output_ != &rendering_->text; }
  int64_t Position() const { return static_cast<int64_t>(output_->size()); }

  // What `body` prints, in a frame of its own.
  absl::StatusOr<std::string> Capture(const Statements& body, Frame& frame) {
    std::string text;
    std::string* const outer = std::exchange(output_, &text);
    const absl::StatusOr<Flow> flow = Execute(body, frame);
    output_ = outer;
    if (!flow.ok()) return flow.status();
    return text;
  }

  absl::Status ExecuteCapture(const Statement& statement, Frame& frame) {
    Frame inner{&frame, {}};
    TUNESMITH_ASSIGN_OR_RETURN(std::string text, Capture(statement.body, inner));
    Value value(std::move(text));
    if (statement.value != nullptr) {
      TUNESMITH_ASSIGN_OR_RETURN(value, Filter(*statement.value, std::move(value), frame));
    }
    if (statement.kind == StatementKind::kFilter) return Write(ToText(value));
    return Assign(statement, std::move(value), frame);
  }

  absl::StatusOr<Flow> ExecuteGeneration(const Statement& statement, Frame& frame) {
    Frame inner{&frame, {}};
    const int64_t begin = Position();
    TUNESMITH_ASSIGN_OR_RETURN(const Flow flow, Execute(statement.body, inner));
    if (!IsCaptured()) rendering_->generations.push_back({begin, Position()});
    return flow;
  }

  absl::Status Assign(const Statement& statement, Value value, Frame& frame) {
    if (!statement.attribute.empty()) {
      const Value* target = FindVariable(frame, statement.targets[0]);
      if (target == nullptr || target->name_space() == nullptr) {
        return absl::InvalidArgumentError(StrCat("cannot set ", statement.targets[0], ".",
                                                 statement.attribute, ": ", statement.targets[0],
                                                 " is no namespace"));
      }
      SetKey(statement.attribute, std::move(value), &target->name_space()->values);
      return absl::OkStatus();
    }
    return Bind(statement.targets, std::move(value), frame);
  }

  static absl::Status Bind(const std::vector<std::string>& targets, Value value, Frame& frame) {
    if (targets.size() == 1) {
      SetKey(targets[0], std::move(value), &frame.variables);
      return absl::OkStatus();
    }
    TUNESMITH_ASSIGN_OR_RETURN(List items, ItemsOf(value));
    if (items.size() != targets.size()) {
      return absl::InvalidArgumentError(
          StrCat(items.size(), " values for ", targets.size(), " names"));
    }
    for (size_t i = 0; i < targets.size(); ++i)
      SetKey(targets[i], std::move(items[i]), &frame.variables);
    return absl::OkStatus();
  }

  absl::StatusOr<List> ItemsOfFor(const Statement& statement, Frame& frame) {
    TUNESMITH_ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.value, frame));
    TUNESMITH_ASSIGN_OR_RETURN(List items, ItemsOf(value));
    if (statement.condition == nullptr) return items;
    List chosen;
    for (Value& item : items) {
      Frame inner{&frame, {}};
      TUNESMITH_RETURN_IF_ERROR(Bind(statement.targets, item, inner));
      TUNESMITH_ASSIGN_OR_RETURN(const Value passes, Evaluate(*statement.condition, inner));
      if (passes.IsTrue()) chosen.push_back(std::move(item));
    }
    return chosen;
  }

  absl::StatusOr<Flow> ExecuteFor(const Statement& statement, Frame& frame) {
    TUNESMITH_ASSIGN_OR_RETURN(List items, ItemsOfFor(statement, frame));
    if (items.empty()) {
      Frame inner{&frame, {}};
      return Execute(statement.otherwise, inner);
    }
    const auto loop = std::make_shared<Loop>();
    loop->items = Value(std::move(items));
    absl::Status status;
    bool goes_on = true;
    for (const Value& item : *loop->items.list()) {
      status = Pass(statement, loop, item, frame, &goes_on);
      if (!status.ok() || !goes_on) break;
      ++loop->index;
    }
    loop->items = Value(List());  // what holds its own loop would stay alive
    loop->last_changed = Value();
    if (!status.ok()) return status;
    return Flow::kNext;
  }

  absl::Status Pass(const Statement& statement, const std::shared_ptr<Loop>& loop,
                    const Value& item, Frame& frame, bool* goes_on) {
    TUNESMITH_RETURN_IF_ERROR(budget_.TakeStep());
    Frame inner{&frame, {{"loop", Value(loop)}}};
    TUNESMITH_RETURN_IF_ERROR(Bind(statement.targets, item, inner));
    const int64_t begin = Position();
    TUNESMITH_ASSIGN_OR_RETURN(const Flow flow, Execute(statement.body, inner));
    *goes_on = flow != Flow::kBreak;
    if (!IsCaptured() && item.dict() != nullptr && Position() > begin)
      rendering_->passes.push_back({item, {begin, Position()}});
    return absl::OkStatus();
  }

  Value MakeMacro(const Statement& macro) {
    return Callable{macro.text, [this, &macro](const Arguments& arguments) {
                      return CallMacro(macro, arguments);
                    }};
  }

  absl::StatusOr<Value> CallMacro(const Statement& macro, const Arguments& arguments) {
    if (arguments.positional.size() > macro.targets.size()) {
      return absl::InvalidArgumentError(StrCat("the macro ", macro.text, " takes ",
                                               macro.targets.size(), " arguments, not ",
                                               arguments.positional.size()));
    }
    for (const auto& [name, value] : arguments.named) {
      if (std::find(macro.targets.begin(), macro.targets.end(), name) == macro.targets.end())
        return absl::InvalidArgumentError(
            StrCat("the macro ", macro.text, " takes no argument ", name));
    }
    Frame inner{&top_, {}};
    TUNESMITH_RETURN_IF_ERROR(BindParameters(macro, arguments, inner));
    const int64_t line = line_;
    TUNESMITH_ASSIGN_OR_RETURN(std::string text, Capture(macro.body, inner));
    line_ = line;
    return Value(std::move(text));
  }

  absl::Status BindParameters(const Statement& macro, const Arguments& arguments, Frame& inner) {
    for (size_t i = 0; i < macro.targets.size(); ++i) {
      const std::string& name = macro.targets[i];
      Value value = Undefined{StrCat("parameter '", name, "' was not provided")};
      if (const Value* given = arguments.Find(i, name)) {
        value = *given;
      } else if (macro.defaults[i] != nullptr) {
        TUNESMITH_ASSIGN_OR_RETURN(value, Evaluate(*macro.defaults[i], inner));
      }
      SetKey(name, std::move(value), &inner.variables);
    }
    return absl::OkStatus();
  }

  // ---- Expressions.
  using Result = absl::StatusOr<Value>;

  Result Evaluate(const Expression& e, Frame& frame) {
    TUNESMITH_RETURN_IF_ERROR(EnterOne(e.line));
    TUNESMITH_ASSIGN_OR_RETURN(Value value, EvaluateKind(e, frame));
    if (value.depth() > Budget::kMaxValueDepth)
      return absl::ResourceExhaustedError(
          StrCat("lists nested deeper than ", Budget::kMaxValueDepth, " levels"));
    LeaveOne();
    return value;
  }

  Result EvaluateKind(const Expression& e, Frame& frame) {
    switch (e.kind) {
      case ExpressionKind::kLiteral:
        return e.literal;
      case ExpressionKind::kName:
        return Name(e.name, frame);
      case ExpressionKind::kList: {
        TUNESMITH_ASSIGN_OR_RETURN(List items, EvaluateAll(e, 0, frame));
        return e.is_tuple ? Value::Tuple(std::move(items)) : Value(std::move(items));
      }
      case ExpressionKind::kDict:
        return MakeDict(e, frame);
      case ExpressionKind::kCall:
        return Call(e, frame);
      case ExpressionKind::kAnd:
      case ExpressionKind::kOr:
      case ExpressionKind::kConditional:
        return Choose(e, frame);
      case ExpressionKind::kComparison:
        return CompareAll(e, frame);
      case ExpressionKind::kFilter: {
        TUNESMITH_ASSIGN_OR_RETURN(Value value, Evaluate(*e.children[0], frame));
        return Filter(e, std::move(value), frame);
      }
      default:
        break;
    }
    TUNESMITH_ASSIGN_OR_RETURN(const List operands, EvaluateAll(e, 0, frame));
    line_ = e.line;
    return Apply(e, operands, frame);
  }

  static Value Name(const std::string& name, const Frame& frame) {
    const Value* value = FindVariable(frame, name);
    return value != nullptr ? *value : Value(Undefined{StrCat("'", name, "' is undefined")});
  }

  // The children from `first` on; none where one is left out.
  absl::StatusOr<List> EvaluateAll(const Expression& e, size_t first, Frame& frame) {
    List values;
    for (size_t i = first; i < e.children.size(); ++i) {
      values.emplace_back();
      if (e.children[i] == nullptr) continue;
      TUNESMITH_ASSIGN_OR_RETURN(values.back(), Evaluate(*e.children[i], frame));
    }
    return values;
  }

  // Kinds whose operands are all looked at.
  Result Apply(const Expression& e, const List& operands, Frame& frame) {
    switch (e.kind) {
      case ExpressionKind::kAttribute:
        return GetMember(operands[0], e.name, false, context_);
      case ExpressionKind::kItem:
        return GetItem(operands[0], operands[1], context_);
      case ExpressionKind::kSlice:
        TUNESMITH_RETURN_IF_ERROR(budget_.TakeBytes(
            operands[0].text() != nullptr ? static_cast<int64_t>(operands[0].text()->size()) : 0));
        return GetSlice(operands[0], operands[1], operands[2], operands[3]);
      case ExpressionKind::kNot:
        return Value(!operands[0].IsTrue());
      case ExpressionKind::kNegative:
        return ApplyOperator("*", operands[0], Value(int64_t{-1}), context_);
      case ExpressionKind::kPositive:
        return operands[0];
      case ExpressionKind::kBinary:
        return ApplyOperator(e.name, operands[0], operands[1], context_);
      case ExpressionKind::kTest:
        return Test(e, operands, frame);
      default:
        return absl::InternalError("an expression without a meaning");
    }
  }

  Result Test(const Expression& e, const List& operands, Frame& frame) {
    Arguments arguments{List(operands.begin() + 1, operands.end()), {}};
    TUNESMITH_ASSIGN_OR_RETURN(arguments.named, EvaluateNamed(e, frame));
    TUNESMITH_ASSIGN_OR_RETURN(const bool holds, ApplyTest(e.name, operands[0], arguments));
    return Value(holds);
  }

  absl::StatusOr<Dict> EvaluateNamed(const Expression& e, Frame& frame) {
    Dict values;
    for (const auto& [name, expression] : e.named) {
      TUNESMITH_ASSIGN_OR_RETURN(Value value, Evaluate(*expression, frame));
      SetKey(name, std::move(value), &values);
    }
    return values;
  }

  absl::StatusOr<Arguments> EvaluateArguments(const Expression& e, Frame& frame) {
    Arguments arguments;
    TUNESMITH_ASSIGN_OR_RETURN(arguments.positional, EvaluateAll(e, 1, frame));
    TUNESMITH_ASSIGN_OR_RETURN(arguments.named, EvaluateNamed(e, frame));
    return arguments;
  }

  Result MakeDict(const Expression& e, Frame& frame) {
    Dict dict;
    TUNESMITH_ASSIGN_OR_RETURN(const List parts, EvaluateAll(e, 0, frame));
    for (size_t i = 0; i + 1 < parts.size(); i += 2) {
      if (parts[i].text() == nullptr)
        return absl::InvalidArgumentError(
            StrCat("a key of a dict is a ", parts[i].KindName(), ", not a str"));
      SetKey(*parts[i].text(), parts[i + 1], &dict);
    }
    return Value(std::move(dict));
  }

  Result Call(const Expression& e, Frame& frame) {
    TUNESMITH_ASSIGN_OR_RETURN(const Value callee, Evaluate(*e.children[0], frame));
    TUNESMITH_RETURN_IF_ERROR(RequireDefined(callee));
    if (callee.callable() == nullptr)
      return absl::InvalidArgumentError(StrCat("a ", callee.KindName(), " cannot be called"));
    TUNESMITH_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(e, frame));
    line_ = e.line;
    return callee.callable()->call(arguments);
  }

  Result Filter(const Expression& e, Value value, Frame& frame) {
    // In a filter block the innermost filter has no value of its own.
    const bool has_inner =
        e.children[0] != nullptr && e.children[0]->kind == ExpressionKind::kFilter && IsOfBlock(e);
    if (has_inner) {
      TUNESMITH_ASSIGN_OR_RETURN(value, Filter(*e.children[0], std::move(value), frame));
    }
    TUNESMITH_ASSIGN_OR_RETURN(const Arguments arguments, EvaluateArguments(e, frame));
    line_ = e.line;
    return ApplyFilter(e.name, value, arguments, context_);
  }

  static bool IsOfBlock(const Expression& e) {
    const Expression* inner = &e;
    while (inner->kind == ExpressionKind::kFilter && inner->children[0] != nullptr)
      inner = inner->children[0].get();
    return inner->kind == ExpressionKind::kFilter;
  }

  Result Choose(const Expression& e, Frame& frame) {
    TUNESMITH_ASSIGN_OR_RETURN(Value first, Evaluate(*e.children[0], frame));
    const bool is_true = first.IsTrue();
    if (e.kind == ExpressionKind::kAnd)
      return is_true ? Evaluate(*e.children[1], frame) : Result(std::move(first));
    if (e.kind == ExpressionKind::kOr)
      return is_true ? Result(std::move(first)) : Evaluate(*e.children[1], frame);
    if (is_true) return Evaluate(*e.children[1], frame);
    if (e.children[2] != nullptr) return Evaluate(*e.children[2], frame);
    return Value(Undefined{"an if without an else is undefined where it does not hold"});
  }

  Result CompareAll(const Expression& e, Frame& frame) {
    TUNESMITH_ASSIGN_OR_RETURN(Value left, Evaluate(*e.children[0], frame));
    for (size_t i = 0; i < e.operators.size(); ++i) {
      TUNESMITH_ASSIGN_OR_RETURN(Value right, Evaluate(*e.children[i + 1], frame));
      line_ = e.line;
      TUNESMITH_ASSIGN_OR_RETURN(const bool holds, ApplyComparison(e.operators[i], left, right));
      if (!holds) return Value(false);
      left = std::move(right);
    }
    return Value(true);
  }

  Budget budget_;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
  Context context_;
  Frame top_;
  Rendering* rendering_ = nullptr;
  std::string* output_ = nullptr;
  int64_t line_ = 1;  // of what runs now
  int64_t depth_ = 0;
};

}  // namespace

absl::StatusOr<Rendering> Run(const Statements& statements, const Dict& variables,
                              int64_t unix_seconds) {
  return Interpreter(variables, unix_seconds).Run(statements);
}

}  // namespace tunesmith::trainer::jinja
