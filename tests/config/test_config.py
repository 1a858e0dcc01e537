"""Settings refuse what makes no sense, whichever way it comes in, and stand nowhere else."""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Mapping
from typing import Literal

import pytest

from textseq import config
from textseq.config.base import BOUNDS, Settings
from textseq.config.names import CELL_STATES, Task
from textseq.config.tokenizer import TokenizerConfig
from textseq.config.training import TrainingConfig
from textseq.data.sources import PairData
from textseq.errors import TextseqError
from textseq.nn.cell_registry import CELLS
from textseq.tasks.classification.config import ClassifierConfig
from textseq.tasks.language_model.config import (
    AdaptationConfig,
    AdaptationSettings,
    DataConfig,
    GenerationConfig,
    GenerationSettings,
    LanguageModelConfig,
)
from textseq.tasks.registry import TASKS
from textseq.tasks.tagging.config import TaggerConfig
from textseq.tasks.translation.config import (
    PairConfig,
    TranslationConfig,
    TranslationModelConfig,
    TranslatorTrainingConfig,
)
from textseq.tokenizers.registry import TOKENIZERS
from textseq.training.optimizers import OPTIMIZERS, learning_rate

CLASSES: tuple[type[Settings], ...] = (
    LanguageModelConfig,
    DataConfig,
    TrainingConfig,
    GenerationConfig,
    TranslationModelConfig,
    PairConfig,
    TranslatorTrainingConfig,
    TranslationConfig,
    PairData,
)
EVERY_CLASS = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
FIELDS = [(kind, item) for kind in CLASSES for item in dataclasses.fields(kind)]
EVERY_FIELD = pytest.mark.parametrize(("kind", "item"), FIELDS, ids=[f"{k.__name__}.{i.name}" for k, i in FIELDS])

Item = dataclasses.Field[object]


def flag(item: Item) -> str:
    return "--" + item.name.replace("_", "-")


def hint(kind: type[Settings], item: Item) -> object:
    found: object = typing.get_type_hints(kind)[item.name]
    return found


def types(kind: type[Settings], item: Item) -> set[object]:
    """The types a field takes, of ``int | None`` each of the two."""
    found = hint(kind, item)
    return {found} if typing.get_origin(found) in (Literal, tuple, Mapping) else {*typing.get_args(found)} or {found}


def make(kind: type[Settings], item: Item, value: object) -> Settings:
    """The settings with one value, and whatever else that value wants."""
    beside: dict[str, object] = {}
    if issubclass(kind, TrainingConfig) and item.name != "max_steps":
        beside["max_steps"] = 1
    if issubclass(kind, TokenizerConfig):
        heeding = [name for name, options in config.TOKENIZER_OPTIONS.items() if item.name in options]
        if heeding:
            beside["tokenizer"] = heeding[0]
    if item.name == "shuffle_block":
        beside["window"] = 1
    if kind is TranslationConfig and item.name in {"top_k", "top_p", "min_p", "typical_p"}:
        beside["num_beams"] = 1
    if kind is TranslationConfig and item.name == "num_return_sequences":
        beside |= {"num_beams": 1, "temperature": 1.0}
    return kind(**{**beside, item.name: value})


@EVERY_FIELD
def test_bounds_hold(kind: type[Settings], item: Item) -> None:
    whole = float not in types(kind, item)
    step = 1 if whole else 1e-9
    for name, limit in ((name, limit) for name, limit in item.metadata.items() if name in BOUNDS):
        inside = {"at_least": limit, "at_most": limit, "above": limit + step, "below": limit - step}[name]
        outside = {"at_least": limit - step, "at_most": limit + step, "above": limit, "below": limit}[name]
        assert getattr(make(kind, item, inside), item.name) == inside
        words = {"at_least": "at least", "at_most": "at most", "above": "more than", "below": "less than"}[name]
        with pytest.raises(TextseqError, match=f"^{flag(item)}: expected .*{words} {limit}.*, got {outside}$"):
            make(kind, item, outside)


@EVERY_FIELD
def test_numbers_have_bounds_and_refuse_nan(kind: type[Settings], item: Item) -> None:
    if types(kind, item) & {int, float}:
        assert {*item.metadata} & {*BOUNDS}, "a number without bounds"
    if float in types(kind, item):
        with pytest.raises(TextseqError, match=f"^{flag(item)}: expected .*, got nan$"):
            make(kind, item, math.nan)


@EVERY_FIELD
def test_none_only_where_allowed(kind: type[Settings], item: Item) -> None:
    if type(None) in types(kind, item):
        assert getattr(make(kind, item, None), item.name) is None
    else:
        with pytest.raises(TextseqError, match=f"{flag(item)}.*None"):
            make(kind, item, None)


@EVERY_FIELD
def test_values_of_the_wrong_type_are_refused(kind: type[Settings], item: Item) -> None:
    wrong: list[object] = [object(), {"a": "b"}]
    taken = types(kind, item)
    wrong += ["many"] if str not in taken else []
    wrong += [True] if bool not in taken else [1]
    wrong += [1.5] if not taken & {float} else []
    for value in wrong:
        with pytest.raises(TextseqError, match=f"^(unknown value of )?{flag(item)}[: ]"):
            make(kind, item, value)
        with pytest.raises(TextseqError, match=flag(item)):
            kind.from_dict({item.name: value}, where="here")


@EVERY_FIELD
def test_choices_are_the_only_ones(kind: type[Settings], item: Item) -> None:
    if typing.get_origin(hint(kind, item)) is not Literal:
        return
    for choice in typing.get_args(hint(kind, item)):
        assert getattr(make(kind, item, choice), item.name) == choice
        near = choice + "_"
        with pytest.raises(TextseqError, match=f"^unknown value of {flag(item)} '{near}'; did you mean '{choice[:2]}"):
            make(kind, item, near)


@pytest.mark.parametrize(
    ("choices", "table"),
    [
        (config.TokenizerName, TOKENIZERS),
        (config.OptimizerName, OPTIMIZERS),
        (Task, {task.name: task for task in TASKS}),
    ],
    ids=["tokenizers", "optimizers", "jobs"],
)
def test_choices_are_the_keys_of_their_table(choices: object, table: dict[str, object]) -> None:
    assert typing.get_args(choices) == tuple(table)


def test_cells_that_settings_accept_are_those_that_layers_know() -> None:
    assert {name: cell.states for name, cell in CELLS.items()} == CELL_STATES
    for name in CELLS:
        assert LanguageModelConfig(cell=name).cell == name
    with pytest.raises(TextseqError, match=r"^unknown value of --cell 'lstn'; did you mean 'lstm'"):
        LanguageModelConfig(cell="lstn")


def test_a_model_whose_cell_is_not_registered_says_how_to_do_it() -> None:
    message = r"^--cell in mine/config\.json: expected one of rnn, .*, got 'mgu'; .* \(textseq\.nn\.register_cell\)$"
    with pytest.raises(TextseqError, match=message):
        LanguageModelConfig.from_dict({"cell": "mgu"}, where="mine/config.json")


@pytest.mark.parametrize("name", typing.get_args(config.ScheduleName))
def test_every_schedule_begins_at_the_peak_and_never_exceeds_it(name: config.ScheduleName) -> None:
    settings = TrainingConfig(schedule=name, warmup_steps=0, learning_rate=0.5)
    rates = [learning_rate(settings, step=9, done=done / 10) for done in range(11)]
    assert rates[0] == 0.5 and max(rates) == 0.5 and min(rates) >= 0


def test_settings_as_keyword_arguments_are_the_fields() -> None:
    for settings, kind in ((GenerationSettings, GenerationConfig), (AdaptationSettings, AdaptationConfig)):
        assert typing.get_type_hints(settings) == typing.get_type_hints(kind)
        assert not settings.__required_keys__


@EVERY_CLASS
def test_unknown_keys_are_refused_with_the_nearest(kind: type[Settings]) -> None:
    for item in dataclasses.fields(kind):
        with pytest.raises(
            TextseqError, match=rf"^unknown setting in a\.toml '{item.name}x'; did you mean '{item.name}'"
        ):
            kind.from_dict({f"{item.name}x": 1}, where="a.toml")
    with pytest.raises(TextseqError, match=f"known: .*{dataclasses.fields(kind)[0].name}"):
        kind.from_dict({"zzzz": 1}, where="a.toml")


@EVERY_CLASS
def test_plain_data_gives_the_same_settings_back(kind: type[Settings]) -> None:
    made = kind()
    assert kind.from_dict(made.to_dict(), where="here") == made
    assert kind.from_dict({}, where="here") == made
    assert json.loads(json.dumps(made.to_dict())).keys() == {item.name for item in dataclasses.fields(kind)}


def test_whole_numbers_are_fractions_too() -> None:
    made = LanguageModelConfig.from_dict({"dropout": 0, "hidden_size": 3}, where="here")
    assert type(made.dropout) is float and type(made.hidden_size) is int
    assert type(TrainingConfig.from_dict({"max_epochs": 3}, where="here").max_epochs) is float


@EVERY_CLASS
def test_settings_cannot_be_changed(kind: type[Settings]) -> None:
    name = dataclasses.fields(kind)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(kind(), name, getattr(kind(), name))


def test_settings_that_exclude_one_another_are_refused() -> None:
    with pytest.raises(TextseqError, match="--embedding-size equal to --hidden-size, got 3 and 4"):
        LanguageModelConfig(tie_embeddings=True, embedding_size=3, hidden_size=4)
    assert LanguageModelConfig(tie_embeddings=True, embedding_size=4, hidden_size=4).tie_embeddings
    with pytest.raises(TextseqError, match=r"--stride: expected at most --window \(4\), got 5"):
        DataConfig(window=4, stride=5)
    assert DataConfig(window=4, stride=4).stride == 4
    with pytest.raises(TextseqError, match="--stride and --random-window exclude one another"):
        DataConfig(stride=1, random_window=True)


@pytest.mark.parametrize(
    ("limits", "epochs"),
    [
        ({}, 0),
        ({"max_steps": 500}, None),
        ({"max_minutes": 1}, None),
        ({"max_epochs": 3}, 3),
        ({"max_epochs": 3, "max_steps": 500}, 3),
    ],
)
@pytest.mark.parametrize(("config", "default"), [(TrainingConfig, 10), (TranslatorTrainingConfig, 15)])
def test_another_limit_lifts_the_default_of_the_epochs(
    limits: dict[str, object], epochs: float | None, config: type[TrainingConfig], default: float
) -> None:
    settings = config.from_dict(limits, where="here")
    assert settings.epoch_limit == (default if epochs == 0 else epochs)
    assert config.from_dict(settings.to_dict(), where="a run").epoch_limit == settings.epoch_limit


def test_models_of_one_shape_differ_in_their_noise_alone() -> None:
    noise = {"dropout": 0.5, "embedding_dropout": 0.5, "word_dropout": 0.5, "weight_dropout": 0.5, "zoneout": 0.5}
    noise |= {"locked_dropout": True, "zoneout_cell": 0.5, "activation_penalty": 1.0, "temporal_penalty": 1.0}
    noise |= {"sampled_softmax": 9}
    others = {"cell": "lstm-peephole", "num_layers": 2, "hidden_size": 64, "embedding_size": 5, "residual": True}
    others |= {"condition_size": 5}
    others |= {"layer_norm": True, "tie_embeddings": True, "learn_initial_state": True, "bidirectional": True}
    plain = LanguageModelConfig(embedding_size=640)
    assert set(noise) | set(others) == set(plain.to_dict())
    assert LanguageModelConfig.from_dict({**plain.to_dict(), **noise}, where="here").shape() == plain.shape()
    for key, value in others.items():
        values = {**plain.to_dict(), key: value}
        if key in {"hidden_size", "embedding_size"}:
            values["tie_embeddings"] = False
        assert LanguageModelConfig.from_dict(values, where="here").shape() != plain.shape()


def test_settings_of_translators_that_exclude_one_another_are_refused() -> None:
    with pytest.raises(TextseqError, match=r"--hidden-size equal to twice .*, got 8 and 5; change one of"):
        TranslationModelConfig(attention="dot", hidden_size=8, encoder_size=5)
    assert TranslationModelConfig(attention="dot", hidden_size=8, encoder_size=4).attention == "dot"
    for key, value in (("tokenizer", "word"), ("tokenizer", "char"), ("subword_model", "bpe")):
        wanted = "--subword-sampling: expected --tokenizer subword and --subword-model unigram, got"
        with pytest.raises(TextseqError, match=f"{wanted} --{key.replace('_', '-')} {value}; change one"):
            PairConfig.from_dict({key: value, "subword_sampling": 0.1}, where="here")
        assert PairConfig.from_dict({key: value}, where="here")
    with pytest.raises(
        TextseqError, match="--num-return-sequences 2: expected as many --num-beams, or a --temperature"
    ):
        TranslationConfig(num_beams=1, num_return_sequences=2)
    assert TranslationConfig(num_beams=1, num_return_sequences=2, temperature=0.5)


def test_translation_models_of_one_shape_differ_in_their_noise_alone() -> None:
    noise = {"dropout": 0.5, "embedding_dropout": 0.5, "word_dropout": 0.5, "label_smoothing": 0.5}
    noise |= {"scheduled_sampling": 0.5}
    others: dict[str, object] = {"cell": "lstm", "num_encoder_layers": 2, "num_decoder_layers": 2, "embedding_size": 5}
    others |= {"encoder_size": 5, "hidden_size": 5, "attention": "general", "attention_size": 5, "readout": "maxout"}
    others |= {"tie_embeddings": "target"}
    plain = TranslationModelConfig()
    assert set(noise) | set(others) == set(plain.to_dict())
    assert TranslationModelConfig.from_dict(noise, where="here").shape() == plain.shape()
    for key, value in others.items():
        assert TranslationModelConfig.from_dict({key: value}, where="here").shape() != plain.shape()


@pytest.mark.parametrize("cell", ["gru", "rnn", "gru-reset-before"])
def test_zoneout_of_a_cell_that_is_not_there_is_refused(cell: str) -> None:
    with pytest.raises(TextseqError, match=f"--zoneout-cell: expected an LSTM, got --cell {cell}; use --zoneout"):
        LanguageModelConfig.from_dict({"cell": cell, "zoneout_cell": 0.1}, where="here")


@pytest.mark.parametrize("kind", [ClassifierConfig, TaggerConfig], ids=lambda kind: kind.__name__)
def test_shapes_keep_what_weights_depend_on(kind: type[ClassifierConfig] | type[TaggerConfig]) -> None:
    weights = {"cell", "num_layers", "hidden_size", "embedding_size", "bidirectional", "pooling", "readout_size"}
    weights |= {"letter_size", "letter_hidden_size", "output", "frames"}
    fields = {item.name: bool(item.metadata.get("training_only")) for item in dataclasses.fields(kind)}
    assert {name for name, training_only in fields.items() if not training_only} == weights & set(fields)
    assert kind(hidden_size=7, dropout=0.9).shape() == kind(hidden_size=7).shape() != kind().shape()


SETTINGS_THAT_NEED_OTHERS = [
    (TrainingConfig(plateau_patience=5), "--plateau-patience has no effect without --schedule plateau"),
    (TrainingConfig(average_count=3), "--average-count has no effect without --average last or --average best"),
    (TrainingConfig(optimizer="adagrad", beta2=0.9),
     "--beta2 has no effect without --optimizer adamw or --optimizer rmsprop"),
    (TranslatorTrainingConfig(distil_share=0.9), "--distil-share has no effect without --distil-from"),
    (PairConfig(augment_rate=0.5), "--augment-rate has no effect without --augment"),
    (PairConfig(batch_tokens=100, batch_size=7), "--batch-size has no effect with --batch-tokens 100"),
    (TranslationModelConfig(attention="general", attention_size=7),
     "--attention-size has no effect without --attention additive"),
    (GenerationConfig(temperature=0, top_k=3), "--top-k has no effect with --temperature 0"),
    (GenerationConfig(length_penalty=1.0), "--length-penalty has no effect with --num-beams 1"),
    (TranslationConfig(num_beams=1, coverage_penalty=1.0), "--coverage-penalty has no effect with --num-beams 1"),
    (TranslationConfig(num_beams=1, top_k=5), "--top-k has no effect without --temperature"),
    (TranslationConfig(seed=5), "--seed has no effect without --temperature"),
    (TaggerConfig(output="crf", frames=2), "--frames has no effect without --output ctc or --output auto"),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "sentence"), SETTINGS_THAT_NEED_OTHERS, ids=lambda value: str(value)[:40])
def test_a_setting_without_the_one_that_it_needs_is_named(settings: Settings, sentence: str) -> None:
    assert settings.without_effect() == [sentence]
    name = sentence.split()[0].removeprefix("--").replace("-", "_")
    usual = {item.name: item.default for item in dataclasses.fields(settings)}[name]
    assert dataclasses.replace(settings, **{name: usual}).without_effect() == []


def test_a_setting_with_the_one_that_it_needs_is_not_named() -> None:
    acting: list[Settings] = [
        TrainingConfig(schedule="plateau", plateau_patience=5, average="last", average_count=3),
        TrainingConfig(optimizer="sgd", momentum=0.5),
        TranslatorTrainingConfig(distil_from=("mine",), distil_share=0.9),
        PairConfig(augment=("lower",), augment_rate=0.5, batch_size=7),
        TranslationModelConfig(attention_size=7),
        GenerationConfig(num_beams=2, length_penalty=1.0, early_stopping="never"),
        TaggerConfig(frames=2),
    ]
    assert [settings.without_effect() for settings in acting] == [[]] * len(acting)


@EVERY_CLASS
def test_settings_need_others_that_there_are(kind: type[Settings]) -> None:
    items = {item.name: item for item in dataclasses.fields(kind)}
    for item in items.values():
        for rule in {"only_with", "not_with"} & {*item.metadata}:
            other, values = item.metadata[rule]
            for value in values:
                assert getattr(make(kind, items[other], value), other) == value


def test_a_list_is_as_good_as_a_tuple() -> None:
    names = ["upper", "lower"]
    assert PairConfig(augment=names) == PairConfig(augment=("upper", "lower"))  # type: ignore[arg-type]
    with pytest.raises(TextseqError, match="value of --augment"):
        PairConfig(augment=["loud"])  # type: ignore[arg-type]
    with pytest.raises(TextseqError, match="--augment: expected tuple, got 'lower'"):
        PairConfig(augment="lower")  # type: ignore[arg-type]
