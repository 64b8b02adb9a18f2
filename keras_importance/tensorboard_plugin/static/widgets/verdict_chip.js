// How verdicts look: each has a colour (style.css), a shape for those who see no colours, and a word.

import { html, setText } from "./dom.js";

const LOOKS = {
  useful: "\u25cf",
  useless: "\u25cb",
  harmful: "\u25bc",
  redundant: "\u25c6",
  latent: "\u25d0",
  undecided: "\u2013",
};

export function colourOf(state) {
  return LOOKS[state] ? `var(--${state})` : "var(--neutral)";
}

export function shapeOf(state) {
  return LOOKS[state] ?? "\u25a1";
}

export function chip() {
  return html(
    "span",
    { class: "chip" },
    html("span", { class: "shape", "aria-hidden": "true" }),
    html("span"),
  );
}

export function setChip(element, state) {
  element.style.setProperty("--colour", colourOf(state));
  element.hidden = !state;
  setText(element.firstChild, shapeOf(state));
  setText(element.lastChild, state);
}
