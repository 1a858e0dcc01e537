"""The addresses of the server, a file for each protocol: requests and answers as typed models, and their routes."""
