"""Anonymous memory (what is no file's) after each epoch of a run: python scripts/soak_memory.py TEXT OBJECTIVE

Prints a JSON object: ``bytes`` after each epoch. It is to be flat: an epoch that leaves something behind shows.
"""

import json
import sys
from pathlib import Path

from benchmark import ROOT

#: How much more the last ten epochs may hold, at the most, than the first ten after the second one did.
BAND = 2 << 20
EPOCHS = 50


def anonymous_bytes() -> int:
    """What this process holds that is no file's, in bytes; raises OSError where the system does not tell."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise OSError("/proc/self/status does not tell RssAnon")


def growth(sizes: list[int]) -> int:
    """Bytes by which the most of the last ten epochs is above the most of the third to the twelfth."""
    return max(sizes[-10:]) - max(sizes[2:12])


def main(text: str, objective: str) -> None:
    """Train on a text for 50 epochs, and print what was held after each."""
    from w2v.config import TrainConfig
    from w2v.corpus import encode_corpus
    from w2v.training import TrainingCallback, train

    sizes = []

    class Watch(TrainingCallback):
        def on_epoch_end(self, *arguments: object) -> None:
            sizes.append(anonymous_bytes())

    config = TrainConfig(objective=objective, epochs=EPOCHS, vector_size=32, threads=2)
    train(config, encode_corpus([text], use_cache=False), callbacks=[Watch()])
    print(json.dumps({"bytes": sizes, "root": ROOT.name}))


if __name__ == "__main__":
    main(*sys.argv[1:])
