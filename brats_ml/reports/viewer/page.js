// What happens when a reader opens a case, and when the page opens.
"use strict";
{
  const { find, state } = brats;

  const say = (text) => {
    find("note").textContent = text;
    find("note").hidden = !text;
  };

  const picture = (one) => {
    const preview = find("preview");
    preview.hidden = Boolean(state.niivue) || !one.preview;
    if (!preview.hidden) Object.assign(preview, { src: one.preview, alt: `Preview of ${one.case_id}` });
    find("screen").classList.add("empty"); // until this case is drawn, so that no other one is under its name
  };

  brats.open = async (number) => {
    const one = brats.cases[number];
    if (!one || (state.one && state.one !== one && !brats.mayLeave())) return;
    brats.correcting.unsaved = false;
    brats.markRow(number);
    find("case").dataset.state = "loading";
    find("case-title").textContent = one.case_id;
    brats.describe(one);
    say(one.note);
    picture(one);
    try {
      if (state.niivue && one.key) {
        if (!(await brats.show(one))) return;
        find("screen").classList.remove("empty");
      } else brats.close(one);
    } catch (error) {
      brats.close(one);
      say(`This case cannot be shown: ${error.message}. Run “brats page” again.`);
    }
    brats.beginCase();
    find("case").dataset.state = "shown";
    find("case").dataset.case = one.case_id;
  };

  find("modalities").addEventListener("click", (event) => event.target.dataset.modality && brats.showModality(event.target.dataset.modality));
  find("planes").addEventListener("click", (event) => event.target.dataset.plane && brats.setPlane(event.target.dataset.plane));
  find("overlay").addEventListener("click", brats.toggleLabels);
  find("opacity").addEventListener("input", brats.setOpacity);
  find("mirror").addEventListener("click", brats.mirror);
  find("flip").addEventListener("click", brats.flip);

  brats.sayConvention();
  brats
    .start()
    .catch((error) => say(`The viewer cannot start: ${error.message}. It needs WebGL 2.`))
    .then(() => brats.open(brats.first()));
}
