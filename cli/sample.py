"""textseq-sample: write in an author's style, and look at what was written."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, arg

from textseq.commands.command import parse, run
from textseq.config.decoding import Precision
from textseq.errors import TextseqError
from textseq.tasks.language_model.config import GenerationConfig

if TYPE_CHECKING:
    from textseq.data.token_files import DocumentSet
    from textseq.tasks.language_model.generator import TextGenerator


PROG = "textseq-sample"

LONGEST = 1_000_000
"""Characters of a text to look at; each takes some hundred bytes of memory."""

MOST_BYTES = 4 * LONGEST + 4
"""That so many characters take in any encoding, with a byte order mark."""


Flag = Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True)
class Looking:
    """Looking at the text: what surprised the model, and what it copied."""

    show_surprise: Flag = False
    """Colour each character by its token's surprisal under the model (at temperature 1, without rules). Where the
    output is no terminal, or NO_COLOR is set, figures stand under the characters instead."""
    surprise_html: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Write the same as a web page that needs nothing else."""
    memorization: Flag = False
    """Report the longest run of the text (the prompt apart) that was copied from the training text, and the share of
    the text in copied runs of 30 characters or more."""
    corpus: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """The training text for --memorization: a corpus by name. Default: what the model was trained on."""
    training_text: Annotated[tuple[Path, ...], arg(metavar="PATH...", help_behavior_hint="")] = ()
    """The training text for --memorization: files or folders."""
    text: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Look at this text (- for stdin) and write none."""
    encoding: str = "utf-8"
    """Encoding of --text and --training-text."""
    data: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Folder of the corpora's files. Default: the one that TEXTSEQ_DATA names; then the cache is looked through."""
    download: Flag = False
    """Fetch and verify a corpus that is found in neither."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Write in an author's style.

    Examples:
      textseq-sample --author shakespeare
      textseq-sample --author shakespeare --prompt "ROMEO:" --temperature 0.5 --seed 1
      textseq-sample --author mine --num-return-sequences 8 --max-new-tokens 200
      textseq-sample --author shakespeare --prompt "ROMEO:" --num-beams 5 --max-new-tokens 100
      textseq-sample --author shakespeare --show-surprisal --memorization
      textseq-sample --author shakespeare --text sonnet.txt --surprisal-html sonnet.html
      textseq-sample --list-authors

    The text goes to stdout as it is written.
    """

    author: Annotated[str | None, arg(aliases=["--model"], metavar="NAME", help_behavior_hint="")] = None
    """Who writes: a model's folder, a run's name, or a model that ships with textseq (see --list-authors)."""
    prompt: str = ""
    """How the text begins."""
    device: str = "cpu"
    """Where to compute; one text at a time is fastest on the CPU."""
    precision: Precision = "float32"
    """Number format of the products when writing: int8 is faster, on the CPU only; the words may come out otherwise."""
    list_authors: Flag = False
    """Show who can write here, and exit."""
    version: Flag = False
    """Show the version, and exit."""
    writing: GenerationConfig = field(default_factory=GenerationConfig)
    looking: Looking = field(default_factory=Looking)


def main() -> None:
    """The entry point."""
    run(PROG, sample)


def sample(arguments: Sequence[str]) -> None:
    """Parse, load, print the text as it comes, and what there is to say of it."""
    options = parse(Sample, PROG, arguments)
    if options.list_authors:
        print(_authors())
        return
    if options.author is None:
        raise TextseqError(f"name an --author; '{PROG} --list-authors' shows who can write here")
    looking = options.looking
    _check(options)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    from textseq.tasks.registry import load_generator

    writer = load_generator(options.author, device=options.device, precision=options.precision)
    training = _training_text(writer, looking) if looking.memorization else None
    scored = []
    for number, pieces in enumerate(_texts(writer, options), 1):
        if options.writing.num_return_sequences > 1:
            print(f"--- {number} ---")
        quiet = looking.show_surprise or looking.text is not None
        text = "".join(pieces) if quiet else _show(pieces)
        if looking.show_surprise or looking.surprise_html is not None:
            scored.append(writer.score(text).pieces)
        if looking.show_surprise:
            from textseq.io.colored_text import wants_colour
            from textseq.tasks.language_model.surprisal import in_colour, in_figures

            print((in_colour if wants_colour(sys.stdout) else in_figures)(scored[-1]))
        if training is not None:
            from textseq.tasks.language_model.memorization import memorization_of

            print(memorization_of(text.removeprefix(options.prompt), training))
    if looking.surprise_html is not None:
        from textseq.io.files import replacing
        from textseq.tasks.language_model.surprisal import web_page

        with replacing(looking.surprise_html) as (file,):
            file.write(web_page(f"What surprised {options.author}", scored).encode())


def _texts(writer: TextGenerator, options: Sample) -> Iterator[Iterator[str]]:
    """Each text, in pieces as they come."""
    if options.looking.text is not None:
        given = _given(options.looking.text, options.looking.encoding)
        if not given:
            raise TextseqError("--text - wants a text on stdin, found nothing; send it one")
        yield iter([given])
        return
    settings = {item.name: getattr(options.writing, item.name) for item in fields(options.writing)}
    if options.writing.num_return_sequences == 1:
        yield writer.stream(options.prompt, **settings)
    else:
        yield from (iter([text]) for text in writer.generate_all(options.prompt, **settings))


def _show(pieces: Iterator[str]) -> str:
    """Print a text as it comes, and return it."""
    text = ""
    for piece in pieces:
        print(piece, end="", flush=True)
        text += piece
    print()
    return text


def _check(options: Sample) -> None:
    """Refuse what makes no sense together, before anything is loaded.

    Raises:
        TextseqError: such flags.
    """
    looking = options.looking
    if looking.text is not None:
        if options.prompt or options.writing != GenerationConfig():
            raise TextseqError("with --text nothing is written: leave out --prompt and the writing options")
        if not (looking.show_surprise or looking.surprise_html or looking.memorization):
            raise TextseqError("say how to look at --text: --show-surprisal, --surprisal-html FILE or --memorization")
    if looking.surprise_html is not None and (
        looking.surprise_html.is_dir() or str(looking.surprise_html) == looking.text
    ):
        raise TextseqError(f"--surprisal-html wants a file to write, found {looking.surprise_html}; name another")
    if looking.corpus is not None and looking.training_text:
        raise TextseqError("name a --corpus or a --training-text, one of the two")
    if (looking.corpus is not None or looking.training_text) and not looking.memorization:
        raise TextseqError("--corpus and --training-text are for --memorization; add it")
    if (looking.data is not None or looking.download) and not looking.memorization:
        raise TextseqError("--data and --download find the training text for --memorization; add it, or leave them out")


def _training_text(writer: TextGenerator, looking: Looking) -> DocumentSet:
    from textseq.data.labelled import load_text
    from textseq.data.text import own_text
    from textseq.tasks.language_model.memorization import training_text

    if looking.training_text:
        return own_text(looking.training_text, encoding=looking.encoding, validation=0)
    if looking.corpus is not None:
        return load_text(looking.corpus, data_dir=looking.data, download=looking.download)
    return training_text(writer.info, data_dir=looking.data, download=looking.download)


def _given(name: str, encoding: str) -> str:
    """The text of a file (of a folder, its files joined), or of stdin."""
    if name == "-":
        try:
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
            return _short(data.decode(encoding) if len(data) <= MOST_BYTES else "\0" * len(data), "stdin")
        except (LookupError, UnicodeDecodeError) as error:
            raise TextseqError(f"stdin is not {encoding} text ({error}); say with --encoding what it is") from None
    from textseq.data.text import own_text

    documents = own_text([Path(name)], encoding=encoding, validation=0).documents("train")
    text = ""
    for chunk in chain.from_iterable(documents):
        text = _short(text + chunk, name)
    return text


def _short(text: str, name: str) -> str:
    """The text, if it is not too long to look at."""
    if len(text) > LONGEST:
        raise TextseqError(f"a text to look at has at most {LONGEST:,} characters, found more in {name}; give a part")
    return text


def _authors() -> str:
    from textseq.checkpoints.registry import list_models

    lines = []
    for model in list_models("language-model"):
        nats = (model.info.results[0] if model.info.results else {}).get("nats_per_token")
        loss = f", {nats:.3f} nats per token" if isinstance(nats, float) else ""
        lines.append(f"{model.name}  {model.info.corpus.title}{loss} ({model.origin})")
    return "\n".join(lines) or "No authors yet; train one with textseq-train."


if __name__ == "__main__":
    main()
