"""What can go wrong, by kind: every error of the library is an `LLMPSOError`."""


class LLMPSOError(Exception):
    """Base of all errors raised on purpose; its text is one line a stranger can act on."""


class SpaceError(LLMPSOError, ValueError):
    """A search space is defined wrongly, or parameters lie outside it."""


class SpecError(LLMPSOError, ValueError):
    """An option of a study, an optimizer or an objective is out of range."""


class DataError(LLMPSOError, ValueError):
    """A data set cannot be used: missing file or column, too short, or nothing to learn."""


class TellError(LLMPSOError, ValueError):
    """`tell` was given trials that the last `ask` did not propose."""


class BackendError(LLMPSOError, RuntimeError):
    """A language model could not be asked, or did not answer."""


class BackendUnavailableError(BackendError):
    """The model cannot be reached at all: no key, no server, no file, wrong hash."""


class AdviceError(LLMPSOError, ValueError):
    """A model answered, but not with usable advice."""


class StorageError(LLMPSOError, RuntimeError):
    """What was measured cannot be written, or not be recorded; nothing of it is lost."""


class BusyError(LLMPSOError, RuntimeError):
    """The very same study is being run by another process."""


class ModelError(LLMPSOError, TypeError):
    """A trained model cannot be kept: it refuses to be written, or is of no known kind."""


class RegistryError(LLMPSOError, LookupError):
    """A registered model, a version of it or its artifact is not there, or does not fit."""


class BusyModelError(LLMPSOError, RuntimeError):
    """Another run retunes the same model."""


class ChampionChangedError(LLMPSOError, RuntimeError):
    """Another version serves than the one that a decision was about."""
