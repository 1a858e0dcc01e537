"""textseq-tag: the tag of every word of every line, from stdin or a file."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from textseq.checkpoints.registry import find_model, list_models
from textseq.commands.command import parse, run
from textseq.commands.line_io import Flag, LineWork, told_apart
from textseq.errors import TextseqError

PROG = "textseq-tag"


@dataclass(frozen=True, kw_only=True)
class Tag(LineWork):
    """Tag the words of sentences, a sentence to a line.

    Examples:
      textseq-tag --model treebank                              type sentences, Ctrl-D ends
      echo "Time flies." | textseq-tag --model treebank         Time/NOUN flies/VERB ./.
      textseq-tag --model mine --input text.txt.gz --output tagged.txt
      textseq-tag --model mine --words spaces < tokenized.txt   what stands between spaces is a word
      textseq-tag --model mine --json < text.txt                words, tags and how sure each is
      textseq-tag --list-models

    Every line gives a line, an empty one an empty one: each word with a slash and its tag after it; or the tags alone,
    where the model writes a sequence of its own (ctc), such as the sounds of a word. Of a line with more
    than 20,000 characters the beginning is read, and that is said.
    """

    model: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """What tags: a model's folder, a run's name, or a model that ships with textseq (see --list-models)."""
    words: Literal["nltk", "spaces"] = "nltk"
    """Words and marks as NLTK's Treebank rules part them ("don't," is do n't ,), or all that stands between white space
    as one word, for text that was tokenized before."""
    num_beams: Annotated[int, arg(help_behavior_hint="(default: 10)")] = 10
    """With a model of sequences that are not aligned with the text (ctc): sequences that the search keeps; 1 takes the
    likeliest path, which is quick."""
    json: Flag = False
    """Write a JSON object for each line: words, tags, and the probability of each tag."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, mps, auto (a GPU if there is one)."""
    list_models: Flag = False
    """Show what can tag here, and exit."""
    version: Flag = False
    """Show the version, and exit."""


def main() -> None:
    """The entry point."""
    run(PROG, tag)


def tag(arguments: Sequence[str]) -> None:
    """Parse, load, and tag line by line."""
    options = parse(Tag, PROG, arguments)
    if options.list_models:
        print("\n".join(map(told_apart, list_models("tagging"))) or "No taggers yet; train one with textseq-train.")
        return
    if options.model is None:
        known = ", ".join(model.name for model in list_models("tagging"))
        some = f"there are {known}" if known else "there is none yet, train one with textseq-train"
        raise TextseqError(f"name a --model that tags: {some} ('{PROG} --list-models' tells more)")
    options.check("sentences", {})
    if options.num_beams < 1:
        raise TextseqError(f"--num-beams must be at least 1, found {options.num_beams}")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    with options.reading() as lines:
        from textseq.tasks.registry import load_tagger
        from textseq.tasks.tagging.tagger import BUFFER, CHARACTERS

        tagger = load_tagger(options.model, device=options.device)
        unicode = options.output is not None or sys.stdout.encoding.lower().startswith("utf")

        def answers(texts: Iterable[str], first: int, progress: Callable[[int], object]) -> Iterator[str]:
            for one in tagger.stream(
                texts,
                words=options.words,
                num_beams=options.num_beams,
                buffer=options.ahead(BUFFER),
                progress=progress,
            ):
                record = {"words": one.words, "tags": one.tags, "probabilities": one.probabilities}
                yield json.dumps(record, ensure_ascii=not unicode) if options.json else str(one)

        options.answer(
            lines,
            answers,
            unit="sentences",
            prompt="text> ",
            usual=BUFFER,
            characters=CHARACTERS,
            models=lambda: [find_model(str(options.model))],
        )


if __name__ == "__main__":
    main()
