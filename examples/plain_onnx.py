"""An exported model without masklet: `python plain_onnx.py DIR IMAGE X Y MASK.png` segments the object at (X, Y)."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

if len(sys.argv) != 6:
    sys.exit(__doc__)
folder, image, x, y, mask = Path(sys.argv[1]), Image.open(sys.argv[2]), *sys.argv[3:]
manifest = json.loads((folder / "manifest.json").read_text())


def run_graph(name: str, inputs: dict) -> dict:
    session = onnxruntime.InferenceSession(folder / f"{name}.onnx", providers=["CPUExecutionProvider"])
    return {output.name: x for output, x in zip(session.get_outputs(), session.run(None, inputs), strict=True)}


def read_table(name: str) -> np.ndarray:  # safetensors: the length of the header, a JSON header, the values
    content = (folder / "tables.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    entry = json.loads(content[8:start])[name]
    return np.frombuffer(content[start:][slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])


size = manifest["size"]
pixels = np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR), np.float32) / 255
normalized = ((pixels - np.float32(manifest["mean"])) / np.float32(manifest["std"])).transpose(2, 0, 1)
features = run_graph("encode", {"images": normalized[None]})
features["stride16"] = features["stride16"] + read_table("no_memory")  # an image has no memories
click = [float(x) / image.width, float(y) / image.height]
prompt = {"points": np.float32([[click, [0, 0]]]), "labels": np.array([[1, -1]]), "present": np.array([[True, True]])}
no_mask = {"mask": np.zeros((1, 1, size // 4, size // 4), np.float32), "masked": np.array([False])}
outputs = run_graph("decode", {**features, **prompt, **no_mask})
best = 1 + outputs["iou"][0, 1:].argmax()  # a single click is ambiguous: choose among masks 1 to 3
logits = Image.fromarray(outputs["logits"][0, best]).resize(image.size, Image.Resampling.BILINEAR)
Image.fromarray(np.asarray(logits) > 0).save(mask)
