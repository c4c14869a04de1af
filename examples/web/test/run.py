#!/usr/bin/env python3
"""Tests the library in a browser: the same jobs there and by the command line on the CPU, whose numbers must agree.

run.py PAGE CHANSCOPE CHROMIUM SHADERS      the page's folder, two programs, and what `shader_stats wgsl` wrote

Exit code: 0; 1 where a kernel is refused or numbers differ; 3 where the browser offers no WebGPU, with the reason.
"""

import array
import http.server
import json
import math
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

# Of means over queries. Supports are decided in pairs of float32 (about 46 bits) there and in float64 here.
TOLERANCE = 1e-6
# Seconds for everything in the browser.
PATIENCE = 400


def npy(kind, shape, values):
    """The bytes of a .npy file."""
    code = {"<f4": "f", "<f2": "e", "|u1": "B"}[kind]
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
    return start + struct.pack(f"<{len(values)}{code}", *values)


def maps(seed, samples, channels, size):
    """Activations after a ReLU. The last channel looks like the first, and one before it is never active."""
    draw = random.Random(seed)
    out = []
    for _ in range(samples):
        hidden = [draw.gauss(0, 1) for _ in range(3)]
        rows = []
        for c in range(channels - 2):
            waves = (hidden[c % 3] * math.sin(1 + c + i) + hidden[(c + 1) % 3] for i in range(size))
            rows.append([max(0.0, w + draw.gauss(0, 0.1)) for w in waves])
        rows.append([0.0] * size)
        rows.append([max(0.0, v + draw.gauss(0, 0.02)) for v in rows[0]])
        out.extend(v for row in rows for v in row)
    return out


def jobs():
    """Names of files, their bytes, and options."""
    wave = maps(1, 300, 6, 16)
    half = maps(2, 200, 4, 30)
    byte = [min(255, round(40 * v)) for v in maps(3, 150, 4, 9)]
    wide = maps(4, 90, 3, 400)
    default = {"k": 25, "kernel": "gaussian", "queries": 0}
    return {
        "gaussian.npy": (npy("<f4", (300, 6, 4, 4), wave), default),
        "cosine.npy": (npy("<f2", (200, 4, 30), half), {**default, "k": 7, "kernel": "cosine"}),
        "queries.npy": (npy("|u1", (150, 4, 3, 3), byte), {**default, "k": 60, "queries": 40}),
        "large.npy": (npy("<f4", (90, 3, 20, 20), wide), {**default, "k": 12}),
        "short.npy": (npy("<f4", (300, 6, 4, 4), wave)[:-8], default),
        "many.npy": (npy("<f4", (90, 3, 20, 20), wide), {**default, "k": 5000}),
    }


# Files that must be refused, and words of the reason.
REFUSED = {"short.npy": "short.npy", "many.npy": "1024"}


def read_npy(path):
    """Values of a float64 array."""
    content = path.read_bytes()
    length = struct.unpack("<H", content[8:10])[0]
    assert b"'<f8'" in content[:10 + length], path
    values = array.array("d")
    values.frombytes(content[10 + length:])
    return list(values)


def differences(here, there, path=""):
    """Places where two JSON values differ by more than the tolerance, and the largest difference of numbers."""
    if isinstance(here, bool) or here is None or isinstance(here, str):
        return ([] if here == there else [f"{path}: {here!r} here, {there!r} in the browser"]), 0.0
    if isinstance(here, (int, float)):
        if not isinstance(there, (int, float)):
            return [f"{path}: {here} here, {there!r} in the browser"], 0.0
        gap = 0.0 if here == there else abs(here - there) / max(1.0, abs(here))
        return ([] if gap <= TOLERANCE else [f"{path}: {here} here, {there} in the browser"]), gap
    if isinstance(here, list):
        pairs = [(f"{path}[{i}]", a, b) for i, (a, b) in enumerate(zip(here, there or []))]
        wrong = [] if there is not None and len(here) == len(there) else [f"{path}: of another length"]
    else:
        pairs = [(f"{path}.{key}", here[key], (there or {}).get(key)) for key in here]
        wrong = [] if there is not None and here.keys() == there.keys() else [f"{path}: has other fields"]
    largest = 0.0
    for name, a, b in pairs:
        more, gap = differences(a, b, name)
        wrong += more
        largest = max(largest, gap)
    return wrong, largest


def by_command_line(chanscope, folder, file, options):
    """Results of the command line, and its float64 arrays by name."""
    out = folder / ("out-" + file)
    command = [chanscope, "redundancy", str(folder / file), "--device", "cpu", "--out", str(out), "--quiet"]
    command += ["-k", str(options["k"]), "--kernel", options["kernel"]]
    if options["queries"]:
        command += ["--queries", str(options["queries"])]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    results = json.loads((out / "results.json").read_text())
    arrays = {str(p.relative_to(out)): p for p in out.glob("layers/*/*.npy")}
    floats = {name: read_npy(p) for name, p in arrays.items() if b"'<f8'" in p.read_bytes()[:128]}
    return results, floats


# What depends on rounding alone and has no common value: the residual of the solver.
OF_THE_DEVICE = {"kkt_residual_max"}


def compare(file, here, found):
    """What differs between the command line's results and those of the browser."""
    results, arrays = here
    theirs = json.loads(found["results"])
    ours = [{k: v for k, v in l.items() if k not in OF_THE_DEVICE} for l in results["redundancy"]["layers"]]
    other = [{k: v for k, v in l.items() if k not in OF_THE_DEVICE} for l in theirs["redundancy"]["layers"]]
    wrong, gap = differences(ours, other, file)
    for name, values in arrays.items():
        # JSON has no NaN: a value that does not exist is null there.
        values = [None if math.isnan(v) else v for v in values]
        more, larger = differences(values, found["arrays"].get(name), f"{file} {name}")
        wrong += more
        gap = max(gap, larger)
    if results["input"][0]["fingerprint"] != theirs["input"][0]["fingerprint"]:
        wrong.append(f"{file}: another fingerprint")
    if found["report"] < 50_000 or found["shares"] == 0:
        wrong.append(f"{file}: no report, or no progress")
    count = sum(map(len, arrays.values()))
    print(f"{file}: {count} entries of {len(arrays)} matrices and all figures, largest difference {gap:.1e}, "
          f"{found['seconds']:.1f} s on {theirs['device']['name']} ({theirs['device']['backend']})")
    return wrong


class Server(http.server.ThreadingHTTPServer):
    """Serves the page and collects what it finds."""

    def __init__(self, page, files):
        self.files, self.found, self.ended = files, {}, threading.Event()

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=page)

            def do_GET(self):
                content = self.server.files.get(self.path.lstrip("/"))
                if content is None:
                    return super().do_GET()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                name = self.path.removeprefix("/found/")
                self.server.found[name] = json.loads(body)
                self.send_response(204)
                self.end_headers()
                if name == "end":
                    self.server.ended.set()

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)


def in_browser(chromium, page, files):
    """What the test page posts."""
    server = Server(page, files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/test/test.html"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, open(Path(profile) / "log", "wb") as log:
        browser = subprocess.Popen(
            [chromium, "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader",
             f"--user-data-dir={profile}/user", address],
            stdout=log, stderr=log, start_new_session=True)
        try:
            for _ in range(PATIENCE):
                if server.ended.wait(1) or browser.poll() is not None:
                    break
        finally:
            # With the processes that it started.
            os.killpg(browser.pid, signal.SIGTERM)
            browser.wait()
        if not server.ended.is_set():
            print((Path(profile) / "log").read_text(errors="replace")[-2000:], file=sys.stderr)
            server.found["unfinished"] = True
    server.shutdown()
    return server.found


def check_page(page):
    """What is wrong about the page itself."""
    wrong = []
    if "model.pt is no .npy file" not in (page.get("wrongName") or ""):
        wrong.append(f"page: a file of another name gives {page.get('wrongName')!r}")
    if "text" not in (page.get("wrongContent") or ""):
        wrong.append(f"page: a file that is no array gives {page.get('wrongContent')!r}")
    names = [layer["name"] for layer in page.get("layers") or []]
    if page.get("demo") is not None or names != ["lenet5.conv1", "lenet5.conv2"] or page.get("maps", 0) < 2:
        wrong.append(f"page: the demo gives {page}")
    else:
        print(f"page: the demo's report shows {page['maps']} maps of {' and '.join(names)}, {page['seconds']:.1f} s")
    return wrong


def main():
    page, chanscope, chromium, shaders = sys.argv[1:]
    all_jobs = jobs()
    files = {f"inputs/{name}": content for name, (content, _) in all_jobs.items()}
    files["shaders.json"] = Path(shaders).read_bytes()
    files["jobs.json"] = json.dumps([{"file": f, "options": o} for f, (_, o) in all_jobs.items()]).encode()
    found = in_browser(chromium, page, files)
    if "missing" in found:
        print(f"examples/web/test/run.py: {found['missing']}", file=sys.stderr)
        return 3
    wrong = ["the browser did not finish"] if found.get("unfinished") else []

    compiled = found.get("shaders", {})
    print(f"kernels: {compiled.get('compiled')} compiled, {len(compiled.get('refused', []))} refused")
    for kernel in compiled.get("refused", [compiled]):
        wrong.append(f"kernel {kernel}")

    with tempfile.TemporaryDirectory() as folder:
        for file, (content, options) in all_jobs.items():
            outcome = found.get("job-" + file, {})
            if file in REFUSED:
                why = outcome.get("why") or ""
                if outcome.get("kind") != "failed" or REFUSED[file] not in why or "internal" in why:
                    wrong.append(f"{file}: {outcome.get('kind')} ({why})")
                continue
            if outcome.get("kind") != "done":
                wrong.append(f"{file}: {outcome.get('why', 'no answer')}")
                continue
            (Path(folder) / file).write_bytes(content)
            wrong += compare(file, by_command_line(chanscope, Path(folder), file, options), outcome)
    wrong += check_page(found.get("page", {}))
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


sys.exit(main())
