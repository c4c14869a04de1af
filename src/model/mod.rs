//! Networks: graph, ONNX import, forward pass on a device.
