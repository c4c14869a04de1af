"""Joins what `run` measured into gpu.json and a table, gpu.md.

    table.py FOLDER EXIT_CODE_OF_THE_TESTS
"""
import datetime
import json
import pathlib
import sys


def read(path, otherwise=None):
    return json.loads(path.read_text()) if path.exists() and path.stat().st_size else otherwise


def figure(x):
    return f"{x:.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.3g}"


def main(folder, code):
    folder = pathlib.Path(folder)
    bench, torch = read(folder / "bench.json"), read(folder / "torch.json")
    card = folder / "card.csv"
    log = (folder / "tests.log").read_text(errors="replace").splitlines()
    results = [line for line in log if line.startswith("test result")]
    failed = [line.split()[1] for line in log if line.startswith("test ") and line.endswith("FAILED")]
    joined = {
        "date": datetime.date.today().isoformat(),
        "card": card.read_text().strip() if card.exists() else None,
        "tests": {"exit": int(code), "result": results[-1] if results else None, "failed": failed},
        "chanscope": bench,
        "torch": torch,
    }
    (folder / "gpu.json").write_text(json.dumps(joined, indent=1) + "\n")
    device, ceilings = bench["device"], bench["ceilings"]
    half = ceilings.get("half_gflops")
    half = f"{figure(half)} on f16 matrices" if half else "no f16 matrices that are used"
    lines = [
        f"chanscope {bench['version']} on {device['name']} ({device['backend']}, {device['driver']}), {joined['date']}.",
        f"Card as its driver says: {joined['card'] or 'no NVIDIA card'}.",
        f"GPU tests: {joined['tests']['result'] or 'did not finish'}" + (f" Failed: {', '.join(failed)}." if failed else ""),
        f"Ceilings measured: {figure(ceilings['gflops'])} GFLOP/s in float32, {half}, copies {figure(ceilings['gbytes_per_second'])} GB/s.",
        f"Beside it: torch {torch['torch']} on {torch['device']}, float32 without TF32." if torch else "torch was not there: no comparison.",
        "",
        "Times are the device's own where it has timestamps (the whole call in brackets). Ratio: torch's time over chanscope's.",
        "",
        "| kernel | shape | ms (call) | GFLOP/s | GB/s | of ceiling | torch | ms | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in bench["rows"]:
        seconds = row["device_seconds"] or row["seconds"]
        ours = f"| {row['kernel']} | {row['shape']} | {figure(seconds * 1e3)} ({figure(row['seconds'] * 1e3)}) | "
        ours += f"{figure(row['gflops'])} | {figure(row['gbytes_per_second'])} | {100 * row['share_of_ceiling']:.0f} % |"
        same = lambda r: (r["kernel"], r["shape"]) == (row["kernel"], row["shape"])
        peers = [r for r in (torch["rows"] if torch else []) if same(r)] or [{"what": "-"}]
        for peer in peers:
            time = peer.get("seconds")
            wanted = f" (wanted: {peer['wanted']}x)" if peer.get("wanted") else ""
            lines.append(f"{ours} {peer['what']} | {figure(time * 1e3)} | {figure(time / seconds)}x{wanted} |" if time else f"{ours} {peer['what']} | | |")
    (folder / "gpu.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
