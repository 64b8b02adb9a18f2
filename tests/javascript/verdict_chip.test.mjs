// How verdicts look.

import assert from "node:assert/strict";
import { test } from "node:test";

import "./dom.mjs";

import { STATES } from "../../keras_importance/tensorboard_plugin/static/model/run.js";
import {
  chip,
  colourOf,
  setChip,
  shapeOf,
} from "../../keras_importance/tensorboard_plugin/static/widgets/verdict_chip.js";

test("every verdict has a shape and a colour of its own, unknown ones have neutral ones", () => {
  for (const look of [shapeOf, colourOf]) {
    const looks = STATES.map(look);
    assert.equal(new Set(looks).size, STATES.length);
    assert.ok(!looks.includes(look("a later version's")));
  }
});

test("a chip says its verdict; without one it is hidden", () => {
  const element = chip();
  setChip(element, "useless");
  assert.equal(element.textContent, `${shapeOf("useless")}useless`);
  assert.equal(element.hidden, false);
  setChip(element, "");
  assert.equal(element.hidden, true);
});
