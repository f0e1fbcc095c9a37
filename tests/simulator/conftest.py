"""Tests in numba's simulator, which is chosen before numba is imported: ``test_simulator.py`` runs them."""

import os

collect_ignore_glob = [] if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1" else ["test_*.py"]
