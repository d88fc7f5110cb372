"""A trained detector for others: one ONNX graph, and a web page that runs it."""
