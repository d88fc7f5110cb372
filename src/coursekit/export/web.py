"""A web page that runs an exported detector: one folder of static files, which needs no other server."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from coursekit.core.files import make_folder, new_file, write_bytes
from coursekit.export.npm import ONNXRUNTIME_WEB, npm_files
from coursekit.export.settings import Settings, as_json

PAGE = Path(__file__).parent / "page"
MODEL, SETTINGS, NOTICE = "model.onnx", "settings.json", "NOTICE.txt"
NOTICES = f"""\
{MODEL} is a detector that was trained and exported with coursekit, whose page this is (MIT license).

{", ".join(Path(file).name for file in ONNXRUNTIME_WEB.files)}: {ONNXRUNTIME_WEB.name} {ONNXRUNTIME_WEB.version}
Copyright (c) Microsoft Corporation. MIT license: https://github.com/microsoft/onnxruntime/blob/main/LICENSE
"""


def write_web(model: Path, settings: Settings, folder: Path, runtime: Sequence[Path] | None = None) -> None:
    """Write the page and all that it needs into a folder. Files of the same names are replaced, others stay.

    Args:
        model: the ONNX file.
        settings: those that `write_onnx` returned.
        folder: where to write.
        runtime: the files of onnxruntime-web; by default those in the cache, fetched if they aren't there.

    Raises:
        FetchError: onnxruntime-web isn't in the cache and can't be fetched.
        ConfigError: the folder can't be written to.
        DataError: the disk is full.
    """
    runtime = npm_files(ONNXRUNTIME_WEB) if runtime is None else runtime
    make_folder(folder)
    for file in (*sorted(PAGE.iterdir()), *runtime):
        write_bytes(folder / file.name, file.read_bytes())
    write_bytes(folder / SETTINGS, as_json(settings))
    write_bytes(folder / NOTICE, NOTICES.encode())
    if not (folder / MODEL).exists() or not model.samefile(folder / MODEL):
        with new_file(folder / MODEL) as partial:
            shutil.copyfile(model, partial)
