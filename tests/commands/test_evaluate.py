"""textseq-evaluate with translators: measures with signatures, two systems compared, every mistake one line."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from textseq.data.pairs import PairDataset, own_pairs
from textseq.metrics.translation import LengthBLEU, bleu_by_length
from textseq.tasks.registry import load_translator
from textseq.tasks.translation.translator import Translator, ensemble_of

Command = Callable[..., tuple[int, str, str]]
SOURCES = ["how are you", "i am here, dear.", "it is so", "a b c d e f g", "one", "and then there were none of them"]
TARGETS = ["un deux trois", "je suis ici.", "c'est comme ca", "a b c d", "un", "et puis il n'y en avait plus"]
QUICK = ["--max-new-tokens", "20"]


@pytest.fixture(autouse=True)
def home(translators: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The translators by name, and a test set beside."""
    monkeypatch.setenv("TEXTSEQ_HOME", str(translators))
    monkeypatch.delenv("TEXTSEQ_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("test.en").write_text("\n".join(SOURCES) + "\n")
    Path("test.fr").write_text("\n".join(TARGETS) + "\n")


@pytest.fixture
def command(command: Command) -> Command:
    """Calls the command in this process; returns exit code, stdout, stderr."""
    return partial(command, "evaluate", "--device", "cpu")


def measured(command: Command, *arguments: str, files: tuple[str, ...] = ("test.en", "test.fr")) -> list[str]:
    code, out, err = command("--pairs", *files, *QUICK, *arguments)
    assert (code, err) == (0, ""), err
    return out.splitlines()


def refused(result: tuple[int, str, str], message: str) -> None:
    """One line on stderr that matches, exit code 2, nothing on stdout."""
    code, out, err = result
    assert (code, out) == (2, ""), result
    assert len(err.splitlines()) == 1 and "Traceback" not in err
    assert re.search(message, err), err


def translations(translator: Translator) -> list[str]:
    return [one.text for one in translator.translate(SOURCES, max_new_tokens=20)]


def test_three_measures_with_their_recipes(command: Command) -> None:
    lines = measured(command, "--model", "mine")
    corpus = own_pairs([Path("test.en"), Path("test.fr")], source_language="en", target_language="fr", validation=0)
    metrics = load_translator("mine").evaluate(corpus, "train", max_new_tokens=20)
    assert lines == [line for one in metrics.scores for line in (str(one), one.signature)]
    assert [line.split()[0] for line in lines[::2]] == ["BLEU", "chrF2", "TER"]
    for signature in lines[1::2]:
        assert signature.startswith(
            "corpus:test.en and test.fr|split:whole|direction:en-fr|tokens:char-joint|models:1|precision:float32|"
            "beams:5|length-penalty:1|max-new-tokens:20|nrefs:1|"
        )


def test_what_was_chosen_stands_in_the_signature(command: Command) -> None:
    flags = ["--num-beams", "2", "--length-penalty", "0.6", "--coverage-penalty", "0.2", "--precision", "int8"]
    lines = measured(command, "--model", "mine", "second", *flags, "--bleu-tokenizer", "intl")
    wanted = "models:2|precision:int8|beams:2|length-penalty:0.6|max-new-tokens:20|coverage-penalty:0.2|"
    assert all(wanted in line for line in lines[1::2])
    assert "|tok:intl|" in lines[1]


def test_translations_of_ones_own_are_perfect(command: Command) -> None:
    measured(command, "--model", "mine", "second", "--write-translations", "out.fr")
    best = Path("out.fr").read_text().splitlines()
    assert best == translations(ensemble_of([load_translator("mine"), load_translator("second")]))
    lines = measured(command, "--model", "mine", "second", files=("test.en", "out.fr"))
    assert [line.split(" (")[0] for line in lines[2::2]] == ["chrF2 100.00", "TER 0.00"]


def test_all_references_of_a_sentence_count(command: Command) -> None:
    """Each different source is translated once; a second reference that is the translation makes it perfect."""
    measured(command, "--model", "mine", "--write-translations", "out.fr")
    sources, references, best = (Path(name).read_text().splitlines() for name in ("test.en", "test.fr", "out.fr"))
    for name, lines in (("two.en", sources + sources), ("two.fr", references + best)):
        Path(name).write_text("".join(f"{line}\n" for line in lines))
    flags = ["--model", "mine", "--write-translations", "once.fr"]
    lines = measured(command, *flags, "--all-references", files=("two.en", "two.fr"))
    assert lines[4].startswith("TER 0.00") and "|references:all|" in lines[5]
    assert len(Path("once.fr").read_text().splitlines()) == len(set(sources))
    assert not measured(command, *flags, files=("two.en", "two.fr"))[4].startswith("TER 0.00")


def test_long_sentences_are_measured_too(command: Command) -> None:
    Path("long.en").write_text("ab " * 400 + "\n")
    Path("long.fr").write_text("ab " * 400 + "\n")
    assert len(measured(command, "--model", "mine", files=("long.en", "long.fr"))) == 6
    Path("long.en").write_text("ab " * 7000 + "\n")
    refused(
        command("--pairs", "long.en", "long.fr", "--model", "mine"), "with a sentence of more than 20,000 characters"
    )


def test_a_model_that_was_trained_on_the_pairs_is_named(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    files, sizes = ["--pairs", "test.en", "test.fr"], "--embedding-size 8 --encoder-size 8 --hidden-size 16"
    flags = f"--name taught --tokenizer char --validation 0 --max-steps 1 --seed 1 {sizes}".split()
    with pytest.raises(SystemExit, match="0"):
        importlib.import_module("textseq.cli.train").main([*files, *flags])
    load_translator("taught").save("copy")  # which does not say what it was trained on
    note = f"was trained on {Path('test.en').resolve()}: metrics on it say little about new texts\n"
    for models in (["taught"], ["copy", "--compare", "taught"], ["taught", "copy"]):
        code, _, err = command(*files, *QUICK, "--model", *models)
        assert code == 0 and err.count(note) == 1 and "runs/taught/" in err and "copy was" not in err, err
    Path("other.en").write_text("one\n")
    assert "was trained on" not in command("--pairs", "other.en", "test.fr", *QUICK, "--model", "taught")[2]


def test_two_models_are_compared(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, Sequence[LengthBLEU]] = {}
    monkeypatch.setattr(
        "textseq.tasks.translation.plots.bleu_by_length_plot", lambda series, path: drawn.update(series)
    )
    Path("best.fr").write_text("\n".join(translations(load_translator("mine"))))
    flags = ["--model", "mine", "--compare", "second", "--plot-length", "length.png"]
    lines = measured(command, *flags, files=("test.en", "best.fr"))
    assert [line for line in lines if line.endswith(":")] == ["mine:", "second:", "second -> mine:"]
    mine, second, both = lines[1:7:2], lines[8:14:2], lines[15:21:2]
    assert mine[1].startswith("chrF2 100.00")
    assert second == measured(command, "--model", "second", files=("test.en", "best.fr"))[::2]
    scores = [float(of[1].split()[1]) for of in (second, mine)]
    found = re.fullmatch(r"chrF2 (\S+) -> (\S+) \((\S+), p = (\d\.\d{3})\)", both[1])
    assert found and [float(found[1]), float(found[2])] == scores
    assert float(found[3]) == pytest.approx(100 - scores[0], abs=0.011) and float(found[4]) < 0.05
    recipe, metric = lines[2].split("|nrefs:")
    assert recipe.startswith("corpus:test.en and best.fr|split:whole|direction:en-fr|tokens:")
    assert lines[16] == f"{recipe}|baseline:second|system:mine|nrefs:{metric}"
    for name, translator in (("mine", load_translator("mine")), ("second", load_translator("second"))):
        best = Path("best.fr").read_text().splitlines()
        assert drawn[name] == bleu_by_length(SOURCES, translations(translator), best)
    assert list(drawn) == ["mine", "second"] and drawn["mine"] != drawn["second"]


def test_translations_of_others_are_compared(command: Command) -> None:
    measured(command, "--model", "mine", "--write-translations", "theirs.txt")
    lines = measured(command, "--model", "mine", "--compare-translations", "theirs.txt", "--plot-length", "length.png")
    assert lines[1:7:2] == lines[8:14:2]
    assert "split:whole|translations:theirs.txt|nrefs:1" in lines[9]
    assert lines[14] == "theirs.txt -> mine:"
    assert all(line.endswith("(+0.00, p = 1.000)") for line in lines[15:21:2])
    assert Path("length.png").read_bytes().startswith(b"\x89PNG")
    Path("theirs.txt").write_text("one\ntwo\n")
    flags = ["--pairs", "test.en", "test.fr", "--model", "mine", "--compare-translations", "theirs.txt"]
    refused(command(*flags), "expected one line for each of 6 sentences, got 2 in theirs.txt")
    Path("theirs.txt").write_bytes(b"one\ncaf\xe9\n")
    refused(command(*flags), "line 2 of theirs.txt is not utf-8 text")


def test_systems_are_drawn_under_the_ends_of_their_paths(
    command: Command, translators: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Sequence[LengthBLEU]] = {}
    monkeypatch.setattr(
        "textseq.tasks.translation.plots.bleu_by_length_plot", lambda series, path: drawn.update(series)
    )
    place = str(translators / "runs" / "mine")
    flags = ["--num-beams", "1", "--plot-length", "length.png"]
    measured(command, "--model", place, *flags)
    assert list(drawn) == ["runs/mine"]
    drawn.clear()
    Path("mine").write_text("one\n" * len(SOURCES))  # a file that is called as the model
    lines = measured(command, "--model", "mine", "--compare-translations", "mine", *flags)
    assert list(drawn) == ["mine", f"{Path.cwd().name}/mine"]
    assert [line for line in lines if line.endswith(":")][:2] == ["mine:", f"{Path('mine').resolve()}:"]


def test_one_model_by_two_names_is_not_compared(command: Command, translators: Path) -> None:
    place = str(translators / "runs" / "mine")
    refused(
        command("multi30k", "--model", "mine", "--compare", place), "--compare: expected another model, got the same"
    )


def test_the_model_chooses_the_direction(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def load_pairs(name: str, *, source: str, target: str, **rest: object) -> PairDataset:
        asked.append({"name": name, "source": source, "target": target, **rest})
        pairs = list(zip(SOURCES, TARGETS, strict=True))
        parts = {"validation": pairs[:1], "test": pairs[:2], "test_2017_flickr": pairs}
        return PairDataset(
            name=name, title="", purpose="", fingerprint="", contents=parts,
            source_language=source, target_language=target,
        )  # fmt: skip

    monkeypatch.setattr("textseq.data.sources.pairs.load_pairs", load_pairs)
    code, out, _ = command("multi30k", "--model", "mine", *QUICK)
    assert code == 0 and "corpus:multi30k|split:test|direction:en-fr" in out
    code, out, _ = command("multi30k", "--model", "back", "--split", "test_2017_flickr", "--download", *QUICK)
    assert code == 0 and "corpus:multi30k|split:test_2017_flickr|direction:fr-en" in out
    assert asked == [
        {"name": "multi30k", "source": "en", "target": "fr", "data_dir": None, "download": False},
        {"name": "multi30k", "source": "fr", "target": "en", "data_dir": None, "download": True},
    ]
    refused(
        command("multi30k", "--model", "mine", "--source", "de"), "translates en to fr, got de to fr; use --source en"
    )
    refused(
        command("multi30k", "--model", "nameless"), "does not know its languages; name them with --source and --target"
    )
    code, out, _ = command("multi30k", "--model", "nameless", "--source", "de", "--target", "cs", *QUICK)
    assert code == 0 and "direction:de-cs" in out


def test_ones_own_pairs_in_columns(command: Command) -> None:
    rows = [f"{number}\t{pair[1]}\t{pair[0]}" for number, pair in enumerate(zip(SOURCES, TARGETS, strict=True))]
    Path("test.tsv").write_text("\n".join(["id\ttarget\tsource", *rows, "7\tempty\t"]) + "\n")
    columns = ["--source-column", "source", "--target-column", "target"]
    refused(
        command("--pairs", "test.tsv", "--model", "mine", *columns), "1 of 7 lines with an empty text.*--empty drop"
    )
    code, out, err = command("--pairs", "test.tsv", *QUICK, "--model", "mine", *columns, "--empty", "drop")
    assert (code, err) == (0, "Dropped from test.tsv: 1 of 7 lines with an empty text (line 8).\n")
    assert out.splitlines()[::2] == measured(command, "--model", "mine")[::2]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--model mine", "nothing to evaluate on; name a corpus before the flags .*--pairs for a translator"),
        ("--model mine multi30k", "nothing to evaluate on; name a corpus before the flags"),
        ("--model mine --compare second multi30k", "nothing to evaluate on; name a corpus before the flags"),
        ("--model mine test.en test.fr", "nothing to evaluate on; .* --pairs for a translator"),
        ("test.en --model mine", "test.en is a file, not a corpus; for your own files use --pairs"),
        ("test.en --model shakespeare", "test.en is a file, not a corpus; for your own files use --text"),
        ("multi30k --model mine --compare", r"--compare: expected a value \(MODEL...\), got"),
        (
            "tatoeba-pol-eng --model mine",
            "corpus 'tatoeba-pol-eng' has .*pl.*, and the model translates en to fr; name another corpus",
        ),
        ("multi30k --model mine --pairs test.en test.fr", "either a corpus or --pairs, not both"),
        ("--pairs test.en test.fr", "--model: expected the name of a model, got nothing; .*--list-models"),
        ("--pairs test.en --model mine", "two aligned text files"),
        ("--pairs test.en nowhere --model mine", "no file nowhere"),
        (
            "--pairs test.en test.fr --model mine --split test",
            "--split is for a corpus, and --pairs is evaluated as a whole",
        ),
        ("--text test.en --model mine", "--text is for language models, and mine is a translator"),
        ("multi30k --model mine --window 3", "--window is for language models, and mine is a translator"),
        ("shakespeare --model shakespeare --dynamic --streams 4", "--streams: expected none with --dynamic, .* got 4"),
        (
            "shakespeare --model shakespeare --cache --cache-lambda 1",
            "--cache-lambda: expected .* less than 1, got 1.0",
        ),
        ("shakespeare --model shakespeare --cache-size 9", "--cache-size is for --cache; add that, or leave it out"),
        ("multi30k --model mine --dynamic", "--dynamic is for language models, and mine is a translator"),
        ("multi30k --model mine --streams 0", "--streams: expected at least 1, got 0"),
        (
            "shakespeare --model shakespeare --num-beams 3",
            "--num-beams is for translators, and shakespeare is a language model",
        ),
        ("multi30k --model mine --int8", "unknown flag --int8; use --precision int8"),
        ("multi30k --model mine --part test", "unknown flag --part; use --split"),
        ("shakespeare --model shakespeare tolstoy", "--model: expected a language model, got 2; leave some out"),
        ("shakespeare --model mine", "'shakespeare' is for language-model; corpora of pairs are multi30k"),
        ("multi30k --model shakespeare", "'multi30k' is for translation; corpora of texts are austen, "),
        ("multi30k --model mine shakespeare", r"got mine \(a translator\), shakespeare \(a language model\)"),
        ("multi30k --model mine --compare shakespeare", r"got mine \(a translator\), shakespeare \(a language model\)"),
        (
            "multi30k --model mine --compare mine",
            "--compare: expected another model, got the same; .*--write-translations",
        ),
        ("multi30k --model mine --compare back", "same languages, got en to fr and fr to en"),
        ("multi30k --model mine --compare x --compare-translations y", "unknown model 'x'"),
        ("multi30k --model mine --compare back --compare-translations y", "not both"),
        ("multi30k --model mine --compare-translations .", r"--compare-translations: expected a file, got \."),
        ("multi30k --model mine --bleu-tokenizer 13", "unknown value of --bleu-tokenizer '13'; did you mean '13a'"),
        ("multi30k --model mine --num-return-sequences 2", "one translation of each sentence is evaluated"),
        ("multi30k --model mine second --compare second mine", "--compare: expected another model, got the same"),
        ("multi30k --model mine --plot-length .", "--plot-length: expected a file to write"),
        (
            "multi30k --model mine --plot-length new/a.png",
            "--plot-length: expected a file in an existing folder, .*new; create",
        ),
        (
            "multi30k --model mine --write-translations new/a",
            "--write-translations: expected a file in an existing folder",
        ),
        ("multi30k --model mine --plot-length a.pdf", r"--plot-length is .* ends in \.png, got \.pdf in a\.pdf"),
        ("multi30k --model mine --plot-length a", r"--plot-length is .* ends in \.png, got no ending in a"),
        ("--pairs test.en test.fr --model mine --write-translations test.fr", "would overwrite test.fr"),
        ("multi30k --model mine --write-translations a --plot-length a", "would overwrite a"),
        ("multi30k --model mine", "multi30k.*--download|--download.*multi30k"),
        ("multi30k --model mone", "unknown model 'mone'; did you mean 'mine'"),
    ],
)
def test_what_makes_no_sense_is_refused(command: Command, flags: str, message: str) -> None:
    refused(command(*flags.split()), message)
    assert {path.name for path in Path().iterdir()} == {"test.en", "test.fr"}


def test_scores_and_comparisons_as_json(command: Command) -> None:
    lines = measured(command, "--model", "mine")
    records = [json.loads(line) for line in measured(command, "--model", "mine", "--compare", "second", "--json")]
    assert [(record["name"], record["measure"]) for record in records[:3]] == [
        ("mine", "BLEU"), ("mine", "chrF2"), ("mine", "TER")
    ]  # fmt: skip
    assert lines[0].startswith(f"BLEU {records[0]['score']:.2f} ") and lines[1] == records[0]["signature"]
    assert [record["name"] for record in records[3:]] == ["second"] * 3 + ["second -> mine"] * 3
    assert all("p_value" in record for record in records[6:])
