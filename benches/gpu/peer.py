"""The work of `chanscope bench` in torch, in float32 without TF32, on the GPU if torch has one. Work that runs on
matrices of f16 there (`half` in its row) also in float16, with the ratio that is wanted of it.

    peer.py BENCH.json TORCH.json

Writes after every row, so that a run that is cut short keeps what it has.
"""
import json
import statistics
import sys
import time


def load_torch():
    try:
        import torch
    except ImportError:
        print("torch cannot be imported: no comparison (PYTHON names another python)", file=sys.stderr)
        return None
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    return torch


class Clock:
    """Median seconds of a call, by events on the device where there is one."""

    def __init__(self, torch, device):
        self.torch, self.device = torch, device

    def seconds(self, call):
        call()
        call()
        times, begun = [], time.perf_counter()
        while len(times) < 3 or time.perf_counter() - begun < 0.3:
            times.append(self.once(call))
        return statistics.median(times)

    def once(self, call):
        if self.device == "cpu":
            start = time.perf_counter()
            call()
            return time.perf_counter() - start
        start, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.torch.cuda.synchronize()
        start.record()
        call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3


def conv2d(torch, device, s):
    x = torch.rand(s["batch"], s["channels"], s["size"], s["size"], device=device) - 0.5
    w = torch.rand(s["filters"], s["channels"] // s["groups"], s["kernel"], s["kernel"], device=device) - 0.5
    b = torch.rand(s["filters"], device=device)
    conv = torch.nn.functional.conv2d
    call = lambda: conv(x, w, b, s["stride"], s["kernel"] // 2, 1, s["groups"]).relu_()
    return {"conv2d" if s["groups"] == 1 else "grouped conv2d": call}


def gram(torch, device, s):
    x = torch.rand(s["groups"], s["n"], s["dim"], device=device) - 0.5
    return {"bmm": lambda: torch.bmm(x, x.transpose(1, 2))}


def gram_half(torch, device, s):
    x = (torch.rand(s["groups"], s["n"], s["dim"], device=device) - 0.5).half()
    return {"bmm in float16": lambda: torch.bmm(x, x.transpose(1, 2))}


def knn(torch, device, s):
    x = torch.rand(s["n"], s["dim"], device=device) - 0.5
    if s["kernel"] == "cosine":
        x = x / x.norm(dim=1, keepdim=True)
    q, norms = x[: s["queries"]], (x * x).sum(1)

    def matmul():
        d = torch.addmm(norms, q, x.T, beta=1, alpha=-2)
        return d.topk(s["k"] + 1, largest=False)

    calls = {"matmul + topk": matmul}
    if s["kernel"] == "gaussian":
        calls["cdist + topk"] = lambda: torch.cdist(q, x).topk(s["k"] + 1, largest=False)
    half = x.half()
    calls["float16 matmul alone"] = lambda: torch.matmul(half[: s["queries"]], half.T)
    return calls


def nnk(torch, device, s):
    x = torch.rand(s["n"], s["dim"], device=device) - 0.5
    q = x[: s["queries"]]
    # Candidates are given, as they are to chanscope.
    near = torch.cat([torch.cdist(part, x).topk(s["k"] + 1, largest=False).indices[:, 1:] for part in q.split(256)])

    def gradient():
        y = x[near]
        if s["kernel"] == "cosine":
            u, v = torch.nn.functional.normalize(y, dim=2), torch.nn.functional.normalize(q, dim=1)
            gram, b = 0.5 + 0.5 * u @ u.transpose(1, 2), 0.5 + 0.5 * (u @ v[:, :, None])[..., 0]
        else:
            d = (y - q[:, None]).square().sum(2)
            factor = 4.5 / d.amax(1)
            gram = torch.exp(-torch.cdist(y, y).square() * factor[:, None, None])
            b = torch.exp(-d * factor[:, None])
        step = 1 / gram.sum(2).amax(1)[:, None]
        theta = b.clone()
        for _ in range(100):
            theta = (theta - step * (torch.bmm(gram, theta[:, :, None])[..., 0] - b)).clamp_(min=0)
        return theta

    return {"projected gradient, 100 steps (not exact)": gradient}


def filters(torch, device, s):
    m, c, h, w = s["shape"]
    k = torch.rand(m, c, h, w, device=device) - 0.5
    conv = torch.nn.functional.conv2d

    def identity():
        leaf = k.clone().requires_grad_()
        maps = leaf.reshape(1, m * c, h, w)
        a = conv(maps, leaf.reshape(m * c, 1, h, w), padding=(h - 1, w - 1), groups=m * c).reshape(m, c, -1)
        value = 0.5 * (a.sum(0).square().sum() - a.square().sum())
        value.backward()
        return leaf.grad

    def grouped():
        # One filter against all others, as a grouped convolution; the whole takes M times as long.
        maps = k[:1].expand(m, c, h, w).reshape(1, m * c, h, w)
        r = conv(maps, k.reshape(m * c, 1, h, w), padding=(h - 1, w - 1), groups=m * c)
        return r.square().sum()

    return {"autograd through the identity (cancels)": identity, "grouped conv2d, one filter of M": grouped}


MAKE = {"conv2d": conv2d, "gram": gram, "gram f16": gram_half, "knn": knn, "nnk": nnk, "filters": filters}

# Of torch's time over chanscope's, where chanscope runs on matrices of f16.
WANTED = {"bmm in float16": 0.35, "float16 matmul alone": 0.35}


def main(bench, out):
    torch = load_torch()
    if torch is None:
        return 1
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        print("torch has no GPU here: it is measured on the CPU, which says nothing about the card", file=sys.stderr)
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    found = {"torch": torch.__version__, "device": name, "cuda": torch.version.cuda, "rows": []}
    clock = Clock(torch, device)
    for row in json.load(open(bench))["rows"]:
        make = MAKE.get(row["kernel"])
        if make is None:
            continue
        try:
            for what, call in make(torch, device, row["sizes"]).items():
                entry = {"kernel": row["kernel"], "shape": row["shape"], "what": what, "seconds": clock.seconds(call)}
                if row.get("half"):
                    entry["wanted"] = WANTED.get(what)
                found["rows"].append(entry)
        except RuntimeError as error:  # out of memory: the others still count
            reason = str(error).splitlines()[0][:200]
            found["rows"].append({"kernel": row["kernel"], "shape": row["shape"], "what": f"failed: {reason}"})
        with open(out, "w") as file:
            json.dump(found, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
