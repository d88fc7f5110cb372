"""The workbook: the package `my_detector/`, which has a module for each answer of an intern."""

import ast
import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from keyword import iskeyword
from pathlib import Path
from types import ModuleType

from coursekit.core.errors import ConfigError
from coursekit.core.files import make_folder, write_text
from coursekit.lessons.workbook.stubs import is_empty

PACKAGE, FORMER = "my_detector", "former"
SOURCE = "__source__"  # what an answer's module was made from
ABOUT = '''"""My detector: the parts I have written so far, one module per part.

`from my_detector import box_iou` imports my version if it has passed its check, and the course's version otherwise.
Versions that I have replaced are in `former/`.
"""

from coursekit.lessons.workbook.own_parts import serve

serve(__name__)
'''


@dataclass(frozen=True)
class Stored:
    """A stored answer: its module, and whether an older answer was kept because the cell is still empty."""

    module: ModuleType
    older_kept: bool


@dataclass(eq=False)
class Workbook:
    """An intern's workbook. Create one where a process starts, and hand it over to whatever needs it.

    Attributes:
        folder: folder of the package `my_detector`; made absolute.
        in_trial: whether this process only tries an answer. Then nothing else is checked, and no progress is written.
        uses_twins: whether `from my_detector import NAME` gives the faster twin of a correct answer.
        running: names of the answers whose code is being executed right now.
    """

    folder: Path
    in_trial: bool = False
    uses_twins: bool = False
    running: set[str] = field(default_factory=set)
    _modules: dict[tuple[str, str], ModuleType] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.folder = self.folder.absolute()

    @property
    def exists(self) -> bool:
        """Whether there is a package in the folder."""
        return (self.folder / "__init__.py").is_file()

    def beside(self, name: str) -> Path:
        """Return the path of a file beside the workbook, such as `progress.json`."""
        return self.folder.parent / name

    def others(self) -> list[Path]:
        """Return the workbooks in the neighboring folders, and in the one above."""
        above = self.folder.parent.parent
        found = [path.parent for pattern in ("", "*/") for path in above.glob(f"{pattern}{PACKAGE}/__init__.py")]
        return sorted(folder for folder in found if folder != self.folder)

    def file_of(self, name: str) -> Path:
        """Return the path of an exercise's module, whether it exists or not."""
        return self.folder / f"{name}.py"

    def code_of(self, name: str) -> str | None:
        """Return what the intern has written for an exercise; None if nothing has been written yet."""
        path = self.file_of(name)
        code = path.read_text(encoding="utf-8") if path.is_file() else None
        return None if code is None or is_empty(name, code) else code

    def begin(self) -> None:
        """Create the workbook if there is none, and make it importable."""
        if not self.exists:
            make_folder(self.folder)
            write_text(self.folder / "__init__.py", ABOUT)
        self.make_importable()

    def store(self, name: str, code: str) -> Stored:
        """Store an answer as a module of the workbook, and run it from there, so that tracebacks show its lines.

        The previous version moves to `former/`. An empty cell replaces nothing.

        Raises:
            ConfigError: `name` can't be the name of a module, or the folder can't be written.
            Exception: whatever the code raises; the code is stored anyway.
        """
        if not name.isidentifier() or iskeyword(name) or name.startswith("_") or name == FORMER:
            raise ConfigError(
                f"%%exercise {name}: give the name of the function or class, as in %%exercise xywh_to_xyxy."
            )
        self.begin()
        before = self.code_of(name)
        if before is not None and is_empty(name, code):
            return Stored(self.answer(name), older_kept=True)
        if before is not None and before != code:
            self._keep_former(name, before)
        write_text(self.file_of(name), code)
        return Stored(self.answer(name), older_kept=False)

    def _keep_former(self, name: str, code: str) -> None:
        versions = make_folder(self.folder / FORMER)
        number = 1 + max((int(path.stem.split("-")[-1]) for path in versions.glob(f"{name}-*.py")), default=0)
        write_text(versions / f"{name}-{number:03d}.py", code)

    def answer(self, name: str) -> ModuleType:
        """Return the stored module of an exercise. It is run again only if its code has changed.

        Raises:
            FileNotFoundError: nothing is stored under that name.
        """
        code = self.file_of(name).read_text(encoding="utf-8")
        key = name, digest(code)
        if key not in self._modules:
            self._modules[key] = self._run(name, code)
        sys.modules[f"{PACKAGE}.{name}"] = self._modules[key]  # dataclasses and pickle look their module up
        return self._modules[key]

    def imports(self) -> Iterator[tuple[ModuleType, str, str]]:
        """Yield each `from my_detector import NAME` in the answers that have run: whose, NAME, and its name there."""
        for module in list(self._modules.values()):
            nodes = [node for node in ast.parse(vars(module)[SOURCE]).body if isinstance(node, ast.ImportFrom)]
            for alias in (alias for node in nodes if node.module == PACKAGE for alias in node.names):
                yield module, alias.name, alias.asname or alias.name

    @contextmanager
    def twins(self, *, anew: bool) -> Iterator[None]:
        """Let answers that run in the block import the twins of others. Afterward, they are forgotten.

        Args:
            anew: run those again that have run before, when they are asked for.
        """
        before = self._modules
        self._modules, self.uses_twins = {} if anew else dict(before), True
        try:
            yield
        finally:
            self._modules, self.uses_twins = before, False

    def _run(self, name: str, code: str) -> ModuleType:
        """Execute an answer. Not with its loader: that takes a file of the same size and second for the old one."""
        self.make_importable()
        path = self.file_of(name)
        spec = importlib.util.spec_from_file_location(f"{PACKAGE}.{name}", path)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        vars(module)[SOURCE] = code
        sys.modules[spec.name] = module
        self.running.add(name)
        try:
            exec(compile(code, path, "exec"), vars(module))
        finally:
            self.running.discard(name)
        return module

    def make_importable(self) -> None:
        """Let `import my_detector` import this workbook, and no other."""
        if not any(isinstance(finder, _Finder) and finder.workbook is self for finder in sys.meta_path):
            sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]
            sys.meta_path.insert(0, _Finder(self))
        package = sys.modules.get(PACKAGE)
        if package is not None and vars(package).get("workbook") is not self:
            for name in _imported_modules():
                del sys.modules[name]


@contextmanager
def importable(workbook: Workbook) -> Iterator[None]:
    """Let `import my_detector` import this workbook in the block, and afterward the one that it did before.

    If there was none before, it stays importable.
    """
    finders = [finder for finder in sys.meta_path if isinstance(finder, _Finder)]
    modules = _imported_modules()
    workbook.make_importable()
    try:
        yield
    finally:
        if finders and finders[0].workbook is not workbook:
            finders[0].workbook.make_importable()
            for name in _imported_modules():
                del sys.modules[name]
            sys.modules.update(modules)


def _imported_modules() -> dict[str, ModuleType]:
    return {name: module for name, module in list(sys.modules.items()) if name.split(".")[0] == PACKAGE}


def workbook_here() -> Workbook:
    """Return the workbook that `COURSEKIT_WORKBOOK` names, or else `my_detector` in the current folder.

    Only a notebook and a command call this, when they start. Everything else is handed its workbook.
    """
    return Workbook(_chosen_folder() or Path(PACKAGE))


def workbook_of_environment() -> Workbook | None:
    """Return the workbook that `COURSEKIT_WORKBOOK` names wherever you are; None if it names none."""
    chosen = _chosen_folder()
    return Workbook(chosen) if chosen and chosen.is_absolute() else None


def _chosen_folder() -> Path | None:
    chosen = os.environ.get("COURSEKIT_WORKBOOK")
    return Path(chosen).expanduser() if chosen else None


def workbook_of(package: ModuleType) -> Workbook:
    """Return the workbook that a package belongs to: the one that made it importable, else one for its own folder."""
    spec = package.__spec__
    workbook = spec.loader_state if spec is not None else None
    return workbook if isinstance(workbook, Workbook) else Workbook(Path(package.__path__[0]))


def digest(code: str) -> str:
    """Return a short hash of a version of an answer."""
    return hashlib.sha256(code.encode()).hexdigest()[:16]


class _Finder(MetaPathFinder):
    """Find `my_detector` where the workbook is, even if that is not beside the notebooks."""

    def __init__(self, workbook: Workbook) -> None:
        self.workbook = workbook

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != PACKAGE or not self.workbook.exists:
            return None
        folder = self.workbook.folder
        spec = importlib.util.spec_from_file_location(
            PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None
        spec.loader_state = self.workbook
        return spec
