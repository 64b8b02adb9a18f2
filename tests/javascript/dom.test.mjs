// Elements from names, attributes and children.

import assert from "node:assert/strict";
import { test } from "node:test";

import "./dom.mjs";

import {
  html,
  replaceChildren,
  setAll,
  setAttribute,
  setText,
  svg,
} from "../../keras_importance/tensorboard_plugin/static/widgets/dom.js";

test("names are text, never markup", () => {
  const name = '<img src=x onerror="alert(1)">';
  const element = html("span", { title: name }, name);
  assert.deepEqual(
    element.children.map((child) => child.constructor.name),
    ["Text"],
  );
  assert.equal(element.textContent, name);
  assert.equal(element.getAttribute("title"), name);
});

test("children may be lists, and those that are missing are left out", () => {
  const element = html("p", {}, ["a", html("b", {}, "b")], null, undefined, "c");
  assert.equal(element.textContent, "abc");
  assert.equal(element.children.length, 3);
});

test("pictures have the namespace of SVG", () => {
  assert.equal(svg("path").namespace, "http://www.w3.org/2000/svg");
  assert.equal(html("p").namespace, null);
});

test("attributes that are off are not there; those that are on have no value", () => {
  const element = html("input", { hidden: true, disabled: false, title: null });
  assert.equal(element.getAttribute("hidden"), "");
  assert.deepEqual(
    ["disabled", "title"].map((name) => element.getAttribute(name)),
    [null, null],
  );
  setAll(element, { hidden: false });
  assert.equal(element.getAttribute("hidden"), null);
});

test("attributes that begin with on are listeners", () => {
  let clicks = 0;
  const element = html("button", { onclick: () => (clicks += 1) });
  element.listeners.click();
  assert.deepEqual([clicks, element.getAttribute("onclick")], [1, null]);
});

test("what is there already is not written again", () => {
  const element = html("p", { title: "3" }, "text");
  const before = element.writes;
  setText(element, "text");
  setAttribute(element, "title", 3);
  assert.equal(element.writes, before);
  setText(element, "other");
  assert.equal(element.textContent, "other");
});

test("who uses a child by keyboard stays at the one that takes its place", () => {
  const buttons = () => ["a", "b"].map((key) => html("button", { "data-key": key }));
  const [element, before, after] = [html("p"), buttons(), buttons()];
  replaceChildren(element, ...before);
  before[1].focus();
  replaceChildren(element, ...after);
  assert.equal(document.activeElement, after[1]);
});
