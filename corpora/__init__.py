"""The corpus recipes, one TOML file per corpus; ``textseq.corpus`` reads them."""
