"""textseq-tag: the tag of each word of each line, from the command line, stdin or a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

from textseq.commands.command import parse, run
from textseq.commands.line_io import LineOptions
from textseq.errors import TextseqError

PROG = "textseq-tag"


@dataclass(frozen=True, kw_only=True)
class Tag(LineOptions):
    """Tag the words of sentences, one sentence per line.

    Examples:
      textseq-tag                                               type sentences, Ctrl-D ends
      textseq-tag "Time flies." --model english-pos             Time/NOUN flies/VERB ./.
      echo "Time flies." | textseq-tag --model english-pos
      textseq-tag --model mine --input text.txt.gz --output tagged.txt
      textseq-tag --model mine --words spaces < tokenized.txt   words are what stands between spaces
      textseq-tag --model mine --json < text.txt                words, tags, their probabilities, and spans
      textseq-tag --model mine --conll < text.txt               a word and its tag per line
      textseq-tag --list-models

    Each line gives a line: every word followed by a slash and its tag, or only the tags if the model is not aligned
    with words (ctc), such as the sounds of a word. Lines are cut after 20,000 characters, with a warning.
    """

    task: ClassVar[str] = "tagging"

    words: Literal["nltk", "spaces"] = "nltk"
    """How to split words: by NLTK's Treebank rules ("don't," becomes do n't ,), or at white space only, for text that
    is already tokenized."""
    num_beams: int = 10
    """For models that are not aligned with words (ctc): sequences kept by the beam search; 1 takes the most likely
    path, which is fastest."""
    json: bool = False
    """Write a JSON object per line: words, tags, the probability of each tag, and the spans that the tags mark, such as
    named entities: kind, first character and the one after the last in the line, and text."""
    conll: bool = False
    """Write a word, a tab and its tag per line, and an empty line after each sentence."""


def tag(arguments: Sequence[str]) -> None:
    """Parse, load, and tag line by line."""
    options = parse(Tag(), PROG, arguments).with_text()
    model = options.single_model(PROG)
    options = replace(options, model=(model,))
    options.check("sentences", {})
    if options.num_beams < 1:
        raise TextseqError(f"--num-beams: expected at least 1, got {options.num_beams}")
    if options.json and options.conll:
        raise TextseqError("--json and --conll are two formats; leave one out")
    with options.reading() as lines:
        from textseq.tasks.label_predictor import BUFFER
        from textseq.tasks.registry import load_tagger
        from textseq.tasks.tagging.tagger import CHARACTERS

        tagger = load_tagger(model, device=options.device, precision=options.precision)
        if options.conll and not tagger.aligned:
            raise TextseqError(f"--conll needs a model that tags words, got {model}; leave it out, or use --json")

        def answers(texts: Iterable[str], first: int, progress: Callable[[int], object]) -> Iterator[str]:
            for tagging in tagger.stream(
                texts, words=options.words, num_beams=options.num_beams, buffer=options.ahead(BUFFER), progress=progress
            ):
                if options.json:
                    yield options.to_json(tagging.to_dict())
                else:
                    yield tagging.to_conll() if options.conll else str(tagging)

        options.answer(lines, answers, unit="sentences", prompt="text> ", usual=BUFFER, characters=CHARACTERS)


main = partial(run, PROG, tag)

if __name__ == "__main__":
    main()
