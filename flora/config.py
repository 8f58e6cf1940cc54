"""Settings: flora.toml plus `--set` -> one frozen dataclass a stage.

A stage owns its dataclass (`crawler/config.py`, ...); the defaults live there, and
flora.toml at the root spells them all out (a test holds the two together).
"""

import dataclasses
import difflib
import hashlib
import json
import tomllib
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from flora.errors import ConfigError

SECTIONS = ("cluster", "crawler", "dedup", "shards", "train")
DEFAULT_FILE = Path("flora.toml")

OPERATIONAL = {"recipe": False}
"""Field metadata of settings that change how work is done but not what comes out."""

T = TypeVar("T")


def load(section: str, cls: type[T], file: Path | None = None, overrides: Sequence[str] = ()) -> T:
    """Return section *section* of *file*, with *overrides* on top, as a *cls*.

    `file=None` reads ./flora.toml if there is one. An override reads `crawler.net.timeout=5`;
    those of other sections are left to their stages. Raises ConfigError for a file that is
    absent or is not TOML, an unknown key (naming the nearest), or a value of the wrong type.
    """
    tree = _read(file)
    _known(tree, SECTIONS, "", file or DEFAULT_FILE)
    for override in overrides:
        _apply(tree, override)
    branch = tree.get(section, {})
    if not isinstance(branch, dict):
        raise ConfigError(f"{section} must be a section, [{section}], not a value.")
    return _build(cls, branch, section)


def digest(*parts: Any) -> str:
    """Return a short name (20 hex digits) for what a unit is made from.

    Dataclasses count without their OPERATIONAL fields; mappings in any order.
    """
    text = json.dumps([_plain(part) for part in parts], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def show(settings: Any, section: str) -> str:
    """Return *settings* as the TOML lines that would give them."""
    lines = [f"[{section}]"]
    nested = []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            nested.append(show(value, f"{section}.{field.name}"))
        else:
            lines.append(f"{field.name} = {_toml(value)}")
    return "\n".join([*(lines if len(lines) > 1 else []), *nested])


def _read(file: Path | None) -> dict[str, Any]:
    if file is None:
        if not DEFAULT_FILE.is_file():
            return {}
        file = DEFAULT_FILE
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config {file}: cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}.") from error


def _apply(tree: dict[str, Any], override: str) -> None:
    """Write one `--set a.b.c=value` into *tree*."""
    key, equals, text = override.partition("=")
    path = key.strip().split(".")
    if not equals or len(path) < 2:
        raise ConfigError(f"--set {override}: write it as section.key=value.")
    _known(path[:1], SECTIONS, "", "--set")
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # an unquoted word is a string: shells eat quotes
    branch = tree
    for step in path[:-1]:
        branch = branch.setdefault(step, {})
        if not isinstance(branch, dict):
            raise ConfigError(f"--set {override}: {step} is a value, not a section.")
    branch[path[-1]] = value


def _known(keys: Any, allowed: Sequence[str], prefix: str, where: object) -> None:
    for key in keys:
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, n=1, cutoff=0.5)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(allowed)}."
            raise ConfigError(f"{where}: there is no setting {prefix}{key}; {hint}")


def _build(cls: type[T], values: Mapping[str, Any], prefix: str) -> T:
    assert dataclasses.is_dataclass(cls)
    _known(values, [field.name for field in dataclasses.fields(cls)], f"{prefix}.", "settings")
    hints = get_type_hints(cls)
    return cls(**{k: _convert(hints[k], v, f"{prefix}.{k}") for k, v in values.items()})


def _convert(hint: Any, value: Any, key: str) -> Any:
    """Return *value* as *hint* (a dataclass, scalar, tuple[X, ...], dict[str, X] or X | None)."""
    origin, args = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _build(hint, value, key)  # type: ignore[arg-type]
    if origin in (Union, types.UnionType):
        (inner,) = (arg for arg in args if arg is not type(None))
        return _convert(inner, value, key)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_convert(args[0], item, key) for item in value)
    if origin is dict and isinstance(value, dict):
        return {k: _convert(args[1], item, f"{key}.{k}") for k, item in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    name = getattr(hint, "__name__", str(hint))
    raise ConfigError(f"{key} is {value!r}, but must be of type {name}.")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.metadata.get("recipe", True)
        }
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _toml(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(k)} = {_toml(v)}' for k, v in value.items())} }}"
    return '""' if value is None else json.dumps(value, ensure_ascii=False)
