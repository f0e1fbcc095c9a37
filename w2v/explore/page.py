"""One HTML file out of its parts: nothing in it asks for anything from anywhere."""

from __future__ import annotations

import html
import json

from w2v.standalone_page import fill_template, page_part, security_policy

# In the order in which each needs the ones before.
SCRIPTS = ("model.js", "search.js", "labels.js", "painter.js", "map.js", "combobox.js", "panel.js", "page.js")


def build_page(payload: dict[str, object]) -> str:
    """The page that shows ``payload`` (see ``build_payload``).

    Its Content-Security-Policy allows the one script and the one style sheet of the page itself, and nothing else.
    """
    script = '(() => {\n"use strict";\n' + "\n".join(map(_part, SCRIPTS)) + "})();\n"
    style = _part("page.css")
    parts = {
        "policy": html.escape(security_policy(style, script)),
        "title": html.escape(str(payload["title"])),
        "style": style,
        "data": embedded_json(payload),
        "script": script,
    }
    return fill_template(_part("page.html"), parts)


def embedded_json(value: object) -> str:
    """``value`` as JSON that no HTML parser takes for the end of a script or for a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _part(name: str) -> str:
    return page_part("w2v.explore", name)
