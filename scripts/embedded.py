"""Trains the model inside the package in rounds, by the clock.

A round begins with the weights in the package, trains on pictures and clips, then the memory alone, and ends with
runs/embedded/nano.safetensors in half precision; --fresh begins with random weights and with pictures alone.
`--install` puts the result into the package. `--carry` makes small copies of the pack and of the labelled pictures in
runs/carry, to be sent to another machine with the repository and named there by --pack and --real: 39 MB beside the 25
of the repository's files. There PYTHON names an interpreter that has PyTorch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "benchmarks" / "measured.txt"  # what the model card's figures are of
WEIGHTS, STATE, FINISHED, RESULT = "weights.safetensors", "state.safetensors", "finished", "nano.safetensors"
MARKED = "marked"  # the pack's photographs that were outlined by hand

STAGES = {"nano-images": 3, "nano-video": 6, "nano-follow": 1}  # parts of the time; the first with --fresh alone
SHARES = {"composed": 0.4, "real": 0.4, "marked": 0.2}  # of the data
ON_CUDA = {  # sizes of batches for 80 GB, estimated, never run (docs/log.md)
    "nano-images": ("sizes=128,256", "size_starts=0.0,0.3", "pictures=128", "clicks=0,3"),
    "nano-video": ("clips=32", "frames=4,8", "pictures=256", "clicks=0,3"),
    "nano-follow": ("clips=32",),
}
ALWAYS_ON_CUDA = ("precision=bfloat16", "compose_on_device=true", "validate_minutes=1000")


def main() -> None:
    options = _options()
    if options.carry:
        _carry(options)
    elif options.install:
        _install(options.out / RESULT)
    else:
        _train(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--minutes", type=float, default=60.0, help="of the whole round")
    add("--resume", action="store_true", help="go on with the round that is in --out")
    add("--fresh", action="store_true", help="begin with random weights")
    add("--carry", action="store_true", help="only make the small copies")
    add("--install", action="store_true", help="only put the last round's weights into the package")
    add("--pack", type=Path, default=ROOT / "packs" / "all", help="what `masklet data pack` built; made if missing")
    add("--real", type=Path, default=ROOT / "../shared/real/index.json", help="an index of labelled pictures")
    add("--out", type=Path, default=ROOT / "runs" / "embedded")
    add("--device", default=None, help="cuda, cpu; by default the best there is")
    add("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2), help="processes that read batches ahead")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of both stages; may repeat")
    return parser.parse_args()


def _train(options: argparse.Namespace) -> None:
    if options.out.exists() and not options.resume:
        sys.exit(f"{options.out} holds a round; go on with --resume, or move it away")
    _pack(options.pack)
    if not (options.out / MARKED / "annotations.json").exists():
        _masklet("data", "marked", options.pack, options.out / MARKED)
    fresh = options.fresh or (options.out / "nano-images").exists()  # a round goes on as it began
    start = None if fresh else ROOT / "src" / "masklet" / "weights" / RESULT
    stages = {preset: part for preset, part in STAGES.items() if fresh or preset != "nano-images"}
    for preset, part in stages.items():
        run, minutes = options.out / preset, options.minutes * part / sum(stages.values())
        if not (run / FINISHED).exists():
            _masklet("train", preset, *_arguments(options, run, minutes, start))
            (run / FINISHED).touch()
        start = run / WEIGHTS
    names = ("--names", "released", "--dtype", "float16", "--overwrite")
    _masklet("models", "convert", start, options.out / RESULT, *names)


def _arguments(options: argparse.Namespace, run: Path, minutes: float, start: Path | None) -> list[object]:
    """What `masklet train` is told for one stage."""
    sources = {"composed": options.pack, "real": options.real, "marked": options.out / MARKED}
    changes = [*((f"start={start}",) if start else ()), *_device_changes(options, run.name), *options.set]
    return [
        *("--out", run, "--minutes", minutes, "--workers", options.workers),
        *(f"--data={path}={SHARES[kind]}" for kind, path in sources.items() if path.exists()),
        *("--refuse", MEASURED),
        *([f"--device={options.device}"] if options.device else []),
        *(["--resume"] if (run / STATE).exists() else []),
        *(f"--set={change}" for change in changes),
    ]


def _device_changes(options: argparse.Namespace, preset: str) -> tuple[str, ...]:
    import torch

    on_cuda = (options.device or "").startswith("cuda") or (options.device is None and torch.cuda.is_available())
    return (*ALWAYS_ON_CUDA, *ON_CUDA[preset]) if on_cuda else ()


def _carry(options: argparse.Namespace) -> None:
    from masklet.synthetic.packs.pack import open_pack
    from masklet.synthetic.packs.shrink import lean_pack, lean_pictures

    _pack(options.pack)
    target = ROOT / "runs" / "carry"
    lean_pack(open_pack(options.pack), target / "pack")
    if options.real.exists():
        lean_pictures(options.real, target / "real")
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {size / 1e6:.1f} MB")


def _install(result: Path) -> None:
    target = ROOT / "src" / "masklet" / "weights" / RESULT
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(result.read_bytes())
    print(target)


def _pack(path: Path) -> None:
    if not (path / "index.json").exists():
        _masklet("data", "pack", path, "--packages", path.parent / "packages")


def _masklet(*words: object) -> None:
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run([sys.executable, "-m", "masklet", *map(str, words)], env=environment, check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
