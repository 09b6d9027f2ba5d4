"""Looks at a page of predictions in Chromium and prints what it saw as JSON.

Usage: page_program.py PAGE CHROMIUM DOWNLOADS CASE. CASE is the case to correct. Without a name, the page shows a
patient over time, or it has very many cases, which are only counted and opened.

It runs in an environment of its own, which has Playwright and axe.
"""

import json
import sys
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

# WebGL without a graphics card.
ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SHOWN = "#case[data-state=shown]"
# The cross of the viewer is green, and no label is.
COUNT = """async (bytes) => {
  const image = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
  const flat = new OffscreenCanvas(image.width, image.height).getContext("2d");
  flat.drawImage(image, 0, 0);
  const { data } = flat.getImageData(0, 0, image.width, image.height);
  let [count, sum] = [0, 0];
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue] = data.slice(at, at + 3);
    const isCross = green > red + 30 && green > blue + 30;
    if (isCross || Math.max(red, green, blue) - Math.min(red, green, blue) < 40) continue;
    count += 1;
    sum += ((at / 4) % image.width) / image.width;
  }
  return { count, middle: count ? sum / count : 0.5 };
}"""


def coloured(page: Page) -> dict[str, float]:
    """Return how many pixels of the viewer have a colour, as labels have and scans have not, and their middle.

    The middle is the share of the width, from the left.
    """
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    png = page.locator("#canvas").screenshot()
    found: dict[str, float] = page.evaluate(COUNT, list(png))
    return found


def opened(browser: Browser, address: str, seen: dict[str, Any], **options: Any) -> Page:
    """Return the page with its first case shown."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000}, **options)
    page.on("pageerror", lambda error: seen["errors"].append(str(error)))
    page.on("console", lambda line: line.type in {"error", "warning"} and seen["errors"].append(line.text))
    page.on("request", lambda request: seen["requests"].append(request.url))
    page.goto(address)
    page.wait_for_selector(SHOWN)
    return page


def order(page: Page) -> list[str]:
    """Return the cases as the table has them."""
    names: list[str] = page.locator("#cases tbody tr:not([hidden]) .open").all_inner_texts()
    return names


def current(page: Page) -> str:
    """Return the name of the open case."""
    page.wait_for_selector(SHOWN)
    return page.inner_text("#case-title")


def look(page: Page, seen: dict[str, Any]) -> None:
    """Look at the table and at the labels, by keys and by the mouse."""
    seen["rows"], seen["first"] = order(page), current(page)
    seen["facts"] = page.inner_text("#facts")
    page.keyboard.press("a")
    seen["with_labels"] = coloured(page)
    page.keyboard.press("o")
    seen["without_labels"] = coloured(page)
    page.keyboard.press("o")
    seen["with_labels_again"] = coloured(page)
    page.keyboard.press("j")
    seen["second"] = current(page)
    page.keyboard.press("k")
    seen["back"] = current(page)
    page.keyboard.press("3")
    page.wait_for_selector("[data-modality=t1ce][aria-pressed=true]")
    place = "() => [...brats.state.niivue.scene.crosshairPos]"
    seen["before_mirror"] = page.evaluate(place)
    page.keyboard.press("m")
    seen["after_mirror"] = page.evaluate(place)
    page.keyboard.press("m")
    seen["convention"] = page.inner_text("#convention")
    page.keyboard.press("f")
    seen["flipped"], seen["with_labels_flipped"] = page.inner_text("#convention"), coloured(page)
    page.keyboard.press("f")
    page.locator("#canvas").focus()
    before = page.evaluate(place)
    page.keyboard.press("PageUp")
    seen["moved_up"] = page.evaluate(place)[2] - before[2]
    page.fill("#filter", seen["rows"][2])
    seen["found"] = order(page)
    page.keyboard.press("j")
    seen["open_after_typing"] = current(page)
    page.fill("#filter", "")
    page.locator("#cases thead button").first.click()
    seen["by_name"] = order(page)


def save(page: Page, folder: Path, name: str) -> str:
    """Save the label map as it is, and return what the page says."""
    with page.expect_download() as download:
        page.click("#save-button")
    download.value.save_as(folder / name)
    return page.inner_text("#changed")


def correct(page: Page, seen: dict[str, Any], name: str, folder: Path) -> None:
    """Save a label map of a case unchanged, then with one voxel drawn by the mouse, then after `undo`."""
    page.get_by_role("button", name=name, exact=True).click()
    seen["corrected"] = current(page)
    page.keyboard.press("d")
    page.fill("#reader", "Dr. <b>Ä</b>")
    seen["saved_unchanged"] = save(page, folder, "unchanged.nii.gz")
    page.click("[data-pen=ET]")
    page.evaluate("scrollTo(0, 0)")
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_timeout(300)
    seen["drawn_at"] = page.evaluate("() => [...brats.state.niivue.frac2mm(brats.state.niivue.scene.crosshairPos)]")
    seen["changed"] = page.inner_text("#changed")
    save(page, folder, "changed.nii.gz")
    page.click("#undo")
    seen["undone"] = page.inner_text("#changed")


def many(page: Page, seen: dict[str, Any]) -> None:
    """Open the last of very many cases, and sort them."""
    seen["rows"] = len(order(page))
    page.locator("#cases tbody .open").last.click()
    seen["last"] = current(page)
    page.get_by_role("button", name="case", exact=True).click()
    seen["by_name"] = order(page)


def over_time(page: Page, seen: dict[str, Any]) -> None:
    """Go to another time point of a patient by the table of volumes, and to the first new lesion."""
    seen["first"], seen["over_time"] = current(page), page.inner_text(".wide")
    seen["facts_of_later"] = page.inner_text("#facts")
    seen["lines"] = page.locator(".over-time path[stroke]").count()
    page.locator(".wide table .open").first.click()
    page.wait_for_function("(name) => document.querySelector('#case-title').textContent !== name", arg=seen["first"])
    seen["opened"], seen["facts_of_first"] = current(page), page.inner_text("#facts")
    page.locator(".wide li button").first.click()
    page.wait_for_function("(name) => document.querySelector('#case-title').textContent !== name", arg=seen["opened"])
    seen["with_new_lesion"] = current(page)
    page.wait_for_timeout(500)
    seen["cross_mm"] = page.evaluate("() => [...brats.state.niivue.frac2mm(brats.state.niivue.scene.crosshairPos)]")


def main(address: str, chromium: str, folder: str, case_to_correct: str) -> None:
    """Print what a browser saw."""
    seen: dict[str, Any] = {"errors": [], "requests": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = opened(browser, address, seen)
        if case_to_correct:
            look(page, seen)
            correct(page, seen, case_to_correct, Path(folder))
        elif page.locator(".wide").count():
            over_time(page, seen)
        else:
            many(page, seen)
        page.close()
        page = opened(browser, address, seen, bypass_csp=True)
        for width in (1400, 420):
            page.set_viewport_size({"width": width, "height": 900})
            found = Axe().run(page, options={"preload": False}).response["violations"]
            seen[f"axe_{width}"] = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]
            seen[f"too_wide_{width}"] = page.evaluate("() => document.documentElement.scrollWidth > innerWidth")
        browser.close()
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
