"""textseq-sample: write in an author's style, and inspect a text."""

from __future__ import annotations

import io
import logging
import random
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, ClassVar

from textseq.commands.command import log_to_stderr, note_without_effect, parse, run, show, to_json
from textseq.commands.flags import option
from textseq.commands.models import ModelOptions, show_authors, under_condition
from textseq.config.base import flag_of
from textseq.errors import TextseqError
from textseq.io.colored_text import visible
from textseq.io.files import check_outputs, replacing
from textseq.tasks.language_model.config import AdaptationConfig, GenerationConfig

if TYPE_CHECKING:
    from textseq.data.token_files import DocumentSet
    from textseq.tasks.language_model.generator import TextGenerator
    from textseq.tasks.language_model.memorization import Memorization
    from textseq.tasks.language_model.surprisal import TokenSurprisal

log = logging.getLogger("textseq")

PROG = "textseq-sample"

LONGEST = 1_000_000
"""Characters of a text to inspect; each takes some hundred bytes of memory."""


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Inspecting a text: surprisal and memorization."""

    show_surprisal: bool = False
    """Color each character by its token's surprisal under the model (at temperature 1, without logits processors).
    Without a color terminal, or with NO_COLOR set, numbers are printed below the characters."""
    surprisal_html: Path | None = option(None, metavar="FILE")
    """Write the same as a web page."""
    memorization: bool = False
    """Report the longest passage (without the prompt) that was copied verbatim from the training text, and the share of
    the text in copied passages of 30 characters or more."""
    corpus: str | None = option(None, metavar="NAME")
    """Training text for --memorization: a corpus by name. Default: the one the model was trained on."""
    training_text: tuple[Path, ...] = option((), metavar="PATH...")
    """Training text for --memorization: files or folders."""
    text: str | None = option(None, metavar="FILE")
    """Inspect this text (- for stdin) instead of writing one."""
    encoding: str = "utf-8"
    """Encoding of --text, --prompt-file and --training-text."""
    data: Path | None = option(None, metavar="FOLDER")
    """Folder of the corpora. Default: the one that TEXTSEQ_DATA names, then the cache."""
    download: bool = False
    """Download and verify a corpus that is not on this machine."""


@dataclass(frozen=True, kw_only=True)
class Sample(ModelOptions):
    """Write in an author's style.

    Examples:
      textseq-sample --author shakespeare
      textseq-sample --author shakespeare --prompt "ROMEO:" --seed 1
      textseq-sample --author poets --condition Keats=0.7,Blake=0.3
      textseq-sample --author mine --prompt-file opening.txt --max-new-tokens 2000 --temperature 0.5
      textseq-sample --author mine --prompt-file chapter.txt --dynamic --cache
      textseq-sample --author shakespeare --prompt "ROMEO:" --num-beams 5
      textseq-sample --author shakespeare --show-surprisal --memorization
      textseq-sample --author shakespeare --text sonnet.txt --show-surprisal
      textseq-sample --list-authors

    The text is printed as it is written, and the seed that gives it again on stderr.
    """

    task: ClassVar[str] = "language-model"

    model: tuple[str, ...] = option((), metavar="NAME", alias="--author")
    """The author: a model that ships with textseq, the name of a run, or a model's folder; or an author that a
    conditional model knows by name, or shares of several, such as austen=0.7,poe=0.3 (see --list-authors)."""
    list_models: bool = option(False, alias="--list-authors", show=show_authors)
    """List the authors that can write here, by language, and exit."""
    condition: str | None = option(None, metavar="CONDITION")
    """The condition of a conditional model: a label, shares of several (austen=0.7,poe=0.3), or a vector
    (0.5,-1,2). --author with such a label or shares finds the model itself."""
    prompt: str = ""
    """How the text begins. Without one it begins where a paragraph or speech does, and ends before --max-new-tokens
    if it can: at the end of a line in the last fifth of them, or of a sentence in the last tenth."""
    prompt_file: str | None = option(None, metavar="FILE")
    """Read the prompt from a file (- for stdin), without the line end that it ends with."""
    json: bool = False
    """Write a JSON object per text: prompt, text, with --show-surprisal the nats of each token, with --memorization the
    longest copied passage. With --list-authors: an object per author."""
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    adaptation: AdaptationConfig = field(default_factory=AdaptationConfig)
    inspection: Inspection = field(default_factory=Inspection)


def sample(arguments: Sequence[str]) -> None:
    """Parse, load, print the text as it is written, and what its inspection shows."""
    options = parse(Sample(), PROG, arguments, elsewhere=_elsewhere)
    if prompts := [name for name in options.model[1:] if " " in name]:
        raise TextseqError(f"--author: expected one name, got '{prompts[0]:.60}' too; {_elsewhere(prompts[0])}")
    model, inspection = options.single_model(PROG), options.inspection
    _check(options)
    log_to_stderr()
    note_without_effect(options.generation)
    if (ends := _line_ends(options.generation.stop_strings)) != options.generation.stop_strings:
        log.warning("note: --stop-strings: \\n is read as a line end, \\t as a tab")
        options = replace(options, generation=replace(options.generation, stop_strings=ends))
    from textseq.tasks.registry import load_generator

    generator = load_generator(model, device=options.device, precision=options.precision)
    generator = under_condition(generator, model, options.condition)
    training = _training_text(generator, inspection) if inspection.memorization else None
    if options.prompt_file is not None:
        prompt = _given(options.prompt_file, inspection.encoding, "--prompt-file")
        options = replace(options, prompt=re.sub(r"\r?\n\Z", "", prompt))
    if options.adaptation != AdaptationConfig():
        generator = generator.adapted(options.prompt, **vars(options.adaptation))
    if options.adaptation.dynamic and (inspection.show_surprisal or inspection.surprisal_html is not None):
        log.warning(
            "note: the surprisal of the prompt is that after learning it; textseq-evaluate --text FILE --dynamic "
            "predicts each token before it is learned"
        )
    settings = options.generation
    draws = settings.num_beams == 1 and settings.temperature > 0
    unseeded = settings.seed is None and draws and inspection.text is None
    if unseeded:
        options = replace(options, generation=replace(settings, seed=random.randrange(10_000)))
    normalization, scored = generator.tokenizer.normalization, []
    for number, pieces in enumerate(_texts(generator, options), 1):
        if options.generation.num_return_sequences > 1 and not options.json:
            print(f"--- {number} ---")
        quiet = inspection.show_surprisal or inspection.text is not None or options.json
        copied: Memorization | None = None
        text = "".join(pieces) if quiet else _show(pieces)
        if inspection.show_surprisal or inspection.surprisal_html is not None:
            scored.append(generator.score(text).pieces)
        if inspection.show_surprisal and not options.json:
            from textseq.io.colored_text import wants_color
            from textseq.tasks.language_model.surprisal import in_color, in_figures

            print((in_color if wants_color(sys.stdout) else in_figures)(scored[-1]))
        if training is not None:
            from textseq.tasks.language_model.memorization import memorization_of

            copied = memorization_of(text.removeprefix(options.prompt), training, normalization=normalization)
        if options.json:
            show(to_json(_record(text, options, scored[-1] if inspection.show_surprisal else None, copied)))
        elif copied is not None:
            show(copied)
    if inspection.surprisal_html is not None:
        from textseq.tasks.language_model.surprisal import web_page

        with replacing(inspection.surprisal_html) as (file,):
            file.write(web_page(f"Surprisal under {model}", scored).encode())
    if unseeded and not options.json:
        _tell_seed(options, text)


def _line_ends(strings: Sequence[str]) -> tuple[str, ...]:
    """Stop strings with line ends and tabs where only the signs for them are written, as a shell passes them on."""
    signs = {"\\n": "\n", "\\t": "\t"}
    return tuple(
        re.sub(r"\\[nt]", lambda sign: signs[sign[0]], string) if re.fullmatch(r"(\\[nt])+", string) else string
        for string in strings
    )


def _elsewhere(written: str) -> str | None:
    """What to do with a flag or value that other commands take."""
    if written.startswith("-"):
        return f"unknown flag --output; {PROG} writes to stdout: add > FILE" if written == "--output" else None
    return f"write {'--prompt' if ' ' in written else '--author'} before it"


def _record(
    text: str, options: Sample, pieces: Sequence[TokenSurprisal] | None, copied: Memorization | None
) -> dict[str, object]:
    """A text with its inspection, for ``--json``."""
    record: dict[str, object] = {"prompt": options.prompt, "text": text}
    if options.generation.seed is not None and options.inspection.text is None:
        record["seed"] = options.generation.seed
    if pieces is not None:
        record["tokens"] = [{"text": piece.text, "nats": piece.nats} for piece in pieces]
    if copied is not None:
        record["memorization"] = {"longest": copied.run, "share": copied.share, "source": copied.source}
    return record


def _texts(generator: TextGenerator, options: Sample) -> Iterator[Iterator[str]]:
    """Each text, in pieces as they are written."""
    if options.inspection.text is not None:
        text = _given(options.inspection.text, options.inspection.encoding, "--text")
        if "\r" in text and generator.tokenizer.normalization != "none":
            log.warning("note: line ends CRLF or CR in the text are read as LF, as in the model's training")
        yield iter([text])
        return
    from textseq.decoding.stopping import ended_well

    settings = options.generation
    if settings.num_return_sequences == 1 and settings.num_beams == 1:
        pieces = generator.stream(options.prompt, **vars(settings))
        yield pieces if options.prompt else ended_well(pieces, settings.max_new_tokens)
        return
    for text in generator.generate_all(options.prompt, **vars(settings)):
        written = [text[start:end] for start, end in dict.fromkeys(generator.tokenizer.spans(text))]
        yield iter([text]) if options.prompt else ended_well(written, settings.max_new_tokens)


def _tell_seed(options: Sample, text: str) -> None:
    """Say which seed writes the text again, and which command goes on from its first line."""
    note = f"note: --seed {options.generation.seed} writes this again"
    line = visible(text.partition("\n")[0][:40].strip())
    if options.model and line and not options.prompt:
        condition = f" --condition {quote(options.condition)}" if options.condition is not None else ""
        note += f"; try next: {PROG} --author {quote(options.model[0])}{condition} --prompt {quote(line)}"
    print(note, file=sys.stderr)


def _show(pieces: Iterator[str]) -> str:
    """Print a text as it is written, and return it."""
    text = ""
    for piece in pieces:
        show(piece, end="")
        text += piece
    print()
    return text


def _check(options: Sample) -> None:
    """Refuse flags that contradict each other, before anything is loaded."""
    inspection = options.inspection
    if options.prompt and options.prompt_file is not None:
        raise TextseqError("give either --prompt or --prompt-file, not both")
    if inspection.text is not None:
        if options.prompt or options.prompt_file is not None or options.generation != GenerationConfig():
            raise TextseqError("with --text nothing is written: leave out the prompt and the flags of writing")
        if not (inspection.show_surprisal or inspection.surprisal_html or inspection.memorization):
            raise TextseqError(
                "--text needs one of --show-surprisal, --surprisal-html FILE and --memorization; add one"
            )
    if options.adaptation.dynamic and not options.prompt and options.prompt_file is None:
        raise TextseqError("--dynamic learns from the prompt before it writes; give one, such as --prompt-file FILE")
    read = [Path(name) for name in (options.prompt_file, inspection.text) if name not in (None, "-")]
    check_outputs({"--surprisal-html": inspection.surprisal_html}, [*read, *inspection.training_text])
    if inspection.memorization:
        if inspection.corpus is not None and inspection.training_text:
            raise TextseqError("give either --corpus or --training-text, not both")
        return
    for name in ("corpus", "training_text", "data", "download"):
        if getattr(inspection, name):
            raise TextseqError(f"{flag_of(name)} is for --memorization; add that, or leave it out")


def _training_text(generator: TextGenerator, inspection: Inspection) -> DocumentSet:
    from textseq.data.labelled import load_text
    from textseq.data.text import own_text
    from textseq.tasks.language_model.memorization import training_text

    if inspection.training_text:
        return own_text(inspection.training_text, encoding=inspection.encoding, validation=0)
    if inspection.corpus is not None:
        return load_text(inspection.corpus, data_dir=inspection.data, download=inspection.download)
    try:
        return training_text(generator.info, data_dir=inspection.data, download=inspection.download)
    except TextseqError as error:
        if "--training-text" in str(error):
            raise
        raise TextseqError(f"{error}; if it is elsewhere, give it with --training-text") from error


def _given(name: str, encoding: str, flag: str) -> str:
    """The text of a file, of a folder (its files joined), or of stdin, as ``flag`` names it."""
    from textseq.commands.stdin import read_stdin
    from textseq.data.dataset import check_encoding
    from textseq.data.text import own_text
    from textseq.io.documents.decode import decoded

    text, most = "", 4 * LONGEST + 4  # bytes of so many characters in any encoding, with a byte order mark
    if name == "-":
        check_encoding(encoding)
        data = read_stdin(flag, most + 1)
        chunks: Iterable[str] = (
            decoded(io.BytesIO(data), "stdin", encoding) if len(data) <= most else ["\0" * len(data)]
        )
    else:
        chunks = chain.from_iterable(own_text([Path(name)], encoding=encoding, validation=0).documents("train"))
    for chunk in chunks:
        text += chunk
        if len(text) > LONGEST:
            place = "stdin" if name == "-" else name
            raise TextseqError(
                f"{flag}: expected at most {LONGEST:,} characters, got more in {place}; give a part of it"
            )
    if not text:
        raise TextseqError(f"{flag} {name}: expected a text, got nothing")
    return text


main = partial(run, PROG, sample)

if __name__ == "__main__":
    main()
