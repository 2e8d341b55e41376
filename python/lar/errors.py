"""Every error that `lar` raises on purpose, one class per kind of mistake.

Each message is one line. It names the place (file, line, id) and, where there is one, the remedy. Files that
cannot be read or written raise the standard `OSError` family.
"""


class LarError(Exception):
    """Base of all errors of this package."""


class OptionError(LarError, ValueError):
    """An argument is out of its range or contradicts another."""


class TrajectoryError(LarError, ValueError):
    """A trajectory file or one of its records cannot be read."""


class TokenizerError(LarError, ValueError):
    """A tokenizer folder cannot be used, or its chat template cannot be rendered."""


class UnwrittenTextError(TokenizerError):
    """A chat template leaves out text of the agent, and `strict` is set."""


class CorpusError(LarError, ValueError):
    """A corpus folder is broken, empty, or does not fit what it is used with."""


class VocabularyError(LarError, ValueError):
    """A latent vocabulary is invalid, or does not fit the tokenizer, the model or the ids given."""


class StreamError(LarError, ValueError):
    """A unit was pushed to a stream that has ended, or lies outside its vocabulary."""


class TrainingError(LarError, RuntimeError):
    """Scoring, adapting, distilling or generating cannot go on."""


class ExportError(LarError, RuntimeError):
    """An export cannot be written, or does not read back as the student that it was made of."""


class EngineError(LarError, RuntimeError):
    """A serving engine is too old for latents, or was given what is no export."""


class ClusterError(LarError, RuntimeError):
    """A cluster cannot be reached, or cannot finish what it was given."""


class MissingExtraError(LarError, ImportError):
    """A command needs an optional dependency that is not installed."""
