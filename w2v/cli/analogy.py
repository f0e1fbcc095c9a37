"""``w2v analogy``: A is to B as C is to what?"""

from pathlib import Path

import click

from w2v.cli.options import json_option, limit_option, model_argument, print_table, search_device_option
from w2v.cli.queries import approximate_options, file_option, ignore_case_option


@click.command()
@model_argument
@click.argument("words", nargs=-1, metavar="[A B C]")
@click.option("-n", "--topn", type=click.IntRange(min=1), default=10, show_default=True, help="Answers.")
@click.option("--cosmul", is_flag=True, help="Rank by 3CosMul in place of 3CosAdd.")
@file_option
@ignore_case_option
@approximate_options
@limit_option
@search_device_option
@json_option
def analogy(
    model: Path,
    words: tuple[str, ...],
    topn: int,
    cosmul: bool,
    files: tuple[Path, ...],
    ignore_case: bool,
    approximate: bool,
    recall: float | None,
    limit: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Print the words nearest to B - A + C.

    `w2v analogy MODEL man king woman` asks for queen: A is to B as C is to the answer. MODEL is a model
    folder or a vector file. The three words themselves are left out.

    Without words, a terminal gets a prompt, where sums such as `king -man +woman` work too; otherwise the questions
    are read from standard input, or from each FILE: three words a line. A fourth word is passed over, and so are
    lines that begin with `:` or `#`, so that files of questions for `w2v eval` can be read. Questions with unknown
    words are reported on stderr after the answers of the others, and make the exit status 1.
    """
    from w2v.cli.asked import AskedWords
    from w2v.cli.batch import check_files, print_analogies
    from w2v.cli.prompt import on_a_terminal, prompt_analogies
    from w2v.cli.queries import analogy_lists, open_searched, refuse_contradictions, unknown_words

    refuse_contradictions(approximate, recall, device, bool(words), bool(files))
    if len(words) not in (0, 3):
        raise click.UsageError("give three words, A B C, or none")
    if approximate and cosmul:
        raise click.UsageError("3CosMul needs the exact search: leave out --ann, or --cosmul")
    check_files(files)
    vectors = open_searched(model, limit, device, approximate, recall, topn)
    known = AskedWords(vectors, ignore_case)
    if not (words or files) and on_a_terminal():
        prompt_analogies(known, topn, cosmul, as_json)
        return
    if not words:
        print_analogies(known, files or (Path("-"),), topn, cosmul, as_json)
        return
    if (error := unknown_words(known, words)) is not None:
        raise error
    (answers,) = analogy_lists(vectors, [known.found(words)], topn, cosmul)
    print_table(("word", "score" if cosmul else "similarity"), answers, as_json)
