// One feature of the ranking: its bars with intervals, its trend, its change, its verdict.

import { title } from "../model/run.js";
import { changeOf, epochIndex, leading, methodsShown, togglePicked } from "../model/selection.js";
import { html, setAll, setAttribute, setText, svg } from "../widgets/dom.js";
import { intervalBar, setIntervalBar } from "../widgets/interval_bar.js";
import { extent, signed, withInterval } from "../widgets/numbers.js";
import { hideTooltip, showTooltip } from "../widgets/tooltip.js";
import { chip, colourOf, setChip, shapeOf } from "../widgets/verdict_chip.js";

export function makeRow(app, methods) {
  const box = html("input", { type: "checkbox", tabindex: "-1" });
  const parts = {
    box,
    rank: html("span", { class: "rank number faint" }),
    name: html("span", { class: "name" }),
    bars: methods.map(intervalBar),
    trend: makeTrend(),
    change: html("span", { class: "change number" }),
    chip: chip(),
  };
  const element = html(
    "div",
    { class: "row", role: "row" },
    ...[
      box,
      parts.rank,
      parts.name,
      ...parts.bars.map((bar) => bar.element),
      parts.trend.element,
      parts.change,
    ].map((content) => html("div", { role: "cell" }, content)),
    html("div", { role: "cell", class: "verdict-cell" }, parts.chip),
  );
  element.parts = parts;
  box.addEventListener("change", () => togglePicked(app, element.feature));
  element.addEventListener("mousemove", (event) => describe(app, element, event));
  element.addEventListener("mouseleave", hideTooltip);
  parts.name.addEventListener("click", () => togglePicked(app, element.feature));
  return element;
}

function makeTrend() {
  const line = svg("path", { class: "trend-line" });
  const now = svg("path", { class: "trend-now" });
  const zero = svg("path", { class: "zero" });
  return {
    element: svg(
      "svg",
      { class: "trend", viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true" },
      zero,
      now,
      line,
    ),
    line,
    now,
    zero,
  };
}

export function fillRow(app, drawn, element, feature, index) {
  const { run } = app;
  const { parts } = element;
  element.feature = feature;
  const name = run.names[feature];
  setAttribute(element, "data-feature", name);
  setText(parts.name, name);
  parts.name.title = name;
  setText(parts.rank, drawn.ranks[feature] ? String(drawn.ranks[feature]) : "\u2013");
  parts.box.checked = drawn.picked.has(feature);
  setAttribute(parts.box, "aria-label", `Follow ${name} in the drift view`);
  element.classList.toggle("odd", index % 2 === 1);
  const state = run.state(drawn.lead, drawn.now, feature);
  setAttribute(element, "data-state", state);
  setChip(parts.chip, state);
  parts.bars.forEach((bar, i) => fillBar(run, drawn.columns[i], bar, feature, state));
  fillTrend(run, drawn, parts.trend, feature);
  fillChange(app, drawn, parts.change, feature);
}

function fillBar(run, column, parts, feature, state) {
  const importance = run.importance(column.method, column.evaluated, feature);
  const { mean, low, high, obtained } = importance;
  const isKnown = Number.isFinite(mean);
  setAll(parts.element, {
    "data-method": column.method,
    "data-mean": isKnown ? mean : "",
    "data-low": Number.isFinite(low) ? low : "",
    "data-high": Number.isFinite(high) ? high : "",
  });
  setIntervalBar(parts, {
    text: column.format(mean),
    importance,
    scale: column,
    colour: run.verdicts.length ? colourOf(state) : "var(--useful)",
    isHollow: isKnown && obtained !== "exact",
  });
}

function fillTrend(run, drawn, parts, feature) {
  const { mean } = run.methods.get(drawn.lead);
  const values = drawn.trendIndices.map((index) => mean[index * run.nFeatures + feature]);
  const known = values.filter(Number.isFinite);
  const [low, high] = extent(known);
  const last = Math.max(1, run.epochs.length - 1);
  const x = (index) => (10 + (980 * index) / last).toFixed(0);
  const y = (value) => (90 - (80 * (value - low)) / (high - low || 1)).toFixed(1);
  let path = "";
  values.forEach((value, i) => {
    if (Number.isFinite(value))
      path += `${path && Number.isFinite(values[i - 1]) ? "L" : "M"}${x(drawn.trendIndices[i])} ${y(value)}`;
  });
  setAttribute(parts.line, "d", known.length > 1 ? path : "");
  setAttribute(parts.now, "d", last > 1 || run.epochs.length > 1 ? `M${x(drawn.now)} 0V100` : "");
  setAttribute(parts.zero, "d", `M0 ${y(0)}H1000`);
}

function fillChange(app, drawn, element, feature) {
  const { value, halfWidth, isClear } = changeOf(app.run, drawn.lead, feature, drawn.since, drawn.now);
  const isKnown = Number.isFinite(value) && drawn.since < drawn.now;
  const format = drawn.columns[0].format;
  setText(
    element,
    isKnown ? `${isClear ? (value > 0 ? "\u25b2 " : "\u25bc ") : ""}${signed(format(value))}` : "",
  );
  element.className = `change number ${isKnown && isClear ? (value > 0 ? "up" : "down") : "faint"}`;
  setAttribute(element, "data-change", isKnown ? value : "");
  setAttribute(element, "data-clear", isKnown && isClear);
  element.title = isKnown
    ? (isClear
        ? "More than the errors of both evaluations explain"
        : "Within the errors of both evaluations") +
      (Number.isFinite(halfWidth) ? ` (\u00b1${format(halfWidth)})` : "")
    : "";
}

function describe(app, element, event) {
  const { run } = app;
  const feature = element.feature;
  const now = epochIndex(app);
  const lines = methodsShown(app).map((method) => {
    const evaluated = run.evaluatedIndex(method, now);
    const importance = run.importance(method, evaluated, feature);
    const { mean, obtained } = importance;
    const how = obtained && obtained !== "exact" ? `, ${obtained}` : "";
    return [
      null,
      title(method),
      Number.isFinite(mean) ? `${withInterval(importance)}${how}` : "no number",
    ];
  });
  const state = run.state(leading(app), now, feature);
  if (state) lines.push([null, "verdict", `${shapeOf(state)} ${state}`]);
  showTooltip(event.clientX, event.clientY, run.names[feature], lines);
}
