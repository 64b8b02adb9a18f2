// The tab: what is shown follows from the state and the runs; whatever changes them draws anew.

import { listRuns, readEvidence, readRun, readSteps } from "./model/api.js";
import { watchAddress, watchReloads, watchTheme } from "./model/host.js";
import { fromAddress, toAddress } from "./model/state.js";
import { compareView } from "./views/compare.js";
import { driftView } from "./views/drift.js";
import { emptyPage, messagePage } from "./views/message.js";
import { overEpochsView } from "./views/over_epochs.js";
import { rankingView } from "./views/ranking.js";
import { timeStepsView } from "./views/time_steps.js";
import { verdictsView } from "./views/verdicts.js";
import { controls } from "./widgets/controls.js";
import { html } from "./widgets/dom.js";
import { hideTooltip, tooltipBox } from "./widgets/tooltip.js";

const VIEWS = {
  ranking: ["Ranking", rankingView],
  drift: ["Drift", driftView],
  epochs: ["Over epochs", overEpochsView],
  steps: ["Time steps", timeStepsView],
  compare: ["Compare runs", compareView],
  verdicts: ["Verdicts", verdictsView],
};

const POLL_SECONDS = 5;

class App {
  constructor() {
    this.state = fromAddress();
    this.listing = [];
    this.run = null; // the run shown
    this.other = null; // the run it is compared with
    this.loaded = new Map();
    this.fetched = new Map(); // evidence and maps of time steps, which are read when asked for
    this.views = new Map();
    this.failure = null;
    this.loads = 0;
    this.isLoaded = false;
    this.isScheduled = false;
    this.top = controls(
      this,
      Object.entries(VIEWS).map(([key, [title]]) => [key, title]),
    );
    this.main = html("main", { id: "view", role: "tabpanel", tabindex: "-1", "aria-label": "View" });
  }

  set(changes) {
    Object.assign(this.state, changes);
    if ("run" in changes || "other" in changes || "view" in changes) this.load();
    this.schedule();
  }

  schedule() {
    if (this.isScheduled) return;
    this.isScheduled = true;
    requestAnimationFrame(() => {
      this.isScheduled = false;
      this.draw();
    });
  }

  draw() {
    hideTooltip();
    if (this.run) toAddress(this.state);
    this.top.update();
    const page = this.page();
    if (this.main.firstChild !== page) this.main.replaceChildren(page);
    if (this.run && !performance.getEntriesByName("drawn").length) performance.mark("drawn");
    document.body.dataset.frame = Number(document.body.dataset.frame ?? 0) + 1;
    document.body.dataset.version = this.run?.version ?? "";
  }

  page() {
    if (this.failure) return messagePage("The data could not be read.", this.failure);
    if (!this.run) return this.isLoaded ? emptyPage() : messagePage("Reading the run \u2026", "");
    if (!this.run.epochs.length) {
      return messagePage(
        "This run was written by a later version of keras_importance.",
        "Upgrade the package where TensorBoard runs: pip install --upgrade keras_importance",
      );
    }
    const key = this.state.view in VIEWS ? this.state.view : "ranking";
    if (!this.views.has(key)) this.views.set(key, VIEWS[key][1](this));
    const view = this.views.get(key);
    view.update();
    return view.element;
  }

  // Reads the runs that are shown, where they have changed.
  async load() {
    // Of loads that overlap the last one counts.
    this.loads += 1;
    const ticket = this.loads;
    try {
      const listing = await listRuns();
      if (ticket !== this.loads) return;
      this.listing = listing;
      const names = this.listing.map(({ run }) => run);
      if (!names.includes(this.state.run)) this.state.run = names[0] ?? null;
      if (!names.includes(this.state.other) || this.state.other === this.state.run) {
        this.state.other = names.find((name) => name !== this.state.run) ?? null;
      }
      const [run, other] = [this.state.run, this.state.view === "compare" ? this.state.other : null];
      const runs = await Promise.all([this.current(run), this.current(other)]);
      if (ticket !== this.loads) return;
      [this.run, this.other] = runs;
      this.failure = null;
    } catch (error) {
      // While TensorBoard restarts, what is shown stays.
      if (ticket === this.loads && !this.run) this.failure = error.message;
    }
    this.isLoaded = true;
    this.schedule();
  }

  async current(name) {
    if (name === null) return null;
    const version = this.listing.find(({ run }) => run === name).version;
    if (this.loaded.get(name)?.version !== version) {
      this.loaded.set(name, await readRun(name));
      for (const key of this.fetched.keys()) if (key.startsWith(`${name}\n`)) this.fetched.delete(key);
    }
    return this.loaded.get(name);
  }

  // What belongs to one epoch alone: null until it is here, and then drawn.
  once(key, read) {
    const whole = `${this.run.name}\n${key}`;
    if (!this.fetched.has(whole)) {
      this.fetched.set(whole, null);
      read()
        .then(
          (content) => this.fetched.set(whole, content),
          (error) => this.fetched.set(whole, { failure: error.message }),
        )
        .then(() => this.schedule());
    }
    return this.fetched.get(whole);
  }

  evidence(epoch) {
    return this.once(`evidence ${epoch}`, () => readEvidence(this.run.name, epoch));
  }

  steps(method, epoch) {
    return this.once(`steps ${method} ${epoch}`, () => readSteps(this.run.name, method, epoch));
  }
}

export async function render() {
  document.title = "Importance";
  document.documentElement.lang = "en";
  document.head.append(html("link", { rel: "stylesheet", href: "./style.css" }));
  const app = new App();
  document.body.append(app.top.element, app.main, tooltipBox());
  watchTheme(() => app.schedule());
  watchReloads(() => app.load());
  watchAddress(() => {
    app.state = fromAddress();
    app.load();
  });
  // TensorBoard reloads by itself only where people switched that on. A frame without width is not looked at.
  setInterval(() => document.hidden || !window.innerWidth || app.load(), POLL_SECONDS * 1000);
  await app.load();
}
