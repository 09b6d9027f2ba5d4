"""One shard of a cohort: the cases that one of several tasks prepares."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from brats_ml.errors import ConfigError
from brats_ml.report import Report

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """A part of a list.

    Attributes:
        number: From 1 to `count`.
        count: The number of shards, which together are the whole list.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the shard that an option `--shard` names, such as `2/8`.

        Raises:
            ConfigError: It names none.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise ConfigError("must be the number of a shard and their count, such as 2/8", key="--shard")
        return cls(int(found[1]), int(found[2]))

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return the items of this shard: every `count`-th one, so that shards differ by one item at most."""
        return items[self.number - 1 :: self.count]

    def report(self, stage: str, *, cases: int, done: int) -> Report:
        """Return what a stage reports of a shard: its cases, and how many of them the cache now has."""
        left = f"; {cases - done} left to the stage" if done < cases else ""
        sentence = f"{done} case(s) of shard {self} are in the cache{left}"
        return Report(stage, sentence, details={"cases": cases, "left": cases - done})

    def __str__(self) -> str:
        """Return the shard as the option has it."""
        return f"{self.number}/{self.count}"
