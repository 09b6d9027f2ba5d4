// The one name that the scripts of this page share.
"use strict";
const brats = {};

brats.known = JSON.parse(document.getElementById("known").textContent);
brats.cases = brats.known.cases;
brats.find = (id) => document.getElementById(id);

// An element with text, and with nothing that the text could start.
brats.element = (name, text = "", attributes = {}) => {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

brats.press = (button, pressed) => button.setAttribute("aria-pressed", String(pressed));
