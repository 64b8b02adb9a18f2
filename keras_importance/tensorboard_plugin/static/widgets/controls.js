// The bar above all views: run, view, methods, search and the epoch.

import { runLabel, title } from "../model/run.js";
import {
  epochAt,
  epochIndex,
  leading,
  methodWithSteps,
  methodsShown,
  toggled,
} from "../model/selection.js";
import { html, setAttribute, setText } from "./dom.js";

const FRAMES_PER_SECOND = 6;

export function controls(app, views) {
  const runs = html("select", {
    id: "run",
    "aria-label": "Run",
    onchange: () => app.set({ run: runs.value }),
  });
  const tabs = views.map(([key, text]) =>
    html(
      "button",
      {
        role: "tab",
        id: `tab-${key}`,
        "data-view": key,
        "data-title": text,
        "aria-controls": "view",
        onclick: () => app.set({ view: key }),
      },
      text,
    ),
  );
  const list = html(
    "nav",
    {
      class: "tabs",
      role: "tablist",
      "aria-label": "Views",
      onkeydown: (event) => alongTabs(event, tabs),
    },
    tabs,
  );
  const methods = html("div", { class: "methods", role: "group", "aria-label": "Methods" });
  const search = html("input", {
    id: "search",
    type: "search",
    placeholder: "Search features",
    "aria-label": "Search features",
    autocomplete: "off",
    spellcheck: "false",
    oninput: () => app.set({ search: search.value }),
  });
  const slider = html("input", {
    id: "epoch",
    type: "range",
    min: "0",
    step: "1",
    "aria-label": "Epoch",
    oninput: () => app.set({ epoch: epochAt(app.run, Number(slider.value)) }),
  });
  const label = html("output", { class: "epoch-label number", for: "epoch" });
  const play = html("button", { class: "icon", id: "play", onclick: () => player.toggle() });
  const newest = html(
    "button",
    {
      class: "quiet",
      id: "newest",
      onclick: () => app.set({ epoch: null }),
      title: "Follow the newest epoch",
    },
    "newest",
  );
  const player = playing(app, play);
  const element = html(
    "header",
    { class: "top" },
    html("div", { class: "bar" }, runs, list),
    html(
      "div",
      { class: "bar tools" },
      methods,
      search,
      html("div", { class: "epochs" }, play, slider, label, newest),
    ),
  );
  element.addEventListener(
    "keydown",
    (event) => event.key === "Escape" && search.value && app.set({ search: "" }),
  );

  function update() {
    updateRuns(app, runs);
    for (const tab of tabs) {
      const isChosen = tab.dataset.view === app.state.view;
      setAttribute(tab, "aria-selected", isChosen);
      tab.tabIndex = isChosen ? 0 : -1;
      tab.hidden = tab.dataset.view === "steps" && !app.run?.withSteps.length;
    }
    element.classList.toggle("without-run", !app.run?.epochs.length);
    if (!app.run?.epochs.length) return;
    updateMethods(app, methods);
    if (search.value !== app.state.search) search.value = app.state.search;
    search.hidden = app.state.view === "drift";
    const last = app.run.epochs.length - 1;
    setAttribute(slider, "max", last);
    slider.value = epochIndex(app);
    slider.disabled = play.disabled = last === 0;
    setAttribute(slider, "aria-valuetext", `epoch ${app.run.epochs[epochIndex(app)]}`);
    setText(label, `epoch ${app.run.epochs[epochIndex(app)]} of ${app.run.epochs[last]}`);
    newest.classList.toggle("on", app.state.epoch === null);
    setAttribute(newest, "aria-pressed", app.state.epoch === null);
    player.update();
  }
  return { element, update };
}

function updateRuns(app, select) {
  const names = app.listing.map(({ run }) => run);
  if (names.join("\n") !== [...select.options].map(({ value }) => value).join("\n")) {
    select.replaceChildren(...names.map((name) => html("option", { value: name }, runLabel(name))));
  }
  select.hidden = !names.length;
  if (app.state.run !== null) select.value = app.state.run;
}

function updateMethods(app, group) {
  const names = [...app.run.methods.keys()];
  if (names.join("\n") !== [...group.children].map(({ dataset }) => dataset.method).join("\n")) {
    group.replaceChildren(
      ...names.map((name) =>
        html(
          "button",
          { class: "toggle", "data-method": name, onclick: () => toggleMethod(app, name) },
          title(name),
        ),
      ),
    );
  }
  // Views of one method at a time choose it; the others show several side by side.
  const shown = { ranking: methodsShown(app), steps: [methodWithSteps(app)] }[app.state.view] ?? [
    leading(app),
  ];
  for (const button of group.children)
    setAttribute(button, "aria-pressed", shown.includes(button.dataset.method));
}

function toggleMethod(app, name) {
  if (app.state.view !== "ranking") {
    app.set({ methods: [name, ...methodsShown(app).filter((other) => other !== name)] });
    return;
  }
  const shown = methodsShown(app);
  const methods = toggled(shown, name);
  // The last one stays.
  app.set({ methods: methods.length ? methods : shown });
}

function alongTabs(event, tabs) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const shown = tabs.filter((tab) => !tab.hidden);
  const next = shown[(shown.indexOf(document.activeElement) + step + shown.length) % shown.length];
  next.focus();
  next.click();
}

function playing(app, button) {
  let timer = null;
  function step() {
    const next = epochIndex(app) + 1;
    app.set({ epoch: epochAt(app.run, next) });
    if (next >= app.run.epochs.length - 1) stop();
  }
  function stop() {
    clearInterval(timer);
    timer = null;
    app.schedule();
  }
  function toggle() {
    if (timer !== null) {
      stop();
      return;
    }
    if (epochIndex(app) === app.run.epochs.length - 1) app.set({ epoch: app.run.epochs[0] });
    timer = setInterval(step, 1000 / FRAMES_PER_SECOND);
    app.schedule();
  }
  function update() {
    const isPlaying = timer !== null;
    document.body.classList.toggle("playing", isPlaying);
    setText(button, isPlaying ? "\u275a\u275a" : "\u25b6");
    setAttribute(button, "aria-label", isPlaying ? "Pause" : "Play the epochs");
    button.title = isPlaying ? "Pause" : "Play the epochs";
  }
  return { toggle, update };
}
