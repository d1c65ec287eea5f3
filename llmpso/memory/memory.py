"""What earlier studies teach a new one: where to start."""

from collections.abc import Sequence

from llmpso.memory.mapping import MappedStudy, mapped
from llmpso.memory.past_study import PastStudy
from llmpso.space import Params, SearchSpace


class Memory:
    """The earlier studies that fit a space.

    Args:
        space: The new study's.
        studies: The newest first.

    Attributes:
        studies: Those that fit.
        left_out: In a line each, why others do not fit, and which trials do not.
    """

    def __init__(self, space: SearchSpace, studies: Sequence[PastStudy]) -> None:
        found = [mapped(space, study) for study in studies]
        self.studies = [study for study in found if isinstance(study, MappedStudy)]
        self.left_out = [study for study in found if isinstance(study, str)]
        self.left_out += [f"{each.study.name}: {each.note}" for each in self.studies if each.note]

    @property
    def starts(self) -> list[Params]:
        """Configurations to start from, the most promising first: each study's best."""
        return [study.params[int(study.values.argmin())] for study in self.studies]
