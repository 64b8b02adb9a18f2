// How far all importances moved from one evaluation to the next, beside what noise alone would give.

import { row } from "../model/selection.js";
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

export function measureChart(app, found, width) {
  const height = 130;
  const [title, hint] = MEASURES[found.measure];
  const known = [...found.values, ...found.floors].filter(Number.isFinite);
  const isFalling = FALLING.includes(found.measure);
  const low = isFalling ? Math.min(0, ...known) : 0;
  const high = isFalling ? 1 : Math.max(1e-12, ...known);
  const { epochs } = app.run;
  const [first, last] = [epochs[0], epochs[epochs.length - 1]];
  const x = (epoch) => 46 + ((width - 60) * (epoch - first)) / (last - first || 1);
  const y = (value) => height - 22 - ((height - 34) * (value - low)) / (high - low || 1);
  const path = (values, closed) => {
    const points = found.epochs
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
  const series = svg("path", { class: "series", d: path(found.values), "stroke-linecap": "round" });
  series.style.stroke = "var(--accent)";
  const levels = ticks(low, high, 3);
  const now = epochs[row(app)];
  const picture = svg(
    "svg",
    {
      class: "chart measure",
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: "img",
      "aria-label": hint,
      "data-measure": found.measure,
    },
    svg("title", {}, hint),
    svg("path", { class: "floor", d: path(found.floors, true) }),
    ...levels.flatMap((level) => [
      svg("path", { class: "grid", d: `M46 ${y(level)}H${width - 14}` }),
      svg("text", { x: 40, y: y(level) + 4, "text-anchor": "end" }, short(level)),
    ]),
    svg("path", { class: "floor-line", d: path(found.floors) }),
    series,
    svg("path", { class: "now", d: `M${x(now)} 10V${height - 22}` }),
    ...wholeTicks(first, last, 4).map((epoch) =>
      svg("text", { x: x(epoch), y: height - 6, "text-anchor": "middle" }, String(epoch)),
    ),
  );
  const place = found.epochs.indexOf(now);
  const value =
    place < 0
      ? ""
      : `${short(found.values[place])}${found.floors[place] === null ? "" : `, noise alone ${short(found.floors[place])}`}`;
  picture.dataset.value = place < 0 ? "" : found.values[place];
  return html(
    "figure",
    { style: "margin:0" },
    html("div", {}, title),
    html("div", { class: "faint number measure-value" }, value),
    picture,
  );
}
