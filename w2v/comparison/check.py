"""What only the corpus can tell about the settings of a comparison, found out before anything trains."""

from __future__ import annotations

from w2v.comparison.plan import Plan
from w2v.corpus import EncodedCorpus
from w2v.corpus.heldout import split_heldout
from w2v.objectives import BLOCK, CorpusShape, make_objective, resolve_for_corpus


def check_heldout(plan: Plan, corpus: EncodedCorpus) -> None:
    """Raise TrainingError where a seed has no sentence to hold out, or none left to learn from."""
    for seed in plan.seeds:
        split_heldout(corpus.ids, plan.options["heldout"], seed)


def check_softmaxes(plan: Plan, corpus: EncodedCorpus) -> None:
    """Raise ConfigError, or another W2VError, where classes, cut-offs or a cost model do not suit the vocabulary."""
    counts = corpus.vocabulary.counts
    shape = CorpusShape(counts, corpus.tokens, corpus.sentences)
    for model in plan.models:
        for objective in set(plan.objectives) & set(BLOCK):
            config = plan.config(model, objective, plan.seeds[0])
            chosen = config.cutoffs == "auto" and config.clusters is None and config.cost_model is None
            if objective == "adaptive" and chosen:
                continue  # nothing was given that could be wrong, and choosing takes a while
            make_objective(resolve_for_corpus(config, shape, config.device), counts)
