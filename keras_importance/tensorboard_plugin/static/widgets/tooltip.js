// One box beside the pointer, shared by all views.

import { html } from "./dom.js";

const box = html("div", { class: "tooltip", role: "tooltip", hidden: true });

export function tooltipBox() {
  return box;
}

// Rows are [colour or null, name, value]; all of them text.
export function showTooltip(x, y, title, rows) {
  box.replaceChildren(
    html("div", { class: "tooltip-title" }, title),
    ...rows.map(([colour, name, value]) => {
      const swatch = html("span", { class: "swatch" });
      if (colour) swatch.style.background = colour;
      else swatch.hidden = true;
      return html(
        "div",
        { class: "tooltip-row" },
        swatch,
        html("span", { class: "tooltip-name" }, name),
        html("span", { class: "number" }, value),
      );
    }),
  );
  box.hidden = false;
  const { width, height } = box.getBoundingClientRect();
  const left = x + 16 + width > window.innerWidth ? x - 16 - width : x + 16;
  const top = Math.min(y + 12, window.innerHeight - height - 8);
  box.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
}

export function hideTooltip() {
  box.hidden = true;
}
