"""Where a search begins: the user's configurations, and the language model's start.

The other members keep the first positions that the metaheuristic drew for them.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from llmpso.errors import SpaceError, SpecError
from llmpso.search.optimizer import Metaheuristic, Proposal, Proposals
from llmpso.space import Params, SearchSpace
from llmpso.trial import Source

logger = logging.getLogger(__name__)

IsKnown = Callable[[Params], bool]
"""Whether a configuration was proposed before."""

Start = tuple[Source, Params]
"""A configuration to start from, and whose it is."""


class StartAdvisor(Protocol):
    """Suggests a configuration to start from: a language model, or its placebo."""

    @property
    def source(self) -> Source:
        """The source of trials that it suggests."""
        ...

    def suggest(self, space: SearchSpace, is_known: IsKnown) -> Params | None:
        """One configuration, before any trial; None where there is none, never an error."""
        ...


def checked_start(
    space: SearchSpace, start: Sequence[Params], n_members: int
) -> list[dict[str, Any]]:
    """The user's own configurations in the types of the space.

    Raises:
        SpecError: There are more than members, or fewer than two members.
        SpaceError: A configuration is outside the space, or occurs twice.
    """
    if n_members < 2:
        raise SpecError(f"n_particles is {n_members!r}; a swarm needs at least 2")
    if len(start) > n_members:
        raise SpecError(
            f"start holds {len(start)} configurations, more than the {n_members} particles"
        )
    checked = validated(space, "start", start)
    for index, params in enumerate(checked):
        if violated := space.violated(params):
            raise SpaceError(f"start[{index}] violates {violated}")
    keys = [space.key(params) for params in checked]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise SpaceError(f"start[{index}] is the same configuration as an earlier one")
    return checked


def validated(
    space: SearchSpace, option: str, configurations: Sequence[Params]
) -> list[dict[str, Any]]:
    """Configurations in the types of the space, without what does not count in them.

    Raises:
        SpaceError: One is outside the space; the message names the option and its place.
    """
    checked: list[dict[str, Any]] = []
    for index, params in enumerate(configurations):
        used, note = space.without_unused(params) if space.conditions else (params, "")
        if note:
            logger.warning("%s[%d]: %s", option, index, note)
        try:
            checked.append(space.validate(used))
        except SpaceError as error:
            raise SpaceError(f"{option}[{index}]: {error}") from None
    return checked


def first_positions(
    population: Metaheuristic, space: SearchSpace, start: Sequence[Params]
) -> Proposals:
    """The user's own configurations, then the positions that the metaheuristic drew."""
    for member, params in enumerate(start):
        population.put(member, space.encode(params, unused=population.position(member)))
    own = {member: Proposal(Source.START, params) for member, params in enumerate(start)}
    blind = range(len(start), population.n_members)
    return own | dict.fromkeys(blind, Proposal(Source.INITIAL))


def informed_positions(
    population: Metaheuristic,
    space: SearchSpace,
    start: Sequence[Params],
    advisor: StartAdvisor | None,
    is_known: IsKnown,
) -> Proposals:
    """The user's configurations, the advisor's, and blind ones."""
    proposals = first_positions(population, space, start)
    free = free_members(proposals)
    if advisor is None or not free or (params := advisor.suggest(space, is_known)) is None:
        return proposals
    return proposals | place(population, space, free, [(advisor.source, params)])


def next_positions(
    population: Metaheuristic, space: SearchSpace, start: Sequence[Params]
) -> Proposals:
    """The first positions, then in every iteration one step of each member."""
    if population.iteration == 0:
        return first_positions(population, space, start)
    population.step_all()
    return dict.fromkeys(range(population.n_members), Proposal(Source.SWARM))


def free_members(proposals: Proposals) -> list[int]:
    """The members whose first position may be replaced: all drawn ones but the last."""
    return [m for m, proposal in proposals.items() if proposal.source is Source.INITIAL][:-1]


def place(
    population: Metaheuristic, space: SearchSpace, members: Sequence[int], known: Sequence[Start]
) -> Proposals:
    """Put known good configurations in place of first positions, as far as there are members."""
    placed: Proposals = {}
    for member, (source, params) in zip(members, known, strict=False):
        population.put(member, space.encode(params, unused=population.position(member)))
        placed[member] = Proposal(source, params)
    return placed
