"""textseq-translate: translate text, one sentence per line, from the command line, stdin or a file."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from textseq.commands.command import log_to_stderr, note_without_effect, parse, run
from textseq.commands.flags import option
from textseq.commands.line_io import LineOptions
from textseq.config.base import flag_of
from textseq.errors import TextseqError
from textseq.tasks.translation.config import TranslationConfig
from textseq.tokenizers.sentences import by_sentence

if TYPE_CHECKING:
    from textseq.data.readers.glossary import Glossary
    from textseq.tasks.translation.result import Translation
    from textseq.tasks.translation.translator import Translator

PROG = "textseq-translate"

PER_LINE = (
    "text",
    "input",
    "json",
    "interactive",
    "plot_attention",
    "alignment",
    "prefix",
    "split_sentences",
    "buffer",
)
"""Flags that documents do not have."""


@dataclass(frozen=True, kw_only=True)
class Translate(LineOptions):
    """Translate text, one sentence per line.

    Examples:
      textseq-translate --model mine                                 type sentences, Ctrl-D ends
      textseq-translate "Two dogs play." --model mine
      echo "Two dogs play." | textseq-translate --model mine
      textseq-translate --model mine --input talk.en.gz --output talk.de
      textseq-translate --model mine second third --num-beams 10     an ensemble of several models
      textseq-translate --model mine --num-return-sequences 3        lines of: number ||| text ||| score
      textseq-translate --model mine --glossary terms.tsv --num-beams 10 --keep textseq
      textseq-translate --model mine --document novel.epub --output roman.epub
      textseq-translate --model mine --split-sentences < article.txt paragraphs, one per line
      textseq-translate --model mine --alignment pharaoh             text, a tab, 0-0 1-2 2-1
      textseq-translate --model mine --plot-attention look.png
      textseq-translate --list-models

    Each line gives a line (with --num-return-sequences several); an empty line stays empty. Lines are cut after 20,000
    characters or 2,000 tokens, with a warning.
    """

    task: ClassVar[str] = "translation"
    takes_several: ClassVar[bool] = True

    model: tuple[str, ...] = option((), metavar="NAME...")
    """A model that ships with textseq, the name of a run, or a model's folder (see --list-models). Several, which must
    share one vocabulary (trained on the same pairs with other seeds), work as an ensemble."""
    prefix: str = ""
    """How every translation must begin."""
    glossary: Path | None = option(None, metavar="FILE")
    """Terms and their translations, a pair per line with a tab between (.csv: a comma or semicolon), in --encoding:
    where a sentence has the term, its translation has the other (constrained beam search). More --num-beams (10) give
    better sentences."""
    keep: tuple[str, ...] = option((), metavar="WORD...")
    """Words that stay untouched, such as names."""
    document: Path | None = option(None, metavar="FILE")
    """Translate a document with its layout, into --output: .txt, .srt (subtitles), .html, .epub or .docx. Paragraphs
    are split into sentences; tags move with the words that they enclose."""
    split_sentences: bool = False
    """Lines are paragraphs: split each into sentences, translate these, and join the translations. Rules find the ends
    of sentences; they know the usual abbreviations."""
    json: bool = False
    """Write a JSON object per line: text, score, doubtful (whether the model itself finds it unlikely), tokens,
    source_tokens, and alignment: pairs of a source word and a target word, counted from 0. With several
    --num-return-sequences, a list of such objects; with --split-sentences, text and sentences: a list of such
    objects."""
    alignment: Literal["pharaoh"] | None = option(None, rare=True)
    """Write which words belong together, by the attention: after the text and a tab, pairs such as 0-1 of a source word
    and a target word, counted from 0 between spaces."""
    plot_attention: Path | None = option(None, metavar="FILE", rare=True)
    """Draw the attention for the first line that is not empty, as a PNG."""
    decoding: TranslationConfig = field(default_factory=TranslationConfig)


def translate(arguments: Sequence[str]) -> None:
    """Parse, load, and translate line by line."""
    options = parse(Translate(), PROG, arguments).with_text()
    _check(options)
    if options.document is not None:
        _document(options, options.document)
        return
    with options.reading() as lines:
        from textseq.tasks.translation.inference.detokenize import TruncationLog
        from textseq.tasks.translation.inference.engine import BUFFER

        translator = _opened(options)
        if (options.alignment or options.plot_attention) and not translator.attends:
            raise TextseqError("--alignment and --plot-attention show the attention, but this model has none")
        picture, truncated, glossary = options.plot_attention, TruncationLog(), _glossary(options)
        doubts = _Doubts(options)

        def answers(sentences: Iterable[str], first: int, progress: Callable[[int], object]) -> Iterator[str]:
            nonlocal picture

            def stream(texts: Iterable[str]) -> Iterator[list[Translation]]:
                return translator.stream(
                    texts,
                    attention=translator.attends and bool(options.json or options.alignment or picture),
                    buffer=options.ahead(BUFFER),
                    prefix=options.prefix,
                    progress=None if options.split_sentences else progress,
                    first=first + 1,
                    truncated=truncated,
                    glossary=glossary,
                    **vars(options.decoding),
                )

            if options.split_sentences:
                for number, parts in enumerate(by_sentence(sentences, stream), start=first + 1):
                    best_parts = [translations[0] for translations in parts]
                    yield _paragraph(best_parts, options)
                    doubts.note(number, best_parts)
                    progress(1)
                return
            results = stream(sentences)
            for number, translations in enumerate(results, start=first):
                yield from _lines(number, translations, options)
                best = translations[0]
                doubts.note(number + 1, [best])
                if picture is not None and best.attention is not None:
                    from textseq.tasks.translation.plots import attention_heat_map

                    title = f"attention of {' + '.join(Path(name).name for name in options.model)}"
                    attention_heat_map(best.attention, best.source_tokens, best.tokens, picture, title)
                    picture = None

        options.answer(lines, answers, unit="sentences", prompt=f"{translator.languages[0]}> ", usual=BUFFER)
        doubts.note_count()
        if picture is not None:
            raise TextseqError(f"--plot-attention: expected a sentence to draw, got none in {lines.name}")


def _opened(options: Translate) -> Translator:
    """The models, as one. A word after a model that names no model may have been meant as the text."""
    from textseq.checkpoints.registry import list_models
    from textseq.tasks.registry import load_translator
    from textseq.tasks.translation.translator import ensemble_of

    note_without_effect(options.decoding)
    loaded: list[Translator] = []
    for place, name in enumerate(options.model):
        try:
            loaded.append(load_translator(name, device=options.device, precision=options.precision))
        except TextseqError as error:
            if place == 0 or Path(name).exists() or name in {model.name for model in list_models()}:
                raise
            models, text = shlex.join(options.model[:place]), shlex.quote(" ".join(options.model[place:]))
            raise TextseqError(f"{error}; or, to translate it: {PROG} {text} --model {models}") from None
    return ensemble_of(loaded)


def _document(options: Translate, document: Path) -> None:
    """Translate a document."""
    if options.output is None:
        raise TextseqError("--document: expected --output FILE, got none; add it")
    for name in PER_LINE:
        if getattr(options, name):
            raise TextseqError(f"{flag_of(name)} is for lines; leave it out, or --document")
    if options.decoding.num_return_sequences > 1 or options.process is not None:
        raise TextseqError("--document works with one translation and in one process; leave out what asks for more")
    log_to_stderr()
    from tqdm import tqdm

    from textseq.tasks.documents.formats import translate_document

    with tqdm(unit=" sentences", disable=None) as bar:
        translate_document(
            _opened(options),
            document,
            options.output,
            glossary=_glossary(options),
            encoding=options.encoding,
            progress=bar.update,
            **vars(options.decoding),
        )


def _glossary(options: Translate) -> Glossary | None:
    """The terms with their translations, and the words to keep."""
    from textseq.data.readers.glossary import Glossary, kept

    if options.glossary is not None:
        return Glossary.read(options.glossary, keep=options.keep, encoding=options.encoding)
    return Glossary(kept(options.keep)) if options.keep else None


def _lines(number: int, translations: Sequence[Translation], options: Translate) -> Iterator[str]:
    """The output for a sentence."""
    several = options.decoding.num_return_sequences > 1
    if options.json:
        records = [_record(translation) for translation in translations]
        yield options.to_json(records if several else records[0])
        return
    for best in translations:
        pairs = " ".join(f"{source}-{target}" for source, target in best.alignment()) if options.alignment else ""
        if several:
            yield f"{number} ||| {best.text} ||| {best.score:.4f}" + f" ||| {pairs}" * (options.alignment is not None)
        else:
            yield best.text + f"\t{pairs}" * (options.alignment is not None)


def _paragraph(sentences: Sequence[Translation], options: Translate) -> str:
    """The output for a paragraph."""
    text = " ".join(translation.text for translation in sentences)
    return options.to_json({"text": text, "sentences": [*map(_record, sentences)]}) if options.json else text


class _Doubts:
    """Says on stderr which translations the model itself finds unlikely: each at a terminal, otherwise how many."""

    def __init__(self, options: Translate) -> None:
        self.options, self.lines, self.doubtful = options, 0, 0

    def note(self, number: int, translations: Sequence[Translation]) -> None:
        """Note the translations of a line."""
        self.lines += 1
        if self.options.json or not any(translation.doubtful for translation in translations):
            return
        self.doubtful += 1
        if self.options.on_screen:
            print(f"note: the translation of line {number} may be wrong: the model finds it unlikely", file=sys.stderr)

    def note_count(self) -> None:
        """Say how many lines are concerned, at the end."""
        if self.doubtful and not self.options.on_screen:
            print(
                f"note: the translations of {self.doubtful} of {self.lines} lines may be wrong: the model finds them "
                "unlikely; --json marks them",
                file=sys.stderr,
            )


def _record(translation: Translation) -> dict[str, object]:
    aligned = translation.attention is not None or not translation.tokens
    return {
        "text": translation.text,
        "score": translation.score,
        "doubtful": translation.doubtful,
        "tokens": translation.tokens,
        "source_tokens": translation.source_tokens,
        "alignment": translation.alignment() if aligned else None,
    }


def _check(options: Translate) -> None:
    """Refuse flags that contradict each other, before anything is loaded."""
    options.models(PROG)
    if options.json and options.alignment:
        raise TextseqError("--json includes the alignment; leave out --alignment")
    if options.split_sentences:
        for flag, used in {
            "--num-return-sequences": options.decoding.num_return_sequences > 1,
            "--alignment": options.alignment,
            "--plot-attention": options.plot_attention,
            "--prefix": options.prefix,
        }.items():
            if used:
                raise TextseqError(f"{flag} is for single sentences; leave it out, or --split-sentences")
    if (options.glossary or options.keep) and options.decoding.temperature > 0:
        raise TextseqError("--glossary and --keep need beam search, got --temperature; leave one out")
    options.check("sentences", {"--plot-attention": options.plot_attention})
    if options.process is not None and options.decoding.temperature > 0:
        raise TextseqError(
            "--temperature samples in the order of the sentences, which several processes (torchrun) would change; "
            "leave it out, or start without torchrun"
        )
    if options.plot_attention is not None:
        from textseq.io.files import check_picture

        check_picture(options.plot_attention, "--plot-attention")


main = partial(run, PROG, translate)

if __name__ == "__main__":
    main()
