"""The ``w2v`` command: one file per command, shared options in ``options.py``."""

import sys

import click

from w2v import __version__
from w2v.cli.analogy import analogy
from w2v.cli.cache import cache
from w2v.cli.calibrate import calibrate
from w2v.cli.classes import classes
from w2v.cli.compare import compare
from w2v.cli.convert import convert
from w2v.cli.eval import evaluate
from w2v.cli.explore import explore
from w2v.cli.export import export
from w2v.cli.info import info
from w2v.cli.interruptions import exit_code, stop_on_terminate
from w2v.cli.phrases import phrases
from w2v.cli.similar import similar
from w2v.cli.streams import complain, failure, give_up_output, prepare_streams
from w2v.cli.terminal_text import write_anything
from w2v.cli.train import train
from w2v.cli.vocab import vocab
from w2v.errors import ConfigError, W2VError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="w2v")
def cli() -> None:
    """Train word vectors from plain text, and ask them questions."""


for _command in (
    train,
    compare,
    vocab,
    phrases,
    info,
    similar,
    analogy,
    evaluate,
    convert,
    export,
    classes,
    cache,
    calibrate,
    explore,
):
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a reported error, 2 usage, 130 after Ctrl-C, 143 after SIGTERM."""
    prepare_streams()
    stop_on_terminate()
    write_anything()
    try:
        cli.main(args=arguments, prog_name="w2v", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        cause = error.__cause__ or error  # click makes an Abort of Ctrl-C
        complain(f"interrupted{f': {cause}' if str(cause) else ''}")
        sys.exit(exit_code(cause))
    except ConfigError as error:
        complain(error)
        sys.exit(2)
    except W2VError as error:
        complain(error)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output went away (`w2v similar … | head`): silence, and no second failure at exit.
        give_up_output()
        sys.exit(1)
    except OSError as error:
        complain(failure(error))
        give_up_output()
        sys.exit(1)
    except MemoryError:
        complain("out of memory: lower --vector-size or raise --min-count")
        sys.exit(1)
    sys.exit(0)
