"""Search spaces: hyperparameters, conditions between them, constraints, and the files of them."""

from llmpso.space.dimensions import Categorical, Dimension, Fixed, Float, Integer, Ordinal
from llmpso.space.search_space import Floats, Params, Position, SearchSpace

__all__ = [
    "Categorical",
    "Dimension",
    "Fixed",
    "Float",
    "Floats",
    "Integer",
    "Ordinal",
    "Params",
    "Position",
    "SearchSpace",
]
