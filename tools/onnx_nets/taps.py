"""Names of a model's convolutions, and onnxruntime's values at their outputs."""
import re

import numpy as np
import onnx
import onnxruntime

UNARY = {
    "Relu", "LeakyRelu", "Elu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Clip", "Gelu", "Erf", "Softplus", "Mish",
    "Selu", "Celu", "Identity", "Sqrt", "Exp", "Abs", "Neg",
}
AFFINE = {"Add", "Sub", "Mul", "Div"}


def conv_layers(model):
    """[(layer name, Conv or ConvTranspose node)] in graph order: the module path of the weight initialiser, else the node's name.

    "/" becomes ".", leading dots go, anything outside [A-Za-z0-9._-] becomes "_"; a second layer of the
    same name is refused here, so that the rule for clashes does not matter.
    """
    layers = []
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            weight = node.input[1]
            raw = weight.removesuffix(".weight") if weight.endswith(".weight") else node.name
            name = re.sub(r"[^A-Za-z0-9._-]", "_", raw.replace("/", ".")).lstrip(".")
            assert name and name not in [known for known, _ in layers], f"no name of its own: {node.name} {weight}"
            layers.append((name, node))
    return layers


def activation_output(model, conv):
    """The last value through which everything behind `conv` sees an elementwise function of its output.

    Brute force over the definition: a value is such an end if whatever can be reached from the convolution
    without passing it is elementwise too. A batch normalisation counts as long as no activation lies before it.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {node.output[0] for node in model.graph.node if node.op_type == "Constant"}
    bent = {conv.output[0]: False}
    for node in model.graph.node:
        inputs = {name for name in node.input if name and name not in constants}
        if not inputs or not inputs <= bent.keys():
            continue
        curved = any(bent[name] for name in inputs)
        if node.op_type in UNARY | AFFINE | {"PRelu", "Pow"}:
            affine = node.op_type in AFFINE and len(inputs) == len(node.input) - len(set(node.input) & constants) == 1
            bent[node.output[0]] = curved or not affine
        elif node.op_type == "BatchNormalization" and not curved:
            bent[node.output[0]] = False

    def is_end(end):
        open_, seen = [conv.output[0]], set()
        while open_:
            value = open_.pop()
            if value == end or value in seen:
                continue
            if value not in bent:
                return False
            seen.add(value)
            open_ += [out for node in model.graph.node if value in node.input for out in node.output]
        return True

    return [value for value in bent if value == conv.output[0] or is_end(value)][-1]


def session(path, extra=(), threads=1):
    """An onnxruntime session whose outputs are `extra` (names of inner values) and then the model's own."""
    model = onnx.load(path, load_external_data=False)
    known = {output.name for output in model.graph.output}
    outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in dict.fromkeys(extra) if name not in known]
    own = list(model.graph.output)
    del model.graph.output[:]
    model.graph.output.extend(outputs + own)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    copy = path.with_name(path.name + ".taps.onnx")  # beside the model, where its external data is found
    try:
        onnx.save(model, copy)
        return onnxruntime.InferenceSession(str(copy), options, providers=["CPUExecutionProvider"])
    finally:
        copy.unlink(missing_ok=True)


def run(path, values, names, threads=1):
    """{name: float32 array} of the inner values `names` and of the model's first output (key "output")."""
    graph = session(path, names, threads)
    output = onnx.load(path, load_external_data=False).graph.output[0].name
    wanted = list(dict.fromkeys([*names, output]))
    found = dict(zip(wanted, graph.run(wanted, {graph.get_inputs()[0].name: values})))
    return {**{name: np.ascontiguousarray(found[name]) for name in names}, "output": found[output]}
