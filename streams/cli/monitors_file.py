"""Reads a monitors file; whatever is wrong in it is told, each with its path."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
import yaml

from tidegauge.schemas.monitors import Duration, MonitorsFile, MonitorSpec
from tidegauge.streams.monitor.control.faults import faults as spec_faults
from tidegauge.streams.runtime.errors import ConfigurationError

AT = re.compile(r" - at `\$(.*)`$")


class Yaml(yaml.SafeLoader):
    """YAML 1.2, where ``on`` is a word and 1e-3 a number, and no key may stand twice."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's own way to say what a plain word is

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping; the base class keeps the last of equal keys."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"expected each key once, got {key.value!r} twice", key.start_mark
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+",
        list("-+.0123456789"),
    ),
):
    Yaml.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first
    )


def read_monitors(path: Path) -> list[MonitorSpec]:
    """Return the specs in a monitors file.

    Raises
    ------
    ConfigurationError
        With a line for each fault: the file, the path in it, what was expected there.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Yaml)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigurationError(f"{path}{line}: {error.problem or error.context}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        told = " ".join(str(error).split())
        raise ConfigurationError(f"{path}: expected YAML in UTF-8: {told}") from error
    found = list(faults(data, MonitorsFile))
    specs = [] if found else msgspec.convert(data, MonitorsFile).monitors
    found += _faults_between(specs)
    if found:
        raise ConfigurationError("\n".join(f"{path}: {fault}" for fault in found))
    return specs


def spec_of(model: str, path: Path | None) -> MonitorSpec:
    """Return a model's spec in a monitors file; without a file, the one that holds by default.

    Raises
    ------
    ConfigurationError
        As `read_monitors`, and if the file has none of this model.
    """
    if path is None:
        return MonitorSpec(model=model)
    for spec in read_monitors(path):
        if spec.model == model:
            return spec
    raise ConfigurationError(f"{path}: expected a spec of {model!r}, found none")


def faults(data: Any, kind: Any, path: str = "$") -> Iterator[str]:
    """Yield what does not fit, each as its path, what was expected there, and what came.

    msgspec stops at the first fault and does not say which key of a mapping it was in, so where
    it refuses something this looks at its parts.
    """
    try:
        msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        within = list(_faults_within(data, kind, path))
        yield from within or [_told(str(error), data, kind, path)]


def _faults_within(data: Any, kind: Any, path: str) -> Iterator[str]:
    for part in _alternatives(kind):
        origin, arguments = get_origin(part), get_args(part)
        if isinstance(data, dict) and isinstance(part, type) and issubclass(part, msgspec.Struct):
            fields = {field.encode_name: field for field in msgspec.structs.fields(part)}
            for name, field in fields.items():
                if field.required and name not in data:
                    yield f"{path}: expected the field {name}, which is missing"
            for key, value in data.items():
                if key in fields:
                    yield from faults(value, fields[key].type, f"{path}.{key}")
                else:
                    yield f"{path}.{key}: expected one of {', '.join(fields)}; got {key!r}"
        elif isinstance(data, dict) and origin is dict:
            for key, value in data.items():
                yield from faults(value, arguments[1], f"{path}.{key}")
        elif isinstance(data, list) and origin in (list, tuple):
            for index, value in enumerate(data):
                yield from faults(value, arguments[0], f"{path}[{index}]")


def _alternatives(kind: Any) -> Iterator[Any]:
    """Yield the types that ``kind`` allows, without constraints."""
    origin = get_origin(kind)
    if origin is Annotated:
        yield from _alternatives(get_args(kind)[0])
    elif origin in (Union, UnionType):
        for part in get_args(kind):
            yield from _alternatives(part)
    else:
        yield kind


def _told(message: str, data: Any, kind: Any, path: str) -> str:
    where = AT.search(message)
    place = path + (where[1] if where else "")
    told = AT.sub("", message).replace("`", "")
    told = told[0].lower() + told[1:].replace("object", "mapping").replace("array", "list")
    literals = [part for part in _alternatives(kind) if get_origin(part) is Literal]
    if literals:
        told = f"expected one of {', '.join(get_args(literals[0]))}"
    elif Duration in (kind, *get_args(kind)):
        told = "expected a duration such as 30s, 9h or 7d"
    if told.startswith("expected") and not isinstance(data, dict | list):
        told = f"{told.partition(', got ')[0]}, got {'nothing' if data is None else repr(data)}"
    return f"{place}: {told}"


def _faults_between(specs: list[MonitorSpec]) -> Iterator[str]:
    """Yield what no type says: a model twice, rules and detectors that cannot be had."""
    models: set[str] = set()
    for i, spec in enumerate(specs):
        if spec.model in models:
            yield f"$.monitors[{i}].model: expected each model once, got {spec.model!r} again"
        models.add(spec.model)
        for path, fault in spec_faults(spec):
            yield f"$.monitors[{i}]{path.removeprefix('$')}: {fault}"
