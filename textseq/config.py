"""Every setting, once: frozen dataclasses whose fields are the flags, the recipes' keys and the defaults.

The line under a field is its help text. ``ranged`` states the values that make sense; they are checked
whenever a settings object is made, from Python, a flag or a recipe alike. Nothing heavy is imported here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from textseq.errors import TextseqError
from textseq.settings import Settings, ranged

Task = Literal["language-model", "translator"]
TokenizerName = Literal["char", "byte", "word", "subword"]
StemmerName = Literal[
    "none", "arabic", "danish", "dutch", "english", "finnish", "french", "german", "hungarian", "italian", "norwegian",
    "porter", "portuguese", "romanian", "russian", "spanish", "swedish",
]  # fmt: skip
CellName = Literal["rnn", "rnn-relu", "lstm", "lstm-peephole", "gru", "gru-reset-before"]
OptimizerName = Literal["adamw", "sgd", "rmsprop", "adagrad"]
ScheduleName = Literal["cosine", "linear", "constant", "plateau"]
AttentionName = Literal["additive", "general", "dot", "none"]
Precision = Literal["auto", "float32", "bfloat16"]
WritingPrecision = Literal["float32", "int8"]

LARGEST_SEED = 2**64 - 1
"""What torch's generators take."""
LARGEST_BIAS = 10_000
"""Beyond it, what the model itself says would be lost in rounding."""


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig(Settings):
    """Model: embedding, recurrent stack and output layer."""

    cell: CellName = "lstm"
    """Recurrent cell: the Elman network with tanh or relu; the LSTM, also with peepholes; the GRU with its reset gate
    after the matrix product (as torch and cuDNN have it) or before. The peephole LSTM, the GRU with the reset before,
    layer normalisation and zoneout have no fused kernel and train more slowly."""
    layers: int = ranged(1, at_least=1)
    """Recurrent layers, one upon the other."""
    hidden_size: int = ranged(640, at_least=1)
    """Width H of every layer."""
    embedding_size: int = ranged(64, at_least=1)
    """Width E of the token vectors."""
    residual: bool = False
    """Add to the output of every layer but the first what that layer read."""
    layer_norm: bool = False
    """Normalise each gate's input and recurrent product, and the LSTM's cell before its tanh (Ba et al. 2016)."""
    dropout: float = ranged(0.1, at_least=0, below=1)
    """Share of the activations dropped between layers and before the output. All dropout is in training only."""
    embedding_dropout: float = ranged(0.0, at_least=0, below=1)
    """Share of the embedding's activations dropped."""
    word_dropout: float = ranged(0.0, at_least=0, below=1)
    """Share of the vocabulary whose vectors are dropped whole, wherever they stand in the window."""
    weight_dropout: float = ranged(0.0, at_least=0, below=1)
    """Share of the recurrent weights dropped, the same ones for the whole window (AWD-LSTM)."""
    locked_dropout: bool = False
    """Drop the same activations at every step of a window (variational dropout, Gal and Ghahramani 2016)."""
    zoneout: float = ranged(0.0, at_least=0, below=1)
    """Share of the hidden state h that keeps its old value at each step (Krueger et al. 2017)."""
    zoneout_cell: float = ranged(0.0, at_least=0, below=1)
    """The same for the cell c of an LSTM."""
    activation_penalty: float = ranged(0.0, at_least=0)
    """Weight of the mean square of the dropped output (AR, alpha of Merity et al. 2017), in nats."""
    temporal_penalty: float = ranged(0.0, at_least=0)
    """Weight of the mean square of the output's change from step to step (TAR, beta of Merity et al. 2017), in nats."""
    tie_embeddings: bool = False
    """Use one matrix for the embedding and the output layer (wants embedding size = hidden size)."""
    learn_initial_state: bool = False
    """Learn the state that a text begins with; otherwise it is zero."""

    def __post_init__(self) -> None:
        """Check the ranges, and that the parts fit one another."""
        super().__post_init__()
        if self.tie_embeddings and self.embedding_size != self.hidden_size:
            raise TextseqError(
                f"--tie-embeddings wants --embedding-size equal to --hidden-size, "
                f"found {self.embedding_size} and {self.hidden_size}; set both to one number"
            )
        if self.zoneout_cell and not self.cell.startswith("lstm"):
            raise TextseqError(f"--zoneout-cell wants an LSTM, found --cell {self.cell}; use --zoneout for its state")

    def shape(self) -> Self:
        """The same model with the defaults for all that only acts in training: equal where weights fit one another."""
        kept = ["cell", "layers", "hidden_size", "embedding_size", "residual", "layer_norm", "tie_embeddings"]
        kept += ["learn_initial_state"]
        return type(self)(**{name: getattr(self, name) for name in kept})


@dataclass(frozen=True, kw_only=True)
class TranslationModelConfig(Settings):
    """Model: encoder, attention, decoder."""

    cell: CellName = "gru"
    """Recurrent cell of encoder and decoder."""
    encoder_layers: int = ranged(1, at_least=1)
    """Layers of the encoder, one upon the other; each reads the sentence from both ends."""
    decoder_layers: int = ranged(1, at_least=1)
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
        kept = ["cell", "encoder_layers", "decoder_layers", "embedding_size", "encoder_size", "hidden_size"]
        kept += ["attention", "attention_size", "readout", "tie_embeddings"]
        return type(self)(**{name: getattr(self, name) for name in kept})


TOKENIZER_OPTIONS: dict[str, tuple[str, ...]] = {
    "char": (),
    "byte": (),
    "word": ("vocabulary_size", "minimum_count", "rare_words", "words", "lowercase", "stem", "punctuation"),
    "subword": ("vocabulary_size", "subword_model"),
}
"""The fields of ``TokenizerConfig`` that each tokenizer heeds; the others must keep their defaults."""


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig(Settings):
    """Tokenizer: how text becomes tokens."""

    tokenizer: TokenizerName = "char"
    """What a token is: a character (with byte fallback for characters never seen), a byte, a word with the space
    before it (see --words; the rare ones are spelled), or a subword (SentencePiece, with byte fallback)."""
    vocabulary_size: int = ranged(8000, at_least=1, at_most=500_000)
    """word: so many words at most are tokens, the most frequent ones; characters and white space come on top.
    subword: so many tokens at most, all counted."""
    minimum_count: int = ranged(2, at_least=1)
    """word: times that a word must occur to be a token. Those that occur once are spelled, which teaches the model
    how to read and write words that it never saw."""
    rare_words: Literal["spell", "unknown"] = "spell"
    """word: spell what is no token with characters, or replace it by <unk>, which loses it."""
    words: Literal["nltk", "spaces"] = "nltk"
    """word: words and punctuation as NLTK's Treebank rules part them ("don't," is do n't ,), or all that stands
    between white space as one word, for text that was tokenized before; there a line's end takes in a space before."""
    lowercase: bool = False
    """word: put all letters in lower case, which loses the case."""
    stem: StemmerName = "none"
    """word: cut each word to its stem by NLTK's Snowball stemmer of this language, or Porter's, which loses case and
    endings."""
    punctuation: Literal["keep", "merge", "drop"] = "keep"
    """word: keep marks (all that has neither letter nor digit) as tokens of their own, merge marks that touch one
    another into one token (?!, ."), or drop them, which loses them."""
    subword_model: Literal["unigram", "bpe"] = "unigram"
    """subword: the unigram model (Kudo 2018) or byte-pair encoding (Sennrich et al. 2016)."""

    def __post_init__(self) -> None:
        """Check the choices and ranges, and that every option given is one of this tokenizer."""
        super().__post_init__()
        for item in dataclasses.fields(TokenizerConfig)[1:]:
            if getattr(self, item.name) == item.default or item.name in TOKENIZER_OPTIONS[self.tokenizer]:
                continue
            heed = " or ".join(name for name, options in TOKENIZER_OPTIONS.items() if item.name in options)
            raise TextseqError(
                f"--{item.name.replace('_', '-')} is for --tokenizer {heed}, found --tokenizer {self.tokenizer}; "
                "leave it out, or choose that tokenizer"
            )


@dataclass(frozen=True, kw_only=True)
class DataConfig(TokenizerConfig):
    """Data: how text becomes batches."""

    batch_size: int = ranged(32, at_least=1)
    """Streams N of the text that are read side by side."""
    window: int = ranged(64, at_least=1)
    """Tokens T that gradients reach back: the length of truncated back-propagation through time."""
    stride: int | None = ranged(None, at_least=1)
    """Tokens from one window to the next. Default: the window, so that each token is read once. With less
    (1 for the strictest), the loss of the last STRIDE tokens alone counts and its gradient always reaches
    back over a whole window."""
    random_window: bool = False
    """Draw each window's length (around T, now and then around T/2; the learning rate follows), as AWD-LSTM."""
    reset_probability: float = ranged(0.03, at_least=0, at_most=1)
    """Chance per window that a stream's state starts afresh, so that the model is good from a fresh state too.
    Documents always start afresh."""

    def __post_init__(self) -> None:
        """Check the ranges, and that strides and windows go together."""
        super().__post_init__()
        if self.stride is not None and self.stride > self.window:
            raise TextseqError(f"--stride must be at most --window ({self.window}), found {self.stride}")
        if self.stride is not None and self.random_window:
            raise TextseqError("--stride and --random-window exclude one another; leave one out")


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
    batch_size: int = ranged(80, at_least=1)
    """Sentence pairs N in a batch, of like length."""
    batch_tokens: int | None = ranged(None, at_least=1)
    """Instead of --batch-size pairs: as many pairs as fill so many target tokens, padding counted."""
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


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Settings):
    """Training: optimizer, schedule, when to stop, what to write."""

    optimizer: OptimizerName = "adamw"
    """Optimizer."""
    learning_rate: float = ranged(4e-3, above=0)
    """Peak learning rate."""
    weight_decay: float = ranged(0.0, at_least=0)
    """Weight decay (decoupled in AdamW)."""
    momentum: float = ranged(0.9, at_least=0, below=1)
    """Momentum of SGD and RMSprop, and AdamW's beta1."""
    beta2: float = ranged(0.99, at_least=0, below=1)
    """Decay of the squared gradient's average in AdamW and RMSprop."""
    schedule: ScheduleName = "linear"
    """Learning rate after the warm-up: to zero along a cosine or a line, constant, or halved on a plateau of
    the validation loss."""
    warmup_steps: int = ranged(100, at_least=0)
    """Steps over which the learning rate rises to its peak; at most a tenth of a run with a cosine or a line."""
    plateau_patience: int = ranged(2, at_least=1)
    """Evaluations without a better one (see --best-by) before the plateau schedule halves the learning rate."""
    clip_norm: float | None = ranged(1.0, above=0)
    """Largest norm of the whole gradient; a larger one is scaled down."""
    clip_value: float | None = ranged(None, above=0)
    """Largest absolute value of each entry of the gradient; a larger one is cut."""
    accumulate: int = ranged(1, at_least=1)
    """Batches whose gradients are added up before each step of the optimizer."""
    max_epochs: float | None = ranged(10.0, above=0)
    """Stop after so many passes over the training text. The first limit that is reached counts."""
    max_steps: int | None = ranged(None, at_least=1)
    """Stop after so many steps of the optimizer."""
    max_minutes: float | None = ranged(None, above=0)
    """Stop after so many minutes; the schedule follows the clock."""
    patience: int | None = ranged(None, at_least=1)
    """Stop early after so many evaluations without a better one (see --best-by)."""
    evaluate_every: int = ranged(1000, at_least=1)
    """Steps between evaluations on the validation part; the best model is kept."""
    evaluate_tokens: int = ranged(200_000, at_least=1)
    """Tokens of the validation part that an evaluation reads during training, of a translator's the targets. (The
    final one reads all; of a text up to 500,000.)"""
    save_every: int = ranged(500, at_least=1)
    """Steps between checkpoints."""
    max_rewinds: int = ranged(3, at_least=0)
    """Times that a diverged run goes back to its last checkpoint with half the learning rate before it gives up."""
    best_by: Literal["loss", "bleu"] = "loss"
    """What makes an evaluation the best: the lowest validation loss, or the highest BLEU (translators only)."""
    ema_decay: float = ranged(0.0, at_least=0, below=1)
    """Keep an exponential moving average of the weights with this decay (0.999 is usual; less after t steps while
    (1 + t) / (10 + t) is less), and evaluate, show and keep as the best model that instead. 0: none."""
    average: Literal["none", "last", "best"] = "none"
    """At the end of the run measure also the mean of the weights of the last or the best evaluations; it becomes the
    best model if it is better than each of them."""
    average_count: int = ranged(5, at_least=2)
    """Evaluations that --average takes the mean of, at most. So many copies of the weights lie in the run's folder."""
    precision: Precision = "auto"
    """Number format of the products in training. auto: bfloat16 where the device has units for it (two to three times
    as fast on GPUs since 2020 and on CPUs with AMX), else float32. Weights and losses are float32 in any case."""
    device: str = "auto"
    """Where to train: auto (a GPU if there is one), cpu, cuda, cuda:1, mps."""
    seed: int = ranged(1, at_least=0, at_most=LARGEST_SEED)
    """Seed of all that is random."""
    deterministic: bool = True
    """Only algorithms that give the same bits every time, so that a resumed run equals one never stopped."""
    tensorboard: bool = False
    """Write TensorBoard events into the run's folder (wants the extra textseq[tensorboard])."""

    def __post_init__(self) -> None:
        """Check the ranges, and that there is an end."""
        super().__post_init__()
        if self.max_epochs is None and self.max_steps is None and self.max_minutes is None:
            raise TextseqError("a run needs an end: give --max-epochs, --max-steps or --max-minutes")


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


@dataclass(frozen=True, kw_only=True)
class DecodingConfig(Settings):
    """How tokens are chosen: names and meanings as in Hugging Face's GenerationConfig."""

    max_new_tokens: int = ranged(500, at_least=0)
    """Tokens to write after the prompt."""
    temperature: float = ranged(0.7, at_least=0)
    """Divides the logits: below 1 bolder words become rarer, 0 always takes the likeliest token."""
    top_k: int | None = ranged(None, at_least=1)
    """Draw from the k likeliest tokens only."""
    top_p: float = ranged(1.0, above=0, at_most=1)
    """Draw from the smallest set of tokens that holds this share of the probability."""
    min_p: float = ranged(0.0, at_least=0, at_most=1)
    """Draw only from tokens at least so likely, as a share of the likeliest token's probability."""
    typical_p: float = ranged(1.0, above=0, at_most=1)
    """Draw from the tokens whose surprise is nearest to the expected one, until they hold this share of the
    probability: neither the dull nor the wild."""
    repetition_penalty: float = ranged(1.0, at_least=0.01, at_most=100)
    """Above 1 makes every token that was read or written already less likely (1.2 is usual). For tokenizers by
    word or subword: texts by character need all their letters again."""
    no_repeat_ngram_size: int = ranged(0, at_least=0)
    """Never write the same run of so many tokens twice; 0 lets all through. Where nothing else is a thousandth as
    likely as what would repeat one, the runs that must not come again are made longer for that step."""
    logit_bias: Mapping[str, float] = field(default_factory=dict)
    """Added to the logits of single tokens: " the=-2" makes it rarer, "e=-100" bans it, "!=1" makes it more likely.
    In Python a mapping."""
    num_beams: int = ranged(1, at_least=1)
    """With more than 1, search instead of drawing: keep so many of the likeliest texts at every step, and write the
    best. Temperature and seed then play no part, and the text comes when it is finished."""
    length_penalty: float = ranged(0.0, at_least=0, at_most=10)
    """The alpha of beam search (Wu et al. 2016): divides a text's log-probability by ((5 + tokens) / 6) ** alpha, so
    that long texts have a chance beside those that a stop string ended early."""
    early_stopping: Literal["heuristic", "never"] = "heuristic"
    """When a beam search is content with what it has: as soon as nothing unfinished would rank higher were it to end
    now (heuristic), or only when nothing can ever rank higher, however long it grows (never), which takes longer where
    there is a --length-penalty. With the heuristic a search for several texts, which goes on longer, may find a better
    first one than a search for one."""
    num_return_sequences: int = ranged(1, at_least=1)
    """Texts to write side by side in one batch; with beams, so many of the best ones."""
    seed: int | None = ranged(None, at_least=0, at_most=LARGEST_SEED)
    """The same seed writes the same text. Default: a new one every time."""

    def __post_init__(self) -> None:
        """Check the ranges, and that what asks for chance and what asks for beams do not meet."""
        super().__post_init__()
        for token, bias in self.logit_bias.items():
            if not abs(bias) <= LARGEST_BIAS:  # nor may it be NaN
                raise TextseqError(
                    f"--logit-bias must lie between -{LARGEST_BIAS} and {LARGEST_BIAS}, found {token}={bias}; "
                    "-100 bans a token"
                )
        if self.num_beams == 1:
            return
        for item in dataclasses.fields(self):
            if item.name in {"top_k", "top_p", "min_p", "typical_p"} and getattr(self, item.name) != item.default:
                flag = "--" + item.name.replace("_", "-")
                raise TextseqError(
                    f"{flag} is for drawing at random, found it with --num-beams {self.num_beams}; leave one out"
                )
        if self.num_return_sequences > self.num_beams:
            raise TextseqError(
                f"--num-return-sequences must be at most --num-beams ({self.num_beams}), "
                f"found {self.num_return_sequences}; raise --num-beams"
            )


@dataclass(frozen=True, kw_only=True)
class GenerationConfig(DecodingConfig):
    """Writing: names and meanings as in Hugging Face's GenerationConfig.

    The defaults suit small recurrent models: a temperature below 1 and no truncation of the distribution,
    for their distribution has a heavier tail of nonsense than a large model's; Hugging Face's are 1.0 and top_k 50.
    """

    stop_strings: tuple[str, ...] = ()
    """End a text before the first of these strings that it comes to."""


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
    num_beams: int = ranged(5, at_least=1)
    """Translations that the search keeps at every step; 1 is greedy, or draws if there is a temperature."""
    length_penalty: float = ranged(1.0, at_least=0, at_most=10)
    """The alpha of Wu et al. (2016): divides a translation's log-probability by ((5 + tokens) / 6) ** alpha, so that
    long translations have a chance beside short ones."""
    coverage_penalty: float = ranged(0.0, at_least=0, at_most=10)
    """The beta of Wu et al. (2016): favours translations that looked at the whole source. Wants attention."""
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
