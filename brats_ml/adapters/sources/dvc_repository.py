"""A DVC repository at a revision as a source, through DVC's own file system."""

import stat
import threading
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_ml import environment
from brats_ml.adapters.dicom.search import one_of_each_folder
from brats_ml.adapters.sources.base import Contents, Entry, changed, checked, file_digest
from brats_ml.adapters.sources.downloads import Downloads, in_parallel, unfinished
from brats_ml.adapters.sources.dvc_errors import translate_errors
from brats_ml.cohort.release_files import is_release_file
from brats_ml.cohort.source_address import DvcAddress
from brats_ml.errors import SourceError

WORKERS = 4
# Options of a remote that say where data are and how to reach them. Others name files and commands of this machine,
# such as `credentialpath` and `bearer_token_command`, which would run what a stranger wrote.
HARMLESS = {
    *("url", "jobs", "checksum_jobs", "worktree", "no_traverse", "version_aware", "verify", "region", "endpointurl"),
    *("listobjects", "use_ssl", "allow_anonymous_login", "cache_regions", "read_timeout", "connect_timeout", "timeout"),
    *("acl", "sse", "sse_kms_key_id", "sse_customer_algorithm", "user", "port", "type", "shared", "slow_link_warning"),
    *(
        "grant_read",
        "grant_read_acp",
        "grant_write_acp",
        "grant_full_control",
        "projectname",
        "account_name",
        "oss_endpoint",
    ),
}


@dataclass(frozen=True)
class DvcSource:
    """A folder of a DVC repository; files that DVC tracks come from its cache or remote, the others from git.

    Attributes:
        address: The repository; a folder has an absolute path.
        downloads: The cache of downloaded files.
    """

    address: DvcAddress
    downloads: Downloads

    def contents(self) -> Contents:
        """Return the volumes and tables at the revision's present commit; MD5 or commit is the fingerprint."""
        with self._opened(self.address.revision) as system, self._translated():
            commit = str(system.repo.scm.resolve_rev(self.address.revision))
            found: dict[str, dict[str, Any]] = system.find(f"/{self.address.folder}", detail=True)
        if not found:
            raise SourceError(self._name, f"holds no {self.address.folder or 'file'} at {self.address.revision}")
        prefix = f"/{self.address.folder}/" if self.address.folder else "/"
        for path, info in found.items():
            if is_release_file(path) and stat.S_ISLNK((info.get("fs_info") or {}).get("mode", 0)):
                raise SourceError(self._name, f"holds {path}, a link in git; commit the file itself instead")
        entries = [
            Entry(path.removeprefix(prefix), info["size"], _md5(info) or commit)
            for path, info in found.items()
            if path.startswith(prefix) and is_release_file(path.removeprefix(prefix))
        ]
        inside = [path.removeprefix(prefix) for path in found if path.startswith(prefix)]
        return Contents(checked(entries, self._name), revision=commit, dicom=one_of_each_folder(inside, lambda _: b""))

    def fetch(self, wanted: Mapping[Entry, Path], revision: str | None) -> Generator[Entry, None, None]:
        """Download the entries that are not in the cache yet."""
        if not self.downloads.missing(self._kept_as, wanted):
            yield from in_parallel(wanted, lambda entry, _: self.downloads.place(self._kept_as, entry), workers=1)
            return
        with self._opened(revision or self.address.revision) as system:
            with self._translated():  # DVC reads its index here, before the threads start
                system.find(f"/{self.address.folder}")
            yield from in_parallel(wanted, lambda entry, stop: self._download(system, entry, stop), workers=WORKERS)

    def _download(self, system: Any, entry: Entry, stop: threading.Event) -> Path:
        place = self.downloads.place(self._kept_as, entry)
        with unfinished(place, entry) as part:
            if part is not None:
                if stop.is_set():
                    raise CancelledError
                path = f"/{self.address.folder}/{entry.path}".replace("//", "/")
                with self._translated(path):
                    info = system.info(path)
                    if _md5(info) not in (entry.fingerprint, None):
                        raise changed(f"{self._name}, {path}")
                    system.get_file(path, str(part))
                if _md5(info) and file_digest(part, "md5").hex() != entry.fingerprint:
                    part.write_bytes(b"")
                    raise SourceError(
                        self._name, f"returns other bytes for {path} than DVC recorded; push the file again"
                    )
        return place

    @property
    def _name(self) -> str:
        return f"dvc:{self.address.repository}"

    @property
    def _kept_as(self) -> str:
        return f"{self._name}#{self.address.folder}"

    @contextmanager
    def _opened(self, revision: str) -> Iterator[Any]:
        try:
            from dvc.api import DVCFileSystem  # an extra
            from dvc.dirs import site_cache_dir
            from dvc.repo.open_repo import clean_repos
        except ImportError as error:
            raise SourceError(self._name, "needs DVC: install brats-ml[version]") from error
        if not self.address.is_remote and not Path(self.address.repository).is_dir():
            raise SourceError(self._name, "is not a folder with a DVC repository; correct acquire.source")
        try:
            with self._translated():
                # Otherwise DVC creates the folder that the repository names, anywhere on this machine.
                environment.set_default(environment.DVC_SITE_CACHE_DIR, site_cache_dir())
                system = DVCFileSystem(self.address.repository, rev=revision)
                self._refuse_options(system.repo.config.load_one("repo")["remote"])
            yield system
        finally:
            clean_repos()  # removes clones from the folder for temporary files, as DVC's own commands do

    def _refuse_options(self, remotes: Mapping[str, Mapping[str, Any]]) -> None:
        for name, options in remotes.items():
            foreign = sorted(options.keys() - HARMLESS)
            if foreign:
                raise SourceError(
                    self._name,
                    f"has a remote {name} in .dvc/config with {', '.join(foreign)}, which names files or commands of "
                    "this machine, or a secret; set it with `dvc remote modify --global` instead",
                )

    def _translated(self, path: str = "") -> AbstractContextManager[None]:
        what = path or self.address.folder or "what it names"
        return translate_errors(self._name, revision=self.address.revision, what=what)


def _md5(info: dict[str, Any]) -> str | None:
    """Return the MD5 of a file's bytes that DVC 3 recorded; DVC 2 changed line ends first, so its MD5 differs."""
    recorded = (info.get("dvc_info") or {}).get("entry")
    found = recorded.hash_info if recorded is not None else None
    return str(found.value) if found is not None and found.name == "md5" and found.value else None
