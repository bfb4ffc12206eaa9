"""Settings as frozen dataclasses: to plain data, back again, and overridden leaf by leaf."""

import dataclasses
import json
from collections.abc import Iterable
from typing import Any, TypeVar, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError

from selfvos.errors import UsageError
from selfvos.registry import nearest

Config = TypeVar("Config")


def to_dict(config: Any) -> dict[str, Any]:
    """Return the settings as nested dictionaries of plain values, ready for JSON."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(kind: type[Config], data: dict[str, Any]) -> Config:
    """Build settings of class `kind` from plain data; missing fields take their defaults.

    Raises:
        UsageError: An unknown field, or a value that its field does not accept.
    """
    _refuse_unknown(kind, data, prefix="")
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or kind.__name__
        raise UsageError(f"setting {where}: {first['msg']} (got {first['input']!r})") from error


def override(config: Config, assignments: Iterable[str]) -> Config:
    """Return a copy of `config` with single leaves replaced.

    Args:
        config: Any of the settings dataclasses.
        assignments: Texts such as ``optimizer.lr=3e-4``; the value is read as JSON where it parses as
            JSON and as plain text where it does not.

    Raises:
        UsageError: Not of the form ``a.b=value``, an unknown field (the nearest is named), or a value
            that the field does not accept.
    """
    data = to_dict(config)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"{assignment!r} is not a setting; write field=value, for instance seed=1")
        *parents, leaf = path.strip().split(".")
        place = data
        for part in parents:
            place = _enter(place, part, path)
        _require_known(leaf, place, path)
        place[leaf] = _value(text)
    return from_dict(cast(type[Config], type(config)), data)


def _enter(place: dict[str, Any], part: str, path: str) -> dict[str, Any]:
    _require_known(part, place, path)
    if not isinstance(place[part], dict):
        raise UsageError(f"setting {path!r}: {part!r} is a single value, not a group")
    return place[part]


def _require_known(name: str, known: Iterable[str], path: str) -> None:
    if name not in known:
        raise UsageError(f"unknown setting {path!r}{nearest(name, known)}")


def _refuse_unknown(kind: type, data: dict[str, Any], prefix: str) -> None:
    hints = get_type_hints(kind)
    for name, value in data.items():
        _require_known(name, hints, prefix + name)
        if isinstance(value, dict) and dataclasses.is_dataclass(hints[name]):
            _refuse_unknown(cast(type, hints[name]), value, prefix=f"{prefix}{name}.")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text.strip()
