"""The list of everyone whose work is in a pack, as a page for people."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from masklet.synthetic.packs.pack import Asset, Pack

FILE = "ATTRIBUTION.md"


def write_attribution(pack: Pack) -> Path:
    """Write `ATTRIBUTION.md` beside the index: per package and licence, each author with their files."""
    path = pack.root / FILE
    path.write_text(attribution(pack), "utf-8")
    return path


def attribution(pack: Pack) -> str:
    """The page: what the pack holds, under which terms, by whom."""
    lines = [
        "# Attribution",
        "",
        f"{len(pack.assets)} assets, licence policy `{pack.policy}`. Pictures are cropped, scaled and compressed, "
        "meshes simplified; nothing else is changed. Each is used under the licence that its package states for it.",
        "",
    ]
    packages: dict[str, list[Asset]] = defaultdict(list)
    for asset in pack.assets:
        packages[asset.package].append(asset)
    for package, assets in packages.items():
        lines += [f"## {package} ({len(assets)})", ""]
        owners: dict[tuple[str, str], list[str]] = defaultdict(list)
        for asset in assets:
            owners[asset.licence, asset.author].append(asset.path)
        for (licence, author), paths in sorted(owners.items()):
            lines += [f"- **{licence}**, {author}:", *(f"  - `{path}`" for path in sorted(paths))]
        lines.append("")
    return "\n".join(lines)
