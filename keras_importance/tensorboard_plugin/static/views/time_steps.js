// The time steps of sequences by features, at one epoch.

import { title } from "../model/run.js";
import { epochIndex, methodWithSteps, picked, togglePicked } from "../model/selection.js";
import { html, setText } from "../widgets/dom.js";
import { HeatMap } from "../widgets/heatmap.js";
import { short } from "../widgets/numbers.js";

export function timeStepsView(app) {
  let drawn = null;
  let shown = [];
  const map = new HeatMap({
    label: "Features by time steps. Arrow keys move, Space picks a feature for the drift view.",
    describe: (i, j) => [
      drawn.names[shown[i]],
      [[null, `step ${j}`, short(drawn.values[j * drawn.names.length + shown[i]])]],
    ],
    onpick: (i) =>
      app.run.featureIndex.has(drawn.names[shown[i]]) &&
      togglePicked(app, app.run.featureIndex.get(drawn.names[shown[i]])),
  });
  const note = html("p", { class: "note" });
  const none = html("p", { class: "none" });
  const element = html(
    "section",
    { class: "view steps-map" },
    html("div", { class: "above" }, note),
    none,
    map.element,
    map.foot,
  );

  function say(text) {
    none.hidden = !text;
    map.element.hidden = map.foot.hidden = Boolean(text);
    setText(none, text);
  }

  function update() {
    const { run } = app;
    const method = methodWithSteps(app);
    if (method === undefined) {
      setText(note, "");
      say("This run has no time steps: its inputs are no sequences, or no method keeps a map of steps.");
      return;
    }
    const epoch = run.epochs[run.evaluatedIndex(method, epochIndex(app))];
    const next = epoch === undefined ? null : app.steps(method, epoch);
    // While the next map is on its way, the last one stays.
    if (next === null && drawn === null) {
      say("Reading \u2026");
      return;
    }
    if (next?.failure) {
      say(`There is no map of this epoch (${next.failure}).`);
      return;
    }
    if (next === null) return;
    drawn = next;
    say("");
    const width = drawn.names.length;
    const total = drawn.names.map((_, i) => {
      let sum = 0;
      for (let j = 0; j < drawn.n_steps; j += 1) sum += drawn.values[j * width + i] || 0;
      return sum;
    });
    const search = app.state.search.toLowerCase();
    shown = [...drawn.names.keys()]
      .filter((i) => drawn.names[i].toLowerCase().includes(search))
      .sort((a, b) => total[b] - total[a]);
    const some =
      width < drawn.n_features ? ` The ${width} most important of ${drawn.n_features} features.` : "";
    setText(
      note,
      `${title(method)} importance at each time step in epoch ${drawn.epoch}, in units of the ${drawn.metric}; step 0 is the first one.${some}`,
    );
    const followed = new Set(app.state.picked.length ? picked(app).map((i) => run.names[i]) : []);
    map.set({
      rows: shown.map((i) => drawn.names[i]),
      columns: Array.from({ length: drawn.n_steps }, (_, j) => j),
      value: (i, j) => drawn.values[j * width + shown[i]],
      isMarked: (i) => followed.has(drawn.names[shown[i]]),
      column: null,
      fit: app.state.fit,
    });
  }
  return { element, update };
}
