"""What can go wrong, by kind: every error of the library is an `LLMPSOError`."""

ANOTHER_MODEL = (
    "tune a new model under another name (llmpso tune --register-as NAME, then llmpso retune "
    "--model NAME)"
)
"""The way out where a champion does not fit the data or the space any more."""


class LLMPSOError(Exception):
    """Base of all errors raised on purpose; its text is one line that says what to do."""


class SpaceError(LLMPSOError, ValueError):
    """A search space is defined wrongly, or parameters are outside it."""


class SpecError(LLMPSOError, ValueError):
    """An option of a study, an optimizer or an objective is out of range."""


class DataError(LLMPSOError, ValueError):
    """A data set cannot be used: missing file or column, too short, or nothing to learn."""


class TrainingStoppedError(LLMPSOError):
    """`report` stops a training: others are better, or it pauses; let it pass.

    It is an `Exception`, so that what a training does when it fails is done, too. A training that
    catches it and goes on only wastes time: its trial ends where it was stopped.
    """


class TellError(LLMPSOError, ValueError):
    """`tell` was given trials that the last `ask` did not propose."""


class BackendError(LLMPSOError, RuntimeError):
    """A call to a language model failed."""


class BackendUnavailableError(BackendError):
    """The model cannot be reached at all: no key, no server, no file, wrong hash."""


class AdviceError(LLMPSOError, ValueError):
    """A model answered, but not with usable advice."""


class StorageError(LLMPSOError, RuntimeError):
    """A measurement cannot be written or recorded now; it is not lost."""


class BusyError(LLMPSOError, RuntimeError):
    """The very same study is being run by another process."""


class ModelError(LLMPSOError, TypeError):
    """A trained model cannot be saved: writing it fails, or its kind is not known."""


class RegistryError(LLMPSOError, LookupError):
    """A registered model, a version of it or its artifact is not there, or does not fit."""


class BusyModelError(LLMPSOError, RuntimeError):
    """Another run retunes the same model."""


class ChampionChangedError(LLMPSOError, RuntimeError):
    """The champion is another version than the one that was compared."""
