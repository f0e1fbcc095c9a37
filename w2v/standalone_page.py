"""HTML files that need nothing else: a template filled with parts, and a policy that forbids everything foreign."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files


def page_part(package: str, name: str) -> str:
    """A text file of a package. Browsers turn line ends into \\n before they compare a digest, and so does this."""
    return files(package).joinpath(name).read_text("utf-8").replace("\r\n", "\n")


def security_policy(style: str, script: str = "") -> str:
    """A Content-Security-Policy that allows this style sheet and this script, by their SHA-256, and nothing else.

    No address, no evaluated text, no inline handler; pictures only as data.
    """
    allowed = [f"style-src '{_digest(style)}'"]
    if script:
        allowed.append(f"script-src '{_digest(script)}'")
    return "; ".join(["default-src 'none'", *allowed, "img-src data:", "base-uri 'none'", "form-action 'none'"])


def fill_template(template: str, parts: Mapping[str, str]) -> str:
    """``template`` with each ``{{name}}`` replaced by that part.

    A part may hold what looks like a place: each piece of the template is filled once and not looked at again.
    """
    first, *pieces = template.split("{{")
    return first + "".join(parts[name] + rest for name, _, rest in (piece.partition("}}") for piece in pieces))


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
