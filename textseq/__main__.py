"""``python -m textseq COMMAND``."""

from importlib import import_module

if __name__ == "__main__":
    import_module("textseq.cli.main").main()
