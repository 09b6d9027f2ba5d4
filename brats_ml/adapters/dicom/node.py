"""A node of DICOMweb, such as Orthanc: which studies it has, and objects from and to it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from brats_ml import environment, files
from brats_ml.adapters.dicom.extra import require, silent
from brats_ml.config.study import Node
from brats_ml.errors import ChangedSourceError, ConfigError, ServiceError

Result = TypeVar("Result")
# Elements of an answer of QIDO-RS, DICOM PS3.18, by tag.
STUDY_UID, SERIES_UID, SOP_UID = "0020000D", "0020000E", "00080018"
# Matches per request.
PAGE = 1000
REFUSED = (401, 403)


@dataclass(frozen=True)
class RemoteStudy:
    """A study on the node: its identifier, and how many images it has now."""

    uid: str
    instances: int


class DicomNode:
    """A client of one node; every failure becomes one sentence without identifiers of patients."""

    def __init__(self, settings: Node) -> None:
        """Open no connection yet.

        Raises:
            ConfigError: There is no address.
        """
        if settings.url is None:
            raise ConfigError(
                "study.node.url is null: set it to the address of DICOMweb, such as http://127.0.0.1:8042/dicom-web",
                key="study.node.url",
            )
        client, session = require("dicomweb_client", "dicom"), require("requests", "dicom").Session()
        user, password = environment.DICOM_USER.read(), environment.DICOM_PASSWORD.read()
        if user is not None:
            session.auth = (user, password or "")
        self._settings, self._url = settings, settings.url
        self._client = client.DICOMwebClient(settings.url, session=session, timeout=settings.timeout_seconds)
        self._client.set_http_retry_params(retry=False)  # it would wait 30 s within each of our tries

    def studies(self) -> list[RemoteStudy]:
        """Return the studies with MR images.

        Raises:
            ServiceError: The node does not answer, or refuses.
        """
        search = partial(self._client.search_for_studies, search_filters={"ModalitiesInStudy": "MR"})
        return [RemoteStudy(uid, self.count(uid)) for uid in sorted(self._all("list its studies", search, STUDY_UID))]

    def count(self, study: str) -> int:
        """Return the number of MR images of a study."""
        search = partial(self._client.search_for_series, study, search_filters={"Modality": "MR"})
        series = self._all("list the series of a study", search, SERIES_UID)
        return sum(len(self._objects(study, series_instance_uid=uid)) for uid in series)

    def objects(self, study: str) -> set[str]:
        """Return the identifiers of all objects of a study, such as segmentations and reports."""
        return self._objects(study)

    def _objects(self, study: str, **of: str) -> set[str]:
        search = partial(self._client.search_for_instances, study, **of)
        return self._all("list the objects of a study", search, SOP_UID)

    def _all(self, what: str, search: Callable[..., list[dict[str, Any]]], tag: str) -> set[str]:
        """Return an identifier of every match; a page without a new one is the last, since some nodes ignore pages."""
        found: set[str] = set()
        while True:
            new = self._ask(what, partial(_values, search, tag, limit=PAGE, offset=len(found))) - found
            found |= new
            if not new:
                return found

    def download(self, study: str, target: Path) -> int:
        """Write the MR images of a study to a new folder, whole or not at all, and return their number.

        Raises:
            ChangedSourceError: The node sends fewer images than it listed, or the study grows meanwhile.
            ServiceError: The node does not answer, or refuses.
        """
        expected = self.count(study)
        with silent(), files.replacing(target) as unfinished:
            unfinished.mkdir()
            written = 0
            for dataset in self._ask("send a study", partial(self._client.retrieve_study, study)):
                if dataset.get("Modality") != "MR":
                    continue
                dataset.save_as(unfinished / f"{written:06d}.dcm", enforce_file_format=True)
                written += 1
            if written != expected or self.count(study) != expected:
                raise ChangedSourceError(
                    self._url, f"sent {written} of {expected} images of a study, or the study grew; try again later"
                )
        return written

    def store(self, study: str, paths: Sequence[Path]) -> int:
        """Send objects that the node does not have yet, prove that it has them now, and return how many were sent.

        Raises:
            ServiceError: The node does not answer or refuses, or lacks an object afterwards.
        """
        dcmread = require("pydicom", "dicom").dcmread
        with silent():
            made, there = {path.name: dcmread(path) for path in paths}, self.objects(study)
            new = [dataset for dataset in made.values() if dataset.SOPInstanceUID not in there]
            for dataset in new:
                self._ask("store an object", partial(self._client.store_instances, [dataset], study))
            there = self.objects(study)
            lacking = [name for name, dataset in made.items() if dataset.SOPInstanceUID not in there]
        if lacking:
            raise ServiceError(f"{self._url} lacks {', '.join(lacking)} after it was sent: look at its log")
        return len(new)

    def _ask(self, what: str, request: Callable[[], Result]) -> Result:
        """Send a request, again if the node does not answer.

        Raises:
            ServiceError: It does not answer in time, or refuses.
        """
        requests = require("requests", "dicom")
        not_dicom = (LookupError, TypeError, ValueError, require("pydicom.errors", "dicom").InvalidDicomError)
        for attempt in range(1, self._settings.tries + 1):
            try:
                return request()
            except requests.HTTPError as error:
                status = error.response.status_code if error.response is not None else 0
                if status in REFUSED:
                    raise ServiceError(
                        f"{self._url} refuses to {what} (status {status}): set {environment.DICOM_USER.name} and "
                        f"{environment.DICOM_PASSWORD.name} to an account that may"
                    ) from None
                reason = f"answered with status {status}"
            except not_dicom:
                reason = "answered with what is not DICOMweb"
            except requests.Timeout:
                reason = f"did not answer within {self._settings.timeout_seconds:g} s"
            except requests.RequestException:
                reason = "did not answer, or broke off"
            if attempt < self._settings.tries:
                time.sleep(min(2.0**attempt, 10.0))
        raise ServiceError(
            f"{self._url} {reason} when it was asked {self._settings.tries} time(s) to {what}: check study.node.url, "
            "and that the node runs"
        )


def _values(search: Callable[..., list[dict[str, Any]]], tag: str, **page: int) -> set[str]:
    """Return the first value of an element of each match."""
    return {str(one[tag]["Value"][0]) for one in search(**page)}
