// One line a feature with its band, and where its verdict changed; below, how far all of them moved.

import { title } from "../model/run.js";
import { epochAt, epochIndex, leading, matches, picked } from "../model/selection.js";
import { html, replaceChildren, setAttribute, setText, svg } from "../widgets/dom.js";
import { short } from "../widgets/numbers.js";
import { hideTooltip } from "../widgets/tooltip.js";
import { drawLines, highlight, hover, lineColour, nearestIndex } from "./drift_lines.js";
import { measureChart } from "./drift_measures.js";

const MAX_SUGGESTIONS = 8;
const LEAST_HEIGHT = 260;
const MOST_HEIGHT = 520;
const BELOW = 262; // what the other parts of the page take

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

  chart.addEventListener("mousemove", (event) => hover(app, chart, event));
  chart.addEventListener("mouseleave", () => {
    hideTooltip();
    chart.querySelector(".cross")?.remove();
  });
  chart.addEventListener("click", (event) => {
    app.set({ epoch: epochAt(app.run, nearestIndex(app, chart, event)) });
  });
  new ResizeObserver(() => app.state.view === "drift" && app.schedule()).observe(charts);

  function suggest() {
    const words = input.value.trim();
    const features = words ? matches(app.run, words).slice(0, MAX_SUGGESTIONS) : [];
    suggestions.replaceChildren(
      ...features.map((feature) =>
        html("button", { onclick: () => add(feature) }, app.run.names[feature]),
      ),
    );
  }

  function add(feature = input.value.trim() ? matches(app.run, input.value)[0] : undefined) {
    if (feature === undefined) return;
    const names = picked(app).map((index) => app.run.names[index]);
    app.set({ picked: [...new Set([...names, app.run.names[feature]])] });
    input.value = "";
    suggest();
  }

  function update() {
    // Before it is in the page it has no width; the observer calls again.
    if (!charts.clientWidth) return;
    const method = leading(app);
    const { evaluated, metric } = app.run.methods.get(method);
    const features = picked(app);
    const alone = evaluated.length === 1 ? " One evaluation so far: lines begin with the second." : "";
    setText(
      note,
      `${title(method)} importance in units of the ${metric}, with 95% intervals; shapes mark where a verdict changed.${alone}`,
    );
    clear.hidden = !app.state.picked.length;
    const drift = app.run.drift.filter((measured) => measured.method === method);
    const height = charts.clientHeight - (drift.length ? BELOW : BELOW / 3);
    setAttribute(chart, "height", Math.round(Math.max(LEAST_HEIGHT, Math.min(MOST_HEIGHT, height))));
    drawLines(app, chart, method, features, charts.clientWidth - 36);
    fillList(app, list, features, (name) => highlight(chart, name));
    measuresTitle.hidden = !drift.length;
    const width = Math.max(160, (charts.clientWidth - 80) / 3);
    measures.replaceChildren(...drift.map((measured) => measureChart(app, measured, width)));
  }
  return { element, update };
}

function fillList(app, list, features, point) {
  const { run } = app;
  const evaluated = run.evaluatedIndex(leading(app), epochIndex(app));
  replaceChildren(
    list,
    ...features.map((feature, i) => {
      const swatch = html("span", { class: "swatch" });
      swatch.style.background = lineColour(i);
      const name = run.names[feature];
      const remove = () => {
        const names = features.map((index) => run.names[index]).filter((other) => other !== name);
        app.set({ picked: names });
      };
      return html(
        "li",
        { onmouseenter: () => point(name), onmouseleave: () => point(null) },
        swatch,
        html("span", { class: "name", title: name }, name),
        html(
          "span",
          { class: "number faint" },
          short(run.importance(leading(app), evaluated, feature).mean),
        ),
        html(
          "button",
          { class: "quiet", "aria-label": `Remove ${name}`, "data-key": name, onclick: remove },
          "\u00d7",
        ),
      );
    }),
  );
}

function alongEpochs(app, event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const last = app.run.epochs.length - 1;
  const index = Math.max(0, Math.min(last, epochIndex(app) + step));
  app.set({ epoch: epochAt(app.run, index) });
}
