// One line a feature with its band, and where its verdict changed; below, how far all of them moved.

import { title } from "../model/run.js";
import { epochAt, leading, matches, picked, row } from "../model/selection.js";
import { html, replaceChildren, setAttribute, setText, svg } from "../widgets/dom.js";
import { short, ticks, wholeTicks, withInterval } from "../widgets/numbers.js";
import { hideTooltip, showTooltip } from "../widgets/tooltip.js";
import { colourOf, shapeOf } from "../widgets/verdict_chip.js";
import { measureChart } from "./drift_measures.js";

const LINE_COLOURS = 8;
const MAX_SUGGESTIONS = 8;
const LABEL_HEIGHT = 15;
const LEAST_HEIGHT = 260;
const MOST_HEIGHT = 520;
const BELOW = 262; // what the other parts of the page take
const MARGIN = { left: 62, right: 150, top: 12, bottom: 30 };

export function driftView(app) {
  const note = html("p", {});
  const chart = svg("svg", {
    class: "chart lines",
    height: LEAST_HEIGHT,
    role: "img",
    tabindex: "0",
    onkeydown: (event) => alongEpochs(app, event),
  });
  const measures = html("div", { class: "measures" });
  const measuresTitle = html("h3", {}, "How far all importances moved from one evaluation to the next");
  const charts = html("div", { class: "charts" }, note, chart, measuresTitle, measures);
  const list = html("ul", { class: "follow", "aria-label": "Features shown" });
  const input = html("input", {
    type: "text",
    id: "add",
    placeholder: "Add a feature",
    "aria-label": "Add a feature",
    autocomplete: "off",
    spellcheck: "false",
    oninput: () => suggest(),
    onkeydown: (event) => event.key === "Enter" && add(),
  });
  const suggestions = html("div", { class: "suggestions" });
  const clear = html(
    "button",
    { class: "quiet", onclick: () => app.set({ picked: [] }) },
    "Show the most important",
  );
  const side = html(
    "div",
    { class: "side" },
    html("h3", {}, "Features"),
    list,
    input,
    suggestions,
    clear,
  );
  const element = html(
    "section",
    { class: "view drift" },
    html("div", { class: "columns" }, charts, side),
  );
  let highlighted = null;

  chart.addEventListener("mousemove", (event) => hover(app, chart, event));
  chart.addEventListener("mouseleave", () => {
    hideTooltip();
    chart.querySelector(".cross")?.remove();
  });
  chart.addEventListener("click", (event) => {
    const place = nearest(app, chart, event);
    app.set({ epoch: epochAt(app.run, place) });
  });
  new ResizeObserver(() => app.state.view === "drift" && app.schedule()).observe(charts);

  function suggest() {
    const words = input.value.trim();
    const found = words ? matches(app.run, words).slice(0, MAX_SUGGESTIONS) : [];
    suggestions.replaceChildren(
      ...found.map((feature) => html("button", { onclick: () => add(feature) }, app.run.names[feature])),
    );
  }

  function add(feature = input.value.trim() ? matches(app.run, input.value)[0] : undefined) {
    if (feature === undefined) return;
    const names = picked(app).map((one) => app.run.names[one]);
    app.set({ picked: [...new Set([...names, app.run.names[feature]])] });
    input.value = "";
    suggest();
  }

  function update() {
    // Before it is in the page it has no width; the observer calls again.
    if (!charts.clientWidth) return;
    const method = leading(app);
    const one = app.run.methods.get(method);
    const features = picked(app);
    const alone =
      one.evaluated.length === 1 ? " One evaluation so far: lines begin with the second." : "";
    setText(
      note,
      `${title(method)} importance in units of the ${one.metric}, with 95% intervals; shapes mark where a verdict changed.${alone}`,
    );
    clear.hidden = !app.state.picked.length;
    const drift = app.run.drift.filter((found) => found.method === method);
    const height = charts.clientHeight - (drift.length ? BELOW : BELOW / 3);
    setAttribute(chart, "height", Math.round(Math.max(LEAST_HEIGHT, Math.min(MOST_HEIGHT, height))));
    drawLines(app, chart, method, features, charts.clientWidth - 36);
    fillList(app, list, features, (feature) => {
      highlighted = feature;
      for (const line of chart.querySelectorAll("[data-feature]")) {
        const isIt = highlighted !== null && line.dataset.feature === app.run.names[highlighted];
        line.classList.toggle("dimmed", highlighted !== null && !isIt);
        line.classList.toggle("highlighted", isIt);
      }
    });
    measuresTitle.hidden = !drift.length;
    const width = Math.max(160, (charts.clientWidth - 80) / 3);
    measures.replaceChildren(...drift.map((found) => measureChart(app, found, width)));
  }
  return { element, update };
}

function fillList(app, list, features, highlight) {
  const { run } = app;
  const evaluated = run.evaluated(leading(app), row(app));
  replaceChildren(
    list,
    ...features.map((feature, i) => {
      const swatch = html("span", { class: "swatch" });
      swatch.style.background = lineColour(i);
      const name = run.names[feature];
      const remove = () => {
        const names = features.map((one) => run.names[one]).filter((one) => one !== name);
        app.set({ picked: names });
      };
      return html(
        "li",
        { onmouseenter: () => highlight(feature), onmouseleave: () => highlight(null) },
        swatch,
        html("span", { class: "name", title: name }, name),
        html("span", { class: "number faint" }, short(run.at(leading(app), evaluated, feature).mean)),
        html(
          "button",
          { class: "quiet", "aria-label": `Remove ${name}`, "data-key": name, onclick: remove },
          "\u00d7",
        ),
      );
    }),
  );
}

function lineColour(i) {
  return `var(--line-${i % LINE_COLOURS})`;
}

function lineDash(i) {
  return i < LINE_COLOURS ? null : i < 2 * LINE_COLOURS ? "6 4" : "2 3";
}

function drawLines(app, chart, method, features, width) {
  const { run } = app;
  const height = Number(chart.getAttribute("height"));
  const rows = run.methods.get(method).evaluated;
  const series = features.map((feature) => rows.map((one) => run.at(method, one, feature)));
  const reach = series
    .flat()
    .flatMap((one) => [one.mean, one.low, one.high])
    .filter(Number.isFinite);
  const [low, high] = [Math.min(0, ...reach), Math.max(0, ...reach)];
  const x = epochScale(app, width);
  const y = (value) =>
    height - MARGIN.bottom - ((height - MARGIN.bottom - MARGIN.top) * (value - low)) / (high - low || 1);
  const parts = [...axes(app, x, y, ticks(low, high, 6), width, height)];
  series.forEach((values, i) => parts.push(band(run, rows, values, x, y, features[i], i)));
  series.forEach((values, i) => parts.push(line(run, rows, values, x, y, features[i], i)));
  features.forEach((feature, i) =>
    parts.push(...verdictMarks(run, method, feature, rows, series[i], x, y)),
  );
  parts.push(...labels(run, features, series, y, width, height - LABEL_HEIGHT / 2));
  setAttribute(chart, "viewBox", `0 0 ${width} ${height}`);
  setAttribute(chart, "width", width);
  const names = features.map((one) => run.names[one]).join(", ");
  setAttribute(
    chart,
    "aria-label",
    `${method} importance over epochs of ${names}. Arrow keys move the epoch.`,
  );
  chart.replaceChildren(...parts);
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
  const now = epochs[row(app)];
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

function line(run, rows, values, x, y, feature, i) {
  let path = "";
  values.forEach((one, k) => {
    if (!Number.isFinite(one.mean)) return;
    const joined = k > 0 && Number.isFinite(values[k - 1].mean);
    path += `${joined ? "L" : "M"}${x(run.epochs[rows[k]]).toFixed(1)} ${y(one.mean).toFixed(1)}`;
  });
  // A point alone is drawn as a dot: a path of no length with round ends.
  const isDot = values.filter((one) => Number.isFinite(one.mean)).length === 1;
  const element = svg("path", {
    class: "series",
    d: isDot ? `${path}h0` : path,
    "stroke-dasharray": lineDash(i),
    "stroke-linecap": "round",
    "data-feature": run.names[feature],
  });
  element.style.stroke = lineColour(i);
  if (isDot) element.style.strokeWidth = "7";
  return element;
}

function band(run, rows, values, x, y, feature, i) {
  const known = values
    .map((one, k) => [x(run.epochs[rows[k]]), one])
    .filter(([, one]) => Number.isFinite(one.low));
  const upper = known.map(([place, one]) => `${place.toFixed(1)} ${y(one.high).toFixed(1)}`);
  const lower = known.map(([place, one]) => `${place.toFixed(1)} ${y(one.low).toFixed(1)}`).reverse();
  const element = svg("path", {
    class: "band",
    d: known.length > 1 ? `M${upper.join("L")}L${lower.join("L")}Z` : "",
    "data-feature": run.names[feature],
  });
  element.style.fill = lineColour(i);
  return element;
}

function verdictMarks(run, method, feature, rows, values, x, y) {
  const marks = [];
  let before = null;
  rows.forEach((one, k) => {
    const state = run.state(method, one, feature);
    if (before !== null && state !== before && Number.isFinite(values[k].mean)) {
      const mark = svg(
        "text",
        {
          class: "change-mark",
          x: x(run.epochs[one]),
          y: y(values[k].mean) + 5,
          "text-anchor": "middle",
          "data-feature": run.names[feature],
          "data-state": state,
          "data-epoch": run.epochs[one],
        },
        shapeOf(state),
        svg(
          "title",
          {},
          `${run.names[feature]}: ${before || "no verdict"} \u2192 ${state || "no verdict"} in epoch ${run.epochs[one]}`,
        ),
      );
      mark.style.fill = colourOf(state);
      marks.push(mark);
    }
    before = state;
  });
  return marks;
}

// Names at the ends of the lines, moved apart where they would overlap.
function labels(run, features, series, y, width, lowestAllowed) {
  const placed = features
    .map((feature, i) => ({
      i,
      name: run.names[feature],
      y: y(series[i].findLast((one) => Number.isFinite(one.mean))?.mean ?? 0),
    }))
    .sort((a, b) => a.y - b.y);
  placed.forEach((one, k) => {
    if (k > 0) one.y = Math.max(one.y, placed[k - 1].y + LABEL_HEIGHT);
  });
  let lowest = lowestAllowed;
  for (const one of placed.reverse()) {
    one.y = Math.min(one.y, lowest);
    lowest = one.y - LABEL_HEIGHT;
  }
  return placed.map(({ i, name, y: place }) => {
    const text = svg(
      "text",
      { class: "series-name", x: width - MARGIN.right + 8, y: place + 4, "data-feature": name },
      shortened(name),
      svg("title", {}, name),
    );
    text.style.fill = lineColour(i);
    return text;
  });
}

function shortened(name) {
  const letters = [...name];
  return letters.length > 19
    ? `${letters.slice(0, 11).join("")}\u2026${letters.slice(-6).join("")}`
    : name;
}

function nearest(app, chart, event) {
  const box = chart.getBoundingClientRect();
  const x = epochScale(app, Number(chart.getAttribute("width")));
  const at = event.clientX - box.left;
  let found = 0;
  app.run.epochs.forEach((epoch, i) => {
    if (Math.abs(x(epoch) - at) < Math.abs(x(app.run.epochs[found]) - at)) found = i;
  });
  return found;
}

function hover(app, chart, event) {
  const { run } = app;
  const method = leading(app);
  const place = nearest(app, chart, event);
  const evaluated = run.evaluated(method, place);
  const rows = picked(app).map((feature, i) => [
    lineColour(i),
    run.names[feature],
    run.at(method, evaluated, feature),
    run.state(method, evaluated, feature),
  ]);
  rows.sort((a, b) => b[2].mean - a[2].mean);
  showTooltip(
    event.clientX,
    event.clientY,
    `epoch ${run.epochs[place]}`,
    rows.map(([colour, name, importance, state]) => [
      colour,
      name,
      `${withInterval(importance)} ${state ? shapeOf(state) : ""}`,
    ]),
  );
  const x = epochScale(app, Number(chart.getAttribute("width")))(run.epochs[place]);
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

function alongEpochs(app, event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const last = app.run.epochs.length - 1;
  const place = Math.max(0, Math.min(last, row(app) + step));
  app.set({ epoch: epochAt(app.run, place) });
}
