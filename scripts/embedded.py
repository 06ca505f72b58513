"""Training runs of the embedded model, limited by time.

A run starts with the weights in the package, trains on images and clips, then the memory modules alone, and writes
runs/embedded/nano.safetensors in half precision. With --fresh it starts with random weights and images alone.
`--install` copies the result into the package. `--carry` writes smaller copies of the pack and of the labeled images to
runs/carry (39 MB, in addition to the 25 MB of the repository's files). Send them to another machine with the repository
and pass them there with --pack and --real. On that machine, set PYTHON to an interpreter that has PyTorch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "benchmarks" / "measured.txt"  # the images of the benchmarks in the model card
WEIGHTS, STATE, FINISHED, RESULT = "weights.safetensors", "state.safetensors", "finished", "nano.safetensors"
OUTLINED = "marked"  # folder of the pack's outlined photographs in --out

# Shares of the time. The first stage runs with --fresh only.
STAGES = {"nano-images": 3, "nano-video": 6, "nano-follow": 1}
SHARES = {"composed": 0.4, "real": 0.4, "outlined": 0.2}  # of the training data
CUDA_SETTINGS = {  # batch sizes for 80 GB, estimated, not measured (docs/log.md)
    "nano-images": (
        *("input_sizes=128,256", "input_size_starts=0.0,0.3"),
        *("images_per_batch=128", "correction_clicks=0,3"),
    ),
    "nano-video": (
        *("clips_per_batch=32", "frames_per_clip=4,8"),
        *("images_per_batch=256", "correction_clicks=0,3"),
    ),
    "nano-follow": ("clips_per_batch=32",),
}
COMMON_CUDA_SETTINGS = ("precision=bfloat16", "compose_on_device=true", "validate_minutes=1000")


def main() -> None:
    options = _parse_options()
    if options.carry:
        _write_copies(options)
    elif options.install:
        _install(options.out / RESULT)
    else:
        _train(options)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--minutes", type=float, default=60.0, help="duration of the run")
    add("--resume", action="store_true", help="resume the run in --out")
    add("--fresh", action="store_true", help="start with random weights")
    add("--carry", action="store_true", help="only write the smaller copies")
    add("--install", action="store_true", help="only copy the weights of the last run into the package")
    add(
        "--pack",
        type=Path,
        default=ROOT / "packs" / "all",
        help="pack of `python -m tools.pack build`; built if missing",
    )
    add("--real", type=Path, default=ROOT / "../shared/real/index.json", help="index file of labeled images")
    add("--out", type=Path, default=ROOT / "runs" / "embedded")
    add("--device", default=None, help="cuda, cpu; default: the fastest available")
    add("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2), help="processes that load batches")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of all stages; repeatable")
    return parser.parse_args()


def _train(options: argparse.Namespace) -> None:
    if options.out.exists() and not options.resume:
        sys.exit(f"{options.out} already has a run; resume it with --resume, or move it away")
    _build_pack(options.pack)
    if not (options.out / OUTLINED / "annotations.json").exists():
        _run_module("tools.pack", "outlines", options.pack, options.out / OUTLINED)
    fresh = options.fresh or (options.out / "nano-images").exists()  # a resumed run keeps its stages
    start = None if fresh else ROOT / "src" / "masklet" / "weights" / RESULT
    stages = {preset: part for preset, part in STAGES.items() if fresh or preset != "nano-images"}
    for preset, part in stages.items():
        run, minutes = options.out / preset, options.minutes * part / sum(stages.values())
        if not (run / FINISHED).exists():
            _run_module("masklet", "train", preset, *_make_arguments(options, run, minutes, start))
            (run / FINISHED).touch()
        start = run / WEIGHTS
    names = ("--names", "released", "--dtype", "float16", "--overwrite")
    _run_module("masklet", "models", "convert", start, options.out / RESULT, *names)


def _make_arguments(options: argparse.Namespace, run: Path, minutes: float, start: Path | None) -> list[object]:
    """Return the arguments of `masklet train` for one stage."""
    sources = {"composed": options.pack, "real": options.real, "outlined": options.out / OUTLINED}
    settings = [*((f"initial_weights={start}",) if start else ()), *_device_settings(options, run.name), *options.set]
    return [
        *("--out", run, "--minutes", minutes, "--workers", options.workers),
        *(f"--data={path}={SHARES[kind]}" for kind, path in sources.items() if path.exists()),
        *("--refuse", MEASURED),
        *([f"--device={options.device}"] if options.device else []),
        *(["--resume"] if (run / STATE).exists() else []),
        *(f"--set={setting}" for setting in settings),
    ]


def _device_settings(options: argparse.Namespace, preset: str) -> tuple[str, ...]:
    import torch

    uses_cuda = (options.device or "").startswith("cuda") or (options.device is None and torch.cuda.is_available())
    return (*COMMON_CUDA_SETTINGS, *CUDA_SETTINGS[preset]) if uses_cuda else ()


def _write_copies(options: argparse.Namespace) -> None:
    from masklet.synthetic.pack import open_pack
    from tools.pack.shrink import shrink_images, shrink_pack

    _build_pack(options.pack)
    target = ROOT / "runs" / "carry"
    shrink_pack(open_pack(options.pack), target / "pack")
    if options.real.exists():
        shrink_images(options.real, target / "real")
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {size / 1e6:.1f} MB")


def _install(result: Path) -> None:
    target = ROOT / "src" / "masklet" / "weights" / RESULT
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(result.read_bytes())
    print(target)


def _build_pack(path: Path) -> None:
    if not (path / "index.json").exists():
        _run_module("tools.pack", "build", path, "--packages", path.parent / "packages")


def _run_module(module: str, *words: object) -> None:
    paths = (ROOT / "src", ROOT, *filter(None, [os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    result = subprocess.run([sys.executable, "-m", module, *map(str, words)], env=environment, check=False)
    if result.returncode:
        sys.exit(result.returncode)


if __name__ == "__main__":
    main()
