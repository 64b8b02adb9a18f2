// What is known of each feature, on what evidence, and the names to copy.

import { DROPPABLE, STATES, title } from "../model/run.js";
import { epochIndex, leading, ordered, toggled } from "../model/selection.js";
import { html, replaceChildren, setAttribute, setText } from "../widgets/dom.js";
import { formatter, interval, short } from "../widgets/numbers.js";
import { Rows } from "../widgets/rows.js";
import { chip, colourOf, setChip, shapeOf } from "../widgets/verdict_chip.js";

const SAID_FOR = 2000;

export function verdictsView(app) {
  const note = html("p", { class: "note" });
  const none = html("p", { class: "none" });
  const filters = html("div", { class: "filters", role: "group", "aria-label": "Verdicts listed" });
  const copyButton = html("button", { class: "primary", id: "copy" });
  const said = html("span", { class: "faint", role: "status" });
  let drawn = null;
  const rows = new Rows({
    height: 30,
    label: "Verdicts by feature. Enter shows a feature in the drift view.",
    make: makeRow,
    fill: (element, feature) => fillRow(app, drawn, element, feature),
    onkey: (key, feature) =>
      key === "Enter" && app.set({ view: "drift", picked: [app.run.names[feature]] }) === undefined,
  });
  const head = html(
    "div",
    { class: "head", role: "row" },
    ...["Feature", "Verdict", "Since epoch", "Importance", "95% interval", "Evidence"].map((text, i) =>
      html("div", { role: "columnheader", class: i >= 2 && i <= 4 ? "right faint" : "faint" }, text),
    ),
  );
  const table = html("div", { class: "table" }, head, rows.element);
  const bar = html("div", { class: "above" }, filters, html("div", { class: "copy" }, said, copyButton));
  const element = html(
    "section",
    { class: "view verdicts" },
    bar,
    html("div", { class: "above", style: "padding-top:0" }, note),
    none,
    table,
  );
  element.style.setProperty(
    "--columns",
    "minmax(130px, 1fr) 118px 90px 90px 170px minmax(220px, 2.2fr)",
  );
  copyButton.addEventListener("click", async () => {
    const names = listed();
    await copied(pythonList(names));
    setText(said, `Copied ${names.length === 1 ? "one name" : `${names.length} names`}.`);
    setTimeout(() => setText(said, ""), SAID_FOR);
  });

  // Of all states, what is worth copying is what may be dropped together.
  function listed() {
    const { states } = app.state;
    const wanted = states.length ? states : DROPPABLE;
    return drawn.matching.filter((i) => wanted.includes(drawn.stateOf(i))).map((i) => app.run.names[i]);
  }

  function update() {
    const { run } = app;
    const judged = run.judged(leading(app));
    none.hidden = Boolean(judged);
    table.hidden = bar.hidden = !judged;
    setText(
      none,
      judged
        ? ""
        : "This run has no verdicts: they need permutation importance of a loss that is a mean over rows.",
    );
    setText(note, "");
    if (!judged) return;
    const now = epochIndex(app);
    const epoch = run.epochs[now];
    const evidence = app.evidence(epoch);
    const verdicts = evidence?.verdicts?.find(({ method }) => method === judged.method) ?? null;
    const stateOf = (i) => run.state(judged.method, now, i);
    const sorted =
      app.state.sort === "importance"
        ? { ...app, run, state: { ...app.state, sort: judged.method } }
        : app;
    const matching = ordered(sorted);
    const { states } = app.state;
    drawn = {
      matching,
      stateOf,
      verdicts,
      epoch,
      method: judged.method,
      evaluated: run.evaluatedIndex(judged.method, now),
      index: new Map(verdicts?.names.map((name, i) => [name, i]) ?? []),
      notes: evidence?.notes ?? {},
    };
    const threshold = judged.thresholds[now];
    // Three digits of the threshold: what is near it is what people look at.
    drawn.format = formatter(
      Math.min(threshold > 0 ? threshold : Infinity, run.wholeRange(judged.method)[1]),
    );
    setText(
      note,
      `Verdicts by ${title(judged.method)} in epoch ${epoch}: useless below an importance of ${short(threshold)}; chance that any feature is wrongly called useless in the training ${(100 * judged.error_rate).toFixed(0)}% at most.`,
    );
    fillFilters(app, filters, matching, stateOf);
    rows.set(states.length ? matching.filter((i) => states.includes(stateOf(i))) : matching);
    const names = listed();
    copyButton.disabled = !names.length;
    copyButton.title = pythonList(names);
    setText(
      copyButton,
      `Copy ${states.length ? states.join(", ") : "what may be dropped"} as a Python list (${names.length})`,
    );
  }
  return { element, update };
}

function fillFilters(app, filters, features, stateOf) {
  const counts = new Map();
  for (const i of features) counts.set(stateOf(i), (counts.get(stateOf(i)) ?? 0) + 1);
  const known = [...STATES, ...counts.keys()].filter(
    (state, i, all) => state && counts.has(state) && all.indexOf(state) === i,
  );
  replaceChildren(
    filters,
    ...known.map((state) => {
      const shape = html("span", { class: "shape", "aria-hidden": "true" }, shapeOf(state));
      shape.style.setProperty("--colour", colourOf(state));
      const { states } = app.state;
      const toggle = () => app.set({ states: toggled(states, state) });
      return html(
        "button",
        {
          class: "toggle",
          "data-state": state,
          "data-key": state,
          "data-count": counts.get(state),
          "aria-pressed": String(states.includes(state)),
          onclick: toggle,
        },
        shape,
        `${state} ${counts.get(state)}`,
      );
    }),
  );
}

function makeRow() {
  const parts = {
    name: html("span", { class: "name" }),
    chip: chip(),
    since: html("span", { class: "number" }),
    mean: html("span", { class: "number" }),
    interval: html("span", { class: "number" }),
    evidence: html("span", { class: "evidence" }),
  };
  const element = html(
    "div",
    { class: "row", role: "row" },
    Object.values(parts).map((content) => html("div", { role: "cell" }, content)),
  );
  element.parts = parts;
  return element;
}

function fillRow(app, drawn, element, feature) {
  const { run } = app;
  const { parts } = element;
  const name = run.names[feature];
  const state = drawn.stateOf(feature);
  const { mean, low, high } = run.importance(drawn.method, drawn.evaluated, feature);
  setAttribute(element, "data-feature", name);
  setAttribute(element, "data-state", state);
  setText(parts.name, name);
  parts.name.title = name;
  setChip(parts.chip, state);
  setText(parts.mean, drawn.format(mean));
  setText(parts.interval, interval(low, high, drawn.format));
  const index = drawn.index.get(name);
  const since = index === undefined ? null : drawn.verdicts.since[index];
  setText(parts.since, since === null ? "\u2013" : String(since));
  const text = evidenceText(drawn, name, index, state);
  setText(parts.evidence, text);
  parts.evidence.title = text;
}

function evidenceText(drawn, name, index, state) {
  const noted = Object.entries(drawn.notes)
    .filter(([, notes]) => notes[name])
    .map(([method, notes]) => `${method}: ${notes[name]}`);
  const parts = [];
  if (index !== undefined && state) {
    const { bound, p_value: pValue, threshold, partners, reasons } = drawn.verdicts;
    if (reasons[name]) parts.push(reasons[name]);
    else if (bound[index] !== null)
      parts.push(
        `${state === "useful" ? "lower" : "upper"} bound ${short(bound[index])} ${state === "useful" ? "above" : "below"} ${short(threshold)}`,
      );
    if (partners[name]) parts.push(`redundant with ${partners[name]}`);
    if (pValue[index] !== null)
      parts.push(`unlearned signal: p = ${short(Number(pValue[index].toPrecision(2)))}`);
  }
  return [...parts, ...noted].join("; ");
}

// JSON's strings are Python's, too: both know the same escapes.
function pythonList(names) {
  return `[${names.map((name) => JSON.stringify(name)).join(", ")}]`;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https, browsers have no clipboard for scripts but this.
    const area = html("textarea", { "aria-hidden": "true" }, text);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  document.body.dataset.copied = text;
}
