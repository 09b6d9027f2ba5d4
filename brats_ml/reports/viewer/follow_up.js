// A patient over time: volumes at each time point as a drawing and a table, and the lesions that are new.
"use strict";
{
  const { element, part, shape, ml } = brats;
  const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [380, 200, 44, 36, 12, 30];
  const COLOURS = ["#0b5fa5", "#b4400b", "#6d3fa0", "#3f6b2a"];

  const numberOf = (caseId) => brats.cases.findIndex((one) => one.case_id === caseId);
  const nameOf = (patient, caseId) => patient.time_points.find((point) => point.case_id === caseId).time_point;
  const percent = (change) => `${change > 0 ? "+" : change < 0 ? "−" : ""}${Math.abs(change).toFixed(Math.abs(change) < 10 ? 1 : 0)} %`;

  const opener = (text, caseId) => {
    const made = element("button", text, { type: "button", class: "open" });
    made.addEventListener("click", () => brats.open(numberOf(caseId)));
    return made;
  };

  // Labels at the ends of lines, moved apart where lines end at one height.
  const spread = (heights) => {
    const order = heights.map((height, at) => [height, at]).sort((one, other) => one[0] - other[0]);
    const places = [];
    for (const [height, at] of order) places[at] = Math.max(height, Math.max(0, ...places.filter((place) => place !== undefined)) + 13);
    const excess = Math.max(0, Math.max(...places) - (HEIGHT - BOTTOM + 4));
    return places.map((place) => place - excess);
  };

  const drawing = (patient) => {
    const points = patient.time_points;
    const ends = points.flatMap((point) => patient.regions.flatMap((region) => [point.volume_mm3[region], point.interval_mm3[region]?.high ?? 0]));
    const most = Math.max(...ends, 1);
    const x = (at) => LEFT + ((WIDTH - LEFT - RIGHT) * (at + 0.5)) / points.length;
    const y = (volume) => TOP + (HEIGHT - BOTTOM - TOP) * (1 - volume / most);
    const drawn = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "curve over-time" });
    drawn.append(shape("title", {}, `Volumes of ${patient.patient} in ml at ${points.length} time points, which the table lists`));
    for (const share of [0, 0.5, 1]) {
      drawn.append(shape("path", { class: "grid", d: `M${LEFT} ${y(share * most)}H${WIDTH - RIGHT}` }));
      drawn.append(shape("text", { x: LEFT - 6, y: y(share * most) + 4, "text-anchor": "end" }, share ? ml(share * most) : "0 ml"));
    }
    const longest = Math.max(...points.map((point) => point.time_point.length));
    const every = Math.ceil((points.length * (longest + 2) * 6) / (WIDTH - LEFT - RIGHT)); // so that names do not overlap
    points.forEach((point, at) => at % every || drawn.append(shape("text", { x: x(at), y: HEIGHT - 10, "text-anchor": "middle" }, point.time_point)));
    const labels = spread(patient.regions.map((region) => y(points[points.length - 1].volume_mm3[region]) + 4));
    patient.regions.forEach((region, index) => {
      const colour = COLOURS[index % COLOURS.length];
      const shift = (index - (patient.regions.length - 1) / 2) * 5; // so that intervals are next to each other
      const places = points.map((point, at) => [x(at) + shift, y(point.volume_mm3[region])]);
      drawn.append(shape("path", { d: `M${places.map((place) => place.map((value) => value.toFixed(1)).join(" ")).join("L")}`, fill: "none", stroke: colour, "stroke-width": 2 }));
      points.forEach((point, at) => {
        const known = point.interval_mm3[region];
        if (known) drawn.append(shape("path", { d: `M${places[at][0]} ${y(known.low)}V${y(known.high)}`, stroke: colour, "stroke-width": 1.5, opacity: 0.6 }));
        drawn.append(shape("circle", { cx: places[at][0], cy: places[at][1], r: 3, fill: colour }));
      });
      drawn.append(shape("text", { x: x(points.length - 1) + 14, y: labels[index], fill: colour, class: "name" }, region));
    });
    return drawn;
  };

  const cell = (point, region) => {
    const made = element("td", ml(point.volume_mm3[region]));
    const [interval, change] = [point.interval_mm3[region], point.change[region]];
    if (interval) made.append(element("small", `${ml(interval.low)} to ${ml(interval.high)}`));
    if (change) {
      const said = change.percent == null ? (point.volume_mm3[region] > 0 ? "from nothing" : "–") : percent(change.percent);
      made.append(element("small", said, { class: change.intervals_apart ? "change clear" : "change" }));
    }
    return made;
  };

  const table = (patient, one) => {
    const made = element("table");
    const head = made.createTHead().insertRow();
    head.append(...["time point", ...patient.regions.map((region) => `${region}, ml`)].map((text) => element("th", text, { scope: "col" })));
    const body = made.createTBody();
    for (const point of patient.time_points) {
      const row = body.insertRow();
      const name = element("th", "", { scope: "row" });
      name.append(point.case_id === one.case_id ? element("strong", `${point.time_point}, open`) : opener(point.time_point, point.case_id));
      row.append(name, ...patient.regions.map((region) => cell(point, region)));
    }
    const last = patient.time_points[patient.time_points.length - 1];
    if (patient.time_points.length > 2) {
      const all = patient.regions.map((region) => last.change[region].percent_since_first);
      body.insertRow().append(element("th", "first to last", { scope: "row" }), ...all.map((change) => element("td", change == null ? "–" : percent(change))));
    }
    return made;
  };

  const lesion = (found, caseId) => {
    const [x, y, z] = found.centre_mm.map((value) => value.toFixed(0));
    const side = found.side === "middle" ? "near the middle" : `on the patient's ${found.side}`;
    const regions = Object.entries(found.regions_ml).filter(([name]) => name !== "WT").map(([name, volume]) => `${name} ${volume.toFixed(2)}`);
    const made = element("li", `${found.volume_ml.toFixed(2)} ml (${regions.join(", ")}) ${side}, at ${x}, ${y}, ${z} mm `);
    const show = element("button", "Show", { type: "button", "aria-label": `Show the new lesion of ${found.volume_ml.toFixed(2)} ml` });
    show.addEventListener("click", () => brats.openAt(numberOf(caseId), found.centre_mm));
    made.append(show);
    return made;
  };

  const fresh = (patient, pair) => {
    const [before, after] = [pair.before, pair.after].map((caseId) => nameOf(patient, caseId));
    if (pair.reason) return [element("p", `Nobody can say which lesions are new at ${after}: ${pair.reason}.`, { class: "alarm" })];
    const count = pair.lesions.length;
    const said = element("p", count ? `${count} new lesion${count > 1 ? "s" : ""} at ${after}, compared with ${before}:` : `No new lesion at ${after}, compared with ${before}.`);
    const made = element("ul");
    made.append(...pair.lesions.map((found) => lesion(found, pair.after)));
    const unchecked = "Nobody checked that the two are aligned, since scans of them are not where they were.";
    return [said, ...(count ? [made] : []), ...(pair.aligned == null ? [element("p", unchecked)] : [])];
  };

  // The section on the patient of a case, or nothing where the page has one time point.
  brats.followUp = (one) => {
    const patient = brats.known.patients[one.patient];
    if (!patient) return [];
    const { margin_mm: margin, smallest_ml: smallest } = patient.definition;
    const coverage = patient.time_points.flatMap((point) => Object.values(point.interval_mm3)).find((known) => known.coverage)?.coverage;
    const change = "Each change is that since the time point before";
    const notes = [
      coverage ? `${change}; it is bold where the ${Math.round(100 * coverage)} % intervals of the two share no value.` : `${change}.`,
      `A lesion is new if it is more than ${margin} mm away from every lesion of the time point before. Parts below ${smallest} ml do not count.`,
    ];
    const made = part(`Over time: ${patient.patient}`);
    made.className = "wide";
    if (patient.note) made.append(element("p", patient.note, { class: "alarm" }));
    const volumes = element("div", "", { class: "over" });
    volumes.append(drawing(patient), table(patient, one));
    made.append(volumes, ...patient.new_lesions.flatMap((pair) => fresh(patient, pair)), element("p", notes.join(" "), { class: "quiet" }));
    return [made];
  };

  // Opens a case with the cross at a place in mm.
  brats.openAt = async (number, place) => {
    if (brats.state.one !== brats.cases[number]) await brats.open(number);
    const { niivue, one } = brats.state;
    if (one !== brats.cases[number]) return;
    if (niivue?.volumes.length) brats.goTo(niivue.mm2frac(place));
    brats.find("screen").scrollIntoView({ block: "nearest" });
  };
}
