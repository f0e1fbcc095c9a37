"""Vectors in the layouts that other libraries load, one file per layout."""
