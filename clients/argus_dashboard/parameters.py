"""The parameters of a URL's query: the tables that parse them, and that the OpenAPI description is of."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from argus_client import EventsMissed, InvalidRequest, NotAllowed, Violation
from argus_client.query import tell_violations
from argus_dashboard.problems import BadParameter, Problem, bad_parameters, problem_of, shortened

_MAX_SHOWN_CHARS = 200
_MAX_TOLD_CHARS = 2_000
_FIELD = re.compile(
    r"(?P<path>[a-z_.]+?)(?:\[(?P<place>\d+)\])?(?:\.(?:seconds|nanos|column|function|time_bucket_ns))?$"
)


@dataclass(frozen=True)
class Parameter:
    """One parameter: how it is written, read and described.

    parse: reads one value; raises ValueError with a message for people.
    schema: of one value, as JSON Schema has it; parse takes what fits it, but for what it cannot say.
    repeats: may be given several times; its value is then a tuple. has_commas: also a comma list.
    field: the path of the contract's field that the server names when the value does not fit.
    prefix_field: the same of values with * at their end, where those have a field of their own.
    """

    name: str
    parse: Callable[[str], Any]
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    default: Any = None
    repeats: bool = False
    has_commas: bool = False
    is_required: bool = False
    field: str = ""
    prefix_field: str = ""


def choice(*values: str) -> dict[str, Any]:
    """The `parse` and `schema` of a parameter with these values."""

    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"{shown(text)} is not allowed; allowed: {', '.join(values)}")
        return text

    return {"parse": parse, "schema": {"type": "string", "enum": list(values)}}


def flag() -> dict[str, Any]:
    """The `parse`, `schema` and `default` of a parameter that is true or false."""

    def parse(text: str) -> bool:
        if text not in ("true", "false"):
            raise ValueError(f"{shown(text)} is not allowed; allowed: true, false")
        return text == "true"

    return {"parse": parse, "schema": {"type": "boolean"}, "default": False}


def whole_number(least: int, greatest: int) -> dict[str, Any]:
    """The `parse` and `schema` of a parameter that is an integer, both bounds included."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,19}", text) or not least <= int(text) <= greatest:
            allowed = f"a whole number from {least} to {greatest}"
            raise ValueError(f"{shown(text)} is not allowed; allowed: {allowed}")
        return int(text)

    schema = {"type": "integer", "format": "int64", "minimum": least, "maximum": greatest}
    return {"parse": parse, "schema": schema}


def shown(text: str) -> str:
    """A value for a message, cut when it is long."""
    return repr(shortened(text))


class Values:
    """The values of a request's parameters, by name, and what was written for them."""

    def __init__(self, parameters: Sequence[Parameter], given: Mapping[str, list[str]]) -> None:
        self._parameters = parameters
        self._given = given
        self._values: dict[str, Any] = {}
        errors = _unknown(parameters, given)
        for parameter in parameters:
            try:
                self._values[parameter.name] = _read(parameter, given.get(parameter.name, []))
            except ValueError as error:
                errors.append(_told(parameter.name, given.get(parameter.name, []), str(error)))
        if errors:
            raise bad_parameters(errors)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def refuse_together(self, *names: str) -> None:
        """Raises a Problem if more than one of them was given."""
        given = [name for name in names if name in self._given]
        if len(given) > 1:
            message = f"{' and '.join(given)} cannot be given together; allowed: one of them"
            raise bad_parameters(_told(name, self._given[name], message) for name in given[1:])

    def refused(self, name: str, message: str) -> Problem:
        """400 for a value that does not go with the others; the message is as one of `parse`."""
        return bad_parameters([_told(name, self._given.get(name, []), message)])

    @contextmanager
    def naming_violations(self) -> Iterator[None]:
        """What the server finds wrong with fields of its request is told of this one's parameters."""
        try:
            yield
        except (InvalidRequest, EventsMissed, NotAllowed) as error:
            problem = problem_of(error, [self._tell(violation) for violation in error.violations])
            assert problem is not None
            raise problem from error

    def _tell(self, violation: Violation) -> BadParameter:
        # Both are of the one parameter, in whose list their places are not those of the request's.
        field = violation.field.replace("query.source_prefixes", "query.sources").partition("[")[0]
        found = _FIELD.match(field if field == "query.sources" else violation.field)
        for parameter in self._parameters:
            if found and parameter.name in self._given and _is_of(parameter, found["path"]):
                given = _items(parameter, self._given[parameter.name])
                if parameter.prefix_field:
                    is_prefix = parameter.prefix_field == found["path"]
                    given = [item for item in given if item.endswith("*") is is_prefix] or given
                place = found["place"]
                texts = [given[int(place)]] if place and int(place) < len(given) else given
                return _told(parameter.name, texts, self._in_own_words(violation))
        return _told(violation.field, [], self._in_own_words(violation))

    def _in_own_words(self, violation: Violation) -> str:
        names = {parameter.field: parameter.name for parameter in reversed(self._parameters)}
        if source := names.get("query.sources"):
            names["query.source_prefixes"] = source
        return tell_violations([violation], names)[0].partition(": ")[2]


def parse_query(query_string: bytes, parameters: Sequence[Parameter]) -> Values:
    """The values in a URL's query. Raises a Problem that names every parameter that does not fit."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", separator="&"
        )
    except UnicodeDecodeError:
        text = query_string.decode("ascii", "backslashreplace")
        message = "it is not UTF-8 after percent-decoding; allowed: percent-encoded UTF-8"
        raise bad_parameters([_told("query", [text], message)]) from None
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    return Values(parameters, given)


def _unknown(parameters: Sequence[Parameter], given: Mapping[str, list[str]]) -> list[BadParameter]:
    names = [parameter.name for parameter in parameters]
    allowed = f"one of {', '.join(names)}" if names else "no parameters"
    return [
        _told(shortened(name), values, f"there is no such parameter; allowed: {allowed}")
        for name, values in given.items()
        if name not in names
    ]


def _is_of(parameter: Parameter, path: str) -> bool:
    # thread_name is refused as a whole, whichever way it fits.
    return path == parameter.prefix_field or f"{parameter.field}.".startswith(f"{path}.")


def _items(parameter: Parameter, texts: Iterable[str]) -> list[str]:
    if not parameter.has_commas:
        return list(texts)
    return [item.strip() for text in texts for item in text.split(",")]


def _read(parameter: Parameter, texts: list[str]) -> Any:
    if parameter.repeats:
        return tuple(parameter.parse(item) for item in _items(parameter, texts))
    if not texts:
        if parameter.is_required:
            raise ValueError("it is missing; allowed: a value")
        return parameter.default
    if len(texts) > 1:
        raise ValueError(f"it is given {len(texts)} times; allowed: once")
    return parameter.parse(texts[0])


def _told(name: str, texts: list[str], message: str) -> BadParameter:
    _, _, allowed = message.rpartition("allowed: ")
    if len(message) > _MAX_TOLD_CHARS:
        # The value stands before what is allowed, and may be of any length.
        message = f"{message[:_MAX_SHOWN_CHARS]}… {message[-(_MAX_TOLD_CHARS - _MAX_SHOWN_CHARS) :]}"
        allowed = allowed[-_MAX_TOLD_CHARS:]
    return BadParameter(name, shortened(", ".join(texts)) if texts else None, message, allowed)
