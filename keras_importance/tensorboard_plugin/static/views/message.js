// Pages that say why there is nothing to see yet.

import { html } from "../widgets/dom.js";

const EXAMPLE = `from keras_importance import FeatureImportance

importance = FeatureImportance(log_dir="logs/run-1")
model.fit(x, y, validation_split=0.2, epochs=30, callbacks=[importance])`;

export function messagePage(title, text) {
  return html("section", { class: "message" }, html("h2", {}, title), html("p", {}, text));
}

export function emptyPage() {
  return html(
    "section",
    { class: "message" },
    html("h2", {}, "No importances in this log directory yet"),
    html(
      "p",
      {},
      "Train with the callback, and let TensorBoard read the directory above its log_dir. The first epoch appears here as soon as it ends.",
    ),
    html("pre", {}, EXAMPLE),
  );
}
