// NIfTI-1 as far as a correction needs it: the bytes of a label map, a few voxels of it changed, and a note about them.
"use strict";
{
  const HEADER = 348; // bytes of a NIfTI-1 header
  const COMMENT = 6; // NIFTI_ECODE_COMMENT: plain text

  const through = async (bytes, stream) =>
    new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());

  brats.inflate = (bytes) => through(bytes, new DecompressionStream("gzip"));
  brats.deflate = (bytes) => through(bytes, new CompressionStream("gzip"));

  // Where the voxels of a NIfTI file start, how many there are along each axis, and how they are stored.
  brats.layout = (file) => {
    const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    const little = view.getInt32(0, true) === HEADER;
    const bytesPerVoxel = view.getInt16(72, little) / 8;
    if (bytesPerVoxel > 2) throw new Error(`label maps with ${8 * bytesPerVoxel} bits per voxel are not read here`);
    return { little, start: view.getFloat32(108, little), bytesPerVoxel, shape: [42, 44, 46].map((at) => view.getInt16(at, little)) };
  };

  // The voxels of a file as numbers, in the order of the file.
  brats.voxels = (file) => {
    const { little, start, bytesPerVoxel, shape } = brats.layout(file);
    const count = shape[0] * shape[1] * shape[2];
    if (bytesPerVoxel === 1) return file.subarray(start, start + count);
    const view = new DataView(file.buffer, file.byteOffset + start);
    return Int16Array.from({ length: count }, (_, at) => view.getInt16(2 * at, little));
  };

  // The file with other values at some voxels; all other bytes stay as they are.
  brats.withVoxels = (file, changes) => {
    const changed = file.slice();
    const view = new DataView(changed.buffer);
    const { little, start, bytesPerVoxel } = brats.layout(file);
    for (const [voxel, value] of changes) {
      const at = start + voxel * bytesPerVoxel;
      if (bytesPerVoxel === 1) view.setUint8(at, value);
      else view.setInt16(at, value, little);
    }
    return changed;
  };

  // The file with a text in its header extension, where NIfTI-1 has room for comments.
  brats.withNote = (file, note) => {
    const { little, start } = brats.layout(file);
    const text = new TextEncoder().encode(note);
    const size = Math.ceil((text.length + 8) / 16) * 16;
    const head = new Uint8Array(HEADER + 4 + size);
    head.set(file.subarray(0, HEADER));
    head[HEADER] = 1; // an extension follows
    const view = new DataView(head.buffer);
    view.setFloat32(108, head.length, little);
    view.setInt32(HEADER + 4, size, little);
    view.setInt32(HEADER + 8, COMMENT, little);
    head.set(text, HEADER + 12);
    const whole = new Uint8Array(head.length + file.length - start);
    whole.set(head);
    whole.set(file.subarray(start), head.length);
    return whole;
  };
}
