"""The one door to Numba: `njit` and `prange`, with a cache that cannot go stale.

Numba stamps a cached kernel with the file it stands in only; after an edit of a helper in another
file it would go on answering the old result (numba issues 1833, 9483). Here every kernel's stamp
is the hash of the whole `simulator` tree, so that any edit empties the cache. Kernels compile at
their first call, never at import.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
from llvmlite import binding, ir
from numba.core import cgutils as _cgutils
from numba.core import config, types
from numba.core.caching import _CacheLocator
from numba.extending import intrinsic as _intrinsic

__all__ = [
    "FUSED_MULTIPLY_ADD",
    "JIT_DISABLED",
    "WIDE_VECTORS",
    "cache_folder",
    "cgutils",
    "intrinsic",
    "ir",
    "njit",
    "prange",
    "tree_stamp",
    "types",
]

_FunctionT = TypeVar("_FunctionT", bound=Callable[..., Any])
_TREE = Path(__file__).resolve().parent
_numba_config: Any = config  # its settings are made at run time, from the environment


@cache
def tree_stamp() -> str:
    """SHA-256 over the names and bytes of every Python file under `simulator`."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(_TREE.rglob("*.py")):
        digest.update(str(path.relative_to(_TREE)).encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def _writable(path: Path) -> bool:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return True
    except OSError:
        return False


@cache
def cache_folder() -> Path:
    """Where compiled kernels are kept: NUMBA_CACHE_DIR, else the user's cache, else a scratch one.

    One folder per place of the package, so that two checkouts never share kernels; after an edit
    the stamp differs and numba writes the folder's files anew.
    """
    key = hashlib.sha256(str(_TREE).encode()).hexdigest()[:24]
    home = os.environ.get("XDG_CACHE_HOME") or _home_cache()
    user = f"bitlane-{os.getuid()}" if hasattr(os, "getuid") else "bitlane"
    scratch = Path(tempfile.gettempdir()) / user
    for root in (_numba_config.CACHE_DIR, home and f"{home}/bitlane", scratch):
        if root and _writable(Path(root) / key):
            return Path(root) / key
    return Path(tempfile.mkdtemp(prefix="bitlane-"))


def _home_cache() -> str:
    """The cache folder in the user's home; empty where the user has no home."""
    try:
        return str(Path("~").expanduser() / ".cache")
    except RuntimeError:
        return ""


class TreeCacheLocator(_CacheLocator):
    """Numba's documented cache locator hook, stamped with the whole tree."""

    def __init__(self, function: Any, path: str) -> None:
        place = Path(path).resolve().relative_to(_TREE).with_suffix("")
        self._disambiguator = f"{'.'.join(place.parts)}-{function.__code__.co_firstlineno}"

    @classmethod
    def from_function(cls, function: Any, path: str) -> "TreeCacheLocator | None":
        """A locator for functions of this tree; None for any other."""
        return cls(function, path) if Path(path).resolve().is_relative_to(_TREE) else None

    def get_cache_path(self) -> str:
        """The folder of the cached files."""
        return str(cache_folder())

    def get_source_stamp(self) -> str:
        """The freshness key numba compares before it uses a cached kernel."""
        return tree_stamp()

    def get_disambiguator(self) -> str:
        """Tells kernels of one name apart."""
        return self._disambiguator


def _install_locator() -> None:
    """Put our locator first in numba's documented list, leaving others for other packages."""
    ours = f"{__name__}.{TreeCacheLocator.__name__}"
    present = _numba_config.CACHE_LOCATOR_CLASSES
    if ours not in present:
        rest = present or (
            "UserProvidedCacheLocator,InTreeCacheLocator,UserWideCacheLocator,"
            "IPythonCacheLocator,ZipCacheLocator"
        )
        _numba_config.CACHE_LOCATOR_CLASSES = f"{ours},{rest}"


_install_locator()
prange = numba.prange
cgutils: Final[Any] = _cgutils
intrinsic: Final[Any] = _intrinsic
JIT_DISABLED: Final = bool(_numba_config.DISABLE_JIT)
"""True where NUMBA_DISABLE_JIT has every kernel run as plain Python."""
_FEATURES = binding.get_host_cpu_features()
WIDE_VECTORS: Final = bool(_FEATURES.get("avx512f", False))
"""True where the processor has 32 vector registers of 512 bits."""
FUSED_MULTIPLY_ADD: Final = not JIT_DISABLED and any(_FEATURES.get(f) for f in ("fma", "neon"))
"""True where kernels are compiled for a processor that fuses float multiply-adds."""


_COST_FUNCTIONS: Final = tuple(
    f"simulator.{name}" for name in ("machines", "mapping", "platform", "stepper", "technology")
)


def _any_value(template: Callable[..., Any], args: Sequence[Any], kws: dict[str, Any]) -> Any:
    """Resolve a call of a cost function from another with its constants typed as variables.

    Numba types a constant argument by its value, and compiles the function for each value anew.
    Kernels of tensors are left to do so, since a constant may make their inner loop.
    """
    unliteral: Any = types.unliteral
    plain = {name: unliteral(kind) for name, kind in kws.items()}
    return template(tuple(unliteral(kind) for kind in args), plain)


def njit(function: _FunctionT | None = None, *, parallel: bool = False) -> Any:
    """Compile a function to machine code at its first call; integer semantics, no fast-math."""

    def compile_(f: _FunctionT) -> _FunctionT:
        made: Any = numba.njit(cache=True, parallel=parallel, nogil=True)(f)
        if not JIT_DISABLED and f.__module__.startswith(_COST_FUNCTIONS):
            made.get_call_template = partial(_any_value, made.get_call_template)
        return cast(_FunctionT, made)

    return compile_ if function is None else compile_(function)
