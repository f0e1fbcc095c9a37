"""Data-parallel training: replicas on their parts of a corpus, which average their parameters as they go."""
