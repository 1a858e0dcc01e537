"""Draw docs/architecture.svg: the wings with their imports, read from the code, and the path of a batch.

Run it after the imports between wings have changed: python docs/architecture.py
"""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]

WINGS = {  # name: column and row on the page, what it holds
    "errors": (0.7, 0, "the errors that users see"),
    "version": (1.7, 0, "the version"),
    "io": (1.2, 1, "files, locks, JSON, TOML"),
    "config": (1.2, 2, "settings, flags, recipes"),
    "tokenizers": (0.6, 3, "text to ids and back"),
    "nn": (1.8, 3, "layers, losses, kernels"),
    "data": (0, 4, "corpora, readers, splits"),
    "checkpoints": (1, 4, "model folders"),
    "decoding": (2.2, 4, "sampling, beams, CTC"),
    "metrics": (0.2, 5, "scores with signatures"),
    "training": (1.3, 5, "the trainer, run folders"),
    "tasks": (1.5, 6, "a folder per task"),
    "commands": (1.5, 7, "what the commands share"),
    "serve": (2.6, 7, "server, page, protocols"),
    "cli": (1.5, 8, "a file per command"),
}
EVERYWHERE = {"errors", "version"}  # used by nearly every wing: no arrows

PATH = [  # what it is, where it lives, what leaves it
    ("text", "corpora/*.toml or your files: data/corpora, data/readers", "documents"),
    ("tokenizer", "tokenizers", "ids"),
    ("token file", "data/token_files: encoded once, memory-mapped", "(L,)"),
    ("batches", "tasks/*/batches: N streams, windows of T tokens", "(N, T)"),
    ("embedding", "nn.Embedding", "(N, T, E)"),
    ("recurrent layers", "nn.Recurrent: state in, state out", "(N, T, H)"),
    ("output layer", "tasks/*/model", "logits (N, T, V)"),
    ("loss, gradient, step", "model.loss, training.TrainStep, Trainer", "weights"),
    ("model folder", "checkpoints: safetensors, config.json, tokenizer", "weights"),
    ("predictor", "textseq.load, tasks/*", "step(tokens, state)"),
    ("decoding", "decoding.sample, decoding.beam_search", "ids"),
    ("text", "TextGenerator, Translator", ""),
]
LOOPS = [(5, 5, "state, detached"), (3, 7, "next batch"), (10, 10, "next token")]  # from the second up to the first

WIDTH, HEIGHT, ROW = 168, 46, 88
STYLE = (
    "text{font:12px Helvetica,Arial,sans-serif;fill:#222}.b{font-weight:bold;font-size:14px}.m{text-anchor:middle}"
    ".s{fill:#555;font-size:11px}"
)


def imports() -> dict[str, set[str]]:
    """The wings that each wing imports."""
    edges: dict[str, set[str]] = {wing: set() for wing in WINGS}
    for folder, name in ((ROOT / "textseq", ""), (ROOT / "cli", "cli")):
        for path in folder.rglob("*.py"):
            wing = name or path.relative_to(folder).parts[0].removesuffix(".py")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("textseq.") and wing in edges:
                    edges[wing].add(str(node.module).split(".")[1])
    return {wing: {other for other in edges[wing] if other in WINGS and other != wing} for wing in WINGS}


def direct(edges: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The imports that do not follow from others (the transitive reduction)."""

    def reach(wing: str) -> set[str]:
        return edges[wing].union(*(reach(other) for other in edges[wing]))

    return [
        (wing, other)
        for wing in WINGS
        for other in sorted(edges[wing] - EVERYWHERE)
        if not any(other in reach(between) for between in edges[wing] - {other})
    ]


def text(x: float, y: float, words: str, style: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{style}">{escape(words)}</text>'


def box(x: float, y: float, width: float, fill: str, title: str, note: str) -> str:
    middle = x + width / 2
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{HEIGHT}" rx="6" fill="{fill}" stroke="#667"/>'
        + text(middle, y + 19, title, "b m")
        + text(middle, y + 36, note, "s m")
    )


def arrow(*points: tuple[float, float]) -> str:
    """A line through points with a head at the last."""
    (x0, y0), (x, y) = points[-2:]
    length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5
    u, v = (x - x0) / length, (y - y0) / length
    line = " ".join(f"{a:.0f},{b:.0f}" for a, b in points)
    head = " ".join(
        f"{x - 9 * u * k - 4 * v * side:.1f},{y - 9 * v * k + 4 * u * side:.1f}"
        for k, side in ((0, 0), (1, 1), (1, -1))
    )
    return f'<polyline points="{line}" fill="none" stroke="#667"/><polygon points="{head}" fill="#667"/>'


def wings() -> list[str]:
    """The left half."""
    place = {wing: (20 + column * (WIDTH + 16), 62 + row * ROW) for wing, (column, row, _) in WINGS.items()}
    parts = [text(20, 24, "The wings: an arrow points to what is imported", "b")]
    parts.append(text(20, 42, "(not drawn: errors and version, used everywhere; what follows from other arrows)", "s"))
    for wing, other in direct(imports()):
        (x, y), (to_x, to_y) = place[wing], place[other]
        shift = (to_x - x) / 6
        parts.append(arrow((x + WIDTH / 2 + shift, y), (to_x + WIDTH / 2 - shift, to_y + HEIGHT)))
    return parts + [box(*place[wing], WIDTH, "#e8eef7", wing, note) for wing, (_, _, note) in WINGS.items()]


def path() -> list[str]:
    """The right half."""
    left, width, row = 640, 330, 70
    middle, right = left + width / 2, left + width
    parts = [text(left, 24, "The path of a batch, from text to weights to text", "b")]
    for index, (title, note, leaves) in enumerate(PATH):
        y = 50 + index * row
        parts.append(box(left, y, width, "#f7f0e2" if index < 8 else "#e6f3e6", title, note))
        if leaves:
            parts += [arrow((middle, y + HEIGHT), (middle, y + row)), text(middle + 10, y + HEIGHT + 16, leaves, "s")]
    for first, last, label in LOOPS:
        out = right + (30 if first == last else 140)
        top, bottom = 50 + first * row + 14, 50 + last * row + 34
        parts += [arrow((right, bottom), (out, bottom), (out, top), (right, top))]
        parts.append(text(out + 6, (top + bottom) / 2 + 4, label, "s"))
    return parts


def svg() -> str:
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="1190" height="890" viewBox="0 0 1190 890">'
    return "\n".join(
        [
            head,
            f"<style>{STYLE}</style>",
            '<rect width="1190" height="890" fill="#fff"/>',
            *wings(),
            *path(),
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    (ROOT / "docs/architecture.svg").write_text(svg(), encoding="utf-8")
