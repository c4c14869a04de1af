"""Runs the rows, writes the table. Started by benches/peers/run."""
import argparse
import importlib
import json
import os
import pathlib
import platform
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ROWS = [
    "cwnnk", "maps", "knn", "nnk", "channels", "overlap", "gemm", "conv2d", "shuffle", "correlate", "filters", "training", "recorder",
    "reading",
]


def processor():
    """The processor's name as the system gives it."""
    info = pathlib.Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0] if names else platform.processor()


def versions():
    """Of everything that runs."""
    found = {}
    for package in ("faiss", "scipy", "torch", "numpy"):
        found[package] = importlib.import_module(package).__version__
    return found


def table(results, setup):
    """The results as Markdown."""
    lines = [
        f"{setup['processor']}, {setup['threads']} threads, {setup['date']}, median of {setup['repeats']} alternating runs; "
        + ", ".join(f"{name} {version}" for name, version in setup["versions"].items()) + f"; chanscope {setup['commit']}.",
        "",
        "| work | peer | peer | chanscope | ratio | wanted | agreement |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results:
        wanted = f"{row['wanted']:g}x" if row["wanted"] else ""
        lines.append(
            f"| {row['work']} | {row['peer']} | {row['peer_text']} | {row['ours_text']} | {row['ratio']:.2f}x | {wanted} | {row['agreement']} |"
        )
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(prog="benches/peers/run", description="chanscope beside its peers on the same arrays")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    parser.add_argument("--dump", type=pathlib.Path, metavar="POOL2.npy", help="activations for cwnnk and nnk [N, 16, 4, 4] (default: LeNet-5 on 10,000 turned and moved digits)")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "target" / "peers", help="folder for arrays")
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE.md", help="also write the table there, and FILE.json beside it")
    args = parser.parse_args()

    import harness

    context = harness.Context(ROOT, args.work, args.threads, args.repeats, args.dump)
    results = []
    for name in args.rows:
        for row in importlib.import_module(f"rows.{name}").run(context):
            results.append(row)
            print(f"{row['work']}: {row['peer']} {row['peer_text']}, chanscope {row['ours_text']}, {row['ratio']:.2f}x; {row['agreement']}", file=sys.stderr, flush=True)
    about = {
        "processor": processor(), "threads": args.threads, "repeats": args.repeats, "versions": versions(),
        "date": subprocess.run(["date", "-u", "+%Y-%m-%d"], capture_output=True, text=True, check=True).stdout.strip(),
        "commit": subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip() or "unknown",
    }
    text = table(results, about)
    print(text)
    if args.out is not None:
        args.out.write_text(text)
        args.out.with_suffix(".json").write_text(json.dumps({**about, "rows": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
