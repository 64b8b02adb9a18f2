// Lists of which only the visible rows exist.

import assert from "node:assert/strict";
import { test } from "node:test";

import "./dom.mjs";

import { html } from "../../keras_importance/tensorboard_plugin/static/widgets/dom.js";
import { Rows, sortButton } from "../../keras_importance/tensorboard_plugin/static/widgets/rows.js";

const HEIGHT = 10;

// Rows of a list, of which so many are in view, and what was filled.
function rowsOf(items, inView) {
  const filled = [];
  const pressed = [];
  const rows = new Rows({
    height: HEIGHT,
    label: "",
    make: () => html("div"),
    fill: (element, item, index) => {
      element.item = item;
      filled.push([item, index]);
    },
    onkey: (key, item) => pressed.push([key, item]),
  });
  Object.assign(rows.element, { scrollTop: 0, clientHeight: inView * HEIGHT });
  rows.set(items);
  return { rows, filled, pressed, shown: () => rows.space.children.map(({ item }) => item) };
}

const press = (rows, key) => rows.pressed({ key, target: rows.element, preventDefault() {} });

test("of a long list only the rows in view exist, and a few around them", () => {
  const { rows, shown } = rowsOf([...Array(1000).keys()], 20);
  assert.ok(shown().length < 40);
  assert.equal(rows.space.style.height, "10000px");
  rows.element.scrollTop = 500 * HEIGHT;
  rows.draw(false);
  assert.ok(shown().length < 40);
  for (let item = 500; item < 520; item += 1) assert.ok(shown().includes(item));
});

test("a row lies at its index", () => {
  const { rows } = rowsOf([7, 3, 5], 20);
  const places = rows.space.children.map(({ item, style }) => [item, style.transform]);
  assert.deepEqual(places, [
    [7, "translateY(0px)"],
    [3, "translateY(10px)"],
    [5, "translateY(20px)"],
  ]);
});

test("in another order rows keep their elements, so that they glide", () => {
  const { rows } = rowsOf([0, 1, 2], 20);
  const before = new Map(rows.shown);
  rows.set([2, 0, 1]);
  for (const [item, element] of rows.shown) assert.equal(element, before.get(item));
});

test("elements that left the view are used again", () => {
  const { rows } = rowsOf([...Array(1000).keys()], 20);
  const before = new Set(rows.space.children);
  rows.element.scrollTop = 300 * HEIGHT;
  rows.draw(false);
  assert.ok(rows.space.children.some((element) => before.has(element)));
});

test("scrolling fills what comes into view alone, new items fill all that is in view", () => {
  const { rows, filled } = rowsOf([...Array(1000).keys()], 20);
  filled.length = 0;
  rows.element.scrollTop = HEIGHT;
  rows.draw(false);
  assert.deepEqual(filled.length, 1);
  rows.set(rows.items);
  assert.equal(filled.length, 1 + rows.shown.size);
});

test("after clearing no element is used again", () => {
  const { rows } = rowsOf([...Array(100).keys()], 20);
  const before = new Set();
  // At the top fewer rows exist than in the middle: some elements are spare.
  for (const index of [50, 0]) {
    rows.element.scrollTop = index * HEIGHT;
    rows.draw(false);
    rows.space.children.forEach((element) => before.add(element));
  }
  rows.clear();
  assert.equal(rows.space.children.length, 0);
  rows.set([...Array(100).keys()]);
  assert.ok(rows.space.children.every((element) => !before.has(element)));
});

test("keys move the active row within the list, and the list as far as shows it", () => {
  const { rows, pressed } = rowsOf([...Array(100).keys()], 20);
  const keys = ["ArrowUp", "ArrowDown", "PageDown", "End", "ArrowDown", "PageUp", "Home"];
  const moves = keys.map((key) => {
    press(rows, key);
    const marked = rows.space.children.filter(({ classList }) => classList.contains("active"));
    assert.deepEqual(marked, [rows.shown.get(rows.active)]);
    return [rows.active, rows.element.scrollTop / HEIGHT];
  });
  assert.deepEqual(moves, [
    [0, 0],
    [1, 0],
    [20, 1],
    [99, 80],
    [99, 80],
    [80, 80],
    [0, 0],
  ]);
  press(rows, "Enter");
  assert.deepEqual(pressed, [["Enter", 0]]);
});

test("in a shorter list the active row is the last, and in an empty one no key is told", () => {
  const { rows, pressed } = rowsOf([...Array(100).keys()], 20);
  press(rows, "End");
  rows.set([4, 5]);
  press(rows, "Enter");
  rows.set([]);
  press(rows, "Enter");
  assert.deepEqual(pressed, [["Enter", 5]]);
});

test("the column that the rows are sorted by has an arrow", () => {
  const text = (isSorted, ascending) =>
    sortButton({ key: "name", text: "Feature", isSorted, ascending, onclick() {} }).textContent;
  assert.deepEqual(
    [text(false, false), text(true, false), text(true, true)],
    ["Feature", "Feature\u2193", "Feature\u2191"],
  );
});
