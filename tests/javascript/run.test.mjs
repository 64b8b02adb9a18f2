// A run as it is decoded from a bundle.

import assert from "node:assert/strict";
import { test } from "node:test";

import { decoded, runLabel, title } from "../../keras_importance/tensorboard_plugin/static/model/run.js";
import { bundled, runOf } from "./bundles.mjs";

const NAMES = ["age", "温度", "a b&c=d"];
const PERMUTATION = [
  [3, 1, 2],
  [-1, NaN, 5],
  [2, 2, 8],
];
const LOFO = [null, [1, 2, 3], null];
const RUN = runOf({
  names: NAMES,
  epochs: [2, 5, 6],
  means: { permutation: PERMUTATION, lofo: LOFO },
  states: [
    ["undecided", "undecided", "undecided"],
    ["useful", "undecided", "useful"],
    ["useful", "useless", "useful"],
  ],
});

test("arrays of any length are read at their places, behind headers of any length", () => {
  for (let length = 0; length < 5; length += 1) {
    const name = "é".repeat(length);
    const codes = Uint8Array.from({ length }, (_, i) => i);
    const buffer = bundled({ name }, [
      ["u1", codes],
      ["f4", [0.5, -2]],
    ]);
    const { header, arrays } = decoded(buffer);
    assert.equal(header.name, name);
    assert.deepEqual(arrays, [codes, Float32Array.of(0.5, -2)]);
  }
});

test("every importance is found at its epoch and feature", () => {
  PERMUTATION.forEach((means, epoch) =>
    means.forEach((mean, feature) => {
      const obtained = Number.isNaN(mean) ? "" : "exact";
      const expected = { mean, low: mean - 0.5, high: mean + 0.5, obtained };
      assert.deepEqual(RUN.importance("permutation", epoch, feature), expected);
    }),
  );
});

test("there is no importance of unknown methods, and none before the first evaluation", () => {
  for (const [method, epoch] of [
    ["unknown", 0],
    ["lofo", -1],
  ]) {
    assert.ok(Number.isNaN(RUN.importance(method, epoch, 0).mean));
  }
});

test("features are found by their names", () => {
  assert.deepEqual(
    NAMES.map((name) => RUN.featureIndex.get(name)),
    [0, 1, 2],
  );
  assert.equal(RUN.featureIndex.get("unknown"), undefined);
});

test("an epoch asked for is the newest that is not later", () => {
  const indices = { 0: 0, 2: 0, 3: 0, 4: 0, 5: 1, 6: 2, 99: 2 };
  for (const [epoch, index] of Object.entries(indices))
    assert.equal(RUN.epochIndex(Number(epoch)), index);
  assert.equal(RUN.epochIndex(null), 2);
});

test("a method's evaluation is the newest that is not later, and -1 where there is none", () => {
  assert.deepEqual(
    [0, 1, 2].map((index) => RUN.evaluatedIndex("lofo", index)),
    [-1, 1, 1],
  );
  assert.deepEqual(
    [0, 1, 2].map((index) => RUN.evaluatedIndex("permutation", index)),
    [0, 1, 2],
  );
  assert.equal(RUN.evaluatedIndex("unknown", 2), -1);
});

test("verdicts are those of the epoch, and colour the methods that were not judged, too", () => {
  assert.equal(RUN.state("permutation", 2, 1), "useless");
  assert.equal(RUN.state("lofo", 1, 0), "useful");
  assert.equal(RUN.state("permutation", -1, 0), "");
});

test("a run without verdicts has no states", () => {
  const run = runOf({ names: NAMES, epochs: [0], means: { gradient: [[1, 2, 3]] } });
  assert.equal(run.judged("gradient"), null);
  assert.equal(run.state("gradient", 0, 0), "");
});

test("a range holds 0 and all intervals of its epochs, and nothing beyond them", () => {
  assert.deepEqual(RUN.range("permutation", [0]), [0, 3.5]);
  assert.deepEqual(RUN.range("permutation", [0, 1]), [-1.5, 5.5]);
  assert.deepEqual(RUN.range("permutation", []), [0, 0]);
  assert.deepEqual(RUN.wholeRange("permutation"), [-1.5, 8.5]);
  assert.deepEqual(RUN.wholeRange("lofo"), RUN.range("lofo", [1]));
});

test("ranks count from 1 for the most important feature; without a number there is none", () => {
  assert.deepEqual([...RUN.ranks("permutation", 0)], [1, 3, 2]);
  assert.deepEqual([...RUN.ranks("permutation", 1)], [2, 0, 1]);
  assert.deepEqual([...RUN.ranks("lofo", -1)], [0, 0, 0]);
});

test("equal importances are ranked in the order of the features", () => {
  assert.deepEqual([...RUN.ranks("permutation", 2)], [2, 3, 1]);
});

test("methods and runs are called as people call them", () => {
  assert.equal(title("integrated_gradients"), "integrated gradients");
  assert.equal(title("lofo"), "lofo");
  assert.deepEqual(["run-1/importance", "importance", "", "run-1"].map(runLabel), [
    "run-1",
    "this run",
    "this run",
    "run-1",
  ]);
});
