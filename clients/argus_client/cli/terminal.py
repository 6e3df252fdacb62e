"""What is told to people, so that text from events, files and servers cannot command their terminal."""

import re
from typing import BinaryIO

import click

# Control characters but tab and line feed (ECMA-48), and those that turn the direction of text (Unicode
# Standard Annex 9), which make a line read as what it is not.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_COMMANDS_UTF8 = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]"
)


def visible(text: str) -> str:
    """The text with such characters as JSON escapes them: \\u001b."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """click.echo of what is visible of the text."""
    click.echo(visible(text), err=err, nl=nl)


class TerminalOutput:
    """Whole lines of data in UTF-8, as a terminal is shown them. Where they go to a file or a pipe, nothing
    of them is changed."""

    def __init__(self, terminal: BinaryIO) -> None:
        self._terminal = terminal
        self.name = "standard output"

    def write(self, data: bytes | memoryview) -> int:
        self._terminal.write(_COMMANDS_UTF8.sub(_escaped, bytes(data)))
        return len(data)

    def flush(self) -> None:
        self._terminal.flush()

    def fileno(self) -> int:
        return self._terminal.fileno()


def _escaped(found: re.Match[bytes]) -> bytes:
    return f"\\u{ord(found[0].decode()):04x}".encode()
