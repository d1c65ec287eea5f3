"""How far each column has moved, in one picture."""

from collections.abc import Sequence
from pathlib import Path

from llmpso.escaping import literal
from llmpso.retuning.drift import PSI_THRESHOLD, ColumnDrift
from llmpso.text import brief

DRIFTED, STEADY = "#D55E00", "#0072B2"
"""Okabe and Ito, Color Universal Design, 2008."""


def draw_drift(drift: Sequence[ColumnDrift], path: Path) -> None:
    """The stability index of every column, the one that moved most on top."""
    # Drawing takes half a second to import, which no import of a command should.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 1.2 + 0.32 * len(drift)), layout="constrained")
    axes = figure.subplots()
    ordered = list(reversed(drift))
    colours = [DRIFTED if column.has_drifted else STEADY for column in ordered]
    axes.barh(range(len(ordered)), [column.psi for column in ordered], color=colours)
    axes.set_yticks(range(len(ordered)), [literal(brief(c.column, 32)) for c in ordered])
    axes.axvline(PSI_THRESHOLD, color="#777777", linestyle=":")
    axes.set_title("red: drifted, by index and by test", fontsize=9)
    axes.set_xlabel(f"population stability index (above {PSI_THRESHOLD}: major shift)")
    figure.savefig(path, dpi=120)
