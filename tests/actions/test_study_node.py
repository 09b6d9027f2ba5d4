"""Studies from a real node of DICOMweb and their results back, once each, whatever breaks in between."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pydicom
import pytest

from brats_ml.actions import study_find, study_receive, study_send
from brats_ml.adapters.dicom.node import DicomNode
from brats_ml.config import Params
from brats_ml.config.study import Node
from brats_ml.errors import ConfigError, MissingInputError, ServiceError
from brats_ml.workspace import Workspace
from tests.orthanc_server import IS_INSTALLED, WHY_NOT, Orthanc, free_port, orthanc
from tests.phantom_study import PROTOCOLS, write_series, write_study

pytestmark = pytest.mark.skipif(not IS_INSTALLED, reason=WHY_NOT)
SHAPE = (32, 32, 32)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture
def node(server: Orthanc, monkeypatch: pytest.MonkeyPatch) -> Node:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return Node(url=server.url, timeout_seconds=20.0, tries=1)


@pytest.fixture
def params(make_params: Callable[[dict[str, Any]], Params], node: Node) -> Params:
    return make_params({"study.node.url": node.url, "study.node.stable_seconds": 10.0, "study.node.tries": 1})


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (tmp_path / "key").write_bytes(bytes(range(32)))
    monkeypatch.setenv("BRATS_PSEUDONYM_KEY_FILE", str(tmp_path / "key"))
    return Workspace(tmp_path / "checkout")


def test_a_study_is_found_once_it_has_stopped_growing(
    ws: Workspace, params: Params, server: Orthanc, tmp_path: Path
) -> None:
    """Four series arrive one after the other; the last one comes 8 s after the node was first looked at."""
    write_study(tmp_path / "scanner", shape=SHAPE, index=11, patient="growing")

    def find(now: float) -> list[str]:
        return [str(name) for name in study_find.run(ws, params, now=now).details["studies"]]

    before = find(0.0)
    for number in ("01", "02", "03"):
        server.upload(tmp_path / "scanner" / number)
    first = find(0.0)
    server.upload(tmp_path / "scanner/04")

    assert set(find(8.0)) <= set(first) | set(before)
    later = find(17.0)
    assert len(set(find(18.5)) - set(later)) == 1


def test_a_study_comes_whole_and_its_results_are_stored_once(
    ws: Workspace, params: Params, server: Orthanc, tmp_path: Path
) -> None:
    write_study(tmp_path / "scanner", shape=SHAPE, index=12, patient="whole")
    server.upload(tmp_path / "scanner")
    uid = pydicom.dcmread(next((tmp_path / "scanner").rglob("*.dcm"))).StudyInstanceUID
    study_find.run(ws, params, now=0.0)
    names = study_find.run(ws, params, now=20.0).details["studies"]
    folders = [ws.state.studies.study(name) for name in names]
    folder = next(one for one in folders if str(uid) in one.identity.path.read_text())
    assert folder.identity.path.stat().st_mode & 0o777 == 0o600

    study_receive.run(ws, params, study=folder.path)

    assert len(list(folder.dicom.path.iterdir())) == 4 * SHAPE[2]
    with pytest.raises(MissingInputError, match="brats study export"):
        study_send.run(ws, params, study=folder.path)
    affines = PROTOCOLS["t1"].move
    elements = {"StudyInstanceUID": uid, "SeriesDescription": "result", "PatientID": "whole", "PatientName": "whole"}
    for number, made in enumerate(folder.export.objects()):
        series = {"SeriesInstanceUID": f"1.2.3.12.{number}", "SeriesNumber": 9000, "Modality": "US"}
        write_series(tmp_path / "made", pydicom.dcmread(next(folder.dicom.path.iterdir())).pixel_array[..., None][
            :, :, :1
        ].astype("int16"), affines, elements | series)  # fmt: skip
        made.path.parent.mkdir(exist_ok=True)
        (tmp_path / "made/0001.dcm").rename(made.path)
    for _ in range(2):
        study_send.run(ws, params, study=folder.path)
    folder.sent.path.unlink()  # as after a kill between storing and noting it
    report = study_send.run(ws, params, study=folder.path)

    assert "0 of 3 objects sent" in str(report)
    assert server.results()[str(uid)] == {"MR": 4 * SHAPE[2], "US": 3}
    assert folder.path.name not in study_find.run(ws, params, now=40.0).details["studies"]


def test_a_node_that_is_not_there_is_named(node: Node) -> None:
    nobody = replace_url(node, f"http://127.0.0.1:{free_port()}/dicom-web")

    with pytest.raises(ServiceError, match=r"did not answer.* check study\.node\.url"):
        DicomNode(nobody).studies()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "did not answer within 0.5 s"),
        (b"", "did not answer, or broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: 500\r\n\r\n[{", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>", "not DICOMweb"),
        (
            b'HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: 8\r\n\r\n[{"a":1}',
            "not DICOMweb",
        ),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "status 503"),
    ],
    ids=["late", "closed", "half", "page", "foreign", "busy"],
)
def test_a_node_that_is_late_breaks_off_or_speaks_something_else_is_named(answer: bytes | None, reason: str) -> None:
    with answering(answer) as url:
        node = DicomNode(Node(url=url, timeout_seconds=0.5, tries=2))
        with pytest.raises(ServiceError, match=rf"{url} .*{reason}.* asked 2 time"):
            node.studies()


@contextmanager
def answering(answer: bytes | None) -> Iterator[str]:
    """Listen on the loopback, and give every request the same answer; None never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as held:

        def serve() -> None:
            with suppress(OSError):  # the server is closed
                while True:
                    connection = held.enter_context(server.accept()[0])
                    connection.recv(65536)
                    if answer is not None:
                        connection.sendall(answer)
                        connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/dicom-web"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_refused_account_says_which_variables_to_set(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRATS_DICOM_PASSWORD", "wrong")

    with pytest.raises(ServiceError, match=r"refuses to list its studies .*BRATS_DICOM_USER and BRATS_DICOM_PASSWORD"):
        DicomNode(node).studies()


def test_no_address_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"study\.node\.url is null: set it"):
        DicomNode(Node())


def replace_url(node: Node, url: str) -> Node:
    return node.model_copy(update={"url": url})
