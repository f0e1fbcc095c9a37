"""A page to look at vectors: a map of the words, their neighbours and analogies, in one file."""
