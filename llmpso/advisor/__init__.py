"""The language model's part: what is sent to it, what it may answer, and how it is called."""

from llmpso.advisor.advice import Advice, Call, Suggestion
from llmpso.advisor.advisor import Advisor
from llmpso.advisor.prompt import ParticleView, SwarmView, Task

__all__ = ["Advice", "Advisor", "Call", "ParticleView", "Suggestion", "SwarmView", "Task"]
