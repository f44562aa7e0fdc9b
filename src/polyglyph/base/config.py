"""Settings as frozen dataclasses, read strictly: an unknown key is refused and the nearest named."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from polyglyph.base.errors import ConfigError

__all__ = ["from_dict", "nearest_name", "to_dict"]

T = TypeVar("T")


def nearest_name(word: str, names: Iterable[str]) -> str | None:
    """The name most like `word`, or None when none is close."""
    matches = difflib.get_close_matches(word, list(names), n=1, cutoff=0.5)
    return matches[0] if matches else None


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as plain JSON-ready dictionaries, lists and scalars."""
    return dataclasses.asdict(config)


def from_dict(cls: type[T], data: Any, *, where: str) -> T:
    """Build the dataclass `cls` from `data`, refusing unknown keys and wrong types.

    `where` names the file or option in error messages. Missing keys take the field's
    default; a field without a default must be present.

    Raises ConfigError with the nearest known key when a key is unknown.
    """
    return _build(cls, data, where, "")


def _build(cls: Any, data: Any, where: str, prefix: str) -> Any:
    if not isinstance(data, Mapping):
        raise ConfigError(
            f"`{prefix.rstrip('.') or cls.__name__}` in `{where}` is {type(data).__name__}, not an object",
            fix='write it as `{"key": value}`',
        )
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    for key in data:
        if key not in fields:
            near = nearest_name(str(key), fields)
            raise ConfigError(
                f"unknown key `{prefix}{key}` in `{where}`",
                fix=f"did you mean `{prefix}{near}`?" if near else f"known keys: {', '.join(sorted(fields))}",
            )
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _convert(hints[name], data[name], where, f"{prefix}{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"`{prefix}{name}` is missing in `{where}`", fix=f"add `{name}`")
    return cls(**values)


def _convert(hint: Any, value: Any, where: str, name: str) -> Any:
    """`value` checked against the type `hint`; tuples come from JSON lists."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        problems = []
        for option in arguments:
            if option is not type(None):
                try:
                    return _convert(option, value, where, name)
                except ConfigError as problem:
                    problems.append(problem)
        raise problems[0]
    if origin is typing.Literal:
        if value in arguments:
            return value
        near = nearest_name(str(value), map(str, arguments))
        choices = ", ".join(f"`{choice}`" for choice in arguments)
        raise ConfigError(
            f"`{name}` in `{where}` is {value!r}",
            fix=f"did you mean `{near}`?" if near else f"choose one of {choices}",
        )
    if origin is tuple and isinstance(value, (list, tuple)):
        variadic = len(arguments) == 2 and arguments[1] is Ellipsis
        if variadic or len(arguments) == len(value):
            kinds = [arguments[0]] * len(value) if variadic else arguments
            return tuple(_convert(k, v, where, name) for k, v in zip(kinds, value, strict=True))
    if origin is dict and isinstance(value, Mapping):
        return {str(k): _convert(arguments[1], v, where, f"{name}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, where, f"{name}.")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is typing.Any or (isinstance(hint, type) and type(value) is hint):
        return value
    expected = getattr(hint, "__name__", str(hint))
    raise ConfigError(
        f"`{name}` in `{where}` is {value!r}, which is not of type {expected}",
        fix=f"give `{name}` a value of type {expected}",
    )
