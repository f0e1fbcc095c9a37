"""What a comparison looks like: one HTML page with its charts, and the charts as PNG.

``charts`` says which charts a record gives; ``curves`` and ``bars`` lay them out as shapes (``axes``, ``labels``,
``drawing``, ``palette``), which ``svg`` puts on the page and ``figures`` draws through matplotlib. ``findings``,
``tables`` and ``wording`` are the words and numbers; ``page`` puts everything together.
"""

from w2v.comparison.report.page import PAGE, write_report

__all__ = ["PAGE", "write_report"]
