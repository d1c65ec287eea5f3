"""What a chart shows, apart from how it is drawn: as a picture, or to be explored in a browser."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a panel, in the user's units."""

    label: str = ""
    log: bool = False
    limits: tuple[float, float] | None = None
    """Ends of the axis; those of the data if not given."""
    ticks: tuple[tuple[float, str], ...] = ()
    """Places that have a name; plain numbers if there are none."""


@dataclass(frozen=True, slots=True)
class Dots:
    """Single points that share a colour and a symbol."""

    x: Sequence[float]
    y: Sequence[float]
    name: str
    colour: str
    symbol: str = "circle"
    """circle, star, diamond, square, cross or ring."""
    size: float = 8.0
    texts: Sequence[str] = ()
    """What a browser shows of each point."""


@dataclass(frozen=True, slots=True)
class Path:
    """Points joined in their order."""

    x: Sequence[float]
    y: Sequence[float]
    name: str
    """Empty to leave it out of the legend."""
    colour: str
    width: float = 2.0
    dashed: bool = False
    is_step: bool = False
    """Whether the value stays until the next point."""
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Bars:
    """Horizontal bars, the first on top."""

    names: Sequence[str]
    values: Sequence[float]
    colour: str


@dataclass(frozen=True, slots=True)
class Counts:
    """A table of counts, shaded by each row's share."""

    rows: Sequence[str]
    columns: Sequence[str]
    counts: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Parallel:
    """One line per trial over one vertical axis per hyperparameter, the value's axis last."""

    axes: Sequence[Axis]
    lines: Sequence[Sequence[float]]
    """Shape (n_trials, n_axes), each axis from 0 to 1, or below for what has no value; ticks of
    the axes count the same way."""
    shades: Sequence[float]
    """Colour of each line: 0 for the best, 1 for the worst."""


@dataclass(frozen=True, slots=True)
class Images:
    """Small images with a line of text below each."""

    pngs: Sequence[bytes]
    captions: Sequence[str]


Mark = Dots | Path | Bars | Counts | Parallel | Images


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes and what is drawn in it."""

    marks: tuple[Mark, ...]
    x: Axis = Axis()
    y: Axis = Axis()


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure: a question, the way to read it, and panels side by side."""

    name: str
    """Of its file."""
    title: str
    caption: str
    """How to read it, in a sentence."""
    panels: tuple[Panel, ...]
    n_columns: int = 1
    """Panels side by side."""
