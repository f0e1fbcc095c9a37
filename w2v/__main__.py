"""The command ``w2v``, and ``python -m w2v``: from the first moment on Ctrl-C is one line and exit code 130."""

import os
import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        from w2v.cli import main as run
        from w2v.cli.interruptions import ignore_interruptions
    except KeyboardInterrupt:  # while the commands are imported
        print("w2v: interrupted", file=sys.stderr, flush=True)
        # Where the interruption met an exec, of which a dataclass is made, sys.exit would end Python by the signal.
        os._exit(130)
    try:
        run()
    finally:
        # All is done and said: what interrupts Python as it ends would only be printed, as a traceback.
        ignore_interruptions()


if __name__ == "__main__":
    main()
