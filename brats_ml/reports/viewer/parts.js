// What the facts next to a case are made of: headed parts, lists, tables, and shapes of drawings.
"use strict";
{
  const { element } = brats;
  const SVG = "http://www.w3.org/2000/svg";

  brats.ml = (volume) => (volume == null ? "–" : (volume / 1000).toFixed(volume < 10000 ? 2 : 1));
  brats.percent = (share) => (share == null ? "–" : `${Math.round(100 * share)} %`);

  brats.part = (title, ...content) => {
    const made = element("section");
    made.append(element("h3", title), ...content);
    return made;
  };

  brats.list = (texts) => {
    const made = element("ul");
    made.append(...texts.map((text) => element("li", text)));
    return made;
  };

  brats.table = (heads, lines) => {
    const made = element("table");
    const head = made.createTHead().insertRow();
    head.append(...heads.map((text) => element("th", text, { scope: "col" })));
    const body = made.createTBody();
    for (const [first, ...cells] of lines) {
      body.insertRow().append(element("th", first, { scope: "row" }), ...cells.map((text) => element("td", text)));
    }
    return made;
  };

  brats.shape = (name, attributes, text = "") => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };
}
