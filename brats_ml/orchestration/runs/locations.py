"""Where runs get their code from, and where they keep what outlives them: the workers' environment names both."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from brats_ml import environment, locks
from brats_ml.workspace.artefact import STATE
from brats_ml.workspace.state import State


@dataclass(frozen=True)
class Locations:
    """The repository that runs clone, and the folder of their workspaces, records, checkpoints and ledger.

    Attributes:
        repository: A folder or an address that git can clone.
        state: The folder, shared by all workers.
    """

    repository: str
    state: State

    @classmethod
    def from_environment(cls, checkout: Path) -> Self:
        """Return the locations that the environment names, or those of the checkout that has the DAGs."""
        return cls(
            repository=_absolute(environment.REPOSITORY.read() or str(checkout)),
            state=State(Path(environment.STATE.read() or checkout / STATE).resolve()),
        )

    @property
    def checkout(self) -> Path | None:
        """The repository's working tree; None where the repository is elsewhere or bare."""
        folder = Path(self.repository)
        return folder if (folder / ".git").exists() else None

    def at_work(self) -> AbstractContextManager[None]:
        """Keep `brats prune` from removing anything while the context lasts; any number of tasks may do so."""
        return locks.shared(self.state.runs_lock, holder="`brats prune`")

    def idle(self) -> AbstractContextManager[None]:
        """Keep every task waiting while the context lasts.

        Raises:
            ServiceError: A task is at work.
        """
        refusal = "a task of a run is at work: wait until it is done, then try again"
        return locks.alone(self.state.runs_lock, refusal=refusal)

    def resolve(self, path: str) -> Path:
        """Return a path of a form, relative to the working tree, or to the state's parent where there is none."""
        return (self.checkout or self.state.path.parent) / path


def _absolute(repository: str) -> str:
    """Return an existing folder as an absolute path, since git clones from another folder, and an address as it is."""
    return str(Path(repository).resolve()) if Path(repository).exists() else repository
