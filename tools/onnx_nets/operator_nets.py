"""Networks written node by node: the operators that detectors, segmenters and other networks than classifiers use."""
import numpy as np
from onnx import helper, numpy_helper

from .raw_nets import Builder


def numbers(b, name, *values):
    return b.constant(name, np.array(values, np.float32))


def counts(b, name, *values):
    return b.constant(name, np.array(values, np.int64))


def resizes(seed):
    """Resize in every mode, by scales and by sizes; opset 19."""
    b = Builder(seed)
    scales = lambda name, h, w: numbers(b, name, 1, 1, h, w)
    x = b.conv("input", "first", (4, 3, 3, 3), bias=True, pads=[1, 1, 1, 1])
    x = b.node("Resize", [x, "", scales("twice", 2, 2)], "nearest", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    x = b.node("Relu", [b.conv(x, "second", (4, 4, 3, 3), strides=[2, 2])], "relu")
    x = b.node("Resize", [x, "", "", counts(b, "sizes", 2, 4, 11, 13)], "linear", mode="linear")
    x = b.node("Resize", [x, "", scales("more", 1.5, 1.25)], "cubic", mode="cubic", coordinate_transformation_mode="align_corners")
    x = b.conv(x, "third", (4, 4, 3, 3))
    x = b.node("Resize", [x, "", scales("less", 0.6, 0.7)], "averaged", mode="linear", antialias=1)
    x = b.node("Resize", [x, "", "", counts(b, "square", 12, 12)], "kept", mode="nearest", axes=[2, 3], keep_aspect_ratio_policy="not_larger")
    x = b.node("Resize", [x, "", scales("again", 2, 0.8)], "excluded", mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5)
    x = b.node("Resize", [x, numbers(b, "region", 0, 0, 0.1, -0.2, 1, 1, 0.9, 1.3), "", counts(b, "crop", 2, 4, 5, 6)], "cropped", mode="linear", coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=0.5)
    return b.model((3, 8, 9), b.node("Tanh", [b.conv(x, "last", (2, 4, 2, 2))], "bounded"), (2, 4, 5), 19)


def normalisations(seed):
    """Layer, instance, group and other normalisations, with scales and biases; opset 21."""
    b = Builder(seed)
    affine = lambda name, *shape: [b.constant(f"{name}.{part}", b.random.uniform(0.5, 1.5, shape).astype(np.float32)) for part in ("scale", "bias")]
    x = b.conv("input", "first", (6, 3, 3, 3), bias=True)
    x = b.node("Relu", [b.node("InstanceNormalization", [x, *affine("instance", 6)], "instance")], "relu")
    x = b.conv(x, "second", (6, 6, 3, 3), pads=[1, 1, 1, 1])
    x = b.node("Relu", [b.node("GroupNormalization", [x, *affine("group", 6)], "group", num_groups=3, epsilon=1e-3)], "relu2")
    x = b.node("LRN", [x], "local", size=3, alpha=0.5, beta=0.6, bias=1.5)
    x = b.node("MeanVarianceNormalization", [x], "variance", axes=[2, 3])
    x = b.node("LpNormalization", [x], "unit", axis=1, p=2)
    x = b.node("LayerNormalization", [b.conv(x, "third", (4, 6, 2, 2)), *affine("layer", 5, 6)], "layer", axis=2)
    x = b.node("Transpose", [x], "last_axis", perm=[0, 2, 3, 1])
    x = b.node("LayerNormalization", [x, affine("channels", 4)[0]], "channels")
    x = b.node("Transpose", [x], "back", perm=[0, 3, 1, 2])
    return b.model((3, 8, 9), b.node("Tanh", [b.conv(x, "last", (2, 4, 1, 1))], "bounded"), (2, 5, 6), 21)


def transposed(seed):
    """Transposed convolutions with every parameter, exchange of channels for positions, repetition; opset 17."""
    b = Builder(seed)
    up = lambda x, name, shape, **options: b.node("ConvTranspose", [x, b.weights(f"{name}.weight", shape)], name, **options)
    x = b.conv("input", "first", (4, 3, 3, 3), pads=[1, 1, 1, 1])
    x = up(x, "doubled", (4, 6, 2, 2), strides=[2, 2])
    x = up(x, "padded", (6, 2, 3, 4), strides=[2, 1], pads=[1, 2, 0, 1], output_padding=[1, 0], group=2)
    x = up(b.node("Relu", [x], "relu"), "dilated", (4, 4, 2, 3), dilations=[2, 3], strides=[1, 2], pads=[3, 0, 2, 7])
    x = up(x, "same", (4, 4, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER")
    x = b.node("SpaceToDepth", [x], "deeper", blocksize=2)
    x = b.node("DepthToSpace", [b.conv(x, "mixed", (16, 16, 1, 1))], "wider", blocksize=2, mode="CRD")
    x = b.node("DepthToSpace", [x], "wider_still", blocksize=2)
    x = b.node("ReduceMean", [x], "mean", axes=[2], keepdims=1)
    x = b.node("Expand", [x, counts(b, "shape", 1, 1, 3, 1)], "rows")
    x = b.node("Tile", [x, counts(b, "times", 1, 2, 2, 1)], "tiled")
    return b.model((3, 4, 3), b.node("Tanh", [b.conv(x, "last", (2, 2, 3, 3))], "bounded"), (2, 4, None), 17)


def reductions(seed):
    """Reductions of every kind, softmax and its relatives, functions of several values; opset 18."""
    b = Builder(seed)
    x = b.conv("input", "first", (4, 3, 3, 3), bias=True)
    both = counts(b, "map", 2, 3)
    parts = [b.node(f"Reduce{kind}", [x, both], kind) for kind in ("L1", "L2", "LogSumExp", "Max", "Min", "Sum", "SumSquare")]
    small = b.node("Mul", [x, numbers(b, "tenth", 0.1)], "small")
    parts.append(b.node("ReduceProd", [small, both], "product"))
    x = b.node("Add", [x, b.node("Mean", parts, "mean")], "shifted")
    x = b.node("LogSoftmax", [x], "log_softmax", axis=1)
    x = b.node("Max", [x, numbers(b, "floor", -3), b.node("Hardmax", [x], "hardmax", axis=2)], "largest")
    x = b.conv(x, "second", (4, 4, 3, 3))
    x = b.node("Min", [x, b.node("ReduceSum", [x, counts(b, "apart", 1, 3)], "apart_sum")], "least")
    x = b.node("GlobalLpPool", [x], "norms", p=3)
    y = b.node("ReduceLogSum", [b.node("Exp", [x], "exp"), counts(b, "channels", 1)], "log_sum", keepdims=0)
    x = b.node("Sum", [x, b.node("Unsqueeze", [y, counts(b, "axis", 3)], "column"), x], "sum")
    return b.model((3, 8, 9), b.node("Tanh", [b.conv(x, "last", (2, 4, 1, 1))], "bounded"), (2, 1, 1), 18)


UNARY = {
    "Abs": {}, "Ceil": {}, "Floor": {}, "Round": {}, "Sign": {}, "Neg": {}, "Exp": {}, "Softplus": {}, "Softsign": {}, "Mish": {},
    "Selu": {"alpha": 1.5, "gamma": 1.1}, "Celu": {"alpha": 0.7}, "ThresholdedRelu": {"alpha": 0.3}, "Shrink": {"lambd": 0.2, "bias": 0.1},
    "Sin": {}, "Cos": {}, "Atan": {}, "Erf": {}, "Elu": {"alpha": 0.8},
}


def functions(seed):
    """Functions of one number, comparisons, choices, powers and quotients of computed values; opset 18."""
    b = Builder(seed)
    x = b.conv("input", "first", (4, 3, 3, 3), bias=True)
    parts = []
    for op, options in UNARY.items():
        y = b.node("Mul", [x, numbers(b, f"gain_{op}", b.random.uniform(0.5, 2))], f"scaled_{op}")
        parts.append(b.node(op, [y], op, **options))
    total = b.node("Mean", parts, "mean")
    positive = b.node("Add", [b.node("Abs", [x], "size"), numbers(b, "little", 0.1)], "positive")
    for op in ("Sqrt", "Log", "Reciprocal"):
        total = b.node("Add", [total, b.node(op, [positive], op)], f"with_{op}")
    above = b.node("Greater", [total, x], "above")
    near = b.node("LessOrEqual", [x, numbers(b, "limit", 0.5)], "near")
    one = b.node("Xor", [above, near], "one")
    both = b.node("Or", [b.node("And", [above, near], "both"), b.node("Not", [one], "none")], "either")
    x = b.node("Where", [both, total, b.node("Div", [x, positive], "quotient")], "chosen")
    mask = b.constant("mask", b.random.random((1, 1, 6, 7)) < 0.7)
    x = b.node("Where", [mask, x, numbers(b, "outside", -1)], "masked")
    x = b.node("Pow", [b.node("Abs", [x], "magnitude"), numbers(b, "exponent", 1.7)], "power")
    x = b.node("Mul", [x, b.node("Cast", [b.node("Equal", [x, x], "same")], "number", to=1)], "kept")
    return b.model((3, 8, 9), b.node("Tanh", [b.conv(x, "last", (2, 4, 2, 2))], "bounded"), (2, 5, 6), 18)


def attention(seed):
    """Products of computed matrices, heads as an axis, a mask of infinities; opset 17."""
    b = Builder(seed)
    x = b.node("Reshape", [b.conv("input", "patches", (12, 3, 2, 2), strides=[2, 2]), counts(b, "flat", 0, 12, -1)], "tokens")
    x = b.node("Transpose", [x], "rows", perm=[0, 2, 1])
    heads = []
    for name, perm in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        y = b.node("MatMul", [x, b.weights(f"{name}.weight", (12, 12))], name)
        y = b.node("Reshape", [y, counts(b, f"{name}_heads", 0, 0, 3, 4)], f"{name}_split")
        heads.append(b.node("Transpose", [y], f"{name}_first", perm=perm))
    scores = b.node("MatMul", heads[:2], "scores")
    mask = b.constant("mask", np.tril(np.ones((1, 1, 12, 12), bool)))
    scores = b.node("Where", [mask, scores, numbers(b, "never", -np.inf)], "masked")
    x = b.node("MatMul", [b.node("Softmax", [scores], "weights", axis=-1), heads[2]], "mixed")
    x = b.node("MatMul", [b.weights("between", (3, 12, 12)), x], "turned")
    x = b.node("Reshape", [b.node("Transpose", [x], "joined", perm=[0, 2, 1, 3]), counts(b, "maps", 0, 12, 3, 4)], "back")
    return b.model((3, 6, 8), b.node("Tanh", [b.conv(x, "last", (2, 12, 1, 1))], "bounded"), (2, 3, 4), 17)


def tokens(seed):
    """A token repeated for every sample, queries, keys and values split along a first axis, standardised weights; opset 17."""
    b = Builder(seed)
    weight = b.node("Reshape", [b.weights("patches.weight", (8, 3, 2, 2)), counts(b, "rows", 1, 8, -1)], "weight_rows")
    # four constants, because onnxruntime updates the running statistics in place
    names = ("gain", "bias", "running_mean", "running_var")
    statistics = [b.constant(name, np.full(8, value, np.float32)) for name, value in zip(names, (1, 0, 0, 1))]
    b.nodes.append(helper.make_node("BatchNormalization", [weight, *statistics], ["standard", "m", "v"], name="standardise", training_mode=1))
    weight = b.node("Reshape", ["standard", counts(b, "filters", 8, 3, 2, 2)], "weight")
    x = b.node("Conv", ["input", weight], "patches", strides=[2, 2])
    x = b.node("Transpose", [b.node("Reshape", [x, counts(b, "flat", 0, 8, 12)], "flattened"), ], "tokens", perm=[0, 2, 1])
    batch = b.node("Gather", [b.node("Shape", ["input"], "shape"), counts(b, "zero", 0)], "batch")
    token = b.node("Expand", [b.weights("class", (1, 1, 8)), b.node("Concat", [batch, counts(b, "one", 1, 8)], "size", axis=0)], "token")
    x = b.node("Concat", [token, x], "all", axis=1)
    x = b.node("Add", [x, b.weights("position", (1, 13, 8))], "placed")
    filled = b.node("ConstantOfShape", [b.node("Concat", [batch, counts(b, "more", 13, 8)], "wide", axis=0)], "filled", value=numpy_helper.from_array(np.array([0.25], np.float32)))
    x = b.node("Add", [x, b.node("CumSum", [filled, b.constant("along", np.int64(1))], "ramp")], "ramped")
    for block, take in (("first", "gather"), ("second", "split")):
        y = b.node("MatMul", [x, b.weights(f"{block}.qkv", (8, 24))], f"{block}_qkv")
        y = b.node("Reshape", [y, counts(b, f"{block}_heads", 0, 13, 3, 2, 4)], f"{block}_split")
        y = b.node("Transpose", [y], f"{block}_moved", perm=[2, 0, 3, 1, 4])
        if take == "gather":
            parts = [b.node("Gather", [y, b.constant(f"{block}_{i}", np.int64(i))], f"{block}_part{i}", axis=0) for i in range(3)]
        else:
            names = [f"{block}_slice{i}" for i in range(3)]
            b.nodes.append(helper.make_node("Split", [y, counts(b, f"{block}_cuts", 1, 1, 1)], names, name=f"{block}_cut", axis=0))
            parts = [b.node("Squeeze", [name, counts(b, f"{name}_axis", 0)], f"{name}_part") for name in names]
        scores = b.node("MatMul", [parts[0], b.node("Transpose", [parts[1]], f"{block}_key", perm=[0, 1, 3, 2])], f"{block}_scores")
        y = b.node("MatMul", [b.node("Softmax", [scores], f"{block}_weights", axis=-1), parts[2]], f"{block}_mixed")
        y = b.node("Reshape", [b.node("Transpose", [y], f"{block}_joined", perm=[0, 2, 1, 3]), counts(b, f"{block}_flat", 0, 13, 8)], f"{block}_rows")
        x = b.node("Add", [x, y], f"{block}_sum")
    x = b.node("Gather", [x, b.constant("class_token", np.int64(0))], "pooled", axis=1)
    return b.model((3, 6, 8), b.node("Gemm", [x, b.weights("head", (8, 3))], "logits"), (3,), 17)


def lines(seed):
    """Convolutions and poolings of lines [N, C, L]; opset 17."""
    b = Builder(seed)
    x = b.node("Squeeze", [b.node("ReduceMean", ["input"], "rows", axes=[2]), counts(b, "axis", 2)], "line")
    x = b.conv(x, "first", (6, 3, 5), bias=True, strides=[2], pads=[1, 2])
    x = b.node("MaxPool", [b.node("Relu", [x], "relu")], "max", kernel_shape=[3], strides=[2], pads=[1, 0])
    x = b.conv(x, "grouped", (6, 2, 2), group=3, dilations=[2], pads=[1, 1])
    x = b.node("ConvTranspose", [x, b.weights("up.weight", (6, 4, 3))], "up", strides=[2])
    x = b.node("AveragePool", [x], "mean", kernel_shape=[2], strides=[1])
    return b.model((3, 4, 21), b.node("GlobalMaxPool", [x], "gap"), (4, 1), 17)


NETS = {
    "resizes": resizes, "normalisations": normalisations, "transposed": transposed, "reductions": reductions,
    "functions": functions, "attention": attention, "lines": lines, "tokens": tokens,
}
