"""Makes the mutants of a file: mutmut says what to change, we keep the text of the whole file with that one change.

Unlike mutmut itself this looks into decorated functions, too. What runs at import only (constants, defaults of fields)
is left alone.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider, WhitespaceInclusivePositionProvider
from mutmut.mutation.file_mutation import MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

ROOT = Path(__file__).parents[2]


class Place(NamedTuple):
    """A function: as its code object says it, with the first line of its decorators."""

    path: str
    name: str
    first_line: int


class Mutant(NamedTuple):
    """`was` and `became`: the changed lines, stripped; `reach`: lines of which a test must run one to notice."""

    place: Place
    line: int
    was: str
    became: str
    reach: range
    source: str

    @property
    def key(self) -> str:
        """The same in every run, while the function's lines and their order stay."""
        words = "\x1f".join((self.place.path, self.place.name, str(self.line), self.was, self.became))
        return hashlib.sha256(words.encode()).hexdigest()[:20]

    def __str__(self) -> str:
        return f"{self.place.path}:{self.line}\n    - {self.was}\n    + {self.became}"


class _Visitor(MutationVisitor):
    """mutmut leaves out decorated functions, since it wraps what it mutates; we exchange the code inside."""

    METADATA_DEPENDENCIES = MutationVisitor.METADATA_DEPENDENCIES

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        decorated = isinstance(node, cst.FunctionDef) and bool(node.decorators)
        if decorated and node.name.value != "__new__":
            return False
        return bool(super()._skip_node_and_children(node))


def mutants(path: str) -> list[Mutant]:
    """All of one file, in the order of their lines; `path` from the root."""
    source = (ROOT / path).read_text()
    wrapper = MetadataWrapper(cst.parse_module(source))
    visitor = _Visitor(mutation_operators, IgnoredCode(set(), set(), set()), None)
    module = wrapper.visit(visitor)
    positions, spans = wrapper.resolve(PositionProvider), wrapper.resolve(WhitespaceInclusivePositionProvider)
    tree, found = ast.parse(source), {}
    for one in visitor.mutations:
        position = positions.get(one.original_node) or positions[one.contained_by_top_level_function]
        place, reach = _place(path, tree, position.start.line)
        if place is None or one.contained_by_top_level_function is None:
            continue
        if isinstance(one.original_node, cst.BaseCompoundStatement) or one.original_node not in spans:
            changed = module.deep_replace(one.original_node, one.mutated_node).code  # type: ignore[arg-type]
        else:  # fifty times as fast, and right wherever no lines must be indented
            changed = _spliced(source, spans[one.original_node], module.code_for_node(one.mutated_node))
        if changed != source and _compiles(changed):
            mutant = _mutant(place, reach, source, changed)
            found.setdefault(mutant.key, mutant)
    return list(found.values())


def _mutant(place: Place, reach: range, source: str, changed: str) -> Mutant:
    before, after = source.splitlines(), changed.splitlines()
    top = next(
        (at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    end = 0
    while end < min(len(before), len(after)) - top and before[-1 - end] == after[-1 - end]:
        end += 1
    was, became = before[top : len(before) - end], after[top : len(after) - end]
    return Mutant(place, top + 1, _joined(was), _joined(became), reach, changed)


def _spliced(source: str, span: CodeRange, text: str) -> str:
    lines = source.splitlines(keepends=True)
    head = "".join(lines[: span.start.line - 1]) + lines[span.start.line - 1][: span.start.column]
    tail = lines[span.end.line - 1][span.end.column :] + "".join(lines[span.end.line :])
    return head + text + tail


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _place(path: str, tree: ast.Module, line: int) -> tuple[Place | None, range]:
    """The outermost function around a line, and the lines of the statement there."""
    names: list[str] = []
    node: ast.AST = tree
    function: ast.FunctionDef | ast.AsyncFunctionDef | None = None
    inner: ast.stmt | None = None
    while below := next((one for one in _statements(node) if _first(one) <= line <= (one.end_lineno or 0)), None):
        if isinstance(below, ast.ClassDef) and function is None:
            names.append(below.name)
        if isinstance(below, ast.FunctionDef | ast.AsyncFunctionDef) and function is None:
            function = below
            names.append(below.name)
        node = inner = below
    if function is None or inner is None:
        return None, range(0)
    return Place(path, ".".join(names), _first(function)), _lines(inner, function)


def _lines(inner: ast.stmt, function: ast.stmt) -> range:
    if inner is function:  # a default: whoever calls the function may notice
        return range(function.body[0].lineno, (function.end_lineno or 0) + 1)  # type: ignore[attr-defined]
    body = getattr(inner, "body", None)
    if isinstance(body, list) and body:
        return range(inner.lineno, max(inner.lineno + 1, body[0].lineno))
    return range(inner.lineno, (inner.end_lineno or inner.lineno) + 1)


def _first(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(one.lineno for one in decorators)])


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Those directly below; of a match statement and a try those of their cases and handlers."""
    for one in ast.iter_child_nodes(node):
        if isinstance(one, ast.stmt):
            yield one
        elif isinstance(one, ast.ExceptHandler | ast.match_case):
            yield from _statements(one)
