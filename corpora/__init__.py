"""The corpus recipes, one TOML file per corpus; ``textseq.data.text`` reads them."""

from __future__ import annotations
