"""Parse the address that a cohort comes from, as `acquire.source` gives it."""

import re
from dataclasses import dataclass
from pathlib import Path

from brats_ml.redaction import has_credentials

PHANTOM = "phantom"
DVC = "dvc:"
S3 = "s3://"
FORMS = (
    "`phantom`, a folder, an archive (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz), "
    "`s3://bucket/prefix` or `dvc:repository#path@revision`"
)


@dataclass(frozen=True)
class LocalAddress:
    """A folder or an archive on this machine; a relative path starts at the checkout."""

    path: str


@dataclass(frozen=True)
class S3Address:
    """All objects of a bucket below `prefix`, or all objects if `prefix` is empty."""

    bucket: str
    prefix: str


@dataclass(frozen=True)
class DvcAddress:
    """A folder of a DVC repository at one revision.

    Attributes:
        repository: A folder, or an address that git can clone.
        folder: The folder inside the repository; empty for the whole repository.
        revision: A branch, tag or commit; HEAD by default.
    """

    repository: str
    folder: str
    revision: str

    @property
    def is_remote(self) -> bool:
        """Whether the repository is an address, `scheme://...` or `host:path`, and not a local folder."""
        return re.match(r"[^/]*:", self.repository) is not None


Address = LocalAddress | S3Address | DvcAddress


def parse_address(text: str) -> Address:
    """Return the address that a text gives.

    Raises:
        ValueError: The text has none of the known forms, or contains credentials.
    """
    if has_credentials(text):
        raise ValueError(
            "a source must not contain a password or a token, since it is displayed and stored: give them to a "
            "credential helper of git, to the variables or profile of AWS, or to .dvc/config.local of that repository"
        )
    if text.startswith(S3):
        return _s3(text)
    if text.startswith(DVC):
        return _dvc(text)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):/", text)
    if scheme or text.strip() != text or not text or "\0" in text:
        raise ValueError(f"a source is {FORMS}")
    return LocalAddress(text)


def with_absolute_path(text: str, base: Path) -> str:
    """Return a source with its relative path made absolute, as seen from `base`."""
    if text == PHANTOM:
        return text
    address = parse_address(text)
    if isinstance(address, LocalAddress):
        return str(base / address.path)
    if isinstance(address, DvcAddress) and not address.is_remote:
        return f"{DVC}{base / address.repository}#{address.folder}@{address.revision}"
    return text


def _s3(text: str) -> S3Address:
    bucket, _, prefix = text.removeprefix(S3).partition("/")
    prefix = prefix.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]", bucket):
        raise ValueError("the form is `s3://bucket/prefix`, and the name of a bucket has 3 to 63 letters and digits")
    if {".", ".."} & set(prefix.split("/")):
        raise ValueError("the prefix of `s3://bucket/prefix` must not contain `.` or `..`")
    return S3Address(bucket, prefix)


def _dvc(text: str) -> DvcAddress:
    repository, inside, folder = text.removeprefix(DVC).partition("#")
    revision = ""
    if inside:
        folder, _, revision = folder.partition("@")
    else:
        # Without `#`, an @ may also be part of an address such as git@host:team/cohort.git.
        found = re.fullmatch(r"(.+)@([^/:@]+)", repository)
        if found:
            repository, revision = found.groups()
    if not repository or repository.startswith("-") or revision.startswith("-"):
        raise ValueError("the form is `dvc:repository#path@revision`; path and revision are optional")
    folder = folder.strip("/")
    if ".." in folder.split("/"):
        raise ValueError("the path of `dvc:repository#path@revision` must not contain `..`")
    return DvcAddress(repository, folder, revision or "HEAD")
