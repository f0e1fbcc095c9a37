"""Every error that this project raises on purpose; the command line prints each as one line."""

from importlib import import_module
from types import ModuleType


class W2VError(Exception):
    """Parent of all reported errors: its message says in one line what happened and what to do next."""


class ConfigError(W2VError, ValueError):
    """A hyper-parameter is out of its range, or contradicts another one."""


class CorpusError(W2VError):
    """A text or an encoded corpus cannot be read, or holds nothing to train on."""


class VocabularyError(W2VError):
    """A vocabulary file is malformed, or the vocabulary is unusable."""


class FormatError(W2VError, ValueError):
    """A vector file or a model folder is malformed; the message names the file and the line or byte."""


class OutputError(W2VError):
    """A result cannot be written where it was asked for."""


class EvaluationError(W2VError, ValueError):
    """An evaluation file is malformed or covers nothing of the vocabulary."""


class DeviceError(W2VError):
    """The device that was asked for is not usable."""


class TrainingError(W2VError):
    """Training cannot start, or ended without a usable result."""


class MissingExtraError(W2VError, ImportError):
    """A feature needs an optional package that is not installed."""


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import ``module``, or raise MissingExtraError naming the ``pip install`` that brings it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{purpose} needs the package {module.partition('.')[0]!r}: pip install 'w2v[{extra}]'"
        ) from error
