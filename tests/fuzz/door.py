"""What a fuzzed door is: real inputs, how they are changed, and what may come of one."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from random import Random
from typing import cast

from tests.fuzz.mutation import mutate_bytes

CORPUS = Path(__file__).with_name("corpus")

Attempt = Callable[[bytes], None]
"""Hands one input to the door. Returns if it was accepted, and is then what an oracle says, or refused by
an error that is meant for it. Whatever it raises is a finding."""

Mutate = Callable[[Random, bytes, Sequence[bytes]], bytes]
"""Changes an input, with the words that are worth putting in."""


@dataclass(frozen=True)
class Door:
    """One way for bytes to come in from others.

    open: gives the Attempt; around it is whatever has to run meanwhile.
    seeds: real inputs, to be changed. Those in the corpus are added.
    words: pieces that mean something here.
    follows: the modules whose coverage guides atheris.
    max_bytes: the longest input that is made.
    max_growth_bytes: by how much the process may grow over what the real inputs took.
    timeout_s: how long an input may take.
    """

    open: Callable[[], AbstractContextManager[Attempt]]
    seeds: Callable[[], Iterable[bytes]]
    words: Sequence[bytes] = ()
    mutate: Mutate = mutate_bytes
    follows: tuple[str, ...] = ()
    max_bytes: int = 8 * 1024
    max_growth_bytes: int = 512 * 1024 * 1024
    timeout_s: int = 30


def door_names() -> list[str]:
    """Every door, by the name of its module."""
    return sorted(path.stem for path in Path(__file__).with_name("doors").glob("[a-z]*.py"))


def load_door(name: str) -> Door:
    """The door of that name. Raises ModuleNotFoundError if there is none."""
    return cast(Door, import_module(f"tests.fuzz.doors.{name}").DOOR)


def real_inputs(name: str, door: Door) -> list[bytes]:
    """The door's seeds and what the corpus has for it."""
    files = sorted((CORPUS / name).glob("*"))
    return [*door.seeds(), *(file.read_bytes() for file in files)]
