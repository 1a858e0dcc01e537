"""Settings of translation: data, model, training, decoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from textseq.config.base import Settings, ranged
from textseq.config.decoding import DecodingConfig, DecodingSettings
from textseq.config.names import AttentionName, CellName
from textseq.config.tokenizer import TokenizerConfig, TokenizerName
from textseq.config.training import TrainingConfig
from textseq.errors import TextseqError


@dataclass(frozen=True, kw_only=True)
class PairConfig(TokenizerConfig):
    """Data: how sentence pairs become batches."""

    tokenizer: TokenizerName = "subword"
    """What a token is: a subword (SentencePiece, with byte fallback), a word with the space before it (the rare ones
    are spelled), a character (with byte fallback) or a byte."""
    vocabulary: Literal["joint", "separate"] = "joint"
    """One vocabulary for both languages, so that names and numbers are the same tokens in both, or one for each."""
    subword_sampling: float = ranged(0.0, at_least=0, at_most=1)
    """subword with the unigram model: cut the words anew in every epoch (Kudo 2018). This is the flatness alpha of the
    segmentations' distribution: 0.1 varies much, 0.5 little; 0: every word always in its best pieces. In training
    only."""
    batch_size: int | Literal["auto"] = ranged(80, at_least=1)
    """Sentence pairs N in a batch, of like length. auto: as many as the device has room for, as long as twice as many
    make training faster; the number is kept with the run."""
    batch_tokens: int | None = ranged(None, at_least=1)
    """Instead of --batch-size pairs: as many pairs as fill so many tokens on the longer side, padding counted."""
    window: int = ranged(200, at_least=1)
    """Target tokens T that gradients reach back: longer targets are trained in several windows (truncated
    back-propagation through time), each over the whole source."""
    longest: int | None = ranged(None, at_least=1)
    """Leave out training pairs with more tokens than this on either side; how many is said."""

    def __post_init__(self) -> None:
        """Check the ranges, and that words are cut anew only where they can be cut in several ways."""
        super().__post_init__()
        if self.subword_sampling and (self.tokenizer, self.subword_model) != ("subword", "unigram"):
            found = "--subword-model bpe" if self.tokenizer == "subword" else f"--tokenizer {self.tokenizer}"
            raise TextseqError(
                f"--subword-sampling wants --tokenizer subword and --subword-model unigram, found {found}; change one"
            )
        if self.batch_size == "auto" and self.batch_tokens is not None:
            raise TextseqError("--batch-size auto and --batch-tokens exclude one another; leave one out")


@dataclass(frozen=True, kw_only=True)
class TranslationConfig(DecodingConfig):
    """Translating: beam search by default, and what only a translation has."""

    max_new_tokens: int = ranged(2000, at_least=1)
    """Tokens of a translation at most, its end included; fewer where --max-length-ratio says so."""
    max_length_ratio: float = ranged(3.0, above=0)
    """Tokens of a translation at most, for each token of its source (10 more are always allowed)."""
    min_new_tokens: int = ranged(0, at_least=0)
    """Tokens of a translation at least. Where the two limits above allow fewer, they win."""
    temperature: float = ranged(0.0, at_least=0)
    """With one beam: 0 takes the likeliest token at every step (greedy), more draws at random."""
    num_beams: int = ranged(5, at_least=1, at_most=1000)
    """Translations that the search keeps at every step; 1 is greedy, or draws if there is a temperature."""
    length_penalty: float = ranged(1.0, at_least=0, at_most=10)
    """The alpha of Wu et al. (2016): divides a translation's log-probability by ((5 + tokens) / 6) ** alpha, so that
    long translations have a chance beside short ones."""
    coverage_penalty: float = ranged(0.0, at_least=0, at_most=10)
    """The beta of Wu et al. (2016): favours translations that looked at the whole source. Wants attention."""
    shortlist: bool = False
    """Weigh only tokens that training found with the source's words: faster, with other words now and then."""
    replace_unknown: bool = False
    """Write for each <unk> the word of the source that the attention looked at most (for word models trained with
    --rare-words unknown)."""

    def __post_init__(self) -> None:
        """Check the ranges, and that several translations are asked for where there can be several."""
        super().__post_init__()
        if self.temperature > 0 and self.num_beams > 1:
            raise TextseqError(
                f"--temperature is for drawing at random, found it with --num-beams {self.num_beams}; leave it out, or "
                "say --num-beams 1"
            )
        if self.num_return_sequences > 1 and self.num_beams == 1 and self.temperature == 0:
            raise TextseqError(
                f"--num-return-sequences {self.num_return_sequences} wants --num-beams of as many, or a --temperature "
                "to draw with; one beam without it gives one translation"
            )


class TranslationSettings(DecodingSettings, total=False):
    """The fields of ``TranslationConfig``, as keywords."""

    max_length_ratio: float
    min_new_tokens: int
    coverage_penalty: float
    shortlist: bool
    replace_unknown: bool


@dataclass(frozen=True, kw_only=True)
class TranslationModelConfig(Settings):
    """Model: encoder, attention, decoder."""

    cell: CellName = "gru"
    """Recurrent cell of encoder and decoder."""
    num_encoder_layers: int = ranged(1, at_least=1)
    """Layers of the encoder, one upon the other; each reads the sentence from both ends."""
    num_decoder_layers: int = ranged(1, at_least=1)
    """Layers of the decoder; the first one receives the context of the attention."""
    embedding_size: int = ranged(256, at_least=1)
    """Width E of the token vectors on both sides."""
    encoder_size: int = ranged(256, at_least=1)
    """Width of every encoder layer and direction."""
    hidden_size: int = ranged(512, at_least=1)
    """Width H of every decoder layer."""
    attention: AttentionName = "additive"
    """How the decoder's state is compared with what the encoder read: by a small network (additive, Bahdanau et al.
    2015), by a product with a matrix (general) or without one (dot, Luong et al. 2015), or none: one fixed context, the
    encoder's last states."""
    attention_size: int = ranged(512, at_least=1)
    """Width A that additive attention compares both in."""
    readout: Literal["tanh", "maxout"] = "tanh"
    """What follows the sum of state, context and previous word before the output layer: tanh, or the maximum of
    each pair of units (maxout, as in Bahdanau et al. 2015)."""
    tie_embeddings: Literal["all", "target", "none"] = "all"
    """Use one matrix for the vectors of source and target tokens and the output layer (all, wants one vocabulary), for
    target tokens and output layer (target), or three matrices (none)."""
    dropout: float = ranged(0.3, at_least=0, below=1)
    """Share of the activations dropped between layers and on the readout. All dropout is in training only."""
    embedding_dropout: float = ranged(0.3, at_least=0, below=1)
    """Share of the token vectors' entries dropped, on both sides."""
    word_dropout: float = ranged(0.0, at_least=0, below=1)
    """Share of the tokens whose vectors are dropped whole, on both sides."""
    label_smoothing: float = ranged(0.1, at_least=0, below=1)
    """Share of the probability that training wants spread evenly over the vocabulary (Szegedy et al. 2016)."""
    scheduled_sampling: float = ranged(0.0, at_least=0, at_most=1)
    """Share of the target tokens that the decoder reads from its own predictions instead of the text (Bengio et al.
    2015; predicted in one pass over the true tokens, as Duckworth et al. 2019)."""

    def __post_init__(self) -> None:
        """Check the ranges, and that the parts fit one another."""
        super().__post_init__()
        if self.attention == "dot" and self.hidden_size != 2 * self.encoder_size:
            raise TextseqError(
                f"--attention dot wants --hidden-size equal to twice --encoder-size, found {self.hidden_size} and "
                f"{self.encoder_size}; change one of them, or use --attention general"
            )

    def shape(self) -> Self:
        """The same model with the defaults for all that only acts in training: equal where weights fit one another."""
        kept = ["cell", "num_encoder_layers", "num_decoder_layers", "embedding_size", "encoder_size", "hidden_size"]
        kept += ["attention", "attention_size", "readout", "tie_embeddings"]
        return type(self)(**{name: getattr(self, name) for name in kept})


@dataclass(frozen=True, kw_only=True)
class TranslatorTrainingConfig(TrainingConfig):
    """Training: optimizer, schedule, when to stop, what to write."""

    learning_rate: float = ranged(2e-3, above=0)
    """Peak learning rate."""
    warmup_steps: int = ranged(300, at_least=0)
    """Steps over which the learning rate rises to its peak; at most a tenth of a run with a cosine or a line."""
    max_epochs: float | None = ranged(15.0, above=0)
    """Stop after so many passes over the training pairs. The first limit that is reached counts."""
    evaluate_every: int = ranged(500, at_least=1)
    """Steps between evaluations on the validation part; the best model is kept."""
    ema_decay: float = ranged(0.999, at_least=0, below=1)
    """With more than 0, what is evaluated and kept as the best are not the weights themselves but their moving average
    over the steps, in which the average before keeps this share."""
