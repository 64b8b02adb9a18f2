// All features by all epochs.

import { title } from "../model/run.js";
import { leading, ordered, picked, row, togglePicked } from "../model/selection.js";
import { html, setAttribute, setText } from "../widgets/dom.js";
import { HeatMap } from "../widgets/heatmap.js";
import { withInterval } from "../widgets/numbers.js";
import { shapeOf } from "../widgets/verdict_chip.js";

export function overEpochsView(app) {
  let shown = [];
  let rows = [];
  const map = new HeatMap({
    label: "Features by epochs. Arrow keys move, Space picks a feature for the drift view.",
    describe: (i, j) => {
      const { run } = app;
      const method = leading(app);
      const importance = run.at(method, rows[j], shown[i]);
      const state = run.state(method, rows[j], shown[i]);
      const lines = [[null, `epoch ${run.epochs[rows[j]]}`, withInterval(importance)]];
      if (state) lines.push([null, "verdict", `${shapeOf(state)} ${state}`]);
      return [run.names[shown[i]], lines];
    },
    onpick: (i) => togglePicked(app, shown[i]),
  });
  const note = html("p", { class: "note" });
  const fit = html(
    "button",
    { class: "toggle", id: "fit", onclick: () => app.set({ fit: !isFit(app, shown) }) },
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
    shown = ordered(app);
    rows = run.methods.get(method).evaluated;
    const followed = new Set(app.state.picked.length ? picked(app) : []);
    const { mean } = run.methods.get(method);
    const now = rows.indexOf(run.evaluated(method, row(app)));
    const alone = rows.length === 1 ? " One evaluation so far: each epoch adds a column." : "";
    setText(
      note,
      `${title(method)} importance in units of the ${run.methods.get(method).metric}; rows in the order of the ranking at the marked epoch.${alone}`,
    );
    setAttribute(fit, "aria-pressed", isFit(app, shown));
    map.set({
      rows: shown.map((i) => run.names[i]),
      columns: rows.map((one) => run.epochs[one]),
      value: (i, j) => mean[rows[j] * run.width + shown[i]],
      isMarked: (i) => followed.has(shown[i]),
      column: now < 0 ? null : now,
      fit: app.state.fit,
    });
  }
  return { element, update };
}

function isFit(app, shown) {
  return app.state.fit ?? shown.length > 60;
}
