"""Reads the graph of a repository by DVC itself, and notes the files that it depends on."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import networkx as nx
from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.fs import LocalFileSystem
from dvc.repo import Repo
from pydantic import ValidationError

from brats_ml.config.sentences import explain
from brats_ml.errors import ConfigError
from brats_ml.orchestration.dag.graph import Node, Policy
from brats_ml.orchestration.dag.graph_files import Reads
from brats_ml.workspace.artefact import DVC_YAML, PARAMS


class _Disk(LocalFileSystem):  # type: ignore[misc]  # mypy does not follow dvc
    """The local disk; it notes what is read, and may have another text in place of one params.yaml."""

    def __init__(self, reads: Reads, path: Path, text: str | None) -> None:
        """Keep where to note the files, and the path and the text that is read there instead of the file's own."""
        super().__init__()
        self._reads, self._path, self._text = reads, path, text

    def exists(self, path: Any, *arguments: Any, **options: Any) -> Any:
        """Return whether a file exists."""
        found = super().exists(path, *arguments, **options)
        if not found and isinstance(path, str):
            self._reads.absent(path)
        return found

    def open(self, path: str, mode: str = "r", **options: Any) -> Any:
        """Open a file."""
        if mode not in ("r", "rb"):
            return super().open(path, mode=mode, **options)
        if self._text is not None and Path(path).resolve() == self._path:
            return io.StringIO(self._text)
        try:
            with super().open(path, mode="rb") as file:
                content = file.read()
        except FileNotFoundError:
            self._reads.absent(path)
            raise
        self._reads.content(path, content)
        binary = io.BytesIO(content)
        return binary if mode == "rb" else io.TextIOWrapper(binary, encoding=options.get("encoding"))


def read_graph(root: Path, *, params: str | None = None, reads: Reads | None = None) -> dict[str, Node]:
    """Return the nodes of the repository in `root` by address, each after those that it waits for.

    Args:
        root: The root of the repository.
        params: What DVC reads instead of the repository's params.yaml.
        reads: Gets the files that the graph depends on, but for a params.yaml that was not read.

    Raises:
        ConfigError: DVC refuses the pipeline, or a `meta.airflow` is wrong.
    """
    reads = Reads() if reads is None else reads
    with translate_errors(root), Repo(str(root), fs=_Disk(reads, (root / PARAMS).resolve(), params)) as repo:
        for level in ("system", "global"):
            reads.machine(Path(repo.config.files[level]))
        graph = repo.index.graph
        # Edges go from a stage to the stages that it needs.
        ordered = nx.lexicographical_topological_sort(graph.reverse(copy=False), key=address_of)
        return {address_of(stage): _node(stage, _needs(graph, stage)) for stage in ordered}


@contextmanager
def translate_errors(root: Path) -> Iterator[None]:
    """Raise the errors of DVC about the repository in `root` as ours.

    Raises:
        ConfigError: DVC refuses the pipeline.
    """
    try:
        yield
    except DvcException as error:
        causes = "; ".join(str(cause) for cause in (error, error.__cause__) if cause is not None and str(cause))
        raise ConfigError(f"{DVC_YAML} of {root}: {causes}", key=DVC_YAML) from error


def _needs(graph: Any, stage: Any) -> list[Any]:
    """Return the stages that one waits for, without those that others wait for already and only set its parameters.

    Each stage reads a key of the file of code digests, so edges from that file to all stages would show nothing.
    """
    needed = list(graph.successors(stage))
    parameters = {dep.fs_path for dep in stage.deps if isinstance(dep, ParamsDependency)}
    implied = [
        one
        for one in needed
        if {out.fs_path for out in one.outs} <= parameters
        and any(other is not one and nx.has_path(graph, other, one) for other in needed)
    ]
    return [one for one in needed if one not in implied]


def _node(stage: Any, needs: Any) -> Node:
    address = address_of(stage)
    meta = getattr(stage, "meta", None)
    declared = (meta.get("airflow") if isinstance(meta, dict) else None) or {}
    try:
        policy = Policy.model_validate(declared)
    except ValidationError as error:
        wrong, reason = explain(error, Policy, declared)
        key = f"meta.airflow.{wrong}".rstrip(".")
        raise ConfigError(f"dvc.yaml, stage {address}, {key}: {reason}", key=key) from error
    command = "\n".join(stage.cmd) if isinstance(stage.cmd, list) else stage.cmd or ""
    return Node(
        address=address,
        needs=tuple(sorted(map(address_of, needs))),
        policy=policy,
        command=command,
        description=stage.desc or "",
        item=str(getattr(stage, "name", None) or "").partition("@")[2] or None,
    )


def address_of(stage: Any) -> str:
    """Return the name of one of DVC's stages in `dvc repro`, when that runs in the root of the repository."""
    # `addressing` of DVC is relative to the current folder, which a DAG file does not choose.
    name = getattr(stage, "name", None)
    if name is None:
        return str(stage.path_in_repo)
    return str(name) if stage.path_in_repo == DVC_YAML else f"{stage.path_in_repo}:{name}"
