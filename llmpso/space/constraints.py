"""Constraints that are known before training: what a configuration must satisfy to be trained.

An expression is read by Python's own parser, and only arithmetic and comparisons are accepted:
nothing in it is run as code.
"""

import ast
import logging
import math
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from llmpso.errors import SpaceError
from llmpso.space.dimension_checks import clipped, is_real
from llmpso.text import did_you_mean, one_line

logger = logging.getLogger(__name__)

Compute = Callable[[Mapping[str, Any]], Any]
"""The value of a part of an expression in a configuration."""

_ARITHMETIC: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    # Of floats, because whole numbers may grow without end.
    ast.Pow: lambda base, exponent: _real(math.pow, float(base), float(exponent)),
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}

_COMPARISONS: Mapping[type[ast.AST], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}

_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "log": lambda *numbers: _real(math.log, *numbers),
    "sqrt": lambda number: _real(math.sqrt, number),
}


def _real(function: Callable[..., float], *numbers: float) -> float:
    """A function's value.

    Raises:
        ArithmeticError: It has none, as the logarithm of 0.
    """
    try:
        return function(*numbers)
    except ValueError as error:
        raise ArithmeticError(f"{function.__name__}{numbers} has no value") from error


@cache
def _warn_once(constraint: str, problem: str) -> None:
    logger.warning(
        "constraint %s is taken as violated where it has no value: %s", constraint, problem
    )


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint."""

    text: str
    """For people, and to distinguish one space from another."""
    check: Compute = field(repr=False, compare=False)
    names: frozenset[str] = frozenset()
    """Hyperparameters that all have to count for it to be applied; any if empty."""

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Whether a configuration satisfies it, or it is not applied.

        One for which it has no value, since that is divided by 0 for example, does not.

        Raises:
            SpaceError: It cannot be computed, or is neither true nor false.
        """
        if not self.names <= params.keys():
            return True
        try:
            result = self.check(params)
        except ArithmeticError as error:
            _warn_once(self.text, str(error))
            return False
        except Exception as error:  # noqa: BLE001 - a function of the user's may raise anything
            raise SpaceError(
                f"constraint {self.text} cannot be computed for {clipped(dict(params))}: "
                f"{type(error).__name__}: {one_line(error, 200)}"
            ) from error
        if not isinstance(result, bool) and type(result).__name__ != "bool":  # numpy's, too
            raise SpaceError(
                f"constraint {self.text} is {clipped(result)}; it must be true or false"
            )
        return bool(result)


def to_constraint(asked: object, names: Collection[str]) -> Constraint:
    """An expression or a function as a constraint.

    Args:
        asked: Text such as `"units * layers <= 512"`, or a function from a configuration to
            whether it may be trained.
        names: The hyperparameters.

    Raises:
        SpaceError: It is neither, or the expression cannot be used.
    """
    if isinstance(asked, Constraint):
        return asked
    if isinstance(asked, str):
        return _expression(asked, names)
    if callable(asked):
        return Constraint(getattr(asked, "__qualname__", type(asked).__name__), asked)
    raise SpaceError(
        f"constraint {clipped(asked)} must be an expression such as 'units * layers <= 512', or a "
        "function of the configuration"
    )


def _expression(text: str, names: Collection[str]) -> Constraint:
    shown = repr(one_line(text, 100))
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        used: set[str] = set()
        check = _computed(tree, names, used)
    except SpaceError as error:
        raise SpaceError(f"constraint {shown}: {error}") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SpaceError(f"constraint {shown} is no expression ({one_line(error, 80)})") from None
    if not isinstance(tree, ast.Compare | ast.BoolOp) and not _is_not(tree):
        raise SpaceError(f"constraint {shown} compares nothing; write for example '… <= 512'")
    if not used:
        raise SpaceError(f"constraint {shown} names no hyperparameter")
    return Constraint(shown, check, frozenset(used))


def _is_not(tree: ast.expr) -> bool:
    return isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not)


def _computed(node: ast.expr, names: Collection[str], used: set[str]) -> Compute:
    """A part of an expression as a function; the names in it are added to `used`."""

    def part(inner: ast.expr) -> Compute:
        return _computed(inner, names, used)

    match node:
        case ast.Constant(value=str() | int() | float() | None as value):
            return lambda params: value
        case ast.Name() | ast.Attribute():
            name = _name(node, names)
            used.add(name)
            return operator.itemgetter(name)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = part(operand)
            return lambda params: not inner(params)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _ARITHMETIC:
            return _applied(_ARITHMETIC[type(op)], [part(operand)])
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _applied(_ARITHMETIC[type(op)], [part(left), part(right)])
        case ast.BoolOp(op=op, values=parts):
            together, each = all if isinstance(op, ast.And) else any, [*map(part, parts)]
            return lambda params: together(one(params) for one in each)
        case ast.Compare(left=left, comparators=others) if _is_known(node):
            return _compared(node, [part(left), *map(part, others)])
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _applied(_FUNCTIONS[name], [*map(part, args)])
    raise SpaceError(
        f"{ast.unparse(node)!r} is not allowed; it takes + - * / // % **, < <= > >= == !=, "
        f"and, or, not, and {', '.join(_FUNCTIONS)}"
    )


def _is_known(node: ast.Compare) -> bool:
    return all(type(op) in _COMPARISONS for op in node.ops)


def _name(node: ast.expr, names: Collection[str]) -> str:
    """A hyperparameter; its name may have dots in it."""
    name = ast.unparse(node)
    if name not in names:
        raise SpaceError(f"{name!r} is no hyperparameter ({did_you_mean(name, names)})")
    return name


def _applied(function: Callable[..., Any], parts: list[Compute]) -> Compute:
    def compute(params: Mapping[str, Any]) -> Any:
        numbers = [part(params) for part in parts]
        if not all(map(is_real, numbers)):
            raise TypeError(f"{numbers} are not all numbers")
        return function(*numbers)

    return compute


def _compared(node: ast.Compare, parts: list[Compute]) -> Compute:
    compares = [_COMPARISONS[type(op)] for op in node.ops]

    def compute(params: Mapping[str, Any]) -> bool:
        found = [part(params) for part in parts]
        return all(
            compare(*pair)
            for compare, pair in zip(compares, zip(found, found[1:], strict=False), strict=True)
        )

    return compute
