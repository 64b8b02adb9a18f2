// What the state means for a run.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  changeOf,
  difference,
  epochAt,
  epochIndex,
  leading,
  matches,
  methodWithSteps,
  methodsShown,
  ordered,
  picked,
  sinceIndex,
  sortedBy,
  sorting,
  toggled,
  togglePicked,
} from "../../keras_importance/tensorboard_plugin/static/model/selection.js";
import { appOf, draws, runOf } from "./bundles.mjs";

const NAMES = ["x10", "x2", "Wind speed", "noise"];
const RUN = runOf({
  names: NAMES,
  epochs: [0, 1, 4],
  means: {
    gradient: [
      [9, 1, 1, 1],
      [1, 9, 1, 1],
      [1, 1, 9, 1],
    ],
    permutation: [
      [1, 2, 3, 0],
      [4, 2, 3, 0],
      [5, NaN, 0, 0],
    ],
    lofo: [null, [1, 2, 3, 4], null],
  },
  states: [
    ["undecided", "undecided", "undecided", "undecided"],
    ["useful", "undecided", "useful", "useless"],
    ["useful", "latent", "harmful", "useless"],
  ],
  withSteps: ["gradient"],
});
const UNJUDGED = runOf({ names: ["a"], epochs: [0], means: { gradient: [[1]], permutation: [[1]] } });
const names = (features) => features.map((i) => NAMES[i]);

test("the judged method leads; without verdicts the last one; a choice goes first", () => {
  assert.equal(leading(appOf(RUN)), "gradient");
  assert.equal(leading(appOf(UNJUDGED)), "permutation");
  assert.equal(leading(appOf(RUN, { methods: ["unknown", "lofo"] })), "lofo");
});

test("two methods are shown beside each other, the leading one first, or those chosen", () => {
  assert.deepEqual(methodsShown(appOf(UNJUDGED)), ["permutation", "gradient"]);
  assert.deepEqual(methodsShown(appOf(RUN)), ["gradient", "permutation"]);
  const methods = ["lofo", "unknown", "permutation", "gradient"];
  assert.deepEqual(methodsShown(appOf(RUN, { methods })), ["lofo", "permutation", "gradient"]);
});

test("time steps are those of the leading method, where it keeps them", () => {
  assert.equal(methodWithSteps(appOf(RUN, { methods: ["permutation"] })), "gradient");
  assert.equal(methodWithSteps(appOf(UNJUDGED)), undefined);
});

test("the newest epoch is followed: chosen it is written as null, and null is the newest", () => {
  RUN.epochs.forEach((_, index) => {
    assert.equal(epochIndex(appOf(RUN, { epoch: epochAt(RUN, index) })), index);
  });
  assert.equal(epochAt(RUN, 2), null);
});

test("changes are counted from the first epoch, or from the one chosen", () => {
  assert.equal(sinceIndex(appOf(RUN)), 0);
  assert.equal(sinceIndex(appOf(RUN, { since: 3 })), 1);
});

test("a difference is clear beyond the root of the squared half widths", () => {
  const at = (mean, halfWidth) => ({ mean, low: mean - halfWidth, high: mean + halfWidth });
  assert.deepEqual(difference(at(1, 3), at(7, 4)), { value: 6, halfWidth: 5, isClear: true });
  assert.equal(difference(at(1, 3), at(6, 4)).isClear, false);
  assert.equal(difference(at(6, 4), at(1, 3)).value, -5);
  assert.equal(difference(at(1, NaN), at(9, 1)).isClear, false);
});

test("a change is that from one evaluation to the other", () => {
  assert.equal(changeOf(RUN, "permutation", 0, 0, 2).value, 4);
  assert.equal(changeOf(RUN, "lofo", 0, 1, 2).value, 0);
  assert.ok(Number.isNaN(changeOf(RUN, "lofo", 0, 0, 2).value));
});

test("a search finds the names that hold all of its words, in any case and order", () => {
  const found = (search) => names(matches(RUN, search));
  assert.deepEqual(found("SPEED wi"), ["Wind speed"]);
  assert.deepEqual(found("x"), ["x10", "x2"]);
  assert.deepEqual(found("  "), NAMES);
  assert.deepEqual(found("wind noise"), []);
});

test("features come by importance, the largest first, those without a number last either way", () => {
  const methods = ["permutation"];
  assert.deepEqual(names(ordered(appOf(RUN, { methods, epoch: 1 }))), [
    "x10",
    "Wind speed",
    "x2",
    "noise",
  ]);
  assert.deepEqual(names(ordered(appOf(RUN, { methods }))), ["x10", "Wind speed", "noise", "x2"]);
  const ascending = appOf(RUN, { methods, ascending: true });
  assert.deepEqual(names(ordered(ascending)), ["Wind speed", "noise", "x10", "x2"]);
});

test("features are sorted by the method of the column, at the epoch chosen", () => {
  assert.equal(NAMES[ordered(appOf(RUN, { sort: "lofo" }))[0]], "noise");
  assert.equal(NAMES[ordered(appOf(RUN, { sort: "gradient", epoch: 1 }))[0]], "x2");
});

test("names begin with A, and count as people do", () => {
  assert.deepEqual(names(ordered(appOf(RUN, { sort: "name" }))), ["noise", "Wind speed", "x2", "x10"]);
});

test("changes come from the largest rise to the largest fall, or the other way round", () => {
  const state = { methods: ["permutation"], sort: "change" };
  assert.deepEqual(names(ordered(appOf(RUN, state))), ["x10", "noise", "Wind speed", "x2"]);
  const falling = appOf(RUN, { ...state, ascending: true });
  assert.deepEqual(names(ordered(falling)), ["Wind speed", "noise", "x10", "x2"]);
});

test("verdicts come in the order of the legend", () => {
  assert.deepEqual(names(ordered(appOf(RUN, { sort: "verdict" }))), [
    "x10",
    "noise",
    "Wind speed",
    "x2",
  ]);
});

test("sorting keeps every index once, ties in their order, and its argument as it was", () => {
  const keys = [...draws(60)].map((value, i) => (i % 7 ? Math.sign(value) : NaN));
  const indices = [...keys.keys()].reverse();
  for (const isAscending of [false, true]) {
    const sorted = sortedBy(indices, (i) => keys[i], isAscending);
    assert.deepEqual(
      [...sorted].sort((a, b) => a - b),
      [...keys.keys()],
    );
    sorted.slice(1).forEach((after, k) => {
      const before = sorted[k];
      const step = isAscending ? keys[after] - keys[before] : keys[before] - keys[after];
      assert.ok(step > 0 || Number.isNaN(keys[after]) || (step === 0 && after > before));
    });
  }
  assert.equal(indices[0], keys.length - 1);
});

test("sorting by a column again turns it round; changes begin with what fell most", () => {
  const app = appOf(RUN);
  const choices = ["name", "name", "change", "change", "importance"].map((key) => {
    sorting(app, key);
    return [app.state.sort, app.state.ascending];
  });
  assert.deepEqual(choices, [
    ["name", false],
    ["name", true],
    ["change", true],
    ["change", false],
    ["importance", false],
  ]);
});

test("without a choice the six most important features are followed", () => {
  const eight = runOf({
    names: [..."abcdefgh"],
    epochs: [0],
    means: { permutation: [[1, 8, 2, 7, NaN, 6, 4, 5]] },
  });
  assert.deepEqual(picked(appOf(eight)), [1, 3, 5, 7, 6, 2]);
  assert.deepEqual(picked(appOf(eight, { picked: ["not here"] })), [1, 3, 5, 7, 6, 2]);
});

test("features that were picked are followed in the order of the picks, those of other runs are not", () => {
  assert.deepEqual(picked(appOf(RUN, { picked: ["noise", "not here", "x10"] })), [3, 0]);
});

test("picking twice is not picking", () => {
  const app = appOf(RUN, { picked: ["x2"] });
  togglePicked(app, 3);
  assert.deepEqual(app.state.picked, ["x2", "noise"]);
  togglePicked(app, 3);
  assert.deepEqual(app.state.picked, ["x2"]);
  assert.deepEqual(toggled(toggled(["a", "b"], "a"), "a"), ["b", "a"]);
});
