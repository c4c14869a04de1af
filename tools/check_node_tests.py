#!/usr/bin/env python3
"""Run ONNX's own node tests through chanscope, and print as Markdown how many run and why the others are refused.

A test is one node, or a few, with inputs and the outputs that the standard's reference implementation gives. Those
that fit an image network are tried: inputs of float32 with the same first axis, the batch, and a sample's axes
behind it. They become one input [N, D] that the model cuts and reshapes; other inputs become constants. Where that
is refused, the second and later inputs become constants, too. Outputs are compared with the expected ones within the
tolerance of the test (1e-3 of each value, unless it says otherwise), and with onnxruntime's. Exits 1 when one is wrong; where the two
differ, either counts.

Example:
    cargo build --release && tools/check_node_tests.py
"""
import argparse
import collections
import multiprocessing
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

NEWEST = 23  # newest operator set that chanscope reads


def testcases():
    """All node tests that the installed package can make."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    for case in cases:
        for values in case.data_sets[0]:
            values[:] = [np.asarray(v) if isinstance(v, np.generic) else v for v in values]
    return cases


def unfit(case):
    """Why a test says nothing about image networks; None where it fits."""
    graph = case.model.graph
    if any(o.domain not in ("", "ai.onnx") for o in case.model.opset_import):
        return "another operator domain"
    inputs, outputs = case.data_sets[0]
    if len(inputs) != len(graph.input) or not inputs:
        return "no input"
    everything = [*inputs, *outputs]
    if not all(isinstance(value, np.ndarray) for value in everything):
        return "sequences or missing values"
    if inputs[0].dtype != np.float32:
        return f"the first input is {inputs[0].dtype}"
    if inputs[0].ndim < 2:
        return "the first input has no batch and a sample"
    if 0 in inputs[0].shape:
        return "the first input is empty"
    if not all(out.dtype in (np.float32, np.bool_) for out in outputs[:1]):
        return f"the output is {outputs[0].dtype}"
    if outputs[0].ndim < 1 or outputs[0].shape[0] != inputs[0].shape[0]:
        return "the batch is not the output's first axis"
    return None


def wrapped(case, computed):
    """A model with the inputs `computed` (places) cut out of one, the others as constants, and its data."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph, inputs = model.graph, case.data_sets[0][0]
    samples = inputs[0].shape[0]
    names = [value.name for value in graph.input]
    flat = [inputs[i].reshape(samples, -1).astype(np.float32) for i in computed]
    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    # Attributes until opset 12, an input since: the parts are cut with the operator of the model's own set.
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    parts = [f"part_{i}" for i in computed] if len(computed) > 1 else ["every_input"]
    sizes = [part.shape[1] for part in flat]
    if len(computed) > 1:
        if opset >= 13:
            nodes.append(helper.make_node("Split", ["data", constant("cuts", np.int64(sizes))], parts, axis=1))
        else:
            nodes.append(helper.make_node("Split", ["every_input"], parts, axis=1, split=sizes))
    for part, i in zip(parts, computed):
        truth = inputs[i].dtype == np.bool_
        shape = constant(f"shape_{i}", np.int64([0, *inputs[i].shape[1:]]))
        shaped = f"shaped_{i}" if truth else names[i]
        nodes.append(helper.make_node("Reshape", [part, shape], [shaped], name=f"reshape_{i}"))
        if truth:
            nodes.append(helper.make_node("Cast", [shaped], [names[i]], name=f"cast_{i}", to=TensorProto.BOOL))
    for i, value in enumerate(inputs):
        if i not in computed:
            constant(names[i], value)
    nodes.extend(graph.node)
    output = graph.output[0].name
    if case.data_sets[0][1][0].dtype == np.bool_:
        nodes.append(helper.make_node("Cast", [output], ["truth"], name="as_float", to=TensorProto.FLOAT))
        output = "truth"
    shape = [*case.data_sets[0][1][0].shape]
    info = helper.make_tensor_value_info
    del graph.input[:], graph.output[:]
    graph.input.append(info("every_input", TensorProto.FLOAT, ["N", sum(sizes)]))
    graph.output.append(info(output, TensorProto.FLOAT, ["N", *shape[1:]]))
    every = [*constants, *graph.initializer]
    all_nodes = list(nodes)
    del graph.node[:], graph.initializer[:]
    graph.node.extend(all_nodes)
    graph.initializer.extend(every)
    return model, np.ascontiguousarray(np.concatenate(flat, axis=1))


def attempt(case, computed, options):
    """(output, None), or (None, why not)."""
    model, data = wrapped(case, computed)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        onnx.save(model, folder / "m.onnx")
        np.save(folder / "x.npy", data)
        command = [options.binary, "run", folder / "m.onnx", folder / "x.npy", "--dump", folder / "dump", "--quiet", "--device", options.device]
        done = subprocess.run([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        file = folder / "dump" / "output.npy"
        if done.returncode or not file.exists():
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            return None, " ".join(lines).replace(str(folder / "m.onnx"), "model").removeprefix("error: ")
        return np.load(file), None


def onnxruntime_output(case, computed):
    """What onnxruntime makes of the same model; None where it cannot run it."""
    model, data = wrapped(case, computed)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, {"every_input": data})[0]
    except Exception:  # whatever it does not implement
        return None


def relative(got, want):
    """Largest difference over the largest expected value."""
    scale = np.abs(want).max(initial=0)
    return np.abs(got.astype(np.float64) - want).max(initial=0) / (scale or 1)


def check(arguments):
    """(name, operators, "right" | "as onnxruntime" | "wrong" | "refused", detail, difference)."""
    index, options = arguments
    case = CASES[index]
    operators = "+".join(sorted({node.op_type for node in case.model.graph.node}))
    inputs, outputs = case.data_sets[0]
    samples = inputs[0].shape[0]
    fits = [i for i, v in enumerate(inputs) if v.dtype in (np.float32, np.bool_) and v.ndim >= 2 and v.shape[0] == samples and v.size]
    tried = list(dict.fromkeys([tuple(fits), (0,)]))
    why = None
    for computed in tried:
        got, why = attempt(case, computed, options)
        if got is not None:
            break
    if got is None:
        return case.name, operators, "refused", why, None
    want = outputs[0].astype(np.float32)
    if got.shape != want.shape and got.size == want.size:
        got = got.reshape(want.shape)
    right = got.shape == want.shape and np.allclose(got, want, rtol=case.rtol, atol=max(case.atol, 1e-7), equal_nan=True)
    difference = None
    theirs = onnxruntime_output(case, computed)
    outcome = "right" if right else "wrong"
    if theirs is not None and theirs.shape == want.shape and got.shape == want.shape:
        finite = np.isfinite(theirs)
        difference = relative(got[finite], theirs[finite])
        if not right and np.allclose(got, theirs, rtol=case.rtol, atol=max(case.atol, 1e-7), equal_nan=True):
            outcome = "as onnxruntime"
    detail = "" if right else f"expected {want.shape} {want.flatten()[:4]}, got {got.shape} {got.flatten()[:4]}"
    return case.name, operators, outcome, detail, difference


def reason(text):
    """A refusal without names and numbers, so that equal ones can be counted."""
    text = re.sub(r"^model: (node '[^']*'( uses operator \w+)?( \(\w+\))?:? ?)?", "", text)
    text = re.sub(r"'[^']*'", "...", text)
    return re.sub(r"\[[^\]]*\]|\b\d+(\.\d+)?\b", "n", text)[:150]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=pathlib.Path("target/release/chanscope"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="tests whose name contains this")
    parser.add_argument("--all", action="store_true", help="list every refusal with its message")
    args = parser.parse_args()

    global CASES
    CASES = [case for case in testcases() if args.only in case.name]
    skipped = collections.Counter()
    chosen = []
    for index, case in enumerate(CASES):
        opset = max(o.version for o in case.model.opset_import)
        why = unfit(case) or (f"operator set above {NEWEST}" if opset > NEWEST else None)
        if why:
            skipped[why] += 1
        else:
            chosen.append((index, args))
    with multiprocessing.Pool(2) as pool:
        found = pool.map(check, chosen, chunksize=8)
    count = collections.Counter(result[2] for result in found)
    compared = [r for r in found if r[4] is not None and r[2] != "wrong"]
    worst = max(compared, key=lambda r: r[4], default=None)
    run = count["right"] + count["as onnxruntime"]
    print(f"Of {len(CASES)} node tests of onnx {onnx.__version__}, {len(found)} fit an image network. Of these "
          f"{run} run ({100 * run / max(len(found), 1):.0f} %), {count['wrong']} are wrong, {count['refused']} are refused. "
          f"{count['as onnxruntime']} of those that run give what onnxruntime {onnxruntime.__version__} does, and the test something else.")
    if worst:
        print(f"onnxruntime runs {len(compared)} of them, too. The largest difference from it is {worst[4]:.1e} of the "
              f"largest value ({worst[0]}).")
    for title, pairs in (
        ("refused because", collections.Counter(f"{reason(r[3])}" for r in found if r[2] == "refused")),
        ("operator of a refused test", collections.Counter(r[1] for r in found if r[2] == "refused")),
        ("not tried because", skipped),
    ):
        print(f"\n| tests | {title} |\n|---|---|")
        for text, number in pairs.most_common():
            print(f"| {number} | {text.replace('|', ' ')} |")
    for name, operators, outcome, detail, _ in found:
        if outcome in ("wrong", "as onnxruntime") or args.all and outcome == "refused":
            print(f"{outcome}: {name} ({operators}): {detail}")
    sys.exit(count["wrong"] > 0)


if __name__ == "__main__":
    main()
