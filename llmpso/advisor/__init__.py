"""The language model's part: what it is told, what it may answer, and how it is asked."""

from llmpso.advisor.advice import Advice, Call, Suggestion
from llmpso.advisor.advisor import Advisor
from llmpso.advisor.prompt import ParticleView, SwarmView, Task

__all__ = ["Advice", "Advisor", "Call", "ParticleView", "Suggestion", "SwarmView", "Task"]
