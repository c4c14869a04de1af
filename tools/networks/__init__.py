"""Networks as people have them, for a check of the ONNX import: which, and how they are exported."""
