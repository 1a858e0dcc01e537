"""The commands: parse, call, print; nothing else lives here."""
