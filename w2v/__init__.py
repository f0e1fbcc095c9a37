"""w2v: word2vec-style embeddings, from text to vectors to queries.

The public API is what ``__all__`` names. Nothing heavy is imported before it is used.
"""

from importlib import import_module as _import_module
from pathlib import Path as _Path

__version__ = "0.1.0"

_HOMES = {
    "Word2Vec": "w2v.word2vec",
    "KeyedVectors": "w2v.vectors",
    "TrainConfig": "w2v.config",
    "W2VError": "w2v.errors",
}
__all__ = ["KeyedVectors", "TrainConfig", "W2VError", "Word2Vec", "__version__"]

# An uninstalled checkout keeps the kernels beside this package; an installed one keeps them inside it.
_checkout = _Path(__file__).resolve().parent.parent
if (_checkout / "setup.py").is_file() and (_checkout / "kernels" / "__init__.py").is_file():
    __path__.append(str(_checkout))


def __getattr__(name: str) -> object:
    """Import a public name from its home on first use (PEP 562)."""
    if name in _HOMES:
        return getattr(_import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Names for completion, the lazy ones included."""
    return sorted({*globals(), *__all__})
