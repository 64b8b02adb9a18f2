// All features by all epochs.

import { title } from "../model/run.js";
import { epochIndex, leading, ordered, picked, togglePicked } from "../model/selection.js";
import { html, setAttribute, setText } from "../widgets/dom.js";
import { HeatMap, isFit } from "../widgets/heatmap.js";
import { withInterval } from "../widgets/numbers.js";
import { shapeOf } from "../widgets/verdict_chip.js";

export function overEpochsView(app) {
  let shown = [];
  let evaluated = [];
  const map = new HeatMap({
    label: "Features by epochs. Arrow keys move, Space picks a feature for the drift view.",
    describe: (i, j) => {
      const { run } = app;
      const method = leading(app);
      const importance = run.importance(method, evaluated[j], shown[i]);
      const state = run.state(method, evaluated[j], shown[i]);
      const lines = [[null, `epoch ${run.epochs[evaluated[j]]}`, withInterval(importance)]];
      if (state) lines.push([null, "verdict", `${shapeOf(state)} ${state}`]);
      return [run.names[shown[i]], lines];
    },
    onpick: (i) => togglePicked(app, shown[i]),
  });
  const note = html("p", { class: "note" });
  const fit = html(
    "button",
    { class: "toggle", id: "fit", onclick: () => app.set({ fit: !isFit(app.state.fit, shown.length) }) },
    "compact rows",
  );
  const element = html(
    "section",
    { class: "view epochs-map" },
    html("div", { class: "above" }, note, fit),
    map.element,
    map.foot,
  );

  function update() {
    const { run } = app;
    const method = leading(app);
    const { mean, metric } = run.methods.get(method);
    shown = ordered(app);
    evaluated = run.methods.get(method).evaluated;
    const followed = new Set(app.state.picked.length ? picked(app) : []);
    const now = evaluated.indexOf(run.evaluatedIndex(method, epochIndex(app)));
    const alone = evaluated.length === 1 ? " One evaluation so far: each epoch adds a column." : "";
    setText(
      note,
      `${title(method)} importance in units of the ${metric}; rows in the order of the ranking at the marked epoch.${alone}`,
    );
    setAttribute(fit, "aria-pressed", isFit(app.state.fit, shown.length));
    map.set({
      rows: shown.map((i) => run.names[i]),
      columns: evaluated.map((index) => run.epochs[index]),
      value: (i, j) => mean[evaluated[j] * run.nFeatures + shown[i]],
      isMarked: (i) => followed.has(shown[i]),
      column: now < 0 ? null : now,
      fit: app.state.fit,
    });
  }
  return { element, update };
}
