// The lines of the drift view, a feature each: with bands, marks of verdicts, names, and what the pointer shows.

import { epochIndex, leading, picked } from "../model/selection.js";
import { setAttribute, svg } from "../widgets/dom.js";
import { extent, short, ticks, wholeTicks, withInterval } from "../widgets/numbers.js";
import { showTooltip } from "../widgets/tooltip.js";
import { colourOf, shapeOf } from "../widgets/verdict_chip.js";

const LINE_COLOURS = 8;
const LABEL_HEIGHT = 15;
const MARGIN = { left: 62, right: 150, top: 12, bottom: 30 };

export function lineColour(i) {
  return `var(--line-${i % LINE_COLOURS})`;
}

function lineDash(i) {
  return i < LINE_COLOURS ? null : i < 2 * LINE_COLOURS ? "6 4" : "2 3";
}

export function drawLines(app, chart, method, features, width) {
  const { run } = app;
  const height = Number(chart.getAttribute("height"));
  const curves = features.map((feature, i) => curve(run, method, feature, i));
  const points = curves.flatMap((each) => each.points);
  const [low, high] = extent(points.flatMap(({ mean, low, high }) => [mean, low, high]));
  const x = epochScale(app, width);
  const y = (value) =>
    height - MARGIN.bottom - ((height - MARGIN.bottom - MARGIN.top) * (value - low)) / (high - low || 1);
  setAttribute(chart, "viewBox", `0 0 ${width} ${height}`);
  setAttribute(chart, "width", width);
  const names = curves.map(({ name }) => name).join(", ");
  setAttribute(
    chart,
    "aria-label",
    `${method} importance over epochs of ${names}. Arrow keys move the epoch.`,
  );
  chart.replaceChildren(
    ...axes(app, x, y, ticks(low, high, 6), width, height),
    ...curves.map((each) => band(each, x, y)),
    ...curves.map((each) => line(each, x, y)),
    ...curves.flatMap((each) => verdictMarks(each, x, y)),
    ...labels(curves, y, width, height - LABEL_HEIGHT / 2),
  );
}

// The importances and verdicts of a feature at the epochs of its evaluations, and how they are drawn.
function curve(run, method, feature, i) {
  const points = run.methods.get(method).evaluated.map((index) => ({
    epoch: run.epochs[index],
    ...run.importance(method, index, feature),
    state: run.state(method, index, feature),
  }));
  return { name: run.names[feature], points, colour: lineColour(i), dash: lineDash(i) };
}

function epochScale(app, width) {
  const { epochs } = app.run;
  const [first, last] = [epochs[0], epochs[epochs.length - 1]];
  const inner = width - MARGIN.left - MARGIN.right;
  return (epoch) =>
    MARGIN.left + (last > first ? (inner * (epoch - first)) / (last - first) : inner / 2);
}

function axes(app, x, y, levels, width, height) {
  const { epochs } = app.run;
  const now = epochs[epochIndex(app)];
  const right = width - MARGIN.right;
  return [
    ...levels.flatMap((level) => [
      svg("path", { class: level === 0 ? "zero" : "grid", d: `M${MARGIN.left} ${y(level)}H${right}` }),
      svg("text", { x: MARGIN.left - 8, y: y(level) + 4, "text-anchor": "end" }, short(level)),
    ]),
    ...wholeTicks(epochs[0], epochs[epochs.length - 1], Math.max(2, Math.floor(width / 90))).map(
      (epoch) => svg("text", { x: x(epoch), y: height - 10, "text-anchor": "middle" }, String(epoch)),
    ),
    svg("text", { x: MARGIN.left - 8, y: height - 10, "text-anchor": "end" }, "epoch"),
    svg("path", { class: "now", d: `M${x(now)} ${MARGIN.top}V${height - MARGIN.bottom}` }),
  ];
}

function line({ name, points, colour, dash }, x, y) {
  let path = "";
  points.forEach(({ epoch, mean }, i) => {
    if (!Number.isFinite(mean)) return;
    const isJoined = i > 0 && Number.isFinite(points[i - 1].mean);
    path += `${isJoined ? "L" : "M"}${x(epoch).toFixed(1)} ${y(mean).toFixed(1)}`;
  });
  // A point alone is drawn as a dot: a path of no length with round ends.
  const isDot = points.filter(({ mean }) => Number.isFinite(mean)).length === 1;
  const element = svg("path", {
    class: "series",
    d: isDot ? `${path}h0` : path,
    "stroke-dasharray": dash,
    "stroke-linecap": "round",
    "data-feature": name,
  });
  element.style.stroke = colour;
  if (isDot) element.style.strokeWidth = "7";
  return element;
}

function band({ name, points, colour }, x, y) {
  const known = points.filter(({ low }) => Number.isFinite(low));
  const at = (epoch, value) => `${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`;
  const upper = known.map(({ epoch, high }) => at(epoch, high));
  const lower = known.map(({ epoch, low }) => at(epoch, low)).reverse();
  const element = svg("path", {
    class: "band",
    d: known.length > 1 ? `M${upper.join("L")}L${lower.join("L")}Z` : "",
    "data-feature": name,
  });
  element.style.fill = colour;
  return element;
}

function verdictMarks({ name, points }, x, y) {
  const changes = points
    .map(({ state }, i) => ({ ...points[i], before: i > 0 ? points[i - 1].state : state }))
    .filter(({ state, before, mean }) => state !== before && Number.isFinite(mean));
  return changes.map(({ epoch, mean, state, before }) => {
    const mark = svg(
      "text",
      {
        class: "change-mark",
        x: x(epoch),
        y: y(mean) + 5,
        "text-anchor": "middle",
        "data-feature": name,
        "data-state": state,
        "data-epoch": epoch,
      },
      shapeOf(state),
      svg(
        "title",
        {},
        `${name}: ${before || "no verdict"} \u2192 ${state || "no verdict"} in epoch ${epoch}`,
      ),
    );
    mark.style.fill = colourOf(state);
    return mark;
  });
}

// Names at the ends of the lines, moved apart where they would overlap.
function labels(curves, y, width, lowestAllowed) {
  const placed = curves
    .map(({ name, colour, points }) => ({
      name,
      colour,
      y: y(points.findLast(({ mean }) => Number.isFinite(mean))?.mean ?? 0),
    }))
    .sort((a, b) => a.y - b.y);
  placed.forEach((label, i) => {
    if (i > 0) label.y = Math.max(label.y, placed[i - 1].y + LABEL_HEIGHT);
  });
  let lowest = lowestAllowed;
  for (const label of placed.reverse()) {
    label.y = Math.min(label.y, lowest);
    lowest = label.y - LABEL_HEIGHT;
  }
  return placed.map((label) => {
    const text = svg(
      "text",
      {
        class: "series-name",
        x: width - MARGIN.right + 8,
        y: label.y + 4,
        "data-feature": label.name,
      },
      shortened(label.name),
      svg("title", {}, label.name),
    );
    text.style.fill = label.colour;
    return text;
  });
}

function shortened(name) {
  const letters = [...name];
  return letters.length > 19
    ? `${letters.slice(0, 11).join("")}\u2026${letters.slice(-6).join("")}`
    : name;
}

// The epoch under the pointer.
export function nearestIndex(app, chart, event) {
  const box = chart.getBoundingClientRect();
  const x = epochScale(app, Number(chart.getAttribute("width")));
  const at = event.clientX - box.left;
  let nearest = 0;
  app.run.epochs.forEach((epoch, i) => {
    if (Math.abs(x(epoch) - at) < Math.abs(x(app.run.epochs[nearest]) - at)) nearest = i;
  });
  return nearest;
}

export function hover(app, chart, event) {
  const { run } = app;
  const method = leading(app);
  const index = nearestIndex(app, chart, event);
  const evaluated = run.evaluatedIndex(method, index);
  const rows = picked(app).map((feature, i) => [
    lineColour(i),
    run.names[feature],
    run.importance(method, evaluated, feature),
    run.state(method, evaluated, feature),
  ]);
  rows.sort((a, b) => b[2].mean - a[2].mean);
  showTooltip(
    event.clientX,
    event.clientY,
    `epoch ${run.epochs[index]}`,
    rows.map(([colour, name, importance, state]) => [
      colour,
      name,
      `${withInterval(importance)} ${state ? shapeOf(state) : ""}`,
    ]),
  );
  const x = epochScale(app, Number(chart.getAttribute("width")))(run.epochs[index]);
  let cross = chart.querySelector(".cross");
  if (!cross) {
    cross = svg("path", { class: "cross" });
    chart.prepend(cross);
  }
  setAttribute(
    cross,
    "d",
    `M${x} ${MARGIN.top}V${Number(chart.getAttribute("height")) - MARGIN.bottom}`,
  );
}

// The line of one feature stands out; null: none does.
export function highlight(chart, name) {
  for (const { dataset, classList } of chart.querySelectorAll("[data-feature]")) {
    classList.toggle("dimmed", name !== null && dataset.feature !== name);
    classList.toggle("highlighted", dataset.feature === name);
  }
}
