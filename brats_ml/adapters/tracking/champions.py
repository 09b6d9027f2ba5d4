"""Champions: the last promotion in the ledger decides who is champion, and the aliases in MLflow follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from brats_ml import environment, locks
from brats_ml.adapters.tracking.ledger import PROMOTION, append_entry, promotions
from brats_ml.adapters.tracking.own_store import tracking_uri
from brats_ml.adapters.tracking.reigns import ADOPTED, BY_HAND, ROLLED_BACK, earlier_champion, reigns
from brats_ml.adapters.tracking.version import DIGESTS, Version
from brats_ml.errors import ModelError, ServiceError
from brats_ml.redaction import redacted
from brats_ml.workspace.state import State

if TYPE_CHECKING:
    from brats_ml.adapters.tracking.registry import Registry

CHAMPION = "champion"
PREVIOUS = "previous_champion"


def open_champions(state: State) -> "Champions":
    """Return the champions by the ledger of a state, in the MLflow store of this process."""
    from brats_ml.adapters.tracking.registry import Registry  # it imports MLflow, and champions are asked for without

    return Champions(Registry(tracking_uri(state)), state)


def champions_in_ledger(state: State) -> dict[str, Version]:
    """Return the champions by the names of their models, from the ledger alone; MLflow is not asked.

    A champion is left out if its line has no digests and tags, as in older ledgers.

    Raises:
        TableError: A line of the ledger was changed.
    """
    last = {entry["model"]: entry for entry in promotions(state.ledger.path)}
    return {
        name: Version(name, entry["version"], entry["run_id"], entry["tags"], entry["files"])
        for name, entry in last.items()
        if entry["version"] is not None and entry.get("files") and "tags" in entry
    }


def unverified(version: Version | None) -> str | None:
    """Return one clause about a champion with files that nobody recorded, which no load can verify, or None."""
    if version is None or version.digests is not None:
        return None
    return f"the files of {version} were not verified, since it was registered without their digests"


@dataclass(frozen=True)
class Champions:
    """The champions among the versions of a registry.

    Attributes:
        registry: The registry.
        state: The state of the checkout, which has the ledger.
    """

    registry: "Registry"
    state: State

    def of(self, name: str) -> Version | None:
        """Return the version that the ledger's last promotion of a model names, or None without a promotion.

        Its tags and digests are those of the ledger, if that has them: who may write in MLflow may change its tags.

        Raises:
            ModelError: The registry does not have that version, by number, run and key together.
            TableError: A line of the ledger was changed.
        """
        entry = self._last(name)
        return None if entry is None or entry["version"] is None else self._named_by(entry)

    def earlier(self, name: str, number: int | None) -> tuple[Version, str | None]:
        """Return an earlier champion, as `earlier_champion` chooses it, and the digest of its golden case.

        Raises:
            ModelError: There is no such champion, or the registry does not have it any more.
        """
        reign = earlier_champion(self.state.ledger.path, name, number)
        past = [entry for entry in promotions(self.state.ledger.path) if entry["model"] == name]
        same = [entry for entry in past if entry["version"] == reign.version]
        kept = [entry["golden"] for entry in same if entry.get("golden")]
        return self._named_by(same[-1]), kept[-1] if kept else None

    def version(self, name: str, number: int) -> Version:
        """Return a version, with the tags and digests of the ledger if it was ever champion.

        Raises:
            ModelError: The registry does not have it.
        """
        lines = [entry for entry in promotions(self.state.ledger.path) if entry["model"] == name]
        own = [entry for entry in lines if entry["version"] == number]
        if own:
            return self._named_by(own[-1])
        version = self.registry.get(name, number)
        if version is None:
            known = ", ".join(f"v{one}" for one in self.registry.numbers(name)) or "none"
            raise ModelError(
                f"{name} v{number} is not in MLflow at {redacted(self.registry.uri)}: its versions are {known}"
            )
        return version

    def _named_by(self, entry: Mapping[str, Any]) -> Version:
        """Return the version that a line of the ledger names, with the tags and digests of that line."""
        name = entry["model"]
        version = self.registry.get(name, entry["version"])
        if version is None or not version.is_named_by(entry):
            other = f"its v{entry['version']} is another model" if version else "it has no such version"
            raise ModelError(
                f"the ledger {self.state.ledger} names {name} v{entry['version']} of run {entry.get('run_id')} "
                f"champion, but in MLflow at {redacted(self.registry.uri)} {other}: restore the store, set "
                f"{environment.STATE.name} and {environment.MLFLOW_TRACKING_URI.name} to a pair that belongs together, "
                f"or run `brats adopt {name} VERSION`"
            )
        digests, tags = entry.get("files", version.digests), entry.get("tags", version.tags)
        return replace(version, digests=version.digests if digests is None else digests, tags=tags)

    def repair(self, name: str) -> str | None:
        """Set the aliases of a model to what the ledger names.

        Returns:
            One clause about an alias that named another version, or None if nothing differed.

        Raises:
            ModelError: As `of` does.
        """
        champion, differs = self.of(name), self._difference(name)
        if differs is None or champion is None:
            return differs
        try:
            # Without the lock, a promotion between its line and its alias would look like a difference.
            with locks.exclusive(self.state.ledger_lock, holder="a promotion"):
                entry = self._last(name)
                if entry is None or self._difference(name) is None:
                    return None
                self._set_aliases(entry)
        except (ServiceError, OSError):  # this user may only read
            return f"{differs}, which counts"
        return f"{differs}; it was set back"

    def refuse_unledgered(self, name: str) -> None:
        """Refuse to judge a model that has an alias and no promotion: its ledger is lost, or is another one.

        Raises:
            ModelError: There is such an alias.
        """
        if self._last(name) is None and (difference := self._difference(name)) is not None:
            raise ModelError(
                f"{difference}: set {environment.STATE.name} to the state that promoted it, restore the ledger from "
                f"a backup, or run `brats adopt {name} VERSION`"
            )

    def check(self, version: Version, against: Mapping[str, Any] | None) -> None:
        """Check that the champion is still the one that a candidate was compared with.

        Args:
            version: The candidate.
            against: Number, run and key of the champion that the gate compared it with, or None if there was none.

        Raises:
            ModelError: Another version became champion since then.
        """
        self.refuse_unledgered(version.name)
        champion = self.of(version.name)
        if champion is None and against is None:
            return
        if champion is not None and champion.identity == version.identity:
            return
        if champion is None or against is None or not champion.is_named_by(against):
            judged = f"v{against['version']}" if against else "no champion"
            now = f"{champion} is champion" if champion else "there is no champion"
            raise ModelError(f"{version} was compared with {judged}, but {now} now: run `brats gate` again")

    def promote(
        self,
        version: Version,
        *,
        decision: str,
        against: Mapping[str, Any] | None,
        reasons: Sequence[str] = (),
        golden: str | None = None,
    ) -> bool:
        """Make a version champion: first a line in the ledger, then description and aliases.

        Args:
            version: The new champion.
            decision: The digest of the gate's decision.
            against: Number, run and key of the champion that the gate compared it with, or None if there was none.
            reasons: The reasons of that decision.
            golden: The digest of the golden case that was kept for a rollback.

        Returns:
            Whether the ledger grew. If the version is champion in the ledger already, only the aliases are corrected.

        Raises:
            ModelError: Another version became champion since the gate decided.
        """
        with locks.exclusive(self.state.ledger_lock, holder="another promotion"):
            self.check(version, against)
            champion = self.of(version.name)
            grows = champion is None or champion.identity != version.identity
            if grows:
                self._append(version.name, version, decision, reasons, golden=golden)
            entry = self._last(version.name)
            if entry is not None:
                self._set_aliases(entry)
        return grows

    def adopt(self, name: str, number: int | None) -> Version | None:
        """Make a version champion without a decision of the gate, or with no number let a model have no champion.

        Raises:
            ModelError: There is no such version, or one of its files is not what was registered.
        """
        version = None if number is None else self.registry.get(name, number)
        if number is not None and version is None:
            raise ModelError(f"{name} v{number} is not in MLflow at {redacted(self.registry.uri)}")
        if version is not None:
            version = self.registry.verified(version)
        with locks.exclusive(self.state.ledger_lock, holder="a promotion"):
            entry = self._append(name, version, ADOPTED, [BY_HAND])
            if version is not None:
                self._set_aliases(entry)
        return version

    def roll_back(self, version: Version, *, replaced: Version, golden: str, reasons: Sequence[str]) -> None:
        """Make an earlier champion champion again: first a line in the ledger, then description and aliases.

        Raises:
            ModelError: Another version than the one to replace is champion by now.
        """
        with locks.exclusive(self.state.ledger_lock, holder="a promotion"):
            now = self.of(version.name)
            if now is None or now.identity != replaced.identity:
                raise ModelError(f"{now or 'no version'} is champion now, and not {replaced}: look, then try again")
            self._set_aliases(self._append(version.name, version, ROLLED_BACK, reasons, golden=golden))

    def _append(
        self,
        name: str,
        version: Version | None,
        decision: str,
        reasons: Sequence[str] = (),
        *,
        golden: str | None = None,
    ) -> dict[str, Any]:
        """Append the promotion of a version to the ledger, or that a model has no champion, and return the line."""
        before, none = self._last(name), {"version": None, "run_id": None, "key": None}
        tags = {} if version is None else {tag: text for tag, text in version.tags.items() if tag != DIGESTS}
        entry = {
            "event": PROMOTION,
            "model": name,
            **(none if version is None else version.identity),
            "previous": None if before is None else before["version"],
            "files": None if version is None or version.digests is None else dict(version.digests),
            "tags": tags,
            **({"golden": golden} if golden else {}),
            "decision": decision,
            "reasons": list(reasons),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        append_entry(self.state.ledger.path, entry)
        return entry

    def _last(self, name: str) -> dict[str, Any] | None:
        """Return the last promotion of a model, or None."""
        past = [entry for entry in promotions(self.state.ledger.path) if entry["model"] == name]
        return past[-1] if past else None

    def _difference(self, name: str) -> str | None:
        """Return which version the alias names and which one the ledger names, as one clause, or None if they agree."""
        entry = self._last(name)
        named, number = self.registry.aliases(name).get(CHAMPION), None if entry is None else entry["version"]
        if named == number:
            return None
        alias, ledger = (f"v{version}" if version else "none" for version in (named, number))
        return f"alias {CHAMPION} of {name} names {alias}, but the ledger {self.state.ledger} names {ledger}"

    def _set_aliases(self, entry: Mapping[str, Any]) -> None:
        """Let descriptions and aliases follow the last promotion of a model."""
        # A version that a person named champion again has one description, by its last reign.
        last = {reign.version: reign for reign in reigns(self.state.ledger.path, entry["model"])[-2:]}
        for version, reign in last.items():
            if version is not None:
                self.registry.describe(reign.model, version, {"Ledger": reign.sentence()})
        # `champion` comes last: where it is right, all else is, too.
        previous = entry["previous"]
        if previous is not None and self.registry.get(entry["model"], previous) is not None:
            self.registry.set_alias(entry["model"], PREVIOUS, previous)
        self.registry.set_alias(entry["model"], CHAMPION, entry["version"])
