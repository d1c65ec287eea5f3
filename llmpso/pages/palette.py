"""How each source of trials looks, in every figure the same; readable without colour vision."""

from dataclasses import dataclass

from llmpso.trial import Source

INK, GREY, FAINT = "#222222", "#8A8A8A", "#DDDDDD"

BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, OCHRE = "#56B4E9", "#8C6D1F"
"""Okabe and Ito, Color Universal Design, 2008; yellow, too faint on white, is an ochre."""


@dataclass(frozen=True, slots=True)
class Look:
    """Name, colour, symbol and size of a source's points."""

    label: str
    colour: str
    symbol: str = "circle"
    size: float = 8.0


LOOKS: dict[Source, Look] = {
    Source.START: Look("known start", GREEN, "square"),
    Source.MEMORY: Look("earlier study", GREEN, "diamond"),
    Source.INITIAL: Look("first position", GREY),
    Source.SWARM: Look("swarm's move", SKY),
    Source.SURROGATE: Look("surrogate's pick", BLUE),
    Source.DEFAULT: Look("language model's start", VERMILION, "star", 15.0),
    Source.ADVISOR: Look("language model", VERMILION, "star", 13.0),
    Source.REFIT: Look("refit", PURPLE, "square"),
    Source.REPEAT: Look("repeat", PURPLE, "circle"),
    Source.ENSEMBLE: Look("ensemble", PURPLE, "diamond"),
    Source.RIVAL: Look("rival", OCHRE),
    Source.PLACEBO_START: Look("placebo's start", PURPLE, "diamond"),
}
"""Stars are the language model's."""
