"""The parameters of a flow, made of the options that it takes: each is described in one place."""

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from inspect import Parameter, Signature, getdoc
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

import cyclopts
from pydantic.fields import FieldInfo

from llmpso.option_group import Options
from llmpso.options import GROUPS

Asked = TypeVar("Asked", bound=Options)
T = TypeVar("T")


def with_parameters(kind: type[Asked]) -> Callable[[Callable[[Asked], T]], Callable[..., T]]:
    """Let a function of options be called with each option by its name, the first by place too.

    Signature and docstring are made of the options' own: Prefect makes its form of them, and
    cyclopts the command line.
    """
    signature = Signature(list(_parameters(kind)))

    def named(function: Callable[[Asked], T]) -> Callable[..., T]:
        @wraps(function)
        def called(*args: Any, **kwargs: Any) -> T:
            return function(kind(**signature.bind(*args, **kwargs).arguments))

        called.__signature__ = signature  # type: ignore[attr-defined]
        called.__doc__ = f"{getdoc(function)}\n\nArgs:\n{_described(kind)}"
        return called

    return named


def form_docstring(kind: type[Options]) -> str:
    """The options for Prefect's form, which has no sections: where a group begins, it says so."""
    fields = _fields(kind)
    first = {title: name for name, _, title in reversed(fields)}
    last = {title: name for name, _, title in fields if title}
    headings = {
        first[title]: f"**{title}, from here to `{name}`.** " for title, name in last.items()
    }
    return f"Options in groups.\n\nArgs:\n{_described(kind, headings)}"


def _parameters(kind: type[Options]) -> Iterator[Parameter]:
    for place, (name, field, title) in enumerate(_fields(kind)):
        yield Parameter(
            name,
            Parameter.KEYWORD_ONLY if place else Parameter.POSITIONAL_OR_KEYWORD,
            default=Parameter.empty if field.is_required() else field.default,
            annotation=_annotation(name, field, title),
        )


def _fields(kind: type[Options]) -> list[tuple[str, FieldInfo, str]]:
    """Names, fields and the titles they stand under: those of the kind itself come first."""
    found = [(name, field, "") for name, field in kind.model_fields.items() if name not in GROUPS]
    for group in [group for group in GROUPS if group in kind.model_fields]:
        members: type[Options] = type(kind.model_fields[group].default)
        title = members.model_config.get("title") or group
        found += [(name, field, title) for name, field in members.model_fields.items()]
    return found


def _annotation(name: str, field: FieldInfo, title: str) -> Any:
    """A field's type with its bounds, and its place on the command line."""
    shown = [cyclopts.Parameter(group=cyclopts.Group(title))] if title else []
    if field.annotation == bool | None:  # what is on by default needs an option to switch it off
        shown.append(cyclopts.Parameter(negative=f"--no-{name.replace('_', '-')}"))
    marks = (*field.metadata, *shown)
    return Annotated[field.annotation, *marks] if marks else field.annotation


def _described(kind: type[Options], headings: Mapping[str, str] = MappingProxyType({})) -> str:
    return "\n".join(
        f"    {name}: {headings.get(name, '')}{' '.join((field.description or '').split())}"
        for name, field, _ in _fields(kind)
    )
