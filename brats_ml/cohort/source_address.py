"""Where a cohort comes from: the forms that `acquire.source` may have."""

import re
from dataclasses import dataclass
from pathlib import Path

PHANTOM = "phantom"
DVC = "dvc:"
S3 = "s3://"
FORMS = (
    "`phantom`, a folder, an archive (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz), "
    "`s3://bucket/prefix` or `dvc:repository#path@revision`"
)


@dataclass(frozen=True)
class LocalAddress:
    """A folder or an archive on this machine; a relative path starts from the checkout."""

    path: str


@dataclass(frozen=True)
class S3Address:
    """All objects of a bucket whose keys start with `prefix` and a slash; of the whole bucket where it is empty."""

    bucket: str
    prefix: str


@dataclass(frozen=True)
class DvcAddress:
    """A folder of a DVC repository as it is at a revision.

    Attributes:
        repository: A folder or an address that git can clone.
        folder: Inside the repository; empty for all of it.
        revision: Branch, tag or commit; HEAD by default.
    """

    repository: str
    folder: str
    revision: str

    @property
    def is_remote(self) -> bool:
        """Whether git gets the repository from elsewhere: `scheme://...` or `host:path`."""
        return re.match(r"[^/]*:", self.repository) is not None


Address = LocalAddress | S3Address | DvcAddress


def parse_address(text: str) -> Address:
    """Return what a source names.

    Raises:
        ValueError: It has none of the known forms, or holds a password.
    """
    if re.search(r"://[^/@]*:[^/]*@", text):
        raise ValueError("a source may hold no password, since it is shown and kept; use a credential helper of git")
    if text.startswith(S3):
        return _s3(text)
    if text.startswith(DVC):
        return _dvc(text)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):/", text)
    if scheme or text.strip() != text or not text or "\0" in text:
        raise ValueError(f"a source is {FORMS}")
    return LocalAddress(text)


def with_absolute_path(text: str, base: Path) -> str:
    """Return a source that means the same in every folder: a relative path in it starts from `base`."""
    if text == PHANTOM:
        return text
    address = parse_address(text)
    if isinstance(address, LocalAddress):
        return str(base / address.path)
    if isinstance(address, DvcAddress) and not address.is_remote:
        return f"{DVC}{base / address.repository}#{address.folder}@{address.revision}"
    return text


def redacted(text: str) -> str:
    """Return a text without what its addresses have before an `@`, which may be a password or a token."""
    return re.sub(r"://[^/\s]*@", "://", text)


def _s3(text: str) -> S3Address:
    bucket, _, prefix = text.removeprefix(S3).partition("/")
    prefix = prefix.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]", bucket):
        raise ValueError("the form is `s3://bucket/prefix`, with a bucket's name of 3 to 63 letters and digits")
    if {".", ".."} & set(prefix.split("/")):
        raise ValueError("the prefix of `s3://bucket/prefix` may not hold `.` or `..`")
    return S3Address(bucket, prefix)


def _dvc(text: str) -> DvcAddress:
    repository, inside, folder = text.removeprefix(DVC).partition("#")
    revision = ""
    if inside:
        folder, _, revision = folder.partition("@")
    else:
        # Without `#` an @ is also part of addresses such as git@host:team/cohort.git.
        found = re.fullmatch(r"(.+)@([^/:@]+)", repository)
        if found:
            repository, revision = found.groups()
    if not repository or repository.startswith("-") or revision.startswith("-"):
        raise ValueError("the form is `dvc:repository#path@revision`; path and revision may be left out")
    folder = folder.strip("/")
    if ".." in folder.split("/"):
        raise ValueError("the path of `dvc:repository#path@revision` may not hold `..`")
    return DvcAddress(repository, folder, revision or "HEAD")
