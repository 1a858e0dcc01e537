"""Settings of translation: data, model, training, decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from textseq.config.base import Settings, ranged, rate
from textseq.config.decoding import DecodingConfig, DecodingSettings
from textseq.config.names import AttentionName, CellName
from textseq.config.tokenizer import NormalizationName, TokenizerConfig, TokenizerName
from textseq.config.training import DistillationConfig
from textseq.data.readers.glossary import Terms
from textseq.errors import TextseqError

AugmentName = Literal["upper", "lower", "no-final-mark", "no-apostrophes", "typographic", "misspell", "exchange"]


@dataclass(frozen=True, kw_only=True)
class PairConfig(TokenizerConfig):
    """Data: how sentence pairs become batches."""

    tokenizer: TokenizerName = "subword"
    normalization: NormalizationName = "text"
    vocabulary: Literal["joint", "separate"] = "joint"
    """One vocabulary for both languages, so that names and numbers are the same tokens in both, or one for each."""
    subword_sampling: float = ranged(0.0, at_least=0, at_most=1)
    """Subword regularization (Kudo 2018; needs the unigram model): sample a new segmentation of each word in every
    epoch. The value is the smoothing parameter alpha: 0.1 varies much, 0.5 little; 0: always the best segmentation. In
    training only."""
    subword_sampling_epochs: int | None = ranged(None, at_least=1, not_with=("subword_sampling", (0.0,)))
    """Sample segmentations in the first epochs only, this many (a whole number); then words are cut as in use, which
    lowers the loss further. Default: to the end."""
    augment: tuple[AugmentName, ...] = ()
    """Vary the training pairs, differently in each epoch, so that untidy sentences are translated as well as tidy ones.
    The source is written in capitals (upper), in small letters (lower), without its final mark (no-final-mark), without
    apostrophes, with other ones and other spaces before marks (typographic), or with a wrong letter in one or two words
    (misspell); names and numbers that are the same on both sides are exchanged for others on both sides (exchange). In
    training only."""
    augment_rate: float = ranged(0.1, above=0, at_most=1, not_with=("augment", ((),)))
    """Share of the pairs that each way of --augment changes. A way that is named twice has two chances."""
    batch_size: int | Literal["auto"] = ranged(80, at_least=1, only_with=("batch_tokens", (None,)))
    """Batch size N, sentence pairs of similar length. auto: the largest that fits the device, as long as doubling it
    makes training faster; the number is saved with the run."""
    batch_tokens: int | None = ranged(None, at_least=1)
    """Instead of --batch-size: batches of up to this many tokens on the longer side, padding included."""
    window: int = ranged(200, at_least=1)
    """Length T of truncated back-propagation through time, in target tokens: longer targets are trained in several
    windows, each with the whole source."""
    longest: int | None = ranged(None, at_least=1)
    """Leave out training pairs with more tokens than this on either side; their number is reported. Default: no
    limit."""

    def __post_init__(self) -> None:
        """Check the ranges and combinations."""
        super().__post_init__()
        if self.subword_sampling and (self.tokenizer, self.subword_model) != ("subword", "unigram"):
            got = "--subword-model bpe" if self.tokenizer == "subword" else f"--tokenizer {self.tokenizer}"
            raise TextseqError(
                f"--subword-sampling: expected --tokenizer subword and --subword-model unigram, got {got}; change one"
            )
        if self.batch_size == "auto" and self.batch_tokens is not None:
            raise TextseqError("--batch-size auto and --batch-tokens exclude one another; leave one out")


@dataclass(frozen=True, kw_only=True)
class TranslationConfig(DecodingConfig):
    """Decoding: beam search by default."""

    max_new_tokens: int = ranged(2000, at_least=1)
    """Maximum number of tokens of a translation, the end-of-sentence token included; see also --max-length-ratio."""
    max_length_ratio: float = ranged(3.0, above=0)
    """Maximum number of target tokens per source token (10 more are always allowed)."""
    min_new_tokens: int = ranged(0, at_least=0)
    """Minimum number of tokens of a translation; the two maxima take precedence."""
    temperature: float = ranged(0.0, at_least=0)
    """With one beam: 0 is greedy decoding, more samples from the distribution."""
    num_beams: int = ranged(5, at_least=1, at_most=1000)
    """Number of beams; 1 is greedy decoding, or sampling with a --temperature."""
    length_penalty: float = ranged(1.0, at_least=0, at_most=10, not_with=("num_beams", (1,)))
    coverage_penalty: float = ranged(0.0, at_least=0, at_most=10, not_with=("num_beams", (1,)))
    """Beam search: the beta of Wu et al. (2016), which favors translations whose attention covers the whole source.
    Needs attention."""
    tidy: bool = True
    """Read what is typed in capitals, in small letters or without its final mark as the sentences of the training are
    written, if these have one style: "thanks" as "Thanks."; put marks of lists, brackets, emoji and the like around a
    sentence aside and back; and translate several sentences one by one, if the training has single ones."""
    copy_codes: bool = True
    """Copy addresses, telephone numbers, names of files, words with digits, such as "AF1234", and words in an unknown
    script into the translation, and amounts such as "$12.50" whose digits it would lack: the model reads a name or
    number that it knows well instead."""
    copy_names: bool = True
    """Copy names that the model would garble, rare ones such as "Siobhan" and those that training always copies: it
    reads a name that it knows well instead, if that makes the translation far more likely. Not when sampling."""
    shortlist: bool = False
    """Consider only tokens that training associated with the source's words: faster, occasionally with other words."""
    replace_unknown: bool = False
    """Replace each <unk> with the source word of the largest attention weight (for word models trained with
    --rare-words unknown)."""

    def __post_init__(self) -> None:
        """Check the ranges and combinations."""
        super().__post_init__()
        if self.temperature > 0 and self.num_beams > 1:
            raise TextseqError(
                f"--temperature is for sampling, got --num-beams {self.num_beams}; leave it out, or use --num-beams 1"
            )
        if self.num_return_sequences > 1 and self.num_beams == 1 and self.temperature == 0:
            raise TextseqError(
                f"--num-return-sequences {self.num_return_sequences}: expected as many --num-beams, or a "
                "--temperature, got one beam, which gives one translation"
            )


class TranslationSettings(DecodingSettings, total=False):
    """The fields of ``TranslationConfig`` as keyword arguments; see ``DecodingSettings``."""

    max_length_ratio: float
    min_new_tokens: int
    coverage_penalty: float
    tidy: bool
    copy_codes: bool
    copy_names: bool
    shortlist: bool
    replace_unknown: bool


class TranslateOptions(TranslationSettings, total=False):
    """Keywords of ``Translator.translate``, with the fields of ``TranslationConfig``."""

    attention: bool
    """Return the attention weights (T, S), if the model has attention; on by default."""
    prefixes: Sequence[str] | None
    """How each translation must begin; "" for no constraint."""
    glossary: Terms | None
    """Terms and their translations, which the translations of sentences with these terms contain."""


@dataclass(frozen=True, kw_only=True)
class TranslationModelConfig(Settings):
    """Model: encoder, attention, decoder."""

    cell: CellName = "gru"
    """Recurrent cell of encoder and decoder."""
    num_encoder_layers: int = ranged(1, at_least=1, at_most=1000)
    """Number of encoder layers; each is bidirectional."""
    num_decoder_layers: int = ranged(1, at_least=1, at_most=1000)
    """Number of decoder layers; the first one gets the attention's context vector."""
    embedding_size: int = ranged(256, at_least=1)
    """Embedding size E of source and target."""
    encoder_size: int = ranged(256, at_least=1)
    """Hidden size of each encoder layer and direction."""
    hidden_size: int = ranged(512, at_least=1)
    """Hidden size H of each decoder layer."""
    attention: AttentionName = "additive"
    """Attention score: additive (Bahdanau et al. 2015), general or dot (multiplicative, with or without a weight
    matrix; Luong et al. 2015), or none: one fixed context, the encoder's final states."""
    attention_size: int = ranged(512, at_least=1, only_with=("attention", ("additive",)))
    """Hidden size A of additive attention."""
    readout: Literal["tanh", "maxout"] = "tanh"
    """Activation of the layer before the output layer, which combines state, context and previous token: tanh, or the
    maximum of each pair of units (maxout, as in Bahdanau et al. 2015)."""
    tie_embeddings: Literal["all", "target", "none"] = "all"
    """Share one matrix between source embedding, target embedding and output layer (all; needs a joint vocabulary),
    between target embedding and output layer (target), or none."""
    dropout: float = rate(0.3)
    """Dropout between layers and before the output layer. All dropout acts in training only."""
    embedding_dropout: float = rate(0.3)
    """Dropout of the embeddings of source and target."""
    word_dropout: float = rate(0.0)
    """Fraction of the tokens of source and target whose whole embeddings are dropped."""
    label_smoothing: float = rate(0.1)
    """Label smoothing: share of the target probability spread evenly over the vocabulary (Szegedy et al. 2016)."""
    scheduled_sampling: float = ranged(0.0, at_least=0, at_most=1, training_only=True)
    """Scheduled sampling: fraction of the decoder's inputs that are its own predictions instead of the reference
    (Bengio et al. 2015; predicted in one pass over the reference, as in Duckworth et al. 2019)."""

    def __post_init__(self) -> None:
        """Check the ranges and combinations."""
        super().__post_init__()
        if self.attention == "dot" and self.hidden_size != 2 * self.encoder_size:
            raise TextseqError(
                f"--attention dot: expected --hidden-size equal to twice --encoder-size, got {self.hidden_size} and "
                f"{self.encoder_size}; change one of them, or use --attention general"
            )


@dataclass(frozen=True, kw_only=True)
class TranslatorTrainingConfig(DistillationConfig):
    """Training: optimizer, schedule, when to stop, what to write."""

    learning_rate: float = ranged(2e-3, above=0)
    warmup_steps: int = ranged(300, at_least=0)
    DEFAULT_EPOCHS: ClassVar[float] = 15.0
    evaluate_every: int = ranged(500, at_least=1)
    ema_decay: float = ranged(0.999, at_least=0, below=1)
