// What is known of a case, next to its picture: quality, volumes with intervals, survival, origin.
"use strict";
{
  const { element, part, list, table, ml, percent } = brats;

  const quality = (one) => {
    const score = one.qc.score;
    const said = score == null ? "The quality of this prediction is unknown." : `Expected mean Dice ${score.toFixed(2)}${one.qc.review ? ", to be reviewed" : ""}.`;
    return part("Quality", element("p", said), ...(one.remarks.length ? [list(one.remarks)] : []));
  };

  const volumes = (one) => {
    const intervals = one.qc.volume_intervals_mm3 || {};
    const found = one.volume_mm3 || {};
    const names = [...new Set([...Object.keys(brats.known.regions), ...Object.keys(brats.known.names)])];
    const lines = names.filter((name) => found[name] != null).map((name) => {
      const known = intervals[name];
      return [name, ml(found[name]), known ? `${ml(known.low)} to ${ml(known.high)}` : "–"];
    });
    const coverage = Object.values(intervals)[0]?.coverage;
    return part("Volumes", table(["region", "ml", coverage ? `${percent(coverage)} interval` : "interval"], lines));
  };

  const survival = (one) => {
    const found = one.survival || {};
    if (!found.group) return part("Survival", element("p", `No prediction: ${found.reason || "unknown"}.`));
    const said = [`Group “${found.group}”`];
    if (found.expected_days != null) said.push(`about ${Math.round(found.expected_days)} days expected`);
    const interval = found.interval_days;
    if (interval?.low != null) said.push(`80 % interval ${Math.round(interval.low)} to ${interval.high == null ? "more than the curve" : Math.round(interval.high)} days`);
    if (one.age_years != null) said.push(`age ${one.age_years} years`);
    const lines = brats.known.groups.map((group) => [group, percent(found[`probability_${group}`])]);
    const curve = found.curve_days?.length ? [brats.curve(found)] : [];
    const first = brats.known.patients[one.patient]?.time_points[0].case_id ?? one.case_id;
    const later = first === one.case_id ? [] : [element("p", "Survival models learn from first examinations, and this one is later: rely on that of the first.", { class: "alarm" })];
    return part("Survival", element("p", `${said.join(", ")}.`), ...later, table(["group", "probability"], lines), ...curve, element("p", found.caveat || "", { class: "quiet" }));
  };

  const origin = (one) => {
    const lines = [["patient", one.patient], ["model", one.model], ["label map", one.label_map_sha256 ? `sha256 ${one.label_map_sha256}` : "none"]];
    const made = element("dl");
    for (const [name, text] of lines) made.append(element("dt", name), element("dd", text));
    return part("Origin", made);
  };

  brats.describe = (one) => {
    const facts = brats.find("facts");
    if (one.status === "scored") facts.replaceChildren(...brats.followUp(one), quality(one), volumes(one), survival(one), origin(one));
    else facts.replaceChildren(part("Refused", element("p", one.reason || "unknown")), origin(one));
  };
}
