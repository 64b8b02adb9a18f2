// Two runs side by side, and their difference: does the seed or the change of the model move the ranking?

import { runLabel, title } from "../model/run.js";
import { difference, leading, matches, sortedBy } from "../model/selection.js";
import { html, replaceChildren, setAll, setText } from "../widgets/dom.js";
import { intervalBar, setIntervalBar } from "../widgets/interval_bar.js";
import { extent, formatter, rankCorrelation, signed } from "../widgets/numbers.js";
import { Rows, sortButton } from "../widgets/rows.js";

const ROW_HEIGHT = 30;
const TOP = 10;
const MISSING = { mean: NaN, low: NaN, high: NaN };

export function compareView(app) {
  const other = html("select", {
    id: "other",
    "aria-label": "Compare with run",
    onchange: () => app.set({ other: other.value }),
  });
  const note = html("p", { class: "note" });
  const summary = html("div", { class: "summary" });
  const none = html("p", { class: "none" });
  const head = html("div", { class: "head", role: "row" });
  let drawn = null;
  let sort = { key: "difference", ascending: false };
  const rows = new Rows({
    height: ROW_HEIGHT,
    label: "Features of both runs",
    make: makeRow,
    fill: (element, item) => fillRow(drawn, element, drawn.pairs[item]),
    onkey: (key, item) =>
      key === "Enter" && app.set({ view: "drift", picked: [drawn.pairs[item].name] }) === undefined,
  });
  const table = html("div", { class: "table" }, head, rows.element);
  const element = html(
    "section",
    { class: "view compare" },
    html("div", { class: "above" }, html("span", { class: "faint" }, "Compare with"), other, note),
    summary,
    none,
    table,
  );
  element.style.setProperty(
    "--columns",
    "minmax(130px, 1fr) 44px minmax(170px, 1.6fr) 44px minmax(170px, 1.6fr) minmax(200px, 1.6fr)",
  );

  function update() {
    const names = app.listing.map(({ run }) => run).filter((name) => name !== app.run.name);
    other.replaceChildren(
      ...names.map((name) =>
        html("option", { value: name, selected: name === app.state.other }, runLabel(name)),
      ),
    );
    other.parentElement.hidden = !names.length;
    const method = leading(app);
    const problem = !names.length
      ? "There is one run in this log directory. Train again with another log_dir beside it, such as logs/run-2, and both can be compared."
      : !app.other
        ? "Reading the other run \u2026"
        : !app.other.methods.has(method)
          ? `${runLabel(app.other.name)} was not evaluated by ${method}.`
          : "";
    none.hidden = !problem;
    table.hidden = summary.hidden = Boolean(problem);
    setText(none, problem);
    setText(note, "");
    if (problem) return;
    drawn = compared(app, method);
    const units = [app.run, app.other].map((run) => run.methods.get(method).metric);
    const isSame = units[0] === units[1];
    setText(
      note,
      `${title(method)} importance, epoch ${drawn.epochs[0]} beside epoch ${drawn.epochs[1]}. ${isSame ? "Intervals of the difference take the runs' errors as independent." : `The units differ (${units.join(", ")}): compare ranks, not numbers.`}`,
    );
    fillSummary(summary, drawn);
    fillHead();
    rows.set(order());
  }

  function order() {
    const key = {
      name: (pair) => pair.name,
      first: (pair) => pair.first.mean,
      second: (pair) => pair.second.mean,
      difference: (pair) => Math.abs(pair.difference.value),
    }[sort.key];
    const names = drawn.pairs.map((pair) => pair.name);
    const lowered = names.map((name) => name.toLowerCase());
    const chosen = matches({ names, lowered }, app.state.search);
    return sortedBy(chosen, (i) => key(drawn.pairs[i]), sort.ascending);
  }

  function fillHead() {
    const sortable = (key, text) => {
      const isSorted = sort.key === key;
      const onclick = () => {
        sort = { key, ascending: isSorted && !sort.ascending };
        app.schedule();
      };
      const button = sortButton({ key, text, isSorted, ascending: sort.ascending, onclick });
      return html("div", { role: "columnheader" }, button);
    };
    const rank = () =>
      html("div", { role: "columnheader", class: "right" }, html("span", { class: "faint" }, "#"));
    replaceChildren(
      head,
      sortable("name", "Feature"),
      rank(),
      sortable("first", runLabel(app.run.name)),
      rank(),
      sortable("second", runLabel(app.other.name)),
      sortable("difference", "Difference"),
    );
  }
  return { element, update };
}

// Both runs by the method: importances, ranks and differences of all features, and their scales.
function compared(app, method) {
  const runs = [app.run, app.other];
  const indices = runs.map((run) => run.evaluatedIndex(method, run.epochIndex(app.state.epoch)));
  const ranks = runs.map((run, i) => run.ranks(method, indices[i]));
  const names = [...new Set(runs.flatMap((run) => run.names))];
  const pairs = names.map((name) => {
    const features = runs.map((run) => run.featureIndex.get(name));
    const [first, second] = features.map((feature, i) =>
      feature === undefined ? MISSING : runs[i].importance(method, indices[i], feature),
    );
    const [firstRank, secondRank] = features.map((feature, i) =>
      feature === undefined ? 0 : ranks[i][feature],
    );
    return { name, first, second, firstRank, secondRank, difference: difference(first, second) };
  });
  const importances = pairs.flatMap((pair) => [pair.first, pair.second]);
  const [low, most] = extent(importances.flatMap(({ mean, low, high }) => [mean, low, high]));
  const high = most || 1;
  const reaches = pairs.map(
    ({ difference: { value, halfWidth } }) => Math.abs(value) + (halfWidth || 0),
  );
  const reach = extent(reaches)[1] || 1;
  return {
    pairs,
    scale: { low, high },
    differenceScale: { low: -reach, high: reach },
    epochs: runs.map((run, i) => run.epochs[indices[i]] ?? "\u2013"),
    format: formatter(high),
  };
}

function fillSummary(summary, { pairs }) {
  const both = pairs.filter((pair) => Number.isFinite(pair.difference.value));
  const agreement = rankCorrelation(
    both.map((pair) => pair.first.mean),
    both.map((pair) => pair.second.mean),
  );
  const top = Math.min(TOP, both.length);
  const shared = both.filter((pair) => pair.firstRank <= top && pair.secondRank <= top).length;
  const clear = both.filter((pair) => pair.difference.isClear).length;
  const alone = pairs.length - both.length;
  const figures = [
    [Number.isFinite(agreement) ? agreement.toFixed(2) : "\u2013", "rank correlation", "agreement"],
    [`${shared} of ${top}`, "top features shared", "shared"],
    [
      String(clear),
      clear === 1
        ? "feature differs by more than its interval"
        : "features differ by more than their intervals",
      "clear",
    ],
    ...(alone ? [[String(alone), "features in one run alone", "alone"]] : []),
  ];
  summary.replaceChildren(
    ...figures.map(([value, text, name]) =>
      html(
        "div",
        { class: "figure", "data-figure": name },
        html("b", { class: "number" }, value),
        html("span", {}, text),
      ),
    ),
  );
}

function makeRow() {
  const parts = {
    name: html("span", { class: "name" }),
    ranks: [html("span", { class: "number faint" }), html("span", { class: "number" })],
    bars: [intervalBar(), intervalBar()],
    difference: intervalBar(),
  };
  const cells = [
    parts.name,
    parts.ranks[0],
    parts.bars[0].element,
    parts.ranks[1],
    parts.bars[1].element,
    parts.difference.element,
  ];
  const element = html(
    "div",
    { class: "row", role: "row" },
    cells.map((content) => html("div", { role: "cell" }, content)),
  );
  element.parts = parts;
  return element;
}

function fillRow(drawn, element, pair) {
  const { parts } = element;
  setAll(element, {
    "data-feature": pair.name,
    "data-first": numberOf(pair.first.mean),
    "data-second": numberOf(pair.second.mean),
    "data-difference": numberOf(pair.difference.value),
  });
  setText(parts.name, pair.name);
  parts.name.title = pair.name;
  const moved = pair.firstRank - pair.secondRank;
  setText(parts.ranks[0], pair.firstRank ? String(pair.firstRank) : "\u2013");
  setText(
    parts.ranks[1],
    pair.secondRank ? `${moved > 0 ? "\u2191" : moved < 0 ? "\u2193" : ""}${pair.secondRank}` : "\u2013",
  );
  [pair.first, pair.second].forEach((importance, i) =>
    setIntervalBar(parts.bars[i], {
      text: drawn.format(importance.mean),
      importance,
      scale: drawn.scale,
      colour: i ? "var(--line-4)" : "var(--line-0)",
    }),
  );
  const { value, halfWidth, isClear } = pair.difference;
  setIntervalBar(parts.difference, {
    text: signed(drawn.format(value)),
    importance: { mean: value, low: value - halfWidth, high: value + halfWidth },
    scale: drawn.differenceScale,
    colour: isClear ? "var(--harmful)" : "var(--undecided)",
  });
}

function numberOf(value) {
  return Number.isFinite(value) ? value : "";
}
