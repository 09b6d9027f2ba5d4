// One key for each thing that a reader does often. They are silent in fields, and a box turns them off.
"use strict";
{
  const modality = (number) => () => brats.showModality(Object.keys(brats.known.modalities)[number - 1]);
  const opacity = (step) => () => {
    const range = brats.find("opacity");
    range.value = Number(range.value) + step;
    brats.setOpacity();
  };
  const actions = {
    j: () => brats.step(1),
    k: () => brats.step(-1),
    1: modality(1),
    2: modality(2),
    3: modality(3),
    4: modality(4),
    p: () => brats.setPlane("all"),
    a: () => brats.setPlane("axial"),
    c: () => brats.setPlane("coronal"),
    s: () => brats.setPlane("sagittal"),
    v: () => brats.setPlane("render"),
    o: () => brats.toggleLabels(),
    "+": opacity(10),
    "=": opacity(10),
    "-": opacity(-10),
    m: () => brats.mirror(),
    f: () => brats.flip(),
    d: () => brats.setDrawing(!brats.correcting.drawing),
    x: () => brats.choosePen("erase"),
    u: () => brats.undo(),
  };
  const moves = {
    ArrowLeft: [-1, 0, 0],
    ArrowRight: [1, 0, 0],
    ArrowUp: [0, 1, 0],
    ArrowDown: [0, -1, 0],
    PageUp: [0, 0, 1],
    PageDown: [0, 0, -1],
  };

  const inField = (target) => target.closest("input, textarea, select") && target.type !== "checkbox" && target.type !== "range";

  document.addEventListener(
    "keydown",
    (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || inField(event.target)) return;
      const move = event.target === brats.find("canvas") ? moves[event.key] : undefined;
      const act = move ? () => moveOnScreen(move) : brats.find("keys").checked ? actions[event.key.toLowerCase()] : undefined;
      if (!act) return;
      event.preventDefault();
      event.stopPropagation(); // NiiVue has keys of its own
      act();
    },
    true,
  );

  // To the left on the screen is to the patient's right, unless the picture is flipped.
  function moveOnScreen([x, y, z]) {
    brats.move(brats.state.radiological ? -x : x, y, z);
  }
}
