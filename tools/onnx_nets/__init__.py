"""Small networks with the structures of well-known ones, and what onnxruntime makes of them."""
