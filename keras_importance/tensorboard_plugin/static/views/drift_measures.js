// How far all importances moved from one evaluation to the next, beside what noise alone would give.

import { epochIndex } from "../model/selection.js";
import { html, svg } from "../widgets/dom.js";
import { short, ticks, wholeTicks } from "../widgets/numbers.js";

const MEASURES = {
  spearman: [
    "Rank agreement",
    "Spearman's rank correlation with the evaluation before; below the grey area is drift",
  ],
  jensen_shannon: [
    "Distance",
    "Jensen-Shannon divergence from the evaluation before; above the grey area is drift",
  ],
  top_k_overlap: [
    "Overlap of top features",
    "Share of the top features that the evaluation before had, too; below the grey area is drift",
  ],
};
const FALLING = ["spearman", "top_k_overlap"];
const HEIGHT = 130;
const MARGIN = { left: 46, right: 14, top: 12, bottom: 22 };

export function measureChart(app, measured, width) {
  const [title, hint] = MEASURES[measured.measure];
  const known = [...measured.values, ...measured.floors].filter(Number.isFinite);
  const isFalling = FALLING.includes(measured.measure);
  const low = isFalling ? Math.min(0, ...known) : 0;
  const high = isFalling ? 1 : Math.max(1e-12, ...known);
  const { epochs } = app.run;
  const [first, last] = [epochs[0], epochs[epochs.length - 1]];
  const [right, bottom] = [width - MARGIN.right, HEIGHT - MARGIN.bottom];
  const x = (epoch) => MARGIN.left + ((right - MARGIN.left) * (epoch - first)) / (last - first || 1);
  const y = (value) => bottom - ((bottom - MARGIN.top) * (value - low)) / (high - low || 1);
  const path = (values, closed) => {
    const points = measured.epochs
      .map((epoch, i) => [epoch, values[i]])
      .filter(([, value]) => Number.isFinite(value));
    if (!points.length) return "";
    const joined = points
      .map(([epoch, value]) => `${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`)
      .join("L");
    if (!closed) return `M${joined}${points.length === 1 ? "h0" : ""}`;
    const edge = y(isFalling ? high : low);
    return `M${x(points[0][0])} ${edge}L${joined}L${x(points[points.length - 1][0])} ${edge}Z`;
  };
  const series = svg("path", { class: "series", d: path(measured.values), "stroke-linecap": "round" });
  series.style.stroke = "var(--accent)";
  const levels = ticks(low, high, 3);
  const now = epochs[epochIndex(app)];
  const picture = svg(
    "svg",
    {
      class: "chart measure",
      viewBox: `0 0 ${width} ${HEIGHT}`,
      width,
      height: HEIGHT,
      role: "img",
      "aria-label": hint,
      "data-measure": measured.measure,
    },
    svg("title", {}, hint),
    svg("path", { class: "floor", d: path(measured.floors, true) }),
    ...levels.flatMap((level) => [
      svg("path", { class: "grid", d: `M${MARGIN.left} ${y(level)}H${right}` }),
      svg("text", { x: MARGIN.left - 6, y: y(level) + 4, "text-anchor": "end" }, short(level)),
    ]),
    svg("path", { class: "floor-line", d: path(measured.floors) }),
    series,
    svg("path", { class: "now", d: `M${x(now)} ${MARGIN.top - 2}V${bottom}` }),
    ...wholeTicks(first, last, 4).map((epoch) =>
      svg("text", { x: x(epoch), y: HEIGHT - 6, "text-anchor": "middle" }, String(epoch)),
    ),
  );
  const index = measured.epochs.indexOf(now);
  picture.dataset.value = index < 0 ? "" : measured.values[index];
  return html(
    "figure",
    { style: "margin:0" },
    html("div", {}, title),
    html("div", { class: "faint number measure-value" }, valueAt(measured, index)),
    picture,
  );
}

function valueAt({ values, floors }, index) {
  if (index < 0) return "";
  const noise = floors[index] === null ? "" : `, noise alone ${short(floors[index])}`;
  return `${short(values[index])}${noise}`;
}
