"""Models as ONNX graphs, for other programs and for the browser."""
