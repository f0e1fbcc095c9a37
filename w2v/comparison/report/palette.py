"""Colours, marks and dashes of the report: an objective looks the same in every picture and on the page."""

from __future__ import annotations

from dataclasses import dataclass

# Of every name the colour on light and on dark paper. The four hues are those that people with any of the common
# colour deficiencies tell apart (blue, vermilion, green, magenta); marks and labels say the same once more.
COLOURS: dict[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#14171c"),
    "ink": ("#1b1e23", "#e7e9ec"),
    "muted": ("#5b616b", "#a3abb7"),
    "grid": ("#e2e5e9", "#2c313a"),
    "axis": ("#9aa1ab", "#6a7280"),
    "ns": ("#0a66b0", "#5cb3f0"),
    "hs": ("#c2461f", "#f5915f"),
    "class": ("#00735a", "#4adeb0"),
    "adaptive": ("#a3297a", "#f07ab0"),
    "full": ("#3d4148", "#cfd4da"),
    "other": ("#7a5c00", "#d8b24a"),
    "read": ("#b9d3ea", "#27425c"),
    "encode": ("#6fa3d0", "#3f719e"),
    "upload": ("#8b78c2", "#8b7cc6"),
    "compile": ("#e0a93b", "#d9a237"),
    "train": ("#27476e", "#9cc4ee"),
    "evaluate": ("#b4b8be", "#565d68"),
}
OBJECTIVES = ("ns", "hs", "class", "adaptive", "full")
PHASES = ("read", "encode", "upload", "compile", "train", "evaluate")

_MARKS = {"ns": "circle", "hs": "square", "class": "triangle", "adaptive": "diamond", "full": "cross"}
_DASHES: dict[str, tuple[float, ...]] = {"w2v": (), "gensim": (6, 3), "torch": (2, 2.5)}


@dataclass(frozen=True)
class Style:
    """How one system and objective is drawn; ``hollow`` marks belong to other systems than w2v."""

    colour: str
    mark: str
    dash: tuple[float, ...]
    hollow: bool


def style_of(system: str, objective: str) -> Style:
    """Colour and mark by objective, dash by system."""
    return Style(
        colour=objective if objective in OBJECTIVES else "other",
        mark=_MARKS.get(objective, "circle"),
        dash=_DASHES.get(system, (9, 3, 2, 3)),
        hollow=system != "w2v",
    )


def style_sheet() -> str:
    """CSS: a variable per colour, for light and dark paper, and classes ``f-NAME`` (fill) and ``s-NAME`` (stroke)."""
    light, dark = (" ".join(f"--{name}: {pair[of]};" for name, pair in COLOURS.items()) for of in (0, 1))
    classes = "".join(f".f-{n} {{ fill: var(--{n}) }} .s-{n} {{ stroke: var(--{n}) }}\n" for n in COLOURS)
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n{classes}"
    )
