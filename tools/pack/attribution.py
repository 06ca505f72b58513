"""Attribution page of a pack: authors, licenses and files of its assets."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from masklet.synthetic.pack import Asset, Pack

FILE_NAME = "ATTRIBUTION.md"


def write_attribution(pack: Pack) -> Path:
    """Write `ATTRIBUTION.md` beside the index of a pack and return its path."""
    path = pack.root / FILE_NAME
    path.write_text(_format_attribution(pack), "utf-8")
    return path


def _format_attribution(pack: Pack) -> str:
    """Format the page: for each package the licenses and authors, with the files of each author."""
    lines = [
        "# Attribution",
        "",
        f"{len(pack.assets)} assets, license policy `{pack.policy}`. Images are cropped, scaled and compressed, "
        "meshes simplified; nothing else is changed. Each is used under the license that its package states for it.",
        "",
    ]
    packages: dict[str, list[Asset]] = defaultdict(list)
    for asset in pack.assets:
        packages[asset.package].append(asset)
    for package, assets in packages.items():
        lines += [f"## {package} ({len(assets)})", ""]
        owners: dict[tuple[str, str], list[str]] = defaultdict(list)
        for asset in assets:
            owners[asset.license, asset.author].append(asset.path)
        for (license, author), paths in sorted(owners.items()):
            lines += [f"- **{license}**, {author}:", *(f"  - `{path}`" for path in sorted(paths))]
        lines.append("")
    return "\n".join(lines)
