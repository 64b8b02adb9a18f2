// What the state means for a run: methods, epochs, the order of features, changes.

import { STATES } from "./run.js";

const MAX_DEFAULT_METHODS = 2;
const DEFAULT_PICKED = 6;

// The method that was judged leads; without verdicts the last one, which measures a loss where there is one.
export function leading(app) {
  const shown = app.state.methods.filter((one) => app.run.methods.has(one));
  if (shown.length) return shown[0];
  const names = [...app.run.methods.keys()];
  const judged = app.run.verdicts[0]?.method;
  return app.run.methods.has(judged) ? judged : names[names.length - 1];
}

export function methodsShown(app) {
  const shown = app.state.methods.filter((one) => app.run.methods.has(one));
  if (shown.length) return shown;
  const first = leading(app);
  return [first, ...[...app.run.methods.keys()].filter((one) => one !== first)].slice(
    0,
    MAX_DEFAULT_METHODS,
  );
}

// Few methods keep a map of time steps.
export function methodWithSteps(app) {
  const wanted = leading(app);
  return app.run.withSteps.includes(wanted) ? wanted : app.run.withSteps[0];
}

export function row(app) {
  return app.run.row(app.state.epoch);
}

// What the state says of an epoch: the newest is null, so that the next newest is followed.
export function epochAt(run, index) {
  return index === run.epochs.length - 1 ? null : run.epochs[index];
}

export function sinceRow(app) {
  return app.state.since === null ? 0 : app.run.row(app.state.since);
}

// How an importance changed since an earlier epoch. It is clear where it exceeds what the errors of both
// allow as if they were independent: on the same rows they are not, and so this is the careful side.
export function changeOf(run, method, feature, from, to) {
  const before = run.at(method, run.evaluated(method, from), feature);
  const now = run.at(method, run.evaluated(method, to), feature);
  const value = now.mean - before.mean;
  const half = Math.hypot((now.high - now.low) / 2, (before.high - before.low) / 2);
  return { value, half, isClear: Math.abs(value) > half };
}

export function matches(run, search) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const all = [...run.names.keys()];
  return words.length ? all.filter((i) => words.every((word) => run.lowered[i].includes(word))) : all;
}

// Numbers of the features that match the search, sorted; those without a number come last.
export function ordered(app) {
  const { run, state } = app;
  const method = run.methods.has(state.sort) ? state.sort : leading(app);
  const now = row(app);
  const evaluated = run.evaluated(method, now);
  const found = matches(run, state.search);
  if (state.sort === "name") return sortedBy(found, (i) => run.names[i], state.ascending);
  const keys = new Float64Array(run.width);
  for (const i of found) {
    if (state.sort === "change") keys[i] = changeOf(run, method, i, sinceRow(app), now).value;
    else if (state.sort === "verdict") keys[i] = -STATES.indexOf(run.state(method, now, i));
    else keys[i] = run.at(method, evaluated, i).mean;
  }
  return sortedBy(found, (i) => keys[i], state.ascending);
}

// Indices in the order of their keys. Numbers: the largest first, or last if ascending; those that are
// missing come last either way. Names: the other way round, so that they begin with A; x2 is before x10.
export function sortedBy(indices, key, ascending) {
  const direction = ascending ? 1 : -1;
  return indices.sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (typeof x === "string") return -direction * x.localeCompare(y, undefined, { numeric: true });
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return direction * (x - y) || a - b;
  });
}

export function picked(app) {
  const found = app.state.picked.map((name) => app.run.place.get(name)).filter((i) => i !== undefined);
  if (found.length) return found;
  const ranks = app.run.ranks(leading(app), app.run.evaluated(leading(app), row(app)));
  return [...ranks.keys()]
    .filter((i) => ranks[i] > 0)
    .sort((a, b) => ranks[a] - ranks[b])
    .slice(0, DEFAULT_PICKED);
}

export function togglePicked(app, feature) {
  const name = app.run.names[feature];
  const names = app.state.picked;
  app.set({ picked: names.includes(name) ? names.filter((one) => one !== name) : [...names, name] });
}

export function sorting(app, key) {
  const { sort, ascending } = app.state;
  // What fell most is what people look for first.
  app.set({ sort: key, ascending: sort === key ? !ascending : key === "change" });
}
