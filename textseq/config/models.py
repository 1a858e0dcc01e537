"""What a model is: sizes, cells, attention, dropout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from textseq.errors import TextseqError
from textseq.settings import Settings, ranged

CellName = Literal["rnn", "rnn-relu", "lstm", "lstm-peephole", "gru", "gru-reset-before"]
AttentionName = Literal["additive", "general", "dot", "none"]
PoolingName = Literal["last", "mean", "max", "all", "attention"]
ExplanationMethod = Literal["integrated", "gradient"]
TagOutput = Literal["auto", "softmax", "crf", "ctc"]


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
    bidirectional: bool = False
    """Learn the other way round too: a second stack reads the text from its end and predicts each token from those
    after it (Peters et al. 2018, section 3.1). Writing needs the first stack alone, and so does every figure; a
    classifier that begins with such a model of one layer reads both ways with what both have learnt."""
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
    sampled_softmax: int = ranged(0, at_least=0)
    """Tokens, besides those that are right somewhere in the window, that training weighs against the right one, drawn
    anew for each window and standing for all others (Bengio and Senecal 2008): several times as fast where the
    vocabulary is large. 0: the whole vocabulary."""

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
        kept = ["cell", "layers", "hidden_size", "embedding_size", "bidirectional", "residual", "layer_norm"]
        kept += ["tie_embeddings", "learn_initial_state"]
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


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(Settings):
    """Model: embedding, recurrent stack, pooling, output layer."""

    cell: CellName = "lstm"
    """Recurrent cell, as of language models."""
    layers: int = ranged(1, at_least=1)
    """Recurrent layers, one upon the other."""
    hidden_size: int = ranged(256, at_least=1)
    """Width H of every layer and direction."""
    embedding_size: int = ranged(128, at_least=1)
    """Width E of the token vectors."""
    bidirectional: bool = True
    """Read the text from both ends. Of a text of several windows the second direction begins anew at the end of each,
    while the first carries its state over all of them."""
    pooling: PoolingName = "all"
    """What stands for the text: the state after its last token, the mean or the maximum of the outputs over all
    tokens, all three side by side (Howard and Ruder 2018, section 3.3), or a mean weighted by attention (Yang et al.
    2016, section 2.2)."""
    readout_size: int = ranged(0, at_least=0)
    """Units of a layer with relu between pooling and output; 0: none."""
    window: int = ranged(400, at_least=1)
    """Tokens T that gradients reach back: longer texts are read in several windows, with the state carried over
    (truncated back-propagation through time), and pooled as a whole."""
    dropout: float = ranged(0.3, at_least=0, below=1)
    """Share of the activations dropped between layers, of what was pooled and of the readout. All dropout is in
    training only."""
    embedding_dropout: float = ranged(0.3, at_least=0, below=1)
    """Share of the token vectors' entries dropped."""
    word_dropout: float = ranged(0.0, at_least=0, below=1)
    """Share of the tokens whose vectors are dropped whole."""
    weight_dropout: float = ranged(0.0, at_least=0, below=1)
    """Share of the recurrent weights dropped, the same ones for the whole text (AWD-LSTM)."""
    locked_dropout: bool = False
    """Drop the same activations between layers at every token (variational dropout, Gal and Ghahramani 2016)."""
    label_smoothing: float = ranged(0.0, at_least=0, below=1)
    """Share of the probability that training wants spread evenly over the labels (Szegedy et al. 2016)."""
    adversarial: float = ranged(0.0, at_least=0, below=1)
    """Learn from every text a second time, with its vectors moved to where the loss grows most, by this share of their
    length (adversarial training, Miyato et al. 2017, whose 5 for a review is about 0.02), which takes two to three
    times as long; sentences want less. 0: not."""
    class_weights: Literal["none", "balanced"] = "none"
    """What an example counts in training: the same (none), or the more the rarer its label is (balanced), so that all
    labels count alike together."""

    def shape(self) -> Self:
        """The same model with the defaults for all that only acts in training: equal where weights fit one another."""
        kept = ["cell", "layers", "hidden_size", "embedding_size", "bidirectional", "pooling", "readout_size"]
        return type(self)(**{name: getattr(self, name) for name in kept})


@dataclass(frozen=True, kw_only=True)
class TaggerConfig(Settings):
    """Model: word vectors, letters, recurrent stack, output layer."""

    cell: CellName = "lstm"
    """Recurrent cell, as of language models."""
    layers: int = ranged(1, at_least=1)
    """Recurrent layers, one upon the other."""
    hidden_size: int = ranged(200, at_least=1)
    """Width H of every layer and direction."""
    embedding_size: int = ranged(100, at_least=1)
    """Width E of the word vectors."""
    bidirectional: bool = True
    """Read the sentence from both ends."""
    letter_size: int = ranged(32, at_least=1)
    """Width of the letters' vectors."""
    letter_hidden_size: int = ranged(64, at_least=0)
    """Units, of each direction, of the layer that reads every word letter by letter, so that words never seen tell by
    their looks what they are (Lample et al. 2016, section 4.1); 0: none."""
    output: TagOutput = "auto"
    """How tags are chosen: each by itself (softmax); a whole sentence's together, by which tag follows which too (crf,
    Lample et al. 2016: a conditional random field); or as a sequence that is not aligned with the letters that are read
    (ctc, connectionist temporal classification, Graves et al. 2006). auto: ctc for tags that are not aligned, or else
    softmax."""
    frames: int = ranged(3, at_least=1)
    """ctc: steps that each letter is given, so that there may be more tags than letters."""
    dropout: float = ranged(0.4, at_least=0, below=1)
    """Share of the activations dropped between layers and before the output. All dropout is in training only."""
    embedding_dropout: float = ranged(0.3, at_least=0, below=1)
    """Share dropped of what stands for a word: its vector, and what was read of its letters."""
    word_dropout: float = ranged(0.05, at_least=0, below=1)
    """Share of the words that are read as unknown ones, so that their letters must tell."""

    def shape(self) -> Self:
        """The same model with the defaults for all that only acts in training: equal where weights fit one another."""
        kept = ["cell", "layers", "hidden_size", "embedding_size", "bidirectional", "letter_size", "letter_hidden_size"]
        kept += ["output", "frames"]
        return type(self)(**{name: getattr(self, name) for name in kept})
