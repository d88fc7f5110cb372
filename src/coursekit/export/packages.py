"""The packages of the extra `export`, and what to say without them."""

from importlib.util import find_spec

from coursekit.core.errors import ConfigError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def need_packages(*names: str) -> None:
    """Check that these packages of the extra `export` are installed; by default all of them.

    Raises:
        ConfigError: names those that are missing, and how to install them.
    """
    missing = [name for name in names or PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"exporting needs {', '.join(missing)}, which the extra `export` brings. "
            "Install it: pip install -c constraints.txt -e '.[export]'"
        )
