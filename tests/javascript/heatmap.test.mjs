// The colours of heat maps.

import assert from "node:assert/strict";
import { test } from "node:test";

import "./dom.mjs";

import { isFit, ramp } from "../../keras_importance/tensorboard_plugin/static/widgets/heatmap.js";

const COLOURS = { light: ramp("light"), dark: ramp("dark") };
const channels = (pixel) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];
const brightness = (pixel) => channels(pixel).reduce((a, b) => a + b);
const hex = (pixel) =>
  `#${channels(pixel)
    .map((channel) => channel.toString(16).padStart(2, "0"))
    .join("")}`;

test("0 is the colour between both ramps, 1 and -1 are their ends", () => {
  const { light } = COLOURS;
  assert.deepEqual(
    [0, 1, -1].map((value) => hex(light(value))),
    ["#f3f7fa", "#06264a", "#7f3500"],
  );
});

test("larger importances are darker in the light, and brighter in the dark", () => {
  for (const [theme, sign] of [
    ["light", -1],
    ["dark", 1],
  ]) {
    const levels = Array.from({ length: 21 }, (_, i) => brightness(COLOURS[theme](i / 20)));
    levels.slice(1).forEach((level, i) => assert.ok(sign * (level - levels[i]) > 0, `${theme} ${i}`));
  }
});

test("small importances are told from 0", () => {
  for (const colour of Object.values(COLOURS)) assert.notEqual(colour(0.001), colour(0));
});

test("what is missing has a colour that no number has", () => {
  for (const colour of Object.values(COLOURS)) {
    const missing = colour(NaN);
    for (let value = -1; value <= 1; value += 0.001) assert.notEqual(colour(value), missing);
  }
});

test("beyond the ends the colours stay", () => {
  assert.equal(COLOURS.light(3), COLOURS.light(1));
  assert.equal(COLOURS.light(-3), COLOURS.light(-1));
});

test("every pixel is opaque", () => {
  for (const value of [-1, 0, 1, NaN]) assert.equal(COLOURS.light(value) >>> 24, 255);
});

test("all rows are shown at once as asked for, else where there are too many to read", () => {
  assert.deepEqual([isFit(null, 10), isFit(null, 1000)], [false, true]);
  assert.deepEqual([isFit(true, 10), isFit(false, 1000)], [true, false]);
});
