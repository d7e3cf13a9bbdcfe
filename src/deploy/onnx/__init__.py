"""The network as an ONNX file: its graph, its 8-bit form, and reading with it. Needs no MindSpore."""
