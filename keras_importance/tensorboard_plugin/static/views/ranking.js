// Bars with intervals of all features, by method side by side, with trend, change and verdict.

import { STATES, title } from "../model/run.js";
import {
  changeOf,
  epochIndex,
  leading,
  methodsShown,
  ordered,
  picked,
  sinceIndex,
  sorting,
  togglePicked,
} from "../model/selection.js";
import { html, replaceChildren, setAttribute, setText } from "../widgets/dom.js";
import { formatter, short, ticks } from "../widgets/numbers.js";
import { Rows, sortButton } from "../widgets/rows.js";
import { chip, setChip } from "../widgets/verdict_chip.js";
import { fillRow, makeRow } from "./ranking_rows.js";

const ROW_HEIGHT = 30;
const TREND_POINTS = 60;
const ROOM = 0.02;

export function rankingView(app) {
  const head = html("div", { class: "head", role: "row" });
  const note = html("p", { class: "note" });
  const changes = changesLine(app);
  const legend = html("div", { class: "legend" });
  const none = html("p", { class: "none", hidden: true }, "No feature matches the search.");
  let drawn = null;
  const rows = new Rows({
    height: ROW_HEIGHT,
    label: "Features by importance. Space picks a feature for the drift view, Enter shows it there.",
    make: () => makeRow(app, drawn.methods),
    fill: (element, feature, index) => fillRow(app, drawn, element, feature, index),
    onkey: (key, feature) => {
      if (key === " ") togglePicked(app, feature);
      if (key === "Enter")
        app.set({ view: "drift", picked: [...new Set([...app.state.picked, app.run.names[feature]])] });
      return key === " " || key === "Enter";
    },
  });
  const element = html(
    "section",
    { class: "view ranking" },
    html("div", { class: "above" }, html("div", { class: "said" }, note, changes.element), legend),
    html("div", { class: "table" }, head, none, rows.element),
  );

  function update() {
    const methods = methodsShown(app);
    if (drawn && drawn.methods.join() !== methods.join()) rows.clear();
    drawn = prepared(app, methods);
    const columns = `28px 38px minmax(130px, 1.1fr) ${methods.map(() => "minmax(190px, 2fr)").join(" ")} 110px 150px${app.run.verdicts.length ? " 118px" : ""}`;
    element.classList.toggle("without-verdicts", !app.run.verdicts.length);
    element.style.setProperty("--columns", columns);
    updateHead(app, head, drawn);
    updateNote(app, note, drawn);
    changes.update(drawn);
    updateLegend(app, legend);
    const items = ordered(app);
    none.hidden = items.length > 0;
    rows.set(items);
  }
  return { element, update };
}

// All that the rows have in common.
function prepared(app, methods) {
  const { run } = app;
  const now = epochIndex(app);
  const lead = leading(app);
  const columns = methods.map((method) => {
    const evaluated = run.evaluatedIndex(method, now);
    const range =
      app.state.scale === "all"
        ? run.wholeRange(method)
        : run.range(method, evaluated < 0 ? [] : [evaluated]);
    // A little room, so that the ends of the longest intervals are seen.
    const room = ROOM * (range[1] - range[0]) || 1;
    const [low, high] = [range[0] < 0 ? range[0] - room : 0, range[1] + room];
    return {
      method,
      evaluated,
      low,
      high,
      format: formatter(Math.max(high, -low)),
      ticks: ticks(low, high, 4),
    };
  });
  const every = Math.max(1, Math.ceil(run.epochs.length / TREND_POINTS));
  return {
    now,
    since: sinceIndex(app),
    methods,
    columns,
    lead,
    ranks: run.ranks(lead, run.evaluatedIndex(lead, now)),
    picked: new Set(app.state.picked.length ? picked(app) : []),
    trendIndices: run.methods
      .get(lead)
      .evaluated.filter((_, i, all) => i % every === 0 || i === all.length - 1),
  };
}

function updateHead(app, head, drawn) {
  const { run, state } = app;
  const drawnAs = [
    run.name,
    drawn.methods.join(),
    drawn.columns.map(({ low, high }) => [low, high]).join(),
    state.sort,
    state.ascending,
    drawn.since,
    run.epochs.length,
    drawn.lead,
  ].join("|");
  if (head.dataset.drawn === drawnAs) return;
  head.dataset.drawn = drawnAs;
  const sortable = (key, text, hint) => {
    const isSorted = state.sort === key || (state.sort === "importance" && key === drawn.lead);
    const onclick = () => sorting(app, key);
    return sortButton({ key, text, hint, isSorted, ascending: state.ascending, onclick });
  };
  const cell = (...children) => html("div", { role: "columnheader" }, ...children);
  const since = html(
    "select",
    {
      id: "since",
      "data-key": "since",
      "aria-label": "Change since epoch",
      onchange: () => app.set({ since: Number(since.value) }),
    },
    run.epochs.map((epoch, i) =>
      html("option", { value: epoch, selected: i === drawn.since }, String(epoch)),
    ),
  );
  replaceChildren(
    head,
    cell(),
    cell(html("span", { class: "faint" }, "#")),
    cell(sortable("name", "Feature", "Sort by name")),
    ...drawn.columns.map((column) =>
      html(
        "div",
        { role: "columnheader", class: "bars-head" },
        sortable(column.method, title(column.method), "Sort by this importance"),
        axis(column),
      ),
    ),
    cell(html("span", { class: "faint" }, "Trend")),
    html(
      "div",
      { role: "columnheader", class: "since" },
      sortable("change", "Change since", "Sort by change: what fell most comes first"),
      since,
    ),
    html(
      "div",
      { role: "columnheader", class: "verdict-cell" },
      sortable("verdict", "Verdict", "Sort by verdict"),
    ),
  );
}

function axis(column) {
  const place = (value) => `${(100 * (value - column.low)) / (column.high - column.low)}%`;
  const marks = column.ticks.map((tick) => {
    const mark = html("span", { class: "tick number" }, short(tick));
    mark.style.left = place(tick);
    return mark;
  });
  return html(
    "div",
    { class: "axis", "aria-hidden": "true" },
    html("div", { class: "axis-inner" }, marks),
  );
}

function updateNote(app, note, drawn) {
  const method = app.run.methods.get(drawn.lead);
  const column = drawn.columns[0];
  const parts = [
    `${title(drawn.lead)} importance in units of the ${method.metric}, ${method.n_samples.toLocaleString("en")} rows, 95% intervals${method.error_source === "repeats" ? " of the shuffling alone" : ""}`,
  ];
  if (method.procedure) parts.push(method.procedure);
  if (column.evaluated !== drawn.now && column.evaluated >= 0)
    parts.push(`evaluated last in epoch ${app.run.epochs[column.evaluated]}`);
  if (app.run.epochs.length === 1)
    parts.push("one evaluation so far: trends and changes start with the second");
  if (app.run.nUnreadable) parts.push(`${app.run.nUnreadable} epochs could not be read`);
  setText(note, `${parts.join(" \u00b7 ")}.`);
}

// How many fell and rose, by more than the errors; who asks for either gets them first.
function changesLine(app) {
  const since = html("span");
  const button = (key, ascending) =>
    html("button", {
      class: "count",
      "data-moved": key,
      title: `Show what ${key} most first`,
      onclick: () => app.set({ sort: "change", ascending }),
    });
  const fell = button("fell", true);
  const rose = button("rose", false);
  const by = html("span", {}, " by more than the errors of both epochs.");
  const element = html("p", { class: "changes" }, since, fell, ", ", rose, by);
  function update(drawn) {
    const { run } = app;
    const [before, after] = [drawn.since, drawn.now].map((index) =>
      run.evaluatedIndex(drawn.lead, index),
    );
    element.hidden = before < 0 || before === after || drawn.since >= drawn.now;
    if (element.hidden) return;
    const counts = { fell: 0, rose: 0 };
    for (let feature = 0; feature < run.nFeatures; feature += 1) {
      const { value, isClear } = changeOf(run, drawn.lead, feature, drawn.since, drawn.now);
      if (isClear) counts[value < 0 ? "fell" : "rose"] += 1;
    }
    setText(since, `Since epoch ${run.epochs[drawn.since]}: `);
    setText(fell, `\u25bc ${counts.fell.toLocaleString("en")} fell`);
    setText(rose, `\u25b2 ${counts.rose.toLocaleString("en")} rose`);
  }
  return { element, update };
}

function updateLegend(app, legend) {
  if (!legend.childElementCount) {
    legend.append(
      ...STATES.map((state) => {
        const element = chip();
        setChip(element, state);
        return element;
      }),
      html(
        "button",
        {
          class: "toggle",
          id: "scale",
          onclick: () => app.set({ scale: app.state.scale === "all" ? "epoch" : "all" }),
        },
        "same scale in all epochs",
      ),
    );
  }
  legend.classList.toggle("without-verdicts", !app.run.verdicts.length);
  setAttribute(legend.lastChild, "aria-pressed", app.state.scale === "all");
}
