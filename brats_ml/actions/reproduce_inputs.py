"""The inputs of a version in the order of the pipeline: code, commands, parameters, and what each stage got to read."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from brats_ml import files
from brats_ml.actions.parts import CHANGED, DIFFERENT, GONE, UNCHANGED, UNKNOWN, Part, code_part
from brats_ml.actions.reproduce_origin import Origin, value_at
from brats_ml.adapters import provenance
from brats_ml.adapters.computer import computer, computer_differences
from brats_ml.adapters.dvc_cache import DvcCache
from brats_ml.adapters.source_code import FILES
from brats_ml.config import read_document
from brats_ml.config.differences import differences
from brats_ml.dvc_lock import Recorded
from brats_ml.orchestration.dag.graph import Graph
from brats_ml.workspace import Workspace
from brats_ml.workspace.artefact import PARAMS

# Of what a line names.
MOST_NAMES = 10
# What a checkout has otherwise as a matter of course.
LATER = "code of later commits"
COMPUTER = "computer"


@dataclass(frozen=True)
class Inputs:
    """What a version was made from, in a clone at its commit.

    Attributes:
        project: The clone, with the params.yaml and dvc.lock of its run, and with the digests of its code.
        origin: What is on record.
        graph: The stages of the clone, each after those that it waits for.
        recorded: What dvc.lock has of each of them.
    """

    project: Workspace
    origin: Origin
    graph: Graph
    recorded: Mapping[str, Recorded]

    @property
    def stages(self) -> list[str]:
        """The stages that the version comes from, in the order of the pipeline; the code is no input of itself."""
        wanted = {self.origin.stage}
        for name in reversed(list(self.graph)):
            if name in wanted:
                wanted |= set(self.graph[name].needs)
        return [name for name in self.graph if name in wanted and name != "code"]

    def maker(self, path: str) -> tuple[str, str] | None:
        """Return the stage that makes a file or folder, and its out that is this path, or has it inside."""
        for stage in self.stages:
            for out in self.recorded[stage].outs:
                if path == out or path.startswith(f"{out}/"):
                    return stage, out
        return None

    def parts(self) -> Iterator[Part]:
        """Yield each input, in the order of the pipeline, up to the first that is changed or gone."""
        checkout_code = code_part(self.project.root, "code", self.origin.version.tags)
        found = list(self._stages())
        lost = [part for part in found if part.is_lost]
        if lost or checkout_code.state != UNKNOWN:
            yield checkout_code
        else:
            note = f"{checkout_code.note}, and no stage reads them"
            yield Part(checkout_code.what, checkout_code.name, UNCHANGED, note)
        yield from lost[:1] or found
        yield self._computer()

    def _stages(self) -> Iterator[Part]:
        known, now = self._recorded_files(), files.read_json(self.project.code)
        document = read_document(self.project.params)
        for stage in self.stages:
            recorded = self.recorded.get(stage)
            if recorded is None:
                yield Part("stage", stage, GONE, "the dvc.lock of its run has no record of it")
                return
            if recorded.command != self.graph[stage].command:
                yield Part("command", stage, CHANGED, f"it was `{recorded.command}`")
            yield from self._parameters(stage, recorded, {PARAMS: document, self.code_name: now}, known)
            yield from self._links(stage, recorded)
        yield Part(
            "stages", f"{len(self.stages)} up to {self.origin.stage}", UNCHANGED, "code, commands and parameters"
        )

    @property
    def code_name(self) -> str:
        """The name of the file of code digests in dvc.lock."""
        return self.project.name(self.project.code)

    def _parameters(
        self, stage: str, recorded: Recorded, documents: Mapping[str, Any], known: Mapping[str, str] | None
    ) -> Iterator[Part]:
        for file, values in recorded.params.items():
            for key, before in values.items():
                after = value_at(documents.get(file), key)
                if before == after:
                    continue
                if file == self.code_name:
                    yield self._code(stage, known, documents[file].get(FILES))
                else:
                    yield Part("parameter", key, CHANGED, str(differences({key: before}, {key: after})[0]))

    def _code(self, stage: str, known: Mapping[str, str] | None, now: Mapping[str, str] | None) -> Part:
        """Return the part of a stage that another code ran than that of the commit; digests of each file name it."""
        commit = f"commit {self.origin.commit}"
        if not known or not now:
            return Part("code", stage, CHANGED, f"another code than that of {commit} ran, and nobody noted its files")
        names = sorted(name for name in known.keys() | now.keys() if known.get(name) != now.get(name))
        return Part("code", ", ".join(names) or stage, CHANGED, f"{stage} ran with another one than that of {commit}")

    def _recorded_files(self) -> Mapping[str, str] | None:
        """Return the digests of the files of code that the run had, if DVC's cache still has them."""
        digest = self.recorded["code"].outs.get(self.code_name) if "code" in self.recorded else None
        cache = DvcCache(self.project.root)
        if digest is None or not cache.check(digest).whole:
            return None
        found: Mapping[str, str] | None = json.loads(cache.path(digest).read_text(encoding="utf-8")).get(FILES)
        return found

    def _links(self, stage: str, recorded: Recorded) -> Iterator[Part]:
        """Yield each input of a stage that the stage before it has made otherwise since."""
        for path, digest in recorded.deps.items():
            made = self.maker(path)
            if made is not None and made[1] == path and self.recorded[made[0]].outs[path] != digest:
                note = f"{stage} read {digest}, but {made[0]} made {self.recorded[made[0]].outs[path]}"
                yield Part("data", path, CHANGED, note)

    def _computer(self) -> Part:
        if self.origin.computer is None:
            return Part(COMPUTER, "unknown", UNKNOWN, "nobody recorded on which computer the model was trained")
        now = computer()
        found = computer_differences(self.origin.computer, now)
        return Part(COMPUTER, now["processor"], DIFFERENT if found else UNCHANGED, ", ".join(found))


def in_checkout(ws: Workspace, inputs: Inputs) -> list[Part]:
    """Return what the checkout has otherwise than the version; none of it is used to reproduce the version."""
    uncommitted = provenance.changed_files(ws.root)
    since = [name for name in provenance.changed_files(ws.root, inputs.origin.commit) if name not in uncommitted]
    changes = differences(read_document(inputs.project.params), read_document(ws.params))
    found = {LATER: since, "uncommitted code": uncommitted, "parameter": list(map(str, changes))}
    return [unused(what, names) for what, names in found.items() if names]


def unused(what: str, names: list[str]) -> Part:
    """Return the part for what a checkout has otherwise."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return Part(f"{what} in this checkout", ", ".join(names[:MOST_NAMES]) + more, DIFFERENT, "it was not used")
