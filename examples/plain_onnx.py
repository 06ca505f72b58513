"""An exported model without masklet: `python plain_onnx.py DIR PICTURE X Y MASK.png` segments what is at (X, Y)."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

folder, picture, x, y, mask = Path(sys.argv[1]), Image.open(sys.argv[2]), *sys.argv[3:6]
manifest = json.loads((folder / "manifest.json").read_text())


def run(verb: str, inputs: dict) -> dict:
    session = onnxruntime.InferenceSession(folder / f"{verb}.onnx", providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def table(name: str) -> np.ndarray:  # safetensors: the header's length, a JSON header, the numbers
    content = (folder / "tables.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    told = json.loads(content[8:start])[name]
    return np.frombuffer(content[start:][slice(*told["data_offsets"])], np.float32).reshape(told["shape"])


size = manifest["size"]
pixels = np.asarray(picture.convert("RGB").resize((size, size), Image.Resampling.BILINEAR), np.float32) / 255
normal = ((pixels - np.float32(manifest["mean"])) / np.float32(manifest["std"])).transpose(2, 0, 1)
features = run("encode", {"images": normal[None]})
features["stride16"] = features["stride16"] + table("no_memory")  # a picture remembers nothing
click = [float(x) / picture.width, float(y) / picture.height]
prompt = {"points": np.float32([[click, [0, 0]]]), "labels": np.array([[1, -1]]), "present": np.array([[True, True]])}
nothing = {"mask": np.zeros((1, 1, size // 4, size // 4), np.float32), "masked": np.array([False])}
found = run("decode", {**features, **prompt, **nothing})
best = 1 + found["iou"][0, 1:].argmax()  # the first of the four masks is for prompts that say more than a click
logits = Image.fromarray(found["logits"][0, best]).resize(picture.size, Image.Resampling.BILINEAR)
Image.fromarray(np.asarray(logits) > 0).save(mask)
