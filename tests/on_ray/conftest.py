"""Tests inside a process that has Ray in it, which Ray may end: ``test_on_ray.py`` runs them in one of their own."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
collect_ignore_glob = [] if os.environ.get("W2V_TEST_ON_RAY") == "1" else ["test_*.py"]
