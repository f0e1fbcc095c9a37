"""One HTML file out of its parts: nothing in it asks for anything from anywhere."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files

# In the order in which each needs the ones before.
SCRIPTS = ("model.js", "search.js", "labels.js", "painter.js", "map.js", "combobox.js", "panel.js", "page.js")


def build_page(payload: dict[str, object]) -> str:
    """The page that shows ``payload`` (see ``build_payload``).

    Its Content-Security-Policy allows the one script and the one style sheet of the page itself, by their SHA-256,
    and nothing else: no address, no evaluated text, no inline handler.
    """
    script = '(() => {\n"use strict";\n' + "\n".join(map(_part, SCRIPTS)) + "})();\n"
    style = _part("page.css")
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": html.escape(policy),
        "title": html.escape(str(payload["title"])),
        "style": style,
        "data": embedded_json(payload),
        "script": script,
    }
    # The parts may hold what looks like a place: each piece of the template is filled once and not looked at again.
    pieces = _part("page.html").split("{{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}}")
        filled += [parts[name], rest]
    return "".join(filled)


def embedded_json(value: object) -> str:
    """``value`` as JSON that no HTML parser takes for the end of a script or for a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _part(name: str) -> str:
    # Browsers turn line ends into \n before they compare the digest of a script.
    return files("w2v.explore").joinpath(name).read_text("utf-8").replace("\r\n", "\n")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
