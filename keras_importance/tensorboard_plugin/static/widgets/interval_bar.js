// A bar from 0 to an importance, with its interval and its number.

import { html, setAttribute, setText, svg } from "./dom.js";

const WIDTH = 1000;

export function intervalBar() {
  const parts = {
    number: html("span", { class: "number value" }),
    grid: svg("path", { class: "grid" }),
    bar: svg("rect", { class: "bar", y: "22", height: "56" }),
    zero: svg("path", { class: "zero" }),
    interval: svg("path", { class: "interval" }),
  };
  // Stretched to its column: nothing is measured when the window changes.
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} 100`, preserveAspectRatio: "none", "aria-hidden": "true" },
    parts.grid,
    parts.bar,
    parts.zero,
    parts.interval,
  );
  return { ...parts, element: html("div", { class: "bar-cell" }, parts.number, picture) };
}

export function setIntervalBar(parts, { text, importance, scale, colour, isHollow = false }) {
  const { x, width, interval, zero, grid } = barGeometry(importance, scale);
  setText(parts.number, text);
  setAttribute(parts.bar, "x", x);
  setAttribute(parts.bar, "width", width);
  parts.bar.style.setProperty("--colour", colour);
  parts.bar.classList.toggle("hollow", isHollow);
  setAttribute(parts.interval, "d", interval);
  setAttribute(parts.zero, "d", zero);
  setAttribute(parts.grid, "d", grid);
}

// The attributes of what is drawn; the scale runs from its low at 0 to its high at 1000. An unknown
// importance has a bar of no width, an unknown interval has no path.
export function barGeometry({ mean, low, high }, scale) {
  const place = (value) => (WIDTH * (value - scale.low)) / (scale.high - scale.low);
  const x = (value) => place(value).toFixed(1);
  const [left, right] = Number.isFinite(mean)
    ? [Math.min(0, mean), Math.max(0, mean)].map(place)
    : [0, 0];
  const isKnown = Number.isFinite(low) && Number.isFinite(high);
  return {
    x: left.toFixed(1),
    width: (right - left).toFixed(1),
    interval: isKnown ? `M${x(low)} 50H${x(high)}M${x(low)} 36V64M${x(high)} 36V64` : "",
    zero: `M${x(0)} 0V100`,
    grid: (scale.ticks ?? []).map((tick) => `M${x(tick)} 0V100`).join(""),
  };
}
