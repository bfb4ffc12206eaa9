"""Settings as frozen dataclasses: to plain data, back again, and overridden leaf by leaf."""

import dataclasses
import functools
import json
import os
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from selfvos.errors import UsageError
from selfvos.registry import nearest

Config = TypeVar("Config")
LATER = "later"
"""Marks, in the metadata of a field, that files with all settings may lack it: they were written before it came."""

# Both follow from the class alone, and take longer than a short video does to track.
_adapter = functools.cache(TypeAdapter)
_hints = functools.cache(get_type_hints)


def to_dict(config: Any) -> dict[str, Any]:
    """Return the settings as nested dictionaries of plain values, ready for JSON; paths become texts."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=os.fspath))


def from_dict(kind: type[Config], data: dict[str, Any]) -> Config:
    """Build settings of class `kind` from plain data; missing fields take their defaults.

    Where a field takes one of several groups, the first one is meant that has all the fields that are given.

    Raises:
        UsageError: An unknown field at any depth, fields of several groups at once, or a value that its field does
            not accept.
    """
    _refuse_unknown(kind, data, prefix="")
    return _build(kind, data, prefix="")


def _build(kind: type[Config], data: dict[str, Any], prefix: str) -> Config:
    try:
        return _adapter(kind).validate_python(_with_groups(kind, data, prefix))
    except ValidationError as error:
        raise UsageError(_first_reason(error, kind, prefix)) from error


def _with_groups(hint: Any, value: Any, prefix: str) -> Any:
    """Return plain data in which every group that is one of several has been built."""
    if isinstance(value, list | tuple):
        return [_with_groups(_element(hint), inner, f"{prefix}{i}.") for i, inner in enumerate(value)]
    fields = _fields(hint) if isinstance(value, dict) else None
    if fields is None:
        return value
    groups = [kind for kind in _alternatives(hint) if dataclasses.is_dataclass(kind)]
    if len(groups) > 1 and prefix:
        return _build(_group(groups, value, prefix), value, prefix)
    return {name: _with_groups(fields[name], inner, f"{prefix}{name}.") for name, inner in value.items()}


def _group(groups: list[Any], value: dict[str, Any], prefix: str) -> Any:
    """Return the first of several groups that has all fields that are given."""
    for kind in groups:
        if value.keys() <= (_fields(kind) or {}).keys():
            return kind
    only = [sorted(value.keys() - (_fields(kind) or {}).keys()) for kind in reversed(groups)]
    ours, theirs = (", ".join(names) for names in (only[0], only[-1]))
    name = prefix.rstrip(".")
    example = f'{name}={{"{only[0][0]}": ...}}'
    raise UsageError(f"setting {name}: {ours} do not go with {theirs}; give one group whole, as in {example}")


def override(config: Config, assignments: Iterable[str]) -> Config:
    """Return a copy of `config` with single leaves replaced.

    Args:
        config: Any of the settings dataclasses.
        assignments: Texts such as ``optimizer.lr=3e-4``; the value is read as JSON where it parses as
            JSON and its field is no text, and as plain text elsewhere. An element of a list is reached by
            its position or its ``name``: ``objectives.0.weight=2``, ``objectives.l_seg.weight=2``. A field that
            stands in a single group can do without the group's name: ``short_side_px=240``.

    Raises:
        UsageError: Not of the form ``a.b=value``, an unknown field (the nearest is named), or a value
            that the field does not accept.
    """
    kind = cast(type[Config], type(config))
    data = to_dict(config)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"{assignment!r} is not a setting; write field=value, for instance seed=1")
        path = _with_group(kind, path.strip())
        *parents, leaf = path.split(".")
        hint, place = cast(Any, kind), cast(Any, data)
        for part in parents:
            free = isinstance(place, dict) and _fields(hint) is None
            key, hint = _child(hint, place, part, path)
            if (free and key not in place) or (place[key] is None and _fields(hint) is not None):
                place[key] = {}
            place = place[key]
        key, hint = _child(hint, place, leaf, path)
        place[key] = _value(hint, text.strip())
    return from_dict(kind, data)


def update(config: Config, changes: Mapping[str, Any]) -> Config:
    """Return a copy of `config` with what nested plain settings say; what they do not name stays.

    Args:
        config: Any of the settings dataclasses.
        changes: By the names of `override`, as groups within groups (``{"joint": {"epochs": 9}}``) or with dots
            (``{"joint.epochs": 9}``). A list is replaced whole, or its elements are changed by position or name.
            Where all fields of `config` are there, they are taken as they are: nothing of `config` is left.

    Raises:
        UsageError: An unknown field (the nearest is named), or a value that the field does not accept.
    """
    kind = cast(type[Config], type(config))
    changes = _without_dots(changes)
    first = {one.name for one in dataclasses.fields(cast(Any, kind)) if LATER not in one.metadata}
    if first <= changes.keys():
        return from_dict(kind, changes)
    for path in [name for name in changes if _with_group(kind, name) != name]:
        changes = merged(changes, _without_dots({_with_group(kind, path): changes[path]}))
        del changes[path]
    return from_dict(kind, _joined(kind, to_dict(config), changes, ""))


def _without_dots(changes: Mapping[Any, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in changes.items():
        first, dot, rest = str(name).partition(".")
        new = {rest: value} if dot else value
        new = _without_dots(new) if isinstance(new, Mapping) else new
        both = isinstance(new, dict) and isinstance(nested.get(first), dict)
        nested[first] = merged(nested[first], new) if both else new
    return nested


def _joined(hint: Any, old: Any, new: Any, prefix: str) -> Any:
    """Return a value with what a changed one of type `hint` says."""
    if not isinstance(new, dict):
        return new
    fields = _fields(hint)
    several = len([kind for kind in _alternatives(hint) if dataclasses.is_dataclass(kind)]) > 1
    if isinstance(old, dict | None) and several and not new.keys() <= (old or {}).keys():
        return new  # another one of several groups
    found = list(old) if isinstance(old, list) else dict(old) if isinstance(old, dict) else {}
    for part, value in new.items():
        key, inner = _child(hint, found, part, f"{prefix}{part}")
        before = found.get(key) if isinstance(found, dict) else found[cast(int, key)]
        found[cast(Any, key)] = _joined(inner, before, value, f"{prefix}{part}.")
    return found if fields is not None or isinstance(old, dict | list | None) else new


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested plain settings with single leaves replaced."""
    nested = {name: merged(settings.get(name) or {}, new) for name, new in changes.items() if isinstance(new, Mapping)}
    return {**settings, **changes, **nested}


def _with_group(kind: Any, path: str) -> str:
    """Return a path that leaves out its group with it, where only one group has such a field."""
    fields, first = _fields(kind) or {}, path.partition(".")[0]
    if first in fields:
        return path
    groups = [name for name, hint in fields.items() if first in (_fields(hint) or {})]
    return f"{groups[0]}.{path}" if len(groups) == 1 else path


def _child(hint: Any, place: Any, part: str, path: str) -> tuple[str | int, Any]:
    """Return the key of `part` within `place`, whose type is `hint`, and the type of what lies there."""
    fields = _fields(hint)
    if isinstance(place, list):
        names = [item.get("name") if isinstance(item, dict) else None for item in place]
        if part.isdecimal() and int(part) < len(place):
            return int(part), _element(hint)
        _require_known(part, [name for name in names if name is not None], path)
        return names.index(part), _element(hint)
    if not isinstance(place, dict):
        raise UsageError(f"setting {path!r}: what holds {part!r} is a single value, not a group")
    if fields is None:
        return part, _element(hint)
    _require_known(part, fields, path)
    return part, fields[part]


def _refuse_unknown(hint: Any, value: Any, prefix: str) -> None:
    if isinstance(value, dict):
        fields = _fields(hint)
        for name, inner in value.items():
            if fields is not None:
                _require_known(name, fields, f"{prefix}{name}")
            _refuse_unknown(_element(hint) if fields is None else fields[name], inner, f"{prefix}{name}.")
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            _refuse_unknown(_element(hint), inner, f"{prefix}{position}.")


def _require_known(name: str, known: Iterable[str], path: str) -> None:
    if name not in known:
        raise UsageError(f"unknown setting {path!r}{nearest(name, known)}")


def _fields(hint: Any) -> dict[str, Any] | None:
    """Return the fields of the dataclasses that `hint` allows and their types; None where it allows none."""
    kinds = [kind for kind in _alternatives(hint) if dataclasses.is_dataclass(kind)]
    if not kinds:
        return None
    return {field.name: _hints(kind)[field.name] for kind in kinds for field in dataclasses.fields(kind) if field.init}


def _element(hint: Any) -> Any:
    """Return the type of what a list, tuple or dictionary of type `hint` holds."""
    for kind in _alternatives(hint):
        if inside := get_args(kind):
            return inside[-1] if get_origin(kind) is dict else inside[0]
    return Any


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)


def _value(hint: Any, text: str) -> Any:
    accepted = _alternatives(hint)
    if text == "None" and NoneType in accepted:
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    # A field of text takes 2017 as a name, not as a number.
    return text if str in accepted and not isinstance(value, str) and type(value) not in accepted else value


def _first_reason(error: ValidationError, kind: type, prefix: str) -> str:
    first = error.errors()[0]
    where = prefix + ".".join(str(part) for part in first["loc"])
    where = where.rstrip(".") or kind.__name__
    own = first.get("ctx", {}).get("error")
    if own is not None:  # raised by the settings themselves, and says what came
        return f"setting {where}: {own}"
    return f"setting {where}: {first['msg']} (got {first['input']!r})"
