// Numbers as text, ticks and ranks.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  extent,
  formatter,
  interval,
  rankCorrelation,
  short,
  signed,
  ticks,
  wholeTicks,
  withInterval,
} from "../../keras_importance/tensorboard_plugin/static/widgets/numbers.js";
import { draws } from "./bundles.mjs";

const DASH = "\u2013";
const MINUS = "\u2212";
const read = (text) => Number(text.replaceAll(MINUS, "-"));

test("a number alone is right to four digits", () => {
  for (const value of draws(500)) {
    const digits = Math.abs(value) < 1e-4 || Math.abs(value) >= 1e6 ? 3 : 4;
    assert.equal(read(short(value)), Number(value.toPrecision(digits)));
  }
});

test("a number alone has a true minus sign, and no number is a dash", () => {
  assert.equal(short(-0.25), `${MINUS}0.25`);
  assert.equal(short(-2e-9), `${MINUS}2.00e${MINUS}9`);
  assert.equal(short(0), "0");
  for (const unknown of [NaN, Infinity, null, undefined]) assert.equal(short(unknown), DASH);
});

test("the numbers of a column have three digits of the largest, and as many decimals as each other", () => {
  const format = formatter(12.34);
  assert.deepEqual([12.34, -0.06, 0, NaN].map(format), ["12.3", `${MINUS}0.1`, "0.0", DASH]);
  for (const largest of [...draws(200)].map(Math.abs)) {
    const size = Number(largest.toPrecision(3));
    assert.ok(Math.abs(read(formatter(largest)(largest)) - size) <= 0.06 * size);
  }
});

test("what rounds to nothing has no sign", () => {
  assert.equal(formatter(1)(-0.001), "0.00");
  assert.equal(formatter(1)(-0.006), `${MINUS}0.01`);
});

test("a column without a largest number has its numbers alone", () => {
  for (const largest of [0, -1, NaN, Infinity])
    assert.equal(formatter(largest)(0.12345), short(0.12345));
});

test("very large and very small columns are written with powers of ten", () => {
  assert.equal(formatter(1e9)(-2e9), `${MINUS}2.0e+9`);
  assert.equal(formatter(1e-9)(NaN), DASH);
});

test("an interval says from where to where, in the format of its column", () => {
  assert.equal(interval(-0.5, 1.25), `${MINUS}0.5 to 1.25`);
  assert.equal(interval(-0.5, 1.25, formatter(10)), `${MINUS}0.5 to 1.3`);
  assert.equal(interval(NaN, NaN), DASH);
});

test("an importance has its interval behind it where there is one", () => {
  assert.equal(withInterval({ mean: 1, low: 0.5, high: 1.5 }), "1 (0.5 to 1.5)");
  assert.equal(withInterval({ mean: 1, low: NaN, high: NaN }), "1");
  assert.equal(withInterval({ mean: NaN, low: NaN, high: NaN }), DASH);
});

test("what is not negative gets a plus sign, what is unknown none", () => {
  assert.deepEqual(["1.0", `${MINUS}1.0`, DASH].map(signed), ["+1.0", `${MINUS}1.0`, DASH]);
});

test("an extent holds 0 and all known numbers, and nothing beyond them", () => {
  assert.deepEqual(extent([2, NaN, -1, Infinity, null]), [-1, 2]);
  assert.deepEqual(extent([3, 4]), [0, 4]);
  assert.deepEqual(extent([]), [0, 0]);
});

test("an extent takes more numbers than a call takes arguments", () => {
  assert.deepEqual(extent(new Array(500_000).fill(1)), [0, 1]);
});

test("ticks lie within their range, at equal steps of 1, 2 or 5 times a power of ten", () => {
  const values = [...draws(400)];
  for (let i = 0; i < values.length; i += 2) {
    const [low, high] = [Math.min(values[i], values[i + 1]), Math.max(values[i], values[i + 1])];
    const levels = ticks(low, high, 5);
    assert.ok(levels.length >= 1 && levels.length <= 6, `${levels} of ${low} to ${high}`);
    const slack = 1e-6 * (high - low);
    assert.ok(levels[0] >= low - slack && levels[levels.length - 1] <= high + slack);
    if (levels.length < 2) continue;
    const step = levels[1] - levels[0];
    const digit = Number((step / 10 ** Math.floor(Math.log10(step) + 1e-6)).toFixed(3));
    assert.ok([1, 2, 5].includes(digit), `steps of ${step} between ${low} and ${high}`);
    levels.forEach((level, k) => assert.ok(Math.abs(level - levels[0] - k * step) <= slack));
  }
});

test("ticks are as far apart as the next larger of these steps", () => {
  assert.deepEqual(ticks(0, 20, 5), [0, 5, 10, 15, 20]);
  assert.deepEqual(ticks(-0.3, 0.5, 5), [-0.2, 0, 0.2, 0.4]);
  assert.deepEqual(ticks(0, 26, 3), [0, 10, 20]);
});

test("a range of no width has one tick, and ticks of epochs are whole", () => {
  assert.deepEqual(ticks(3, 3, 5), [3]);
  assert.deepEqual(wholeTicks(0, 3, 10), [0, 1, 2, 3]);
  assert.deepEqual(wholeTicks(0, 40, 4), [0, 10, 20, 30, 40]);
});

test("ranks that agree correlate with 1, opposite ones with -1, whatever the numbers are", () => {
  const values = [...draws(50)];
  assert.ok(Math.abs(rankCorrelation(values, values.map(Math.atan)) - 1) < 1e-12);
  assert.ok(
    Math.abs(
      rankCorrelation(
        values,
        values.map((value) => -value),
      ) + 1,
    ) < 1e-12,
  );
});

test("the rank correlation is the same both ways round", () => {
  const [first, second] = [[...draws(40, 2)], [...draws(40, 3)]];
  assert.equal(rankCorrelation(first, second), rankCorrelation(second, first));
});

test("ties share the mean of their ranks", () => {
  // Ranks 0, 1.5, 1.5, 3 and 0, 1, 2, 3 about 1.5: 4.5 / sqrt(4.5 * 5).
  assert.ok(Math.abs(rankCorrelation([1, 2, 2, 3], [1, 2, 3, 4]) - 4.5 / Math.sqrt(22.5)) < 1e-12);
});

test("without any difference in rank there is no correlation", () => {
  assert.ok(Number.isNaN(rankCorrelation([1, 1], [1, 2])));
  assert.ok(Number.isNaN(rankCorrelation([], [])));
});
