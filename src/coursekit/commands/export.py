"""`coursekit export`."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from coursekit.commands.named import HELP, workbook_for
from coursekit.core.errors import ConfigError, command

PORT = 8000


def export(
    run: Annotated[Path, typer.Argument(help="A run's folder, from `demo` or `train`.")],
    out: Annotated[Path | None, typer.Option(help="The ONNX file to write.")] = None,
    web: Annotated[Path | None, typer.Option(help="Folder for a web page that runs the detector.")] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Then serve the page, to this machine only, until Ctrl-C.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port for --serve; 0 takes a free one.")] = PORT,
    data: Annotated[
        str | None, typer.Option(help="Data to compare it with PyTorch on. Default: what the run was trained on.")
    ] = None,
    detector: Annotated[Path | None, typer.Option(help=HELP)] = None,
) -> None:
    """Export a trained detector as one ONNX file, and as a web page. Checks that it finds what PyTorch's finds."""
    if out is None and web is None:
        raise ConfigError("export: name what to write: --out model.onnx, or --web FOLDER, or both.")
    if serve and web is None:
        raise ConfigError("--serve: only with --web, whose folder it serves.")
    print(f"Exporting {run} …", flush=True)
    from coursekit.export.export_run import export_run
    from coursekit.export.packages import need_packages
    from coursekit.export.serve import make_server
    from coursekit.export.serve import serve as serve_forever
    from coursekit.export.web import MODEL, write_web
    from coursekit.lessons.workbook.own_parts import load_trained

    need_packages()
    workbook = workbook_for(run, [detector] if detector else [])
    server = make_server(web, port) if web and serve else None  # a port that is taken is known before minutes pass
    model, config = load_trained(run, workbook)
    with TemporaryDirectory() as folder:
        path = out or Path(folder) / MODEL
        settings, agreement = export_run(model, config, path, data)
        height, width = settings.size
        print(f"{path.stat().st_size / 1e6:.1f} MB, for one image at a time, fitted into {width}×{height} pixels.")
        print(agreement)
        if out:
            print(f"The detector is {out}.")
        if web:
            write_web(path, settings, web)
            hint = (
                "" if server else f" Serve it: {command('python', '-m', 'http.server', '-b', '127.0.0.1', '-d', web)}"
            )
            print(f"The page is in {web}.{hint}")
    if server:
        serve_forever(server)
