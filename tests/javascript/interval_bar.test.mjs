// Where a bar and its interval are drawn.

import assert from "node:assert/strict";
import { test } from "node:test";

import "./dom.mjs";

import {
  barGeometry,
  intervalBar,
  setIntervalBar,
} from "../../keras_importance/tensorboard_plugin/static/widgets/interval_bar.js";
import { draws } from "./bundles.mjs";

const SCALE = { low: -2, high: 8, ticks: [0, 5] };
const importance = (mean, halfWidth = 1) => ({ mean, low: mean - halfWidth, high: mean + halfWidth });

test("a bar runs from 0 to its importance", () => {
  const { x, width } = barGeometry(importance(3), SCALE);
  assert.deepEqual([x, width], ["200.0", "300.0"]);
});

test("a bar of a negative importance ends at 0", () => {
  const { x, width } = barGeometry(importance(-1.5), SCALE);
  assert.deepEqual([x, width], ["50.0", "150.0"]);
});

test("an interval has a line between its ends, and a stroke at each", () => {
  const { interval } = barGeometry(importance(3, 2), SCALE);
  assert.equal(interval, "M300.0 50H700.0M300.0 36V64M700.0 36V64");
});

test("zero and the ticks are where the scale has them", () => {
  const { zero, grid } = barGeometry(importance(3), SCALE);
  assert.deepEqual([zero, grid], ["M200.0 0V100", "M200.0 0V100M700.0 0V100"]);
  assert.equal(barGeometry(importance(3), { low: 0, high: 1 }).grid, "");
});

test("whatever the scale, its low is at 0, its high at 1000, and widths are in proportion", () => {
  for (const value of draws(200)) {
    const reach = Math.abs(value);
    const scale = { low: -reach, high: 3 * reach };
    const whole = barGeometry({ mean: 3 * reach, low: -reach, high: 3 * reach }, scale);
    assert.deepEqual([whole.x, whole.width], ["250.0", "750.0"]);
    assert.equal(whole.interval, "M0.0 50H1000.0M0.0 36V64M1000.0 36V64");
    assert.equal(barGeometry(importance(1.5 * reach), scale).width, "375.0");
  }
});

test("what is unknown is not drawn: neither a bar without a number, nor an interval without ends", () => {
  const { x, width, interval } = barGeometry({ mean: NaN, low: NaN, high: NaN }, SCALE);
  assert.deepEqual([x, width, interval], ["0.0", "0.0", ""]);
  assert.deepEqual(barGeometry({ mean: 3, low: NaN, high: NaN }, SCALE).width, "300.0");
});

test("a bar is drawn as its geometry says, with its number beside it", () => {
  const parts = intervalBar();
  setIntervalBar(parts, { text: "3.00", importance: importance(3), scale: SCALE, colour: "red" });
  const { x, width, interval, zero, grid } = barGeometry(importance(3), SCALE);
  assert.equal(parts.element.textContent, "3.00");
  assert.deepEqual(
    ["x", "width"].map((name) => parts.bar.getAttribute(name)),
    [x, width],
  );
  for (const [part, path] of Object.entries({ interval, zero, grid })) {
    assert.equal(parts[part].getAttribute("d"), path);
  }
  assert.equal(parts.bar.style["--colour"], "red");
});

test("a bar is hollow where it is told to be, and full again", () => {
  const parts = intervalBar();
  const content = { text: "", importance: importance(3), scale: SCALE, colour: "red" };
  setIntervalBar(parts, content);
  assert.equal(parts.bar.classList.contains("hollow"), false);
  for (const isHollow of [true, false]) {
    setIntervalBar(parts, { ...content, isHollow });
    assert.equal(parts.bar.classList.contains("hollow"), isHollow);
    assert.ok(parts.bar.classList.contains("bar"));
  }
});

test("drawing the same again writes nothing", () => {
  const parts = intervalBar();
  const content = { text: "3.00", importance: importance(3), scale: SCALE, colour: "red" };
  const writes = () => [parts.number, parts.bar, parts.interval].map((part) => part.writes).join();
  setIntervalBar(parts, content);
  const before = writes();
  setIntervalBar(parts, content);
  assert.equal(writes(), before);
});
