"""A real Orthanc on the loopback, with DICOMweb and an account, as Debian packages it."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

PROGRAM = shutil.which("Orthanc", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
WHY_NOT = "Orthanc and its DICOMweb plugin are not installed: apt install orthanc orthanc-dicomweb"
IS_INSTALLED = PROGRAM is not None and PLUGIN.exists()


@dataclass
class Orthanc:
    """A running server.

    Attributes:
        port: Its port of HTTP.
        user: Its account.
        password: The password of the account.
    """

    port: int
    user: str
    password: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/dicom-web"

    @property
    def environment(self) -> dict[str, str]:
        return {"BRATS_DICOM_USER": self.user, "BRATS_DICOM_PASSWORD": self.password}

    def get(self, path: str) -> Any:
        answer = requests.get(f"http://127.0.0.1:{self.port}/{path}", auth=(self.user, self.password), timeout=30)
        answer.raise_for_status()
        return answer.json()

    def upload(self, folder: Path) -> None:
        """Send every file of a folder, as a scanner does."""
        for path in sorted(folder.rglob("*.dcm")):
            requests.post(
                f"http://127.0.0.1:{self.port}/instances", data=path.read_bytes(), auth=(self.user, self.password),
                timeout=30,
            ).raise_for_status()  # fmt: skip

    def results(self) -> dict[str, dict[str, int]]:
        """Return how many objects of each modality each study has, by its identifier."""
        found: dict[str, dict[str, int]] = {}
        for study in self.get("studies?expand"):
            counts: dict[str, int] = {}
            for series in study["Series"]:
                one = self.get(f"series/{series}")
                modality = one["MainDicomTags"]["Modality"]
                counts[modality] = counts.get(modality, 0) + len(one["Instances"])
            found[study["MainDicomTags"]["StudyInstanceUID"]] = counts
        return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def orthanc(folder: Path, **more: Any) -> Iterator[Orthanc]:
    """Run a server with its files in a folder, until the end of the context."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Orthanc(free_port(), "lab", secrets.token_hex(8))
    settings: Mapping[str, Any] = {
        "StorageDirectory": str(folder / "storage"), "IndexDirectory": str(folder / "storage"),
        "HttpPort": server.port, "HttpBindAddresses": ["127.0.0.1"], "DicomServerEnabled": False,
        "RemoteAccessAllowed": True, "AuthenticationEnabled": True, "RegisteredUsers": {server.user: server.password},
        "Plugins": [str(PLUGIN)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}, **more,
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(PROGRAM), str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        for _ in range(150):
            try:
                server.get("system")
                break
            except requests.RequestException:
                if process.poll() is not None:
                    raise RuntimeError((folder / "log").read_text()) from None
                time.sleep(0.2)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
