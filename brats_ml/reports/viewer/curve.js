// The survival curve of a patient as a drawing, with a table of the same for those who cannot see it.
"use strict";
{
  const { shape } = brats;
  const [WIDTH, HEIGHT, LEFT, BOTTOM] = [340, 170, 38, 30];

  brats.curve = (survival) => {
    const days = survival.curve_days;
    const alive = survival.curve_alive;
    const last = Math.max(days[days.length - 1], 1);
    const x = (day) => LEFT + ((WIDTH - LEFT - 8) * day) / last;
    const y = (share) => 8 + (HEIGHT - BOTTOM - 8) * (1 - share);
    const steps = days.map((day, at) => `H${x(day).toFixed(1)}V${y(alive[at]).toFixed(1)}`);
    const drawn = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "curve" });
    drawn.append(shape("title", {}, `Probability to be alive, from 1 at day 0 to ${alive[alive.length - 1]} at day ${Math.round(last)}`));
    const interval = survival.interval_days || {};
    if (interval.low != null) {
      const high = interval.high ?? last;
      drawn.append(shape("rect", { class: "interval", x: x(interval.low), y: 8, width: x(high) - x(interval.low), height: HEIGHT - BOTTOM - 8 }));
    }
    for (const share of [0, 0.5, 1]) {
      drawn.append(shape("path", { class: "grid", d: `M${LEFT} ${y(share)}H${WIDTH - 8}` }));
      drawn.append(shape("text", { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, `${100 * share} %`));
    }
    for (const share of [0, 0.5, 1]) {
      const anchor = share === 1 ? "end" : "middle";
      drawn.append(shape("text", { x: x(share * last), y: HEIGHT - 12, "text-anchor": anchor }, `${Math.round(share * last)} d`));
    }
    drawn.append(shape("path", { class: "line", d: `M${x(0)} ${y(1)}${steps.join("")}` }));
    return drawn;
  };
}
