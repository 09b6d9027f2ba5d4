"""The data that stages read again: from DVC's cache, else from its remote or the registry, else made again."""

import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from brats_ml.actions.parts import CHANGED, DIFFERENT, UNCHANGED, UNKNOWN, Part
from brats_ml.actions.reproduce_inputs import Inputs, unused
from brats_ml.actions.reproduce_room import Room
from brats_ml.adapters.dvc_cache import DvcCache, md5
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.cohort.source_address import with_absolute_path
from brats_ml.config import read_document
from brats_ml.errors import ModelError, ServiceError
from brats_ml.workspace.outputs import ModelFolder


class Supply:
    """Brings what stages read into a room, and compares each byte with the digests of dvc.lock."""

    def __init__(self, room: Room, inputs: Inputs, registry: Registry) -> None:
        """Keep the room, what the version was made from, and the registry of the version."""
        self.room, self.inputs, self._registry = room, inputs, registry
        self.cache = DvcCache(room.ws.root)

    @cached_property
    def registered(self) -> Path:
        """The registered files of the version, each of which is what was registered."""
        return self._registry.fetch(self.inputs.origin.version)

    def supplied(self, again: list[str]) -> Iterator[Part]:
        """Yield each out of the stages that do not run again: those that the others read are put into the room."""
        needed = self.needed(again)
        for stage in ("code", *self.inputs.stages):
            if stage in again or stage not in self.inputs.recorded:
                continue
            for out in self.inputs.recorded[stage].outs:
                yield self.bring(stage, out) if (stage, out) in needed else self._check(stage, out)

    def results_before(self, again: list[str]) -> Iterator[Part]:
        """Yield each result of before that DVC's cache has with other bytes; only its digest counts."""
        for stage in again:
            for out, digest in self.inputs.recorded[stage].outs.items():
                changed = self.cache.check(digest).changed
                if changed:
                    name = f"{out}/{changed[0]}".rstrip("/")
                    yield Part("result of before in DVC's cache", name, DIFFERENT, "it was not used")

    def needed(self, again: list[str]) -> list[tuple[str, str]]:
        """Return the stage and the out of each input of the stages that run again, in the order of the pipeline."""
        paths = {path for stage in again for path in self.inputs.recorded[stage].deps}
        made = {maker for path in paths if (maker := self.inputs.maker(path)) is not None}
        order = {stage: index for index, stage in enumerate(self.inputs.stages)}
        return sorted((maker for maker in made if maker[0] not in again), key=lambda maker: (order[maker[0]], maker[1]))

    def model(self) -> Iterator[Part]:
        """Yield whether the registered files are those that training made, as far as DVC's cache knows them."""
        stage, out = self._trained()
        known = self.cache.files(self.inputs.recorded[stage].outs[out])
        for name, digest in (known or {}).items():
            path = self.registered / name
            if not path.is_file() or md5(path) != digest:
                yield Part("registered model", str(path), CHANGED, f"{stage} made another {out}/{name}")
                return
        yield Part("registered model", f"{len(list(self.registered.rglob('*')))} files", UNCHANGED)

    def bring(self, stage: str, out: str) -> Part:
        """Put an out of a stage into the room, and return whether it is what dvc.lock records.

        Raises:
            ModelError: It is gone everywhere, and cannot be made again.
        """
        digest = self.inputs.recorded[stage].outs[out]
        found = self.cache.check(digest)
        if not found.whole and not found.changed and self.room.has_remote():
            self._fetch(out)
            found = self.cache.check(digest)
        if found.changed:
            return self._changed(out, digest, found.changed)
        if found.whole:
            self.room.dvc("checkout", "-q", out)
            return Part("data", out, UNCHANGED, f"{found.count} file(s) in DVC's cache")
        if (stage, out) == self._trained():
            return self._from_registry(stage, out)
        return self._make(stage, out)

    def _check(self, stage: str, out: str) -> Part:
        """Return whether DVC's cache has an out that nothing reads again as it was."""
        digest = self.inputs.recorded[stage].outs[out]
        found = self.cache.check(digest)
        if found.changed:
            return self._changed(out, digest, found.changed)
        if found.whole:
            return Part("data", out, UNCHANGED, f"{found.count} file(s) in DVC's cache")
        return Part("data", out, UNKNOWN, "DVC's cache does not have all of it, and no stage reads it again")

    def in_checkout(self, checkout: Path, out: str, digest: str) -> Part | None:
        """Return the first file of a checkout's own copy of an out that is not what the version was made from.

        A file that is a link into the cache was read there already.
        """
        for name, expected in (self.cache.files(digest) or {}).items():
            own, kept = checkout / out / name, self.cache.path(expected)
            if own.is_file() and not (kept.is_file() and own.samefile(kept)) and md5(own) != expected:
                return unused("data", [own.relative_to(checkout).as_posix()])
        return None

    def _trained(self) -> tuple[str, str]:
        """Return the stage that trained the model and its folder."""
        ws, name = self.room.ws, self.inputs.origin.stage.partition("@")[2]
        made = (self.inputs.maker(ws.name(folder)) for folder in (ws.model(name), ws.survival(name)))
        return next(maker for maker in made if maker is not None)

    def _fetch(self, out: str) -> None:
        try:
            self.room.dvc("fetch", "-q", out)
        except ServiceError as error:  # of a remote that lacks some files, too
            print(f"DVC's remote does not have all of {out}: {error}", flush=True)

    def _changed(self, out: str, digest: str, names: list[str]) -> Part:
        known, name = self.cache.files(digest), names[0]
        where = f"{out}/{name}".rstrip("/") if known else f"{out}, {name}"
        path = f"{self.cache.path(known[name])} of DVC's cache" if known else "of DVC's cache"
        more = f", and {len(names) - 1} more" if len(names) > 1 else ""
        return Part("data", where, CHANGED, f"{path}{more}: remove it and run `dvc pull {out}`, or restore a backup")

    def _from_registry(self, stage: str, out: str) -> Part:
        """Copy the registered files of a model, without those that publishing adds."""
        target = self.room.ws.root / out
        shutil.copytree(self.registered, target)
        for artefact in ModelFolder(target).published:
            artefact.path.unlink(missing_ok=True)
        return self._compared(stage, out, "from the registry")

    def _make(self, stage: str, out: str) -> Part:
        """Run a stage, since nobody has its results any more."""
        recorded = self.inputs.recorded[stage]
        for needed in self.needed([stage]):
            part = self.bring(*needed)
            if part.is_lost:
                return part
        try:
            self.room.run(stage, self.inputs.graph[stage].command)
        except ModelError as error:
            said = f"{out} is neither in DVC's cache nor in a remote, and cannot be made again: {error}"
            raise ModelError(said + self._relative_source(stage)) from error
        parts = [self._compared(stage, one, f"made again by {stage}") for one in recorded.outs]
        return next((part for part in parts if part.is_lost), parts[0])

    def _relative_source(self, stage: str) -> str:
        """Return a clause on a source that is relative to the checkout, for a stage that reads the source."""
        ws = self.room.ws
        source = str(read_document(ws.params)["acquire"]["source"])
        if ws.name(ws.raw) not in self.inputs.recorded[stage].outs or with_absolute_path(source, ws.root) == source:
            return ""
        return (
            f"; acquire.source is {source}, which is relative to the checkout that trained the model and not to this "
            f"clone: run `dvc push` in a checkout that still has {ws.name(ws.raw)}, or restore DVC's cache"
        )

    def _compared(self, stage: str, out: str, how: str) -> Part:
        expected, found = self.inputs.recorded[stage].outs[out], self.room.digest(out)
        if found == expected:
            return Part("data", out, UNCHANGED, f"not in DVC's cache; {how}")
        names = differing_files(self.cache, expected, self.room.ws.root / out)
        return Part("data", f"{out}/{names[0]}" if names else out, CHANGED, f"not in DVC's cache; {how}, it differs")


def differing_files(cache: DvcCache, digest: str, folder: Path) -> list[str]:
    """Return the names of files of a folder that are not those of a digest; none where the cache has no listing."""
    known = cache.files(digest)
    if known is None or not folder.is_dir():
        return []
    now = {path.relative_to(folder).as_posix(): md5(path) for path in folder.rglob("*") if path.is_file()}
    return sorted(name for name in known.keys() | now.keys() if known.get(name) != now.get(name))
