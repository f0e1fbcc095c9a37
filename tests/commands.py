"""Running a command in this process, with its two output streams apart."""

import click
from click.testing import CliRunner, Result


def run(command: click.Command, *arguments: object, error: type[Exception] | None = None, stdin=None) -> Result:
    """The result of a command; an exception other than ``error`` fails the test."""
    try:
        runner = CliRunner(mix_stderr=False)
    except TypeError:  # from click 8.2 on they are always apart
        runner = CliRunner()
    result = runner.invoke(command, [str(argument) for argument in arguments], input=stdin)
    if error is None:
        assert result.exception is None, result.output
    else:
        assert isinstance(result.exception, error), result.output
    return result
