"""``w2v similar``: the nearest neighbours of words."""

from pathlib import Path

import click

from w2v.cli.options import json_option, limit_option, model_argument, search_device_option
from w2v.cli.queries import approximate_options, file_option, ignore_case_option


class _SumsBehindDashes(click.Command):
    """Tells of ``--`` where a subtracted word was taken for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if not error.option_name.startswith("--"):
                error.message += " For a sum put -- before the words: w2v similar MODEL -- king -man +woman"
            raise


@click.command(cls=_SumsBehindDashes)
@model_argument
@click.argument("words", nargs=-1, metavar="[WORD...]")
@click.option("-n", "--topn", type=click.IntRange(min=1), default=10, show_default=True, help="Neighbours of each.")
@file_option
@ignore_case_option
@approximate_options
@limit_option
@search_device_option
@json_option
def similar(
    model: Path,
    words: tuple[str, ...],
    topn: int,
    files: tuple[Path, ...],
    ignore_case: bool,
    approximate: bool,
    recall: float | None,
    limit: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Print the nearest neighbours of each WORD.

    MODEL is a model folder or a vector file. Each word gets its own list, by falling cosine similarity. Words
    without a vector are reported on stderr after the lists of the others, and make the exit status 1.

    A sum such as `king -man +woman` is one question; on the command line it comes behind `--`, as in
    `w2v similar MODEL -- king -man +woman`. What is a word of the vocabulary itself counts as that word.

    Without a WORD, a terminal gets a prompt; otherwise the words are read from standard input, or from each FILE: any
    number a line, or a sum. Lines that begin with `#` or `:` are words like all others there.
    """
    from w2v.cli.asked import AskedWords, Question, read_sum
    from w2v.cli.batch import check_files, print_answers, print_similar
    from w2v.cli.prompt import on_a_terminal, prompt_similar
    from w2v.cli.queries import open_searched, refuse_contradictions, tell_of_one_word, unknown_words

    refuse_contradictions(approximate, recall, device, bool(words), bool(files))
    check_files(files)
    vectors = open_searched(model, limit, device, approximate, recall, topn)
    tell_of_one_word(vectors)
    known = AskedWords(vectors, ignore_case)
    if words:
        asked = read_sum(known, words)
        questions = [Question(word, [word]) for word in words] if asked is None else [asked]
        if not any(all(word in known for word in question.words) for question in questions):
            raise unknown_words(known, [word for question in questions for word in question.words])
        print_answers(known, questions, topn, as_json)
    elif not files and on_a_terminal():
        prompt_similar(known, topn, as_json)
    else:
        print_similar(known, files or (Path("-"),), topn, as_json)
