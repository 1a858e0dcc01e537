"""Leakage: whether a model has been trained on texts that it is to be measured on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from textseq.checkpoints.model_info import ModelInfo
from textseq.data.corpora.catalog import joined_names
from textseq.data.labelled import FOLD, LabelledDataset
from textseq.data.sources import LabelledData


def leak(info: ModelInfo, dataset: LabelledDataset) -> str | None:
    """A corpus that a model was trained on and that shares texts with the test texts of a dataset, if any.

    The dataset itself does not count, nor does one with the same split; but folds of either do.
    """
    for name in _corpora(info.corpora, but=dataset.name):
        whole = FOLD.sub("", name)
        if whole in {dataset.name, *dataset.same_split}:
            if whole != name:  # another fold: split differently
                return name
        elif whole in dataset.overlaps:
            return name
    return None


def _corpora(names: Iterable[str], *, but: str = "") -> Iterator[str]:
    """The corpora that were trained on, of joined ones each; a fold of these gives folds. ``but`` is left out."""
    for name in names:
        if name != but:
            whole = FOLD.sub("", name)
            yield from (part + name.removeprefix(whole) for part in dict.fromkeys(joined_names(whole)))


def leak_warning(corpus: str, dataset: LabelledDataset) -> str:
    """A sentence about what ``leak`` found, without its subject, the model."""
    return (
        f"was trained on '{corpus}', which shares texts with '{dataset.name}': metrics on it say little about new texts"
    )


def shared_texts(info: ModelInfo, source: LabelledData, dataset: LabelledDataset) -> str | None:
    """What of a data source, any split of it, a model was trained on: a corpus or a file; None if nothing."""
    names = {FOLD.sub("", name) for name in _corpora(info.corpora)}
    whole = FOLD.sub("", dataset.name)
    if own := names.intersection(_corpora([whole])):
        return f"'{min(own)}'"
    if shared := names.intersection(dataset.overlaps):
        return f"'{min(shared)}', which shares texts with '{whole}'"
    lists = [info.source.get(key) for key in ("labelled", "validation_labelled", "text")]
    read = {str(path) for paths in lists if isinstance(paths, list | tuple) for path in paths}
    return next((path for path in (*source.labelled, *source.validation_labelled) if path in read), None)
