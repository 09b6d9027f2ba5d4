// The table of cases: sorting, finding, and which case is open.
"use strict";
{
  const table = brats.find("cases");
  const body = table.tBodies[0];
  const columns = [...table.tHead.rows[0].cells];
  const rows = () => [...body.rows].filter((row) => !row.hidden);

  const value = (row, column) => {
    const text = row.cells[column].dataset.value;
    if (columns[column].dataset.sort === "text") return text.toLowerCase();
    return text === "" ? null : Number(text);
  };

  // Unknown values come last in both directions.
  const compare = (column, sign) => (one, other) => {
    const [a, b] = [value(one, column), value(other, column)];
    if (a === b) return Number(one.dataset.case) - Number(other.dataset.case);
    if (a === null || b === null) return a === null ? 1 : -1;
    return sign * (a < b ? -1 : 1);
  };

  columns.forEach((cell, column) => {
    cell.querySelector("button").addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") === "ascending";
      columns.forEach((other) => other.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      body.append(...[...body.rows].sort(compare(column, down ? -1 : 1)));
    });
  });

  const filter = () => {
    const wanted = brats.find("filter").value.trim().toLowerCase();
    const review = brats.find("only-review").checked;
    for (const row of body.rows) {
      const found = row.cells[0].dataset.value.toLowerCase().includes(wanted);
      row.hidden = !found || (review && !row.classList.contains("review"));
    }
    const shown = rows().length;
    brats.find("shown").textContent = shown === brats.cases.length ? "" : `${shown} shown`;
  };
  brats.find("filter").addEventListener("input", filter);
  brats.find("only-review").addEventListener("change", filter);

  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row) brats.open(Number(row.dataset.case));
  });

  brats.markRow = (number) => {
    for (const row of body.rows) {
      const open = Number(row.dataset.case) === number;
      row.classList.toggle("current", open);
      if (open) row.cells[0].querySelector("button").setAttribute("aria-current", "true");
      else row.cells[0].querySelector("button").removeAttribute("aria-current");
      if (open) row.scrollIntoView({ block: "nearest" });
    }
  };

  // Opens the case `step` rows below the open one, as the table is sorted now.
  brats.step = (step) => {
    const shown = rows();
    const at = shown.findIndex((row) => row.classList.contains("current"));
    const next = shown[at < 0 ? 0 : at + step];
    if (next) brats.open(Number(next.dataset.case));
  };

  brats.first = () => Number(rows()[0]?.dataset.case ?? -1);
}
