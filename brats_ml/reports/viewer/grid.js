// Three orders of voxels: that of the label map's file, that of the part of it on the screen, and NiiVue's, which runs
// to the patient's right, front and top.
"use strict";
{
  // For each voxel of NiiVue's drawing, its place in the file of the label map.
  brats.placesInFile = (volume, shape, origin) => {
    const [width, height, depth] = volume.dimsRAS.slice(1, 4);
    const [across, down] = volume.hdr.dims.slice(1, 3);
    const { img2RASstep: step, img2RASstart: first } = volume;
    const places = new Uint32Array(width * height * depth);
    const start = first[0] + first[1] + first[2];
    const rowSize = shape[0];
    const planeSize = shape[0] * shape[1];
    let at = 0;
    for (let z = 0; z < depth; z++) {
      for (let y = 0; y < height; y++) {
        let part = start + y * step[1] + z * step[2];
        for (let x = 0; x < width; x++, part += step[0]) {
          const row = Math.floor(part / across);
          const plane = Math.floor(row / down);
          const [i, j, k] = [part - row * across, row - plane * down, plane];
          places[at++] = i + origin[0] + (j + origin[1]) * rowSize + (k + origin[2]) * planeSize;
        }
      }
    }
    return places;
  };

  // The labelled voxel in the fullest axial plane that is nearest to the middle of its labels, as shares of the grid.
  brats.tumour = (drawn, [width, height, depth]) => {
    const plane = width * height;
    const counts = new Uint32Array(depth);
    for (let at = 0; at < drawn.length; at++) if (drawn[at]) counts[Math.floor(at / plane)]++;
    const z = counts.indexOf(Math.max(...counts));
    if (!counts[z]) return [0.5, 0.5, 0.5];
    const here = [];
    for (let at = 0; at < plane; at++) if (drawn[z * plane + at]) here.push([at % width, Math.floor(at / width)]);
    const middle = [0, 1].map((axis) => here.reduce((sum, voxel) => sum + voxel[axis], 0) / here.length);
    const far = (voxel) => (voxel[0] - middle[0]) ** 2 + (voxel[1] - middle[1]) ** 2;
    const [x, y] = here.reduce((best, voxel) => (far(voxel) < far(best) ? voxel : best));
    return [(x + 0.5) / width, (y + 0.5) / height, (z + 0.5) / depth];
  };

  // The middle of the brain from left to right, as a share of the grid.
  brats.middle = ({ dimsRAS, img, img2RASstep: step, img2RASstart: start }) => {
    const [width, height, depth] = dimsRAS.slice(1, 4);
    const first = start[0] + start[1] + start[2];
    const filled = (x) => {
      for (let z = 0; z < depth; z += 2) for (let y = 0; y < height; y += 2) if (img[first + x * step[0] + y * step[1] + z * step[2]]) return true;
      return false;
    };
    let [low, high] = [0, width - 1];
    while (low < high && !filled(low)) low++;
    while (high > low && !filled(high)) high--;
    return low < high ? (low + high + 1) / 2 / width : 0.5;
  };
}
