"""Airflow loads the plugin of `plugins/`, which every task pays for, and shows its page to those who may read runs."""

from pathlib import Path
from typing import Any

import pytest

from tests.contract import dag_reader
from tests.contract.dag_reader import ROOT
from tests.contract.heavy_libraries import HEAVY

LOAD = """
import asyncio, json, os, sys
os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = sys.argv[1]
from airflow.plugins_manager import get_import_errors, get_plugin_info
from httpx import ASGITransport, AsyncClient
(plugin,) = [one for one in get_plugin_info() if one["name"] == "brats_run_page"]
modules = sorted(sys.modules)
import brats_run_page
PAGES = ["/dags/brats_train/runs/manual__1", "/batches/0123456789abcdef/", "/batches/0123456789abcdef/page/page.js"]
async def status():
    async with AsyncClient(transport=ASGITransport(app=brats_run_page.app), base_url="http://airflow") as client:
        return [(await client.get(page)).status_code for page in PAGES]
print(json.dumps({"views": plugin["external_views"], "errors": get_import_errors(), "modules": modules,
                  "apps": [one["url_prefix"] for one in plugin["fastapi_apps"]], "status": asyncio.run(status())}))
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return dag_reader.run(LOAD, ROOT / "plugins", home=Path(tmp_path_factory.mktemp("airflow")))


def test_airflow_finds_the_tab_of_a_run_and_its_page(plugin: Any) -> None:
    (view,) = plugin["views"]

    assert plugin["errors"] == {}
    assert view["destination"] == "dag_run"
    assert view["href"].startswith(plugin["apps"][0] + "/")
    assert "{DAG_ID}" in view["href"]
    assert "{RUN_ID}" in view["href"]


def test_to_load_the_plugin_imports_no_server_and_no_heavy_library(plugin: Any) -> None:
    unwanted = HEAVY - {"airflow"} | {"brats_ml", "airflow.api_fastapi.core_api.security"}

    assert sorted(unwanted & set(plugin["modules"])) == []


def test_nobody_reads_a_page_without_a_login(plugin: Any) -> None:
    assert plugin["status"] == [401, 401, 401]
