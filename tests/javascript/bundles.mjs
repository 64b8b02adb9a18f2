// Bundles as the server writes them, and apps that show one, without a server and without a page.

import { Run } from "../../keras_importance/tensorboard_plugin/static/model/run.js";
import { DEFAULTS } from "../../keras_importance/tensorboard_plugin/static/model/state.js";

const SIZES = { f4: 4, u1: 1 };
const OBTAINED = ["", "exact", "screened", "carried"];

// The length of the header, the header, padded to four bytes, and the arrays, each padded to four bytes.
export function bundled(header, arrays) {
  let offset = 0;
  const places = arrays.map(([kind, values]) => {
    const place = { kind, length: values.length, offset };
    offset += Math.ceil((SIZES[kind] * values.length) / 4) * 4;
    return place;
  });
  const text = new TextEncoder().encode(JSON.stringify({ ...header, arrays: places }));
  const length = Math.ceil(text.length / 4) * 4;
  const buffer = new ArrayBuffer(4 + length + offset);
  new DataView(buffer).setUint32(0, length, true);
  new Uint8Array(buffer, 4, length).fill(" ".charCodeAt(0)).set(text);
  arrays.forEach(([kind, values], i) => {
    const Kind = { f4: Float32Array, u1: Uint8Array }[kind];
    new Kind(buffer, 4 + length + places[i].offset, values.length).set(values);
  });
  return buffer;
}

// A run from tables by method: `means[method][epoch][feature]`; intervals reach 0.5 to either side; epochs
// whose row is null were not evaluated. `states[epoch][feature]` are the verdicts of the first method.
export function runOf({ names, epochs, means, states = null, withSteps = [] }) {
  const arrays = [];
  const array = (kind, values) => arrays.push([kind, values]) - 1;
  const flat = (table, change) => table.flatMap((row) => (row ?? names.map(() => NaN)).map(change));
  const methods = Object.entries(means).map(([name, table]) => ({
    name,
    metric: "loss",
    evaluated: [...table.keys()].filter((i) => table[i] !== null),
    mean: array(
      "f4",
      flat(table, (mean) => mean),
    ),
    low: array(
      "f4",
      flat(table, (mean) => mean - 0.5),
    ),
    high: array(
      "f4",
      flat(table, (mean) => mean + 0.5),
    ),
    obtained: array(
      "u1",
      flat(table, (mean) => (Number.isFinite(mean) ? 1 : 0)),
    ),
  }));
  const stateNames = ["", ...new Set((states ?? []).flat())];
  const verdicts = states && {
    method: methods[0].name,
    state_names: stateNames,
    states: array(
      "u1",
      flat(states, (state) => stateNames.indexOf(state)),
    ),
  };
  const header = {
    run: "importance",
    version: "1",
    names,
    epochs,
    methods,
    verdicts: verdicts ? [verdicts] : [],
    drift: [],
    with_steps: withSteps,
    n_unreadable: 0,
    obtained_names: OBTAINED,
  };
  return new Run(bundled(header, arrays));
}

export function appOf(run, state = {}) {
  const app = { run, state: { ...DEFAULTS, ...state } };
  app.set = (changes) => Object.assign(app.state, changes);
  return app;
}

// Numbers that are drawn anew but always the same: the laws hold for each.
export function* draws(n, seed = 1) {
  let state = seed;
  for (let i = 0; i < n; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const exponent = (state % 17) - 8;
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield (state / 2 ** 31 - 1) * 10 ** exponent;
  }
}
