"""Settings from files: YAML, TOML or JSON, in the names of `--set`."""

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from selfvos.errors import DataError, UsageError
from selfvos.settings import override, update

Config = TypeVar("Config")


def change_settings(config: Config, *, files: Sequence[str | Path] = (), sets: Sequence[str] = ()) -> Config:
    """Return settings with the changes of files, then with single ones.

    What comes later counts: a later file more than an earlier one, `sets` more than all files.

    Args:
        config: Where to begin: a recipe, or settings of a tracker.
        files: ``.yaml``, ``.toml`` or ``.json``; see `selfvos.settings.update`. One that names every setting, such as
            ``settings.json`` of a run, is taken as it is. Of ``track.json`` of a track its settings are taken.
        sets: As in ``seed=1``; see `selfvos.settings.override`.

    Raises:
        UsageError: No such file or setting, or a value that the setting does not accept.
        DataError: A file cannot be read as what it is called.
    """
    for path in files:
        changes = read_settings(path)
        try:
            config = update(config, changes)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
    return override(config, sets)


def read_settings(path: str | Path) -> dict[str, Any]:
    """Return the nested settings of a file.

    Raises:
        UsageError: There is no such file, or it is neither YAML, TOML nor JSON by its name.
        DataError: It is damaged, names a setting twice, or holds no names.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    read = _READERS.get(kind)
    if read is None:
        raise UsageError(f"{path} is called neither .yaml, .toml nor .json; rename it to what it is")
    try:
        found = read(path.read_text("utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise UsageError(f"no settings file {path}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise DataError(f"{path} is no {kind.upper()} ({' '.join(str(error).split())}); mend it") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise DataError(f"{path} holds no settings; write names with values, such as seed: 1")
    if found.get("product") == "selfvos" and isinstance(found.get("settings"), dict):
        return found["settings"]
    return found


class _Loader(yaml.SafeLoader):
    """YAML in which a name that stands twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        """Return what a mapping holds."""
        _refuse_twice([(self.construct_object(key, deep=True), None) for key, _ in node.value])
        return super().construct_mapping(node, deep=deep)


def _refuse_twice(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} stands twice in one place")
    return dict(pairs)


_READERS: Mapping[str, Callable[[str], Any]] = {
    "yaml": lambda text: yaml.load(text, _Loader),
    "yml": lambda text: yaml.load(text, _Loader),
    "toml": tomllib.loads,
    "json": lambda text: json.loads(text, object_pairs_hook=_refuse_twice),
}
