"""Networks written node by node: what exporters of other frameworks emit and PyTorch's does not."""
import numpy as np
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """Collects nodes and initialisers of a graph whose input is `input` [N, C, H, W]."""

    def __init__(self, seed, typed=False):
        self.random = np.random.default_rng(seed)
        self.nodes, self.initializers, self.typed = [], [], typed

    def constant(self, name, values):
        """An initialiser; `typed` stores it in float_data or int64_data instead of raw bytes."""
        values = np.asarray(values)
        if self.typed:
            kind = helper.np_dtype_to_tensor_dtype(values.dtype)
            tensor = helper.make_tensor(name, kind, values.shape, values.flatten().tolist())
        else:
            tensor = numpy_helper.from_array(values, name)
        self.initializers.append(tensor)
        return name

    def weights(self, name, shape):
        scale = np.sqrt(2 / np.prod(shape[1:]))
        return self.constant(name, (self.random.standard_normal(shape) * scale).astype(np.float32))

    def node(self, op, inputs, name, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [f"{name}_out"], name=name, **attributes))
        return f"{name}_out"

    def conv(self, value, name, shape, bias=False, **attributes):
        inputs = [value, self.weights(f"{name}.weight", shape)]
        if bias:
            inputs.append(self.constant(f"{name}.bias", (0.1 * self.random.standard_normal(shape[0])).astype(np.float32)))
        return self.node("Conv", inputs, name, **attributes)

    def model(self, shape, value, outputs, opset):
        self.nodes[-1].output[0] = "output"
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes, "net", [info("input", TensorProto.FLOAT, ["N", *shape])],
            [info("output", TensorProto.FLOAT, ["N", *outputs])], self.initializers,
        )
        # IR 9 goes with opset 20: the newest that older runtimes read
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def pads(seed):
    """Asymmetric padding, auto_pad, dilation with stride, pooling with every option; opset 13."""
    b = Builder(seed, typed=True)
    x = b.conv("input", "asymmetric", (4, 3, 3, 3), bias=True, pads=[0, 1, 2, 3], strides=[1, 2])
    x = b.node("Relu", [x], "relu")
    x = b.conv(x, "same_upper", (4, 4, 4, 3), auto_pad="SAME_UPPER", strides=[2, 1])
    x = b.node("LeakyRelu", [x], "leaky", alpha=0.2)
    x = b.conv(x, "same_lower", (4, 4, 2, 4), auto_pad="SAME_LOWER", strides=[1, 1])
    x = b.node("MaxPool", [x], "max_same", kernel_shape=[3, 2], strides=[1, 1], auto_pad="SAME_UPPER")
    x = b.conv(x, "dilated", (6, 2, 3, 2), group=2, dilations=[2, 3], pads=[2, 1, 2, 2], strides=[1, 1])
    x = b.node("MaxPool", [x], "max_ceil", kernel_shape=[2, 3], strides=[2, 2], pads=[0, 1, 0, 1], ceil_mode=1)
    x = b.conv(x, "valid", (6, 6, 2, 2), auto_pad="VALID")
    x = b.node("AveragePool", [x], "mean_in", kernel_shape=[2, 2], strides=[1, 1], pads=[1, 0, 0, 1], count_include_pad=1)
    x = b.node("AveragePool", [x], "mean_out", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 1, 0, 0])
    x = b.node("Pad", [x, b.constant("amounts", np.array([0, 0, 1, 0, 0, 0, 0, 2], np.int64)), b.constant("fill", np.float32(0.25))], "pad")
    x = b.conv(x, "last", (3, 6, 1, 1), bias=True)
    x = b.node("Flatten", [b.node("GlobalAveragePool", [x], "gap")], "flatten", axis=1)
    return b.model((3, 12, 14), x, (3,), 13)


def pad_modes(seed):
    """Reflected and edge padding, Clip without bounds and with one, a bias by Add; opset 18."""
    b = Builder(seed)
    amounts = b.constant("amounts", np.array([1, 2, 2, 1], np.int64))
    axes = b.constant("axes", np.array([2, 3], np.int64))
    x = b.node("Pad", ["input", amounts, "", axes], "reflect", mode="reflect")
    x = b.conv(x, "first", (4, 2, 3, 3))
    x = b.node("Add", [x, b.constant("shift", b.random.standard_normal((4, 1, 1)).astype(np.float32))], "shifted")
    x = b.node("Clip", [x, "", b.constant("top", np.float32(1.5))], "below")
    x = b.node("Pad", [x, amounts, "", axes], "edge", mode="edge")
    x = b.conv(x, "second", (4, 4, 3, 3), strides=[2, 2])
    x = b.node("Mul", [x, b.constant("gain", b.random.uniform(0.5, 1.5, (1, 4, 1, 1)).astype(np.float32))], "scaled")
    x = b.node("Clip", [x, b.constant("floor", np.float32(-0.2))], "above")
    x = b.node("ReduceMean", [x, axes], "mean", keepdims=0)
    x = b.node("Gemm", [x, b.weights("fc.weight", (4, 3)), b.constant("fc.bias", np.ones(1, np.float32))], "fc", alpha=0.5, beta=2.0)
    return b.model((2, 7, 8), x, (3,), 18)


def reshapes(seed):
    """Flattening the long way round: Shape, Gather, Unsqueeze, Concat, Reshape; MatMul, Squeeze; opset 21."""
    b = Builder(seed)
    x = b.conv("input", "first", (4, 1, 3, 3), bias=True, pads=[1, 1, 1, 1])
    x = b.node("Relu", [x], "relu")
    shape = b.node("Shape", [x], "shape")
    count = b.node("Gather", [shape, b.constant("zero", np.int64(0))], "count", axis=0)
    first = b.constant("axis0", np.array([0], np.int64))
    count = b.node("Unsqueeze", [count, first], "count_1d")
    rest = b.node("Constant", [], "rest", value=numpy_helper.from_array(np.array([4, -1], np.int64)))
    x = b.node("Reshape", [x, b.node("Concat", [count, rest], "target", axis=0)], "rows")
    x = b.node("Transpose", [x], "turned", perm=[0, 2, 1])
    x = b.node("MatMul", [x, b.weights("mixed", (4, 6))], "mix")
    x = b.node("Transpose", [x], "back", perm=[0, 2, 1])
    x = b.node("Reshape", [x, b.constant("image", np.array([0, 6, 5, -1], np.int64))], "maps")
    x = b.conv(x, "second", (4, 6, 5, 6))
    x = b.node("Squeeze", [x, b.constant("axes", np.array([2, 3], np.int64))], "squeezed")
    limits = [b.constant(f"slice{i}", np.array([v], np.int64)) for i, v in enumerate((1, 4, 1, 1))]
    x = b.node("Slice", [x, *limits], "part")
    x = b.node("Softmax", [b.node("Identity", [x], "same")], "softmax", axis=-1)
    return b.model((1, 5, 6), x, (3,), 21)


def external(seed):
    """A few convolutions; the caller stores the weights in a file beside the model; opset 17."""
    b = Builder(seed)
    x = b.conv("input", "features.0", (8, 3, 3, 3), bias=True, pads=[1, 1, 1, 1])
    x = b.node("Relu", [x], "relu")
    x = b.conv(x, "features.2", (8, 8, 3, 3), bias=True, strides=[2, 2])
    x = b.node("Tanh", [x], "tanh")
    x = b.node("Flatten", [b.node("GlobalAveragePool", [x], "gap")], "flatten")
    return b.model((3, 9, 9), x, (8,), 17)
