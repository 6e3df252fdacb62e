"""What the commands' options have in common: the environment, help in groups, value types."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from argus_client.times import INT64_MAX, INT64_MIN

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


class GroupedOption(click.Option):
    """An option under a heading of its command's help."""

    def __init__(self, *args: Any, heading: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heading = heading

    def get_error_hint(self, ctx: click.Context | None) -> str:
        hint = "/".join(repr(name) for name in self.opts)
        source = ctx.get_parameter_source(self.name) if ctx is not None and self.name else None
        # Where it was not typed, say where it is from.
        return f"{hint} (from {self.envvar})" if source is ParameterSource.ENVIRONMENT else hint


class GroupedCommand(click.Command):
    """A command whose help shows its options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records_by_heading: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                records_by_heading.setdefault(_heading(parameter), []).append(record)
        for heading, records in records_by_heading.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def _heading(parameter: click.Parameter) -> str:
    if isinstance(parameter, GroupedOption):
        return parameter.heading
    return "Arguments" if isinstance(parameter, click.Argument) else "Other"


def option(*declarations: str, heading: str, **attributes: Any) -> Callable[[_Decorated], _Decorated]:
    """A click option that can also be given as ARGUS_<FLAG> in the environment."""
    flag = next(name for name in declarations if name.startswith("--"))
    return click.option(
        *declarations,
        cls=GroupedOption,
        heading=heading,
        envvar=f"ARGUS_{flag.removeprefix('--').replace('-', '_').upper()}",
        show_envvar=True,
        **attributes,
    )


class Parsed(click.ParamType):  # type: ignore[type-arg] # not generic before click 8.4
    """A value read by a function that raises ValueError with a message for people."""

    envvar_list_splitter = ","

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def whole_number(minimum: int = INT64_MIN) -> Callable[[str], int]:
    """A function that reads an int64 and raises ValueError with a message for people."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a whole number") from None
        if number < minimum:
            raise ValueError(f"{text} is not allowed; allowed: {minimum} or more")
        if number > INT64_MAX:
            raise ValueError(f"{text} is not allowed; allowed: {INT64_MAX} or less")
        return number

    return parse


def comma_list(parse: Callable[[str], Any]) -> dict[str, Any]:
    """The attributes of an option that repeats and takes comma lists: it gives one flat tuple."""

    def parse_list(text: str) -> tuple[Any, ...]:
        return tuple(parse(item.strip()) for item in text.split(",") if item.strip())

    def flatten(
        _context: click.Context, _parameter: click.Parameter, lists: tuple[tuple[Any, ...], ...]
    ) -> Any:
        return tuple(item for list_ in lists for item in list_)

    return {"type": Parsed("list", parse_list), "multiple": True, "callback": flatten}
