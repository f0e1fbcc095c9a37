"""Phrases: pairs of words that occur together more often than by chance, joined into one token."""
