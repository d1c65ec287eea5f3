"""The optimizer of a study: which search its method names, and with which settings."""

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from llmpso.advisor import Advisor
from llmpso.errors import SpecError
from llmpso.search.llm_pso import LLMPSO
from llmpso.search.optimizer import Optimizer
from llmpso.search.pso import PSO
from llmpso.search.swarm import LinearInertia
from llmpso.space import SearchSpace
from llmpso.study.spec import StudySpec

if TYPE_CHECKING:
    from llmpso.memory.memory import StudyMemory

logger = logging.getLogger(__name__)


def build_optimizer(spec: StudySpec, space: SearchSpace, advisor: Advisor | None) -> Optimizer:
    """The optimizer that a specification asks for; the paper's without an advisor is PSO.

    Args:
        spec: Its options.
        space: What may be tried.
        advisor: Asks the language model.
    """
    search = spec.search
    common: dict[str, Any] = {
        "n_particles": spec.swarm_size,
        "seed": search.seed,
        "start": search.start,
    }
    swarm: dict[str, Any] = {"topology": search.topology, "schedule": _schedule(spec)}
    if spec.is_guided:
        return _guided(spec, space, advisor, common, swarm)
    if search.method == "pso":
        return PSO(space, **common, **swarm)
    if advisor is None:
        logger.warning("method %s has no advisor: the study is plain PSO", search.method)
        return PSO(space, **common, **swarm)
    memory = _memory(spec, space)
    return LLMPSO(
        space,
        advisor,
        earlier=memory.views if memory else (),
        warm_up=search.warm_up,
        n_replaced=search.replaced,
        **common,
        **swarm,
    )


def _guided(
    spec: StudySpec,
    space: SearchSpace,
    advisor: Advisor | None,
    common: dict[str, Any],
    swarm: dict[str, Any],
) -> Optimizer:
    # These bring scipy, which no other method needs.
    from llmpso.advisor.start_question import ModelStart
    from llmpso.search.multi_fidelity import MultiFidelitySearch
    from llmpso.search.pso import Particles
    from llmpso.search.surrogate_assisted import SurrogateAssistedSearch

    memory = _memory(spec, space)
    guided: dict[str, Any] = common | {
        "batch_size": spec.n_at_once,
        "advisor": None if advisor is None else ModelStart(advisor, earlier=memory),
        "memory": memory,
    }
    particles = partial(Particles, **swarm)
    if spec.pauses:
        return MultiFidelitySearch(space, make_particles=particles, **guided)
    goals = spec.goals.names
    return SurrogateAssistedSearch(space, make_population=particles, goals=goals, **guided)


def _memory(spec: StudySpec, space: SearchSpace) -> "StudyMemory | None":
    """What earlier studies teach; None, with a warning, where none can be used."""
    from llmpso.memory.memory import StudyMemory

    if not spec.memory:
        return None
    try:
        memory = StudyMemory(space, spec.memory, spec.goals.names)
    except SpecError as error:
        logger.warning("%s", error)
        return None
    if memory.left_out:
        logger.warning("memory leaves out: %s", "; ".join(memory.left_out))
    return memory


def _schedule(spec: StudySpec) -> LinearInertia | None:
    """Inertia that falls over the iterations of the study, if that is asked for."""
    if not spec.search.decreasing_inertia:
        return None
    return LinearInertia(iterations=max(1, -(-spec.search.evaluations // spec.swarm_size) - 1))
