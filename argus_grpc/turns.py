"""What waits, served in turns of those for whom it waits. Pure."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Item = TypeVar("_Item")


class Turns(Generic[_Key, _Item]):
    """Items of several keys. Turns go round robin over the keys that have any; within one, first come is
    first served. So between two turns of a key every other one that waits has had one."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[_Key, deque[_Item]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def count_of(self, key: _Key) -> int:
        return len(self._waiting.get(key, ()))

    def longest(self) -> _Key:
        """The key that has the most, of which there must be one."""
        return max(self._waiting, key=self.count_of)

    def add(self, key: _Key, item: _Item) -> None:
        self._waiting.setdefault(key, deque()).append(item)
        self._count += 1

    def remove(self, key: _Key, item: _Item) -> bool:
        """Whether it was there."""
        if item not in self._waiting.get(key, ()):
            return False
        self._waiting[key].remove(item)
        self._removed_one(key)
        return True

    def pop_newest(self, key: _Key) -> _Item:
        """The item of a key, which must have one, whose turn would come last."""
        item = self._waiting[key].pop()
        self._removed_one(key)
        return item

    def next(self, may: Callable[[_Key], bool] = lambda _: True) -> tuple[_Key, _Item] | None:
        """Takes the item whose turn it is, of keys that may have one now; None if there is none."""
        for key in self._waiting:
            if may(key):
                item = self._waiting[key].popleft()
                self._waiting.move_to_end(key)
                self._removed_one(key)
                return key, item
        return None

    def _removed_one(self, key: _Key) -> None:
        self._count -= 1
        if not self._waiting[key]:
            del self._waiting[key]
