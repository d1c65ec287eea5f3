"""PSO as it is published: each particle evaluates its position, known or not.

The product never trains the same configuration twice; what that alone saves is measured.
"""

from llmpso.search.archive import Archive
from llmpso.search.pso import PSO
from llmpso.space import Params


class ForgetfulArchive(Archive):
    """Makes a trial of each position, whatever was evaluated before."""

    def is_known(self, params: Params) -> bool:
        """Nothing is."""
        return False


class PublishedPSO(PSO):
    """See `PSO` for its arguments."""

    make_archive = ForgetfulArchive
