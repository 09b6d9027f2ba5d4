"""Opens a run in MLflow in Chromium, follows its link to the page of the batch, and the page's link back.

Usage: links_program.py JSON, which names the run, the browser, Airflow's address, and both logins. It prints JSON, and
runs in an environment of its own, which has Playwright.
"""

import json
import sys
from typing import Any

from playwright.sync_api import sync_playwright

ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
LIMIT_MS = 180_000


def main(known: dict[str, Any], pictures: str = "") -> None:
    """Print what the browser saw; with a folder, keep pictures of it."""
    user, password = known["mlflow_login"]
    seen: dict[str, Any] = {"errors": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=known["chromium"], args=ARGUMENTS)
        login = {"username": user, "password": password, "origin": known["run"].partition("/#")[0]}
        context = browser.new_context(http_credentials=login, viewport={"width": 1400, "height": 1000})
        context.set_default_timeout(LIMIT_MS)
        page = context.new_page()
        page.goto(f"{known['airflow']}/auth/login/")
        page.fill("input[name=username]", known["airflow_login"][0])
        page.fill("input[name=password]", known["airflow_login"][1])
        page.keyboard.press("Enter")
        page.wait_for_url(lambda address: "/login" not in address)
        page.goto(known["run"])
        link = page.locator("a[href*='/brats/batches/']").first
        link.wait_for()
        if pictures:
            page.screenshot(path=f"{pictures}/run.png")
        address = link.get_attribute("href")
        # MLflow may open a link in the same tab or in a new one.
        opened = context.new_page()
        opened.on("pageerror", lambda error: seen["errors"].append(str(error)))
        opened.on("console", lambda line: line.type == "error" and seen["errors"].append(line.text))
        opened.goto(address)
        opened.wait_for_selector("#case[data-state=shown]")
        seen["page"], seen["state"] = opened.url, opened.get_attribute("#case", "data-state")
        if pictures:
            opened.screenshot(path=f"{pictures}/page.png")
        with context.expect_page() as back:
            opened.get_by_role("link", name="This batch in MLflow").click()
        back.value.wait_for_load_state()
        seen["back"] = back.value.url
        browser.close()
    print(json.dumps(seen))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), *sys.argv[2:])
