"""COCO's annotation files: found on this machine, or fetched into the cache."""

import hashlib
from pathlib import Path
from typing import Any

import httpx
from tqdm.auto import tqdm

from coursekit.core.files import cache_folder, make_folder
from coursekit.data.subsets.fetch import fetch_file
from coursekit.data.subsets.zip_member import fetch_zip_member


def annotation_file(client: httpx.Client, annotations: str, source: str) -> Path:
    """Return the annotation file of one of COCO's splits. A remote file is fetched into the cache.

    Args:
        annotations: see `build_subset`.
        source: "train2017" or "val2017".
    """
    location = annotations.replace("{split}", source)
    name = f"instances_{source}.json"
    if "://" not in location:
        path = Path(location).expanduser()
        inside = [path / name, path / "annotations" / name]
        return next((file for file in inside if file.exists()), inside[-1]) if path.is_dir() else path
    target = cache_folder() / "annotations" / hashlib.sha256(location.encode()).hexdigest()[:8] / name
    if not target.exists():
        _fetch_annotations(client, location, target)
    return target


def _fetch_annotations(client: httpx.Client, location: str, target: Path) -> None:
    make_folder(target.parent)
    with tqdm(desc=f"fetching {target.name}", unit="B", unit_scale=True, leave=False) as bar:
        count: Any = bar.update
        if location.endswith(".zip"):
            fetch_zip_member(client, location, f"annotations/{target.name}", target, on_bytes=count)
        else:
            fetch_file(client, location, target, on_bytes=count)
