"""`coursekit data …`: subsets of COCO."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from coursekit.commands.sources import Images, TrainJson, ValJson, ValShare, with_options
from coursekit.commands.tables import cell
from coursekit.core.errors import plain

if TYPE_CHECKING:
    from coursekit.data.subsets.recipe import Recipe

app = typer.Typer(no_args_is_help=True, help="Subsets of COCO: build, list, inspect, verify.")
Data = Annotated[
    str | None, typer.Argument(help="A recipe's name, or a folder with images and annotations.", show_default=False)
]


@app.command("list")
def data_list() -> None:
    """List the recipes that come with the course, and which of them are built on this machine."""
    from coursekit.data.subsets.recipe import find_recipe, names

    table = Table("name", "images", "classes", "long side", "download", "state")
    for name in names():
        table.add_row(*_recipe_cells(find_recipe(name)))
    Console().print(table)


def _recipe_cells(recipe: "Recipe") -> list[str]:
    from coursekit.data.subsets.footprint import estimate, subset_folder
    from coursekit.data.subsets.unfinished_builds import state_of

    counts = " + ".join(f"{count:,}" if count else f"all {split}" for split, count in recipe.images.items())
    cells = [recipe.name, counts, str(len(recipe.classes) or 80)]
    if recipe.source == "scenes":
        return [*cells, "320 px", "none, drawn here", "drawn at first use"]
    side = f"{recipe.long_side} px" if recipe.long_side else "as in COCO"
    download = f"about {_megabytes(estimate(recipe)['download_bytes'])}"
    return [*cells, side, download, state_of(subset_folder(recipe))]


@app.command("build")
def data_build(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or a file that ends in .toml.")],
    annotations: Annotated[
        str | None,
        typer.Option(help="A file, folder or URL; {split} becomes val2017. A .zip has the layout of COCO's archive."),
    ] = None,
    images: Annotated[
        str | None, typer.Option(help="Folder or URL before val2017/FILE. Default: each record's own address.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=32, help="Downloads at a time.")] = 8,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print how much would be downloaded.")] = False,
) -> None:
    """Download a recipe's photographs and resize them. To continue after an interruption, run it again."""
    from coursekit.data.subsets.build import COCO_ANNOTATIONS, build_subset
    from coursekit.data.subsets.footprint import estimate
    from coursekit.data.subsets.recipe import find_recipe

    chosen = find_recipe(recipe)
    if chosen.source == "scenes":
        from coursekit.data.synthetic.write_coco_folder import build_scenes

        print(f"{recipe} is drawn, not downloaded: {'nothing to fetch' if dry_run else build_scenes(chosen)}")
        return
    amount = estimate(chosen)
    sizes = f"about {_megabytes(amount['download_bytes'])} to fetch, {_megabytes(amount['disk_bytes'])} on disk"
    print(f"{recipe}: {amount['files']:,} images, {sizes}, and the annotations.")
    if dry_run:
        return
    folder, manifest = build_subset(chosen, annotations=annotations or COCO_ANNOTATIONS, images=images, jobs=jobs)
    for missing in manifest.missing:
        print(plain(f"missing: {missing.file}: {missing.reason}"), file=sys.stderr)
    print(f"{folder}: {len(manifest.files):,} images, {len(manifest.missing)} missing.")
    if manifest.missing:
        print("The subset is consistent without them. Run the same command to try them again.")


@app.command("info")
def data_info(
    data: Data = None,
    out: Annotated[Path, typer.Option(help="File for the picture.")] = Path("data-info.png"),
    train_json: TrainJson = None,
    val_json: ValJson = None,
    images: Images = None,
    val_share: ValShare = None,
) -> None:
    """Describe a data set: classes, image sizes and boxes per image, as a table and as a picture."""
    from coursekit.core.files import make_folder
    from coursekit.data.info import summarize
    from coursekit.show.data_picture import data_picture
    from coursekit.show.figures import save

    data = with_options(data, train_json, val_json, images, val_share)
    summaries = summarize(data)
    for summary in summaries:
        print(f"{plain(str(data))}, {summary.split}: {summary.headline}")
        table = Table("class", "boxes", "images")
        for name, boxes, with_boxes in summary.classes:
            table.add_row(cell(name), f"{boxes:,}", f"{with_boxes:,}")
        Console().print(table)
    make_folder(out.parent)
    save(data_picture(summaries), out)
    print(f"The same as a picture: {out}")


@app.command("verify")
def data_verify(
    data: Data = None,
    train_json: TrainJson = None,
    val_json: ValJson = None,
    images: Images = None,
    val_share: ValShare = None,
) -> None:
    """Find all files that are damaged, missing, extra or changed. Exit code 1 if there are any."""
    from coursekit.data.load_by_name import find_folder
    from coursekit.data.subsets.manifest import read_manifest
    from coursekit.data.verify import verify

    data = with_options(data, train_json, val_json, images, val_share)
    folder = find_folder(data)
    problems, manifest = verify(data), read_manifest(folder)
    for problem in problems:
        print(plain(problem))
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    print(f"{folder}: {count}." if problems else f"{folder}: all files are intact.")
    if manifest and manifest.missing:
        count = f"{len(manifest.missing):,} image{'s' if len(manifest.missing) > 1 else ''}"
        print(f"{count} could not be fetched and are not part of it. `coursekit data build` tries again.")
    raise typer.Exit(1 if problems else 0)


@app.command("convert")
def data_convert(
    folder: Annotated[Path, typer.Argument(help="A data set in Pascal VOC's or YOLO's format.")],
    out: Annotated[Path, typer.Option(help="A new folder for the data set in COCO's format.")],
) -> None:
    """Convert Pascal VOC or YOLO to COCO's format, with the package supervision (pip install supervision)."""
    from coursekit.core.errors import command
    from coursekit.data.convert import convert

    for file in convert(folder, out):
        print(file)
    print(f"Look at it: {command('coursekit', 'data', 'info', out)}")


def _megabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
