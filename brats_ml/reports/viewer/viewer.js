// NiiVue with one case in it: a scan as the background, and the label map as the drawing on top of it.
"use strict";
{
  const colourOf = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

  // `file` is the label map as it was predicted, and `places` where the voxels of the drawing are in it.
  const state = { niivue: null, one: null, file: null, places: null, scans: new Map(), modality: null, radiological: true, shown: true };
  brats.state = state;

  brats.start = async () => {
    if (!window.niivue) return;
    const niivue = new window.niivue.Niivue({
      backColor: [0, 0, 0, 1],
      crosshairColor: [0.35, 0.75, 0.4, 0.8],
      fontColor: [0.9, 0.9, 0.9, 1],
      crosshairWidth: 1,
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      multiplanarForceRender: true,
      dragAndDropEnabled: false,
      isNearestInterpolation: true,
      loadingText: "",
      logLevel: "error",
      clipPlaneHotKey: "",
      cycleClipPlaneHotKey: "",
      viewModeHotKey: "",
      maxDrawUndoBitmaps: 32,
      show3Dcrosshair: true,
      showAllOrientationMarkers: true,
    });
    drawOncePerFrame(niivue);
    await niivue.attachToCanvas(brats.find("canvas"), false);
    niivue.onLocationChange = brats.showPlace;
    niivue.setSliceType(niivue.sliceTypeMultiplanar);
    state.niivue = niivue;
  };

  // NiiVue draws at each of many steps of a change, and without a graphics card a drawing in 3D takes a second.
  function drawOncePerFrame(niivue) {
    const draw = niivue.drawScene.bind(niivue);
    let waiting = 0;
    niivue.drawScene = () => {
      waiting ||= requestAnimationFrame(() => {
        waiting = 0;
        draw();
      });
    };
  }

  // Shows a case; resolves to false if another one was asked for meanwhile.
  brats.show = async (one) => {
    const { niivue } = state;
    Object.assign(state, { one, scans: new Map() });
    const current = () => state.one === one;
    const modality = one.scans.includes(state.modality) ? state.modality : one.scans[0];
    const [labels, scan] = await Promise.all([brats.load(one.key, "labels"), modality ? brats.load(one.key, modality) : null]);
    const background = await image(scan ? scan.file : labels.file);
    if (!current()) return false;
    if (scan) state.scans.set(modality, background.img);
    else background.img = new Uint8Array(background.img.length);
    const { shape } = brats.layout(labels.file);
    state.file = labels.file;
    state.places = brats.placesInFile(background, shape, scan ? scan.start : [0, 0, 0]);
    for (const volume of [...niivue.volumes]) niivue.removeVolume(volume);
    niivue.drawLut = window.niivue.cmapper.makeDrawLut(colours(one));
    niivue.addVolume(background);
    drawLabels(niivue, brats.voxels(labels.file));
    brats.setOpacity();
    brats.goTo(brats.tumour(niivue.drawBitmap, background.dimsRAS.slice(1, 4)));
    mark(modality);
    prefetch(one, modality);
    return true;
  };

  // Opens a case without a picture.
  brats.close = (one) => {
    Object.assign(state, { one, file: null, places: null, scans: new Map() });
    if (!state.niivue) return;
    for (const volume of [...state.niivue.volumes]) state.niivue.removeVolume(volume);
    state.niivue.closeDrawing();
    mark();
  };

  function drawLabels(niivue, labels) {
    niivue.createEmptyDrawing();
    const { places } = state;
    for (let at = 0; at < places.length; at++) niivue.drawBitmap[at] = labels[places[at]];
    niivue.drawClearAllUndoBitmaps();
    niivue.drawAddUndoBitmap();
    niivue.refreshDrawing(false);
    niivue.setDrawingEnabled(false);
  }

  // Another modality of the open case, on the same grid and with the same cross.
  brats.showModality = async (modality) => {
    const { one, niivue } = state;
    if (!niivue?.volumes.length || !one.scans.includes(modality)) return;
    const voxels = await fetchScan(one, modality);
    if (state.one !== one) return;
    niivue.volumes[0].img = voxels;
    niivue.updateGLVolume();
    mark(modality);
  };

  const image = (file) =>
    window.niivue.NVImage.loadFromUrl({ url: file.slice().buffer, name: "scan.nii", colormap: "gray", cal_min: 0, cal_max: 255 });

  async function fetchScan(one, modality) {
    const known = state.one === one ? state.scans.get(modality) : undefined;
    if (known) return known;
    const voxels = brats.voxels((await brats.load(one.key, modality)).file);
    if (state.one === one) state.scans.set(modality, voxels);
    return voxels;
  }

  // The other modalities, one after another, while the reader looks at the first.
  async function prefetch(one, modality) {
    for (const name of one.scans) {
      await new Promise((resolve) => setTimeout(resolve, 400));
      if (state.one !== one) return;
      if (name !== modality) await fetchScan(one, name).catch(() => {}); // `showModality` says what is wrong
    }
  }

  function mark(modality) {
    state.modality = modality ?? state.modality;
    for (const button of brats.find("modalities").querySelectorAll("button")) {
      brats.press(button, button.dataset.modality === modality);
      button.disabled = !state.one.scans.includes(button.dataset.modality);
    }
  }

  // The colours of the labels by their values in this label map.
  function colours(one) {
    const table = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: ["none"] };
    for (const [label, value] of Object.entries(one.label_values)) {
      const [red, green, blue] = colourOf(brats.known.colours[label]);
      table.R.push(red);
      table.G.push(green);
      table.B.push(blue);
      table.A.push(255);
      table.I.push(value);
      table.labels.push(label);
    }
    return table;
  }

  brats.goTo = (place) => {
    state.niivue.scene.crosshairPos = place;
    state.niivue.createOnLocationChange();
    state.niivue.drawScene();
  };

  // Steps of the cross in voxels to the patient's right, front and top.
  brats.move = (x, y, z) => state.niivue?.moveCrosshairInVox(x, y, z);

  brats.setOpacity = () => {
    const opacity = Number(brats.find("opacity").value) / 100;
    state.niivue?.setDrawOpacity(state.shown ? opacity : 0);
    brats.press(brats.find("overlay"), state.shown);
  };

  brats.toggleLabels = () => {
    state.shown = !state.shown;
    brats.setOpacity();
  };

  brats.setPlane = (plane) => {
    const { niivue } = state;
    if (!niivue) return;
    const types = { all: niivue.sliceTypeMultiplanar, axial: niivue.sliceTypeAxial, coronal: niivue.sliceTypeCoronal, sagittal: niivue.sliceTypeSagittal, render: niivue.sliceTypeRender };
    niivue.setSliceType(types[plane]);
    for (const button of brats.find("planes").querySelectorAll("button")) brats.press(button, button.dataset.plane === plane);
  };

  brats.flip = () => {
    state.radiological = !state.radiological;
    state.niivue?.setRadiologicalConvention(state.radiological);
    brats.press(brats.find("flip"), !state.radiological);
    brats.sayConvention();
  };

  brats.sayConvention = () => {
    const side = state.radiological ? "left (as radiologists look)" : "right (flipped)";
    brats.find("convention").textContent = `The patient's right is on the ${side}.`;
  };

  // The cross at the same place of the other half of the brain; the middle is that of the scan's nonzero voxels.
  brats.mirror = () => {
    const { niivue } = state;
    if (!niivue?.volumes.length) return;
    const [x, y, z] = niivue.scene.crosshairPos;
    brats.goTo([Math.min(Math.max(2 * brats.middle(niivue.volumes[0]) - x, 0), 1), y, z]);
  };

  brats.showPlace = (place) => {
    const [x, y, z] = [...place.mm].map((value) => value.toFixed(0));
    brats.find("place").textContent = `Cross at ${x}, ${y}, ${z} mm to the scanner's right, front and top.`;
  };
}
