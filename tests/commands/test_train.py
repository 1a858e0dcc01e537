"""textseq-train as a user meets it with translators: the task follows from what is named, and its flags with it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
from configs import edit_config

import textseq
from textseq.config.base import Settings
from textseq.config.recipes import TrainingRecipe, read_recipe, recipes
from textseq.data.corpora.catalog import list_corpora
from textseq.data.sources import DataSource
from textseq.tasks import run as runs
from textseq.tasks.classification import cross_validation
from textseq.tasks.classification.config import ClassifierConfig, LabelledConfig
from textseq.tasks.language_model.config import LanguageModelConfig
from textseq.tasks.task import Task
from textseq.tasks.translation.config import PairConfig, TranslationModelConfig
from textseq.tasks.translation.translator import Translator

TINY = ["--embedding-size", "8", "--encoder-size", "8", "--hidden-size", "12", "--attention-size", "6"]
SHORT = ["--tokenizer", "char", "--batch-size", "8", "--max-steps", "3"]
TRAIN = {"translation": "train_translator", "classification": "train_classifier", "tagging": "train_tagger"}

Result = tuple[int, str, str]
Command = Callable[..., Result]


@pytest.fixture
def command(command: Command, empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Calls the command in this process, with an empty home; returns exit code, stdout, stderr."""
    monkeypatch.setenv("TEXTSEQ_HOME", str(empty_home / "home"))
    return partial(command, "train")


@pytest.fixture
def asked(command: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, object]]:
    """Calls the command and returns what it asked the library to do, which is not done."""

    def call(*arguments: str | Path) -> dict[str, object]:
        calls: list[dict[str, object]] = []

        def train(task: Task, source: object, **options: object) -> None:
            calls.append({"task": task.name, "source": source, **options})

        def train_classifiers(source: object, **options: object) -> None:
            calls.append({"task": "several classifiers", "source": source, **options})

        monkeypatch.setattr(runs, "train", train)
        monkeypatch.setattr(cross_validation, "train_classifiers", train_classifiers)
        code, _, err = command(*arguments)
        assert code == 0, err
        return calls[0]

    return call


@pytest.fixture
def pairs(tmp_path: Path) -> list[Path]:
    """Two aligned files."""
    dice = random.Random(3)
    lines = ["".join(dice.choices("abc", k=dice.randint(2, 5))) for _ in range(80)]
    files = [tmp_path / "mine.en", tmp_path / "mine.de"]
    for file, side in zip(files, (lines, [line.upper() for line in lines]), strict=True):
        file.write_text("\n".join(side) + "\n", encoding="utf-8")
    return files


@pytest.fixture
def trained(command: Command, pairs: list[Path], tmp_path: Path) -> Path:
    """A translator's run, hardly trained."""
    code, _, err = command("--pairs", *pairs, "--source", "en", "--target", "de", *TINY, *SHORT)
    assert code == 0, err
    return tmp_path / "home" / "runs" / "mine"


def refused(result: Result, message: str) -> None:
    """One line on stderr that matches, exit code 2, nothing on stdout."""
    code, out, err = result
    assert (code, out) == (2, ""), err
    assert len(err.splitlines()) == 1, err
    assert re.search(message, err), err


# What is done


def test_from_pairs_to_a_translator(command: Command, trained: Path) -> None:
    translator = textseq.load(trained)
    assert isinstance(translator, Translator)
    assert (translator.info.source_language, translator.info.target_language) == ("en", "de")
    assert "textseq-translate --model mine" in (trained / "README.md").read_text()
    code, _, err = command("--resume", "mine", "--max-steps", "5", "--evaluate-every", "2")
    assert code == 0, err
    assert "step 4: validation" in err and "BLEU" in err
    assert textseq.load(trained).info.step in (4, 5)
    other = trained.parents[2] / "other.tsv"
    other.write_text("".join(f"a{n} b\tB a{n}\n" for n in range(60)), encoding="utf-8")
    code, _, err = command("--pairs", other, "--from", "mine", "--name", "further", *SHORT)
    assert code == 0, err
    assert "; its tokenizer is kept; your data add " in err
    code, _, err = command("--pairs", other, "--from", "mine", "--name", "new", "--new-vocabulary", *SHORT)
    assert code == 0 and "tokens are known there" in err, err
    for flags, has in ((["--tokenizer", "word"], "char, got word"), (["--no-lowercase"], None), (["--lowercase"], "F")):
        result = command("--pairs", other, "--from", "mine", "--name", "x", *flags, "--max-steps", "1")
        if has is None:
            assert result[0] == 0, result
        else:
            refused(result, f"{flags[0]}: the tokenizer of mine has {has}.*keeps the tokenizer, or add --new-vocab")
    refused(
        command("--pairs", other, "--name", "y", "--new-vocabulary"), "--new-vocabulary: expected --from MODEL, got"
    )


def task_of(recipe: TrainingRecipe) -> str:
    """What a recipe trains."""
    (corpus,) = (corpus for corpus in list_corpora() if corpus.name == recipe["corpus"].split("+")[0])
    kinds = {"translation": corpus.languages, "classification": corpus.labels, "tagging": corpus.task == "tagging"}
    return recipe.get("task") or next((task for task, fits in kinds.items() if fits), "language-model")


def put_model(folder: Path, name: str) -> None:
    """What a recipe makes, as far as a command line looks at it."""
    recipe = read_recipe(name)
    kind = {
        "language-model": LanguageModelConfig,
        "classification": ClassifierConfig,
        "translation": TranslationModelConfig,
    }
    model = kind[task_of(recipe)](**recipe.get("model", {})).to_dict()
    facts = {"task": task_of(recipe), "model": model, "data": recipe.get("data", {})}
    (folder / "runs" / name).mkdir(parents=True)
    (folder / "runs" / name / "config.json").write_text(json.dumps(facts))


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_is_what_is_asked_for(asked: Callable[..., dict[str, object]], name: str, tmp_path: Path) -> None:
    recipe = read_recipe(name)
    if "from" in recipe:
        put_model(tmp_path / "home", recipe["from"])
    found, task = asked("--recipe", name), task_of(recipe)
    source = found["source"]
    assert isinstance(source, DataSource)
    assert (found["task"], source.corpus) == (task, recipe["corpus"])
    if isinstance(source, textseq.PairData):
        assert (source.source, source.target) == (recipe["source"], recipe["target"])
    assert found["init_from"] == recipe.get("from")
    tables = recipe.get("model", {}), recipe.get("data", {}), recipe.get("training", {})
    for part, table in zip(("model", "data", "training"), tables, strict=True):
        settings = found[part]
        assert isinstance(settings, Settings)
        plain = json.loads(json.dumps(settings.to_dict()))
        assert {key: plain[key] for key in table} == table


def test_a_recipe_begins_with_a_model_of_its_own_unless_another_is_named(
    asked: Callable[..., dict[str, object]], command: Command, tmp_path: Path
) -> None:
    refused(
        command("--recipe", "imdb"),
        "recipe imdb starts from the model 'imdb-lm' .* train that first: textseq-train --recipe imdb-lm",
    )
    put_model(tmp_path / "home", "imdb-lm")
    (tmp_path / "home" / "runs" / "imdb-lm").rename(tmp_path / "home" / "runs" / "mine")
    found = asked("--recipe", "imdb", "--from", "mine")
    model, batching = found["model"], found["data"]
    assert isinstance(model, ClassifierConfig) and isinstance(batching, LabelledConfig)
    assert found["init_from"] == "mine" and model.hidden_size == 512 and batching.lowercase
    refused(command("--recipe", "imdb", "--from", "other"), "unknown model 'other'")


@pytest.mark.parametrize("flag", ["--from", "--distil-from"])
def test_the_tokenizer_of_a_recipe_gives_way_to_one_that_is_kept(
    flag: str, asked: Callable[..., dict[str, object]], trained: Path, pairs: list[Path], tmp_path: Path
) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[data]\ntokenizer = "word"\nvocabulary_size = 100\nbatch_size = 7\n', encoding="utf-8")
    data = asked("--pairs", *pairs, "--recipe", recipe, flag, "mine")["data"]
    assert isinstance(data, PairConfig)
    assert (data.tokenizer, data.vocabulary_size, data.batch_size) == ("char", PairConfig().vocabulary_size, 7)
    new = asked("--pairs", *pairs, "--recipe", recipe)["data"]
    assert isinstance(new, PairConfig) and new.tokenizer == "word"


@pytest.mark.parametrize(
    ("arguments", "corpus", "direction", "pairs"),
    [
        (["multi30k"], "multi30k", (None, None), ()),
        (["--name", "shakespeare", "multi30k", "--source", "de"], "multi30k", ("de", None), ()),
        (["--download", "multi30k", "--target=fr"], "multi30k", (None, "fr"), ()),
        (["--task", "translation", "multi30k"], "multi30k", (None, None), ()),
        (["--pairs", "a", "b", "--source", "en"], None, ("en", None), ("a", "b")),
        (["--recipe", "multi30k-en-de", "--target", "fr"], "multi30k", ("en", "fr"), ()),
        (["--recipe", "multi30k-en-de", "multi30k"], "multi30k", ("en", "de"), ()),
        (["--recipe", "multi30k-en-de", "tatoeba-fra-eng"], "tatoeba-fra-eng", (None, None), ()),
        (["tatoeba-fra-eng+phrases-en-fr"], "tatoeba-fra-eng+phrases-en-fr", (None, None), ()),
        (["--recipe", "multi30k-en-de", "multi30k+multi30k"], "multi30k+multi30k", (None, None), ()),
        (["--recipe", "multi30k-en-de", "--pairs", "a.tsv"], None, (None, None), ("a.tsv",)),
    ],
)
def test_the_task_and_the_pairs_follow_from_what_is_named(
    asked: Callable[..., dict[str, object]],
    arguments: Sequence[str],
    corpus: str | None,
    direction: tuple[str | None, str | None],
    pairs: tuple[str, ...],
) -> None:
    found = asked(*arguments)
    origin = found["source"]
    assert isinstance(origin, textseq.PairData)
    assert found["task"] == "translation"
    assert (origin.corpus, (origin.source, origin.target), origin.pairs) == (corpus, direction, pairs)
    if "--recipe" in arguments:
        model = found["model"]
        assert isinstance(model, textseq.TranslationModelConfig)
        assert model.embedding_dropout == 0.2


def test_every_flag_arrives(asked: Callable[..., dict[str, object]], tmp_path: Path) -> None:
    given = "--pairs a.tsv --validation-pairs b.tsv --source-column x --target-column y --encoding latin-1 --empty drop"
    given += " --overlong drop --longest-sentence 9 --unreadable drop --validation 0.1 --source s --target t"
    given += " --attention general --vocabulary separate --tie-embeddings none --best-by bleu --overwrite --name n"
    found = asked(*given.split())
    origin, model, batching, training = (found[part] for part in ("source", "model", "data", "training"))
    assert isinstance(origin, textseq.PairData)
    assert asdict(origin) == {
        "pairs": ("a.tsv",),
        "validation_pairs": ("b.tsv",),
        "source_column": "x",
        "target_column": "y",
        "encoding": "latin-1",
        "empty": "drop",
        "overlong": "drop",
        "longest_sentence": 9,
        "unreadable": "drop",
        "validation": 0.1,
        "source": "s",
        "target": "t",
        "corpus": None,
    }
    assert isinstance(model, textseq.TranslationModelConfig)
    assert isinstance(batching, textseq.PairConfig)
    assert isinstance(training, textseq.TranslatorTrainingConfig)
    assert (model.attention, model.tie_embeddings, batching.vocabulary) == ("general", "none", "separate")
    assert (training.best_by, found["overwrite"], found["name"]) == ("bleu", True, "n")


def test_help_shows_the_flags_of_the_task(command: Command) -> None:
    writers, translators = command("--help-all")[1], command("--task", "translation", "--help-all")[1]
    assert "textseq-train --task translation --help" in writers
    assert "textseq-train --task language-model --help" in translators
    for flag, here in (("--text", writers), ("--reset-probability", writers), ("--pairs", translators)):
        assert flag in here
    for flag in ("--attention", "--subword-sampling", "--label-smoothing", "--source-column", "--overlong"):
        assert f"{flag} " in translators
        assert f"{flag} " not in writers
    assert "--stride" not in translators
    assert "(default: 0.2)" in command("--recipe", "tatoeba-en-fr", "--help-all")[1]  # the recipe's dropout


@pytest.mark.parametrize(
    ("line", "whose"),
    [
        *((f"--recipe {name}", None) for name in recipes()),
        ("--recipe tatoeba-en-fr", "Train a translator."),  # whose first step is not there
        ("--from nobody --pairs a.tsv", "Train a translator."),
        ("--recipe nowhere", None),
        ("--task nothing", None),
        ("--text a --pairs b", None),
        ("--recipe", None),
    ],
)
def test_help_is_printed_whatever_else_is_wrong(command: Command, line: str, whose: str | None) -> None:
    code, out, err = command(*line.split(), "--help")
    assert (code, err) == (0, "") and out.startswith("usage: textseq-train")
    assert whose is None or whose in out


def test_recipes_of_both_tasks_are_listed(command: Command) -> None:
    listed = command("--list-recipes")[1]
    for name in ("tatoeba-en-fr", "multi30k-en-de", "tinyshakespeare"):
        assert f"{name}  " in listed


def test_one_learns_to_write_from_labelled_texts_too(asked: Callable[..., dict[str, object]]) -> None:
    assert asked("imdb")["task"] == "classification"
    assert asked("imdb", "--folds", "3")["task"] == "several classifiers"
    found = asked("imdb", "--task", "language-model", "--hidden-size", "9")
    assert found["task"] == "language-model" and found["source"] == textseq.TextData(corpus="imdb")


# What cannot be done


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "translation"], "name a corpus, or your own files with --pairs; 'textseq-train --list-"),
        (
            ["tinyshakespeare", "--task", "translation"],
            "--task translation asks for a translator, corpus 'tinyshakespeare' for a language model; leave one of "
            "them",
        ),
        (["multi30k", "--task", "language-model"], "--task language-model asks for .*, corpus 'multi30k' for"),
        (["--text", "a", "--pairs", "b"], "--text asks for a language model, --pairs for a translator; leave one of"),
        (["--text", "a", "--pairs", "b", "--labelled", "c"], "--text asks for a language model, --pairs for a transl"),
        (["tinyshakespeare", "--source", "en"], "corpus 'tinyshakespeare' asks for .*, --source for a translator"),
        (["multi30k", "--recipe", "tinyshakespeare"], "--recipe tinyshakespeare asks for .*, corpus 'multi30k' for"),
        (["--recipe", "multi30k-en-fr", "--text", "a"], "--recipe multi30k-en-fr asks for a translator, --text for"),
        (["multi30k", "--pairs", "a", "b"], "name a corpus or give your own files with --pairs, one of the two"),
        (["multi30k", "--source", "xx"], "unknown language of corpus 'multi30k': 'xx'; known: cs, de, en, fr"),
        (["multi30k", "--source", "en", "--target", "en"], "expected two languages .*, got 'en' twice"),
        (["multi30k"], r"multi30k.*--download"),
        (["--pairs", "missing.en", "missing.de"], r"no file \S*missing\.en"),
        (["--pairs", "mine.en"], "two aligned|tab|one .tsv"),
        (["--pairs", "mine.en", "mine.de", "mine.en"], "two aligned"),
        (["--pairs", "mine.en", "mine.de", "--encoding", "utf-9"], "unknown encoding 'utf-9'"),
        (["--pairs", "mine.en", "mine.de", "--validation", "0.9"], "--validation: expected at least 0 and at most 0.5"),
        (["--pairs", "mine.en", "mine.de", "--longest-sentence", "1"], "longer than 1 character|1 char"),
        (["--pairs", "mine.en", "mine.de", "--hidden-size", "0"], "--hidden-size: expected at least 1, got 0"),
        (["--pairs", "mine.en", "mine.de", "--attention", "dot", "--hidden-size", "9"], "--attention dot: expected"),
        (["--pairs", "mine.en", "mine.de", "--subword-sampling", "1", "--tokenizer", "char"], "--subword-sampling"),
        (["--pairs", "mine.en", "mine.de", "--vocabulary", "separate"], "--vocabulary separate: expected"),
        (["--pairs", "mine.en", "mine.de", "--device", "cuda:99", "--tokenizer", "char"], "--device cuda:99 cannot be"),
        (["--pairs", "mine.en", "mine.de", "--name", "a/b"], "--name: expected .*without slashes, got 'a/b'"),
        (["--pairs", "mine.en", "mine.de", "--from", "nobody"], "unknown model 'nobody'"),
        (["mine.en"], "mine.en is a file, not a corpus; use --text mine.en$"),
        (["mine.en", "mine.de"], "not a corpus; use --pairs mine.en mine.de$"),
        (["."], "a folder, not a corpus; use --text . or --labelled .$"),
        (["--pairs", "mine.en", "mine.de", "--recipe", "multi30k-en-d"], "unknown recipe .* 'multi30k-en-de'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    command: Command, pairs: list[Path], tmp_path: Path, arguments: Sequence[str], message: str
) -> None:
    refused(command(*arguments), message)
    assert not (tmp_path / "home" / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["multi30k", "--random-window"],
            "--random-window is not a flag of a translator (as corpus 'multi30k' says); ",
        ),
        (["--pairs", "a", "b", "--stride", "3"], "--stride is not a flag of a translator (as --pairs says); "),
        (["tinyshakespeare", "--encoder-size", "9"], "(as corpus 'tinyshakespeare' says); textseq-train --task transl"),
        (["--attention", "dot"], "--attention is not a flag of a language model; textseq-train --task translation has"),
        (["--pooling", "max"], "--pooling is not a flag of a language model; textseq-train --task classification has"),
    ],
)
def test_flags_of_another_task_are_refused_with_its_name(
    command: Command, arguments: Sequence[str], message: str
) -> None:
    code, out, err = command(*arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert message in err


def test_a_run_goes_on_as_it_is(command: Command, trained: Path, pairs: list[Path]) -> None:
    for flags, named in (
        (["--hidden-size", "9"], "--hidden-size"),
        (["--vocabulary", "separate"], "--vocabulary"),
        (["--source", "fr"], "--source"),
        (["--pairs", *map(str, pairs)], "--pairs"),
        (["--empty", "drop", "--validation", "0.3"], "--validation, --empty"),
        (["multi30k"], "the corpus"),
        (["--from", "mine", "--name", "n", "--overwrite"], "--name, --overwrite, --from"),
        (["--recipe", "multi30k-en-de", "--dropout", "0.1"], "--recipe, --dropout"),
    ):
        code, out, err = command("--resume", "mine", *flags)
        assert (code, out) == (2, ""), err
        found = re.search(r"--resume continues a run as it is; leave out (.*)$", err)
        assert found is not None, err
        assert {*named.split(", ")} <= {*found[1].split(", ")}
    refused(command("--resume", "mine", "--text", pairs[0]), "--resume mine asks for a translator, --text for a")
    refused(command("--resume", "mine", "--task", "language-model"), "--task language-model asks for .*, --resume mine")
    refused(command("--text", pairs[0], "--from", "mine"), "--from mine asks for a translator, --text for a language m")
    refused(command("--pairs", *pairs), "run .*mine exists; resume it \\(--resume")


def test_a_resumed_run_whose_settings_are_damaged_is_one_line(command: Command, trained: Path) -> None:
    last = next(trained.glob("last-*"))
    edit_config(last, model={"num_layers": 2})
    refused(command("--resume", "mine"), "unknown setting in .* 'num_layers'")
    edit_config(last, model=3)
    refused(command("--resume", "mine"), "'model' must be of type dict, got 3")
