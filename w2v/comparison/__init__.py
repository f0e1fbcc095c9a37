"""Objectives side by side: one process per run, quality against time, tables and a report."""
