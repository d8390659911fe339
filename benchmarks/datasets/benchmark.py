"""What a benchmark is: a list of sequences, where they lie, and by which rules they are scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.metrics import OTB_RULES, Rules
from benchmarks.sequence import Sequence


class Problem(NamedTuple):
    """Something missing or damaged, said of one sequence."""

    sequence: str
    expected: str
    found: str


@dataclass(frozen=True)
class Found:
    """What a folder has of a benchmark.

    Attributes:
        benchmark: which.
        sequences: those that are whole, in the benchmark's order.
        problems: what is missing or damaged.
        selected: only some of the sequences were asked for.
    """

    benchmark: Benchmark
    sequences: list[Sequence]
    problems: list[Problem] = field(default_factory=list)
    selected: bool = False

    @property
    def title(self) -> str:
        """The benchmark's name if it is complete, otherwise "19 of 51 sequences of OTB-2013"."""
        whole = self.benchmark.names
        count = len(self.sequences)
        if whole is None:
            return f"{count} sequences of {self.benchmark.title}"
        return (
            self.benchmark.title
            if count == len(whole)
            else f"{count} of {len(whole)} sequences of {self.benchmark.title}"
        )


@dataclass(frozen=True)
class Benchmark:
    """A benchmark.

    Attributes:
        name: on the command line, e.g. "otb2013".
        title: as people write it, e.g. "OTB-2013".
        folder: of its results; for those of the got10k package, that package's own name, e.g. "OTB2013".
        variable: environment variable that names its root, e.g. "OTB_ROOT".
        names: sequences that make it complete; ``None``: whatever its root holds.
        read: root and sequence's name → sequence; raises `ValueError` that says what was expected and what was found.
        listing: root → names, where `names` is ``None``.
        rules: how it is scored.
        attributes: abbreviation → name of each attribute of its sequences.
    """

    name: str
    title: str
    folder: str
    variable: str
    read: Callable[[Path, str], Sequence]
    names: tuple[str, ...] | None = None
    listing: Callable[[Path], list[str]] | None = None
    rules: Rules = OTB_RULES
    attributes: dict[str, str] = field(default_factory=dict)

    def find(self, root: Path, only: Iterable[str] | None = None) -> Found:
        """Read every sequence of the benchmark, or only some.

        Raises:
            ValueError: `root` is no folder that can be read, or `only` has a name that the benchmark does not have.
        """
        try:
            next(iter(root.iterdir()), None)
        except OSError as error:
            raise ValueError(f"{root}: cannot read the folder of {self.title}: {error.strerror}") from error
        names = list(self.names or (self.listing(root) if self.listing else ()))
        wanted = names if only is None else list(dict.fromkeys(only))
        if unknown := [name for name in wanted if name not in names]:
            raise ValueError(f"{self.title} has no sequence {', '.join(unknown)}; there are {', '.join(names)}")
        sequences, problems = [], []
        for name in wanted:
            try:
                sequences.append(self.read(root, name))
            except Damaged as error:
                problems.append(Problem(name, error.expected, error.found))
        return Found(self, sequences, problems, only is not None)


class Damaged(ValueError):
    """A sequence is missing or not as the benchmark has it.

    Args:
        sequence: its name.
        expected: what should be there.
        found: what is.
    """

    def __init__(self, sequence: str, expected: str, found: str) -> None:
        super().__init__(f"{sequence}: expected {expected}, found {found}")
        self.sequence, self.expected, self.found = sequence, expected, found
