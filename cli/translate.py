"""textseq-translate: translate text, a sentence to a line, from stdin or a file."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from textseq.checkpoints.registry import find_model
from textseq.commands.command import parse, run
from textseq.commands.line_io import File, Flag, LineWork
from textseq.config.decoding import Precision
from textseq.errors import TextseqError
from textseq.tasks.translation.config import TranslationConfig

if TYPE_CHECKING:
    from textseq.checkpoints.registry import ModelEntry
    from textseq.tasks.translation.processing import Translation
    from textseq.tasks.translation.translator import Translator


PROG = "textseq-translate"


@dataclass(frozen=True, kw_only=True)
class Translate(LineWork):
    """Translate text, a sentence to a line.

    Examples:
      textseq-translate --model mine                                 type sentences, Ctrl-D ends
      echo "Two dogs play." | textseq-translate --model mine
      textseq-translate --model mine --input talk.en.gz --output talk.de
      textseq-translate --model mine second third --num-beams 10     several models that choose together
      textseq-translate --model mine --num-return-sequences 3        lines of: number ||| text ||| score
      textseq-translate --model mine --alignment pharaoh             text, a tab, 0-0 1-2 2-1
      textseq-translate --model mine --plot-attention look.png
      textseq-translate --list-models

    Every line is translated by itself and gives a line (with --num-return-sequences up to so many); a line without a
    sentence stays empty. White space around a sentence, also the "\\r" of a line end, is no part of it. Of a line
    with more than 20,000 characters, or 2,000 tokens, the beginning is translated, and that is said.
    """

    model: Annotated[tuple[str, ...], arg(metavar="NAME...", help_behavior_hint="")] = ()
    """What translates: a model's folder, a run's name, or a model that ships with textseq (see --list-models). Of
    several, which must have one vocabulary (trained on the same pairs, each with another seed), all choose together."""
    prefix: str = ""
    """How every translation must begin."""
    json: Flag = False
    """Write a JSON object for each line: text, score, tokens, source_tokens, and alignment: pairs of a word of the
    source and a word of the text, from 0. With --num-return-sequences of more than 1 a list of them."""
    alignment: Annotated[Literal["pharaoh"] | None, arg(help_behavior_hint="")] = None
    """Write which words belong together, by the attention: after the text and a tab (after the score and |||, where
    there is one) pairs like 0-1 of a word of the source and a word of the text, counted from 0 between spaces."""
    plot_attention: File = None
    """Draw where the model looked while it translated, of the first line that is not empty, as a PNG whose name ends
    in .png."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, mps, auto (a GPU if there is one)."""
    int8: Flag = False
    """Products in 8 bits: faster, on the CPU only; the words may come out otherwise."""
    list_models: Flag = False
    """Show what can translate here, and exit."""
    version: Flag = False
    """Show the version, and exit."""
    translating: TranslationConfig = field(default_factory=TranslationConfig)


def main() -> None:
    """The entry point."""
    run(PROG, translate)


def translate(arguments: Sequence[str]) -> None:
    """Parse, load, and translate line by line."""
    options = parse(Translate, PROG, arguments)
    if options.list_models:
        print("\n".join(_models()) or "No translators yet; train one with textseq-train.")
        return
    _check(options)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    with options.reading() as lines:
        from textseq.tasks.translation.translator import BUFFER

        translator = _opened(options)
        if (options.alignment or options.plot_attention) and not translator.attends:
            raise TextseqError("--alignment and --plot-attention show the attention, of which this model has none")
        answers = _Answers(translator, options)
        options.answer(
            lines,
            answers,
            unit="sentences",
            prompt=f"{translator.languages[0]}> ",
            usual=BUFFER,
            models=lambda: map(find_model, options.model),
        )
        if answers.picture is not None:
            raise TextseqError(f"--plot-attention wants a sentence to draw, found none in {lines.name}")


def _opened(options: Translate) -> Translator:
    """The models, as one.

    Raises:
        TextseqError: they cannot be had, or do not go together. What stands after a model and is none may have been
            meant as the text.
    """
    from textseq.checkpoints.registry import list_models
    from textseq.tasks.registry import load_translator
    from textseq.tasks.translation.translator import together

    precision: Precision = "int8" if options.int8 else "float32"
    loaded: list[Translator] = []
    for place, name in enumerate(options.model):
        try:
            loaded.append(load_translator(name, device=options.device, precision=precision))
        except TextseqError as error:
            if place == 0 or Path(name).exists() or name in {model.name for model in list_models()}:
                raise
            models, text = shlex.join(options.model[:place]), shlex.quote(" ".join(options.model[place:]))
            raise TextseqError(f"{error}; or, to translate it: echo {text} | {PROG} --model {models}") from None
    return together(loaded) if len(loaded) > 1 else loaded[0]


class _Answers:
    """The translations of sentences, as lines; ``picture`` is what is still to be drawn."""

    def __init__(self, translator: Translator, options: Translate) -> None:
        from textseq.tasks.translation.processing import TruncationLog

        self.translator, self.options = translator, options
        self.picture = options.plot_attention
        self.unfinished = TruncationLog()

    def __call__(self, sentences: Iterable[str], first: int, progress: Callable[[int], object]) -> Iterator[str]:
        """As ``shards.Answers``."""
        from textseq.tasks.translation.translator import BUFFER

        options = self.options
        translations = self.translator.stream(
            sentences,
            attention=self.translator.attends and bool(options.json or options.alignment or self.picture),
            buffer=options.ahead(BUFFER),
            prefix=options.prefix,
            progress=progress,
            first=first + 1,
            unfinished=self.unfinished,
            **{item.name: getattr(options.translating, item.name) for item in fields(options.translating)},
        )
        for number, found in enumerate(translations, start=first):
            yield from _lines(number, found, options)
            best = found[0]
            if self.picture is not None and best.attention is not None:
                from textseq.tasks.translation.plots import attention_heat_map

                attention_heat_map(best.attention, best.source_tokens, best.tokens, self.picture)
                self.picture = None


def _lines(number: int, found: Sequence[Translation], options: Translate) -> Iterator[str]:
    """What is written for a sentence."""
    if options.json:
        records = [_record(one) for one in found]
        unicode = options.output is not None or sys.stdout.encoding.lower().startswith("utf")
        several = options.translating.num_return_sequences > 1
        yield json.dumps(records if several else records[0], ensure_ascii=not unicode)
        return
    for one in found:
        pairs = " ".join(f"{source}-{target}" for source, target in one.alignment()) if options.alignment else ""
        if options.translating.num_return_sequences > 1:
            yield f"{number} ||| {one.text} ||| {one.score:.4f}" + f" ||| {pairs}" * (options.alignment is not None)
        else:
            yield one.text + f"\t{pairs}" * (options.alignment is not None)


def _record(one: Translation) -> dict[str, object]:
    """A translation as JSON has it."""
    return {
        "text": one.text,
        "score": one.score,
        "tokens": one.tokens,
        "source_tokens": one.source_tokens,
        "alignment": None if one.attention is None and one.tokens else one.alignment(),
    }


def _check(options: Translate) -> None:
    """Refuse what makes no sense together, before anything is loaded.

    Raises:
        TextseqError: such flags.
    """
    if not options.model:
        known = ", ".join(model.name for model in _translators())
        some = f"there are {known}" if known else "there is none yet, train one with textseq-train"
        raise TextseqError(f"name a --model that translates: {some} ('{PROG} --list-models' tells more)")
    if options.json and options.alignment:
        raise TextseqError("--json holds the alignment already; leave out --alignment")
    options.check("sentences", {"--plot-attention": options.plot_attention})
    if options.place is not None and options.translating.temperature > 0:
        raise TextseqError(
            "--temperature draws one sentence after the other, and several processes (torchrun) would draw others; "
            "leave it out, or start one process without torchrun"
        )
    if options.plot_attention is not None:
        from textseq.io.files import check_picture

        check_picture(options.plot_attention, "--plot-attention")


def _translators() -> list[ModelEntry]:
    from textseq.checkpoints.registry import list_models

    return list_models("translation")


def _models() -> Iterator[str]:
    """What can translate here, a line each."""
    for model in _translators():
        info = model.info
        scores = (row for row in info.results if row.get("measure") == "BLEU")
        bleu = next((f", BLEU {found:.1f}" for row in scores if isinstance(found := row.get("score"), float)), "")
        languages = f"{info.source_language} to {info.target_language}"
        yield f"{model.name}  {languages}, {info.corpus.title}{bleu} ({model.origin})"


if __name__ == "__main__":
    main()
