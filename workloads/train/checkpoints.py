"""A training run on disk: every array of it, replaced as one."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import jax
import numpy as np

from simulator.errors import BadFile, RunFolderBusy
from simulator.graph import Array, Graph
from workloads.train.data import Samples

_NOTE = "note"


def save(path: Path, tree: Any, note: dict[str, Any]) -> None:
    """Write a tree of arrays and a note, JSON; a reader sees the old file or the new one."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    arrays = {jax.tree_util.keystr(where): np.asarray(leaf) for where, leaf in leaves}
    arrays[_NOTE] = np.array(json.dumps(note))
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def restore(path: Path, like: Any, digest: str) -> tuple[Any, dict[str, Any]]:
    """The tree and the note of a checkpoint; `like` has the tree's structure.

    Raises BadFile for what is no checkpoint, RunFolderBusy for one of another run.
    """
    try:
        # Opened here: NumPy leaves a file that is no archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            held = {name: archive[name] for name in archive.files}
        note: dict[str, Any] = json.loads(str(held[_NOTE]))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise BadFile(f"{path}: not a checkpoint of training ({error}); delete it") from None
    if note.get("digest") != digest:
        raise RunFolderBusy(
            f"{path}: the checkpoint is of other settings, data or another network; give its own, "
            "or another --checkpoint"
        )
    places, structure = jax.tree_util.tree_flatten_with_path(like)
    try:
        leaves = [held[jax.tree_util.keystr(where)] for where, _ in places]
    except KeyError as error:
        raise BadFile(f"{path}: the checkpoint lacks {error}; delete it") from None
    return jax.tree_util.tree_unflatten(structure, leaves), note


def digest_of(settings: Any, graph: Graph, data: Samples) -> str:
    """Of all that decides the bits of a run."""
    seen = hashlib.sha256(repr(settings).encode())
    seen.update(repr([(n.name, n.op, n.inputs, n.outputs) for n in graph.nodes]).encode())
    arrays: dict[str, Array] = {**graph.constants, **data.inputs, "": data.targets}
    for name, value in arrays.items():
        seen.update(f"{name} {value.dtype} {value.shape}".encode())
        seen.update(np.ascontiguousarray(value).tobytes())
    return seen.hexdigest()
