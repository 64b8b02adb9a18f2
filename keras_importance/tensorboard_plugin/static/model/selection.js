// What the state means for a run: methods, epochs, the order of features, changes.

import { STATES } from "./run.js";

const MAX_DEFAULT_METHODS = 2;
const DEFAULT_PICKED = 6;

// The method that was judged leads; without verdicts the last one, which measures a loss where there is one.
export function leading(app) {
  const chosen = chosenMethods(app);
  if (chosen.length) return chosen[0];
  const names = [...app.run.methods.keys()];
  const judged = app.run.verdicts[0]?.method;
  return app.run.methods.has(judged) ? judged : names[names.length - 1];
}

export function methodsShown(app) {
  const chosen = chosenMethods(app);
  if (chosen.length) return chosen;
  const first = leading(app);
  const others = [...app.run.methods.keys()].filter((name) => name !== first);
  return [first, ...others].slice(0, MAX_DEFAULT_METHODS);
}

function chosenMethods(app) {
  return app.state.methods.filter((name) => app.run.methods.has(name));
}

// Few methods keep a map of time steps.
export function methodWithSteps(app) {
  const wanted = leading(app);
  return app.run.withSteps.includes(wanted) ? wanted : app.run.withSteps[0];
}

export function epochIndex(app) {
  return app.run.epochIndex(app.state.epoch);
}

// The epoch that changes are counted from.
export function sinceIndex(app) {
  return app.state.since === null ? 0 : app.run.epochIndex(app.state.since);
}

// What the state says of an epoch: the newest is null, so that the next newest is followed.
export function epochAt(run, index) {
  return index === run.epochs.length - 1 ? null : run.epochs[index];
}

// From one importance to another. It is clear where it exceeds what the errors of both allow as if they
// were independent: on the same rows they are not, and so this is the careful side.
export function difference(before, after) {
  const value = after.mean - before.mean;
  const halfWidth = Math.hypot((after.high - after.low) / 2, (before.high - before.low) / 2);
  return { value, halfWidth, isClear: Math.abs(value) > halfWidth };
}

// How an importance changed between the evaluations of two epochs.
export function changeOf(run, method, feature, from, to) {
  const [before, after] = [from, to].map((index) =>
    run.importance(method, run.evaluatedIndex(method, index), feature),
  );
  return difference(before, after);
}

// The features whose names contain all words of the search.
export function matches({ names, lowered }, search) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return [...names.keys()].filter((i) => words.every((word) => lowered[i].includes(word)));
}

// The features that match the search, sorted as the state says.
export function ordered(app) {
  const { run, state } = app;
  const method = run.methods.has(state.sort) ? state.sort : leading(app);
  const now = epochIndex(app);
  const evaluated = run.evaluatedIndex(method, now);
  const features = matches(run, state.search);
  if (state.sort === "name") return sortedBy(features, (i) => run.names[i], state.ascending);
  const keys = new Float64Array(run.nFeatures);
  for (const i of features) {
    if (state.sort === "change") keys[i] = changeOf(run, method, i, sinceIndex(app), now).value;
    else if (state.sort === "verdict") keys[i] = -STATES.indexOf(run.state(method, now, i));
    else keys[i] = run.importance(method, evaluated, i).mean;
  }
  return sortedBy(features, (i) => keys[i], state.ascending);
}

// Indices in the order of their keys. Numbers: the largest first, or last if ascending; those that are
// missing come last either way. Names: the other way round, so that they begin with A; x2 is before x10.
export function sortedBy(indices, key, ascending) {
  const direction = ascending ? 1 : -1;
  return [...indices].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (typeof x === "string") return -direction * x.localeCompare(y, undefined, { numeric: true });
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return direction * (x - y) || a - b;
  });
}

// The features to follow; the most important ones where none of the run's was picked.
export function picked(app) {
  const { run, state } = app;
  const known = state.picked.filter((name) => run.featureIndex.has(name));
  if (known.length) return known.map((name) => run.featureIndex.get(name));
  const ranks = run.ranks(leading(app), run.evaluatedIndex(leading(app), epochIndex(app)));
  return [...ranks.keys()]
    .filter((i) => ranks[i] > 0)
    .sort((a, b) => ranks[a] - ranks[b])
    .slice(0, DEFAULT_PICKED);
}

export function togglePicked(app, feature) {
  app.set({ picked: toggled(app.state.picked, app.run.names[feature]) });
}

// The list without the item where it is in it, else with it.
export function toggled(list, item) {
  return list.includes(item) ? list.filter((other) => other !== item) : [...list, item];
}

export function sorting(app, key) {
  const { sort, ascending } = app.state;
  // What fell most is what people look for first.
  app.set({ sort: key, ascending: sort === key ? !ascending : key === "change" });
}
