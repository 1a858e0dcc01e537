"""A server for trained models: a web page, and the protocols of OpenAI, LibreTranslate and our own."""
