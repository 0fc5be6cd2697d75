"""What a mutant is: one small change of a module's source, found in its syntax tree, made in its text.

Everything but the change stays as it was written, so that a mutant can be shown as two lines.  Left alone: docstrings,
f-strings, annotations, `__repr__`, and names that are assigned only to fail later.
"""

import ast
import re
from typing import NamedTuple

COMPARISONS = {ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
               ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"),
               ast.In: ("in", "not in"), ast.NotIn: ("not in", "in")}
ARITHMETIC = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "//"), ast.FloorDiv: ("//", "*"),
              ast.Mod: ("%", "//"), ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"), ast.BitXor: ("^", "&"),
              ast.LShift: ("<<", ">>"), ast.RShift: (">>", "<<")}


class Mutant(NamedTuple):
    """One change.  `line` and `starts` (where the innermost function does, 0 outside of all) count from 1."""

    line: int
    column: int
    operator: str
    function: str      # its name, with its classes'; "" outside of all
    starts: int
    was: str
    now: str
    source: str


def is_program(source):
    """Not every change of a program is one."""
    try:
        compile(source, "mutant", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def mutants(source):
    """All mutants of a module's source text, in order of their place; ask `is_program` before one is used."""
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    return sorted(finder.found.values(), key=lambda mutant: (*mutant[:3], mutant.now))


class _Finder(ast.NodeVisitor):
    def __init__(self, source):
        self.data = source.encode()
        self.starts = [0]
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.names, self.function, self.first_line, self.found = [], "", 0, {}

    def span(self, node):
        """(first, last + 1) of a node's bytes."""
        return (self.starts[node.lineno - 1] + node.col_offset, self.starts[node.end_lineno - 1] + node.end_col_offset)

    def text(self, node):
        start, end = self.span(node)
        return self.data[start:end].decode()

    def offer(self, node, operator, start, end, text):
        """Keep the mutant with bytes [start, end) replaced, if it is a new one."""
        changed = (self.data[:start] + text.encode() + self.data[end:]).decode()
        first, last = (self.data.count(b"\n", 0, at) for at in (start, end))
        after = last + changed.count("\n") - self.data.count(b"\n")
        was, now = (" ".join(" ".join(part.splitlines()[first:stop + 1]).split())
                    for part, stop in ((self.data.decode(), last), (changed, after)))
        self.found.setdefault(changed, Mutant(first + 1, start - self.starts[first], operator, self.function,
                                              self.first_line, was, now, changed))

    def swap(self, node, left, right, pair, operator):
        """Replace the operator between two operands."""
        old, new = pair
        start, end = self.span(left)[1], self.span(right)[0]
        word = r"\b" if old[0].isalpha() else ""
        found = re.search(word + r"\s+".join(map(re.escape, old.split())) + word, self.data[start:end].decode())
        if found:
            self.offer(node, operator, start + found.start(), start + found.end(), new)

    def replace(self, node, operator, text):
        self.offer(node, operator, *self.span(node), text)

    # What is left alone.

    def visit_FunctionDef(self, node):
        if node.name == "__repr__":
            return
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        outer = self.function, self.first_line
        self.names.append(node.name)
        self.function = ".".join(self.names)
        self.first_line = min([node.lineno, *(each.lineno for each in node.decorator_list)])
        for each in node.body:
            self.visit(each)
        self.names.pop()
        self.function, self.first_line = outer

    def visit_ClassDef(self, node):
        self.names.append(node.name)
        for each in node.body:
            self.visit(each)
        self.names.pop()

    def visit_JoinedStr(self, node):
        pass

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    # Expressions.

    def visit_Compare(self, node):
        operands = [node.left, *node.comparators]
        for left, right, kind in zip(operands, operands[1:], node.ops):
            self.swap(node, left, right, COMPARISONS[type(kind)], "comparison")
        self.generic_visit(node)

    def visit_BinOp(self, node):
        if type(node.op) in ARITHMETIC:
            self.swap(node, node.left, node.right, ARITHMETIC[type(node.op)], "arithmetic")
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        both = isinstance(node.op, ast.And)
        for left, right in zip(node.values, node.values[1:]):
            self.swap(node, left, right, ("and", "or") if both else ("or", "and"), "and-or")
        for value in node.values:
            self.replace(value, "operand", str(both))
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if not isinstance(node.op, ast.UAdd):
            self.replace(node, "unary", f"({self.text(node.operand)})")
        self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, bool):
            self.replace(node, "constant", str(not node.value))
        elif isinstance(node.value, int):
            self.replace(node, "constant", str(node.value + 1))
            if node.value:
                self.replace(node, "constant", str(node.value - 1))

    def _negate(self, test):
        if not isinstance(test, ast.Compare) and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
            self.replace(test, "branches", f"(not ({self.text(test)}))")

    def visit_IfExp(self, node):
        self._negate(node.test)
        self.generic_visit(node)

    visit_If = visit_While = visit_IfExp

    def visit_comprehension(self, node):
        for test in node.ifs:
            self.replace(test, "filter", "True")
        self.generic_visit(node)

    # Statements.

    def _drop(self, node):
        self.replace(node, "statement", "pass")
        self.generic_visit(node)

    visit_Delete = visit_Raise = visit_Break = _drop

    def visit_Expr(self, node):
        if not isinstance(node.value, ast.Constant):
            self._drop(node)

    def visit_Assign(self, node):
        if any(isinstance(each, (ast.Attribute, ast.Subscript)) for each in node.targets):
            self.replace(node, "statement", "pass")
        self.generic_visit(node)

    def visit_AugAssign(self, node):
        self.replace(node, "statement", "pass")
        if type(node.op) in ARITHMETIC:
            old, new = ARITHMETIC[type(node.op)]
            self.swap(node, node.target, node.value, (old + "=", new + "="), "arithmetic")
        self.generic_visit(node)

    def visit_Continue(self, node):
        self.replace(node, "statement", "break")

    def visit_Return(self, node):
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self.replace(node, "return", "return None")
        self.generic_visit(node)
