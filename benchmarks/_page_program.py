"""Measures a page of predictions in Chromium and prints seconds as JSON; it runs where Playwright is installed.

Usage: _page_program.py PAGE CHROMIUM OPENED. OPENED is how many of the first cases are opened one after the other.
"""

import json
import sys
from typing import Any

from playwright.sync_api import Page, sync_playwright

# WebGL without a graphics card.
ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
LIMIT_MS = 120_000
# Long tasks, and when a case is drawn, by the clock of the page.
WATCH = """
window.measured = { tasks: [], shown: null };
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) measured.tasks.push(entry.duration);
}).observe({ type: "longtask", buffered: true });
document.addEventListener("DOMContentLoaded", () => {
  const part = document.getElementById("case");
  new MutationObserver(() => {
    if (part.dataset.state !== "shown") return;
    requestAnimationFrame(() => setTimeout(() => (measured.shown = performance.now())));
  }).observe(part, { attributes: true, attributeFilter: ["data-state"] });
});
"""
CLICK = """(number) => {
  measured.shown = null;
  measured.begun = performance.now();
  document.querySelectorAll("#cases tbody tr .open")[number].click();
}"""


def longest(page: Page) -> float:
    """Return the seconds of the longest task since the last call; Chromium counts those above 50 ms."""
    page.wait_for_timeout(300)
    found: float = page.evaluate("() => Math.max(0, ...measured.tasks.splice(0))")
    return found / 1000


def main(address: str, chromium: str, opened: int) -> dict[str, Any]:
    """Return what was measured."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(LIMIT_MS)
        page.add_init_script(WATCH)
        page.goto(address)
        page.wait_for_function("() => measured.shown !== null")
        found: dict[str, Any] = {"first": page.evaluate("() => measured.shown") / 1000, "switches": []}
        openings = [longest(page)]
        for number in range(1, opened):
            page.evaluate(CLICK, number)
            page.wait_for_function("() => measured.shown !== null")
            found["switches"].append(page.evaluate("() => measured.shown - measured.begun") / 1000)
            openings.append(longest(page))
        found["open"] = max(openings)
        for column in page.locator("#cases thead button").all():
            column.click()
        page.fill("#filter", "Case_01")
        page.fill("#filter", "")
        page.locator("#cases tbody tr").last.scroll_into_view_if_needed()
        page.locator("#cases tbody tr").first.scroll_into_view_if_needed()
        found["table"], found["rows"] = longest(page), page.locator("#cases tbody tr").count()
        browser.close()
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
