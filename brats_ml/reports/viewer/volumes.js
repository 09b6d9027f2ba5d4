// The volumes of a case come as scripts, since a browser that shows a page of the disk reads no other file.
"use strict";
{
  const waiting = new Map();
  const name = (key, role) => `${key}/${role}`;

  // Called by each script of a volume.
  brats.receive = (key, role, text, start) => {
    const request = waiting.get(name(key, role));
    if (request) request.resolve({ text, start });
  };

  // The bytes of a NIfTI file, `labels` or a modality, and where it starts in the grid of the label map.
  brats.load = (key, role) => {
    const wanted = name(key, role);
    if (waiting.has(wanted)) return waiting.get(wanted).volume;
    const request = {};
    request.volume = new Promise((resolve, reject) => Object.assign(request, { resolve, reject })).then(unpack);
    waiting.set(wanted, request);
    const script = brats.element("script", "", { src: `page/cases/${wanted}.js` });
    const done = () => {
      script.remove();
      request.reject(new Error(`page/cases/${wanted}.js cannot be read`)); // no effect where the volume came
    };
    script.addEventListener("load", done);
    script.addEventListener("error", done);
    document.head.append(script);
    request.volume.finally(() => waiting.delete(wanted)).catch(() => {});
    return request.volume;
  };

  const unpack = async ({ text, start }) => ({ file: await brats.inflate(fromBase64(text)), start });

  function fromBase64(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
    return bytes;
  }
}
