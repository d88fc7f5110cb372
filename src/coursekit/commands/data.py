"""`coursekit data …`: subsets of COCO."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from coursekit.data.subsets.recipe import Recipe

app = typer.Typer(no_args_is_help=True, help="Subsets of COCO: build, list, inspect, verify.")
Data = Annotated[str, typer.Argument(help="A recipe's name, or a folder in COCO's layout.")]


@app.command("list")
def data_list() -> None:
    """List the recipes that come with the course, and which of them are built on this machine."""
    from coursekit.data.subsets.recipe import find_recipe, names

    table = Table("name", "images", "classes", "long side", "download", "state")
    for name in names():
        table.add_row(*_recipe_cells(find_recipe(name)))
    Console().print(table)


def _recipe_cells(recipe: "Recipe") -> list[str]:
    from coursekit.data.subsets.build import estimate, subset_folder

    counts = " + ".join(f"{count:,}" if count else f"all {split}" for split, count in recipe.images.items())
    cells = [recipe.name, counts, str(len(recipe.classes) or 80)]
    if recipe.source == "scenes":
        return [*cells, "320 px", "none, drawn here", "drawn at first use"]
    side = f"{recipe.long_side} px" if recipe.long_side else "as in COCO"
    download = f"about {_megabytes(estimate(recipe)['download_bytes'])}"
    return [*cells, side, download, "built" if subset_folder(recipe).exists() else "not built"]


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
    """Download a recipe's photographs and resize them. If it is interrupted, the same command continues."""
    from coursekit.data.subsets.build import COCO_ANNOTATIONS, build_subset, estimate
    from coursekit.data.subsets.recipe import find_recipe

    chosen = find_recipe(recipe)
    if chosen.source == "scenes":
        from coursekit.data.synthetic.render import build_scenes

        print(f"{recipe} is drawn, not downloaded: {'nothing to fetch' if dry_run else build_scenes(chosen)}")
        return
    amount = estimate(chosen)
    sizes = f"about {_megabytes(amount['download_bytes'])} to fetch, {_megabytes(amount['disk_bytes'])} on disk"
    print(f"{recipe}: {amount['files']:,} images, {sizes}, and the annotations.")
    if dry_run:
        return
    folder, manifest = build_subset(chosen, annotations=annotations or COCO_ANNOTATIONS, images=images, jobs=jobs)
    for missing in manifest.missing:
        print(f"missing: {missing.file}: {missing.reason}", file=sys.stderr)
    print(f"{folder}: {len(manifest.files):,} images, {len(manifest.missing)} missing.")
    if manifest.missing:
        print("The subset is consistent without them. Run the same command to try them again.")


@app.command("info")
def data_info(
    data: Data,
    out: Annotated[Path, typer.Option(help="File for the picture.")] = Path("data-info.png"),
) -> None:
    """Describe a data set: classes, image sizes and boxes per image, as a table and as a picture."""
    from coursekit.core.files import make_folder
    from coursekit.data.folders import find_folder
    from coursekit.data.info import summarize
    from coursekit.show.data_picture import data_picture
    from coursekit.show.figures import save

    summaries = summarize(find_folder(data))
    for summary in summaries:
        print(f"{data}, {summary.split}: {summary.headline}")
        table = Table("class", "boxes", "images")
        for name, boxes, images in summary.classes:
            table.add_row(name, f"{boxes:,}", f"{images:,}")
        Console().print(table)
    make_folder(out.parent)
    save(data_picture(summaries), out)
    print(f"The same as a picture: {out}")


@app.command("verify")
def data_verify(data: Data) -> None:
    """Find all files that are damaged, missing, extra or changed. Exit code 1 if there are any."""
    from coursekit.data.folders import find_folder
    from coursekit.data.subsets.manifest import verify

    folder = find_folder(data)
    problems = verify(folder)
    for problem in problems:
        print(problem)
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    print(f"{folder}: {count}." if problems else f"{folder}: all files are intact.")
    raise typer.Exit(1 if problems else 0)


def _megabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
