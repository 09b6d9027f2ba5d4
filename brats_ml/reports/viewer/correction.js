// A reader draws a correction and saves it: the prediction's own file with other values at the voxels that changed.
"use strict";
{
  const { state, find } = brats;
  const PEN_SIZES = [1, 15];
  const correcting = { drawing: false, pen: null, before: null };
  brats.correcting = correcting;

  const pens = () => [...find("pens").querySelectorAll("button")];
  const controls = () => [...pens(), find("pen-size"), find("fill"), find("undo"), find("save-button")];

  brats.beginCase = () => {
    correcting.before = state.niivue?.drawBitmap?.slice() ?? null;
    brats.setDrawing(false);
    find("draw").disabled = !correcting.before;
    sayChanged();
  };

  // The voxels that differ from the prediction: their index in the file, and their value.
  brats.changes = () => {
    const drawn = state.niivue?.drawBitmap;
    const { before } = correcting;
    const found = [];
    if (!drawn || !before) return found;
    for (let at = 0; at < drawn.length; at++) if (drawn[at] !== before[at]) found.push([state.places[at], drawn[at]]);
    return found;
  };

  brats.setDrawing = (on) => {
    correcting.drawing = on && Boolean(correcting.before);
    brats.press(find("draw"), correcting.drawing);
    controls().forEach((control) => (control.disabled = !correcting.before));
    if (correcting.drawing) find("correction").open = true;
    state.niivue?.setDrawingEnabled(correcting.drawing);
    if (correcting.drawing) brats.setPen(correcting.pen ?? Object.keys(brats.known.colours)[0]);
    else pens().forEach((button) => brats.press(button, false));
  };

  brats.setPen = (pen) => {
    if (pen !== "erase" && !(pen in state.one.label_values)) pen = Object.keys(state.one.label_values)[0];
    correcting.pen = pen;
    const value = pen === "erase" ? 0 : state.one.label_values[pen];
    state.niivue.setPenValue(value, find("fill").checked && value > 0);
    state.niivue.opts.penSize = Math.min(Math.max(Number(find("pen-size").value) || 1, ...PEN_SIZES.slice(0, 1)), PEN_SIZES[1]);
    pens().forEach((button) => brats.press(button, button.dataset.pen === pen));
  };

  brats.choosePen = (pen) => {
    if (!correcting.drawing) brats.setDrawing(true);
    if (correcting.drawing) brats.setPen(pen);
  };

  brats.undo = () => {
    if (!correcting.before || !brats.changes().length) return;
    state.niivue.drawUndo();
    sayChanged();
  };

  const sayChanged = () => {
    const count = brats.changes().length;
    find("changed").textContent = count ? `${count} voxel(s) differ from the prediction.` : "";
    correcting.unsaved = count > 0;
  };
  brats.sayChanged = sayChanged;

  // A file name of safe characters; the note in the file has the true name.
  const fileName = (one) => `${one.case_id.replace(/[^A-Za-z0-9._-]/g, "_")}-corrected.nii.gz`;

  brats.correctedFile = async () => {
    const { one, file } = state;
    const note = {
      format: "brats correction 1",
      case_id: one.case_id,
      reader: find("reader").value.trim(),
      remark: find("remark").value.trim(),
      saved_at: new Date().toISOString(),
      prediction_sha256: one.label_map_sha256,
      model: one.model,
      changed_voxels: brats.changes().length,
    };
    return brats.deflate(brats.withNote(brats.withVoxels(file, brats.changes()), JSON.stringify(note)));
  };

  brats.save = async () => {
    const bytes = await brats.correctedFile();
    const address = URL.createObjectURL(new Blob([bytes], { type: "application/gzip" }));
    const link = brats.element("a", "", { href: address, download: fileName(state.one) });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
    correcting.unsaved = false;
    find("changed").textContent = `Saved as ${link.download}: give it to “brats correct”.`;
  };

  // Whether the reader agrees to lose a correction that is not saved.
  brats.mayLeave = () => !correcting.unsaved || window.confirm("The correction of this case is not saved. Leave it?");

  find("draw").addEventListener("click", () => brats.setDrawing(!correcting.drawing));
  find("pens").addEventListener("click", (event) => event.target.dataset.pen && brats.choosePen(event.target.dataset.pen));
  for (const name of ["pen-size", "fill"]) find(name).addEventListener("change", () => correcting.drawing && brats.setPen(correcting.pen));
  find("undo").addEventListener("click", brats.undo);
  find("save").addEventListener("submit", (event) => {
    event.preventDefault();
    brats.save().catch((error) => (find("changed").textContent = `Not saved: ${error.message}`));
  });
  find("canvas").addEventListener("mouseup", () => correcting.drawing && setTimeout(sayChanged));
  window.addEventListener("beforeunload", (event) => correcting.unsaved && event.preventDefault());
}
