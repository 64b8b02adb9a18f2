// The state in the address: a link shows the same.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import {
  DEFAULTS,
  fromAddress,
  toAddress,
} from "../../keras_importance/tensorboard_plugin/static/model/state.js";

const NASTY = ["a b&c=d#e", "温度/°C", '<img src=x onerror="1">', "100%", "x,y", "", "null", "\u2028"];

// A page with an address, which holds the tab's frame.
function pageAt(hash) {
  const location = { hash, pathname: "/", search: "?darkMode=true" };
  const history = {
    state: null,
    n: 0,
    replaceState(state, _, url) {
      this.n += 1;
      location.hash = url.slice(url.indexOf("#"));
    },
  };
  return { document: {}, location, history };
}

beforeEach(() => {
  globalThis.window = { parent: pageAt("#keras_importance") };
});

function reopened(state) {
  toAddress({ ...DEFAULTS, ...state });
  return fromAddress();
}

test("the state of an empty address is the default, which leaves it empty", () => {
  assert.deepEqual(fromAddress(), DEFAULTS);
  assert.deepEqual(reopened({}), DEFAULTS);
  assert.equal(window.parent.location.hash, "#keras_importance");
});

for (const state of [
  { view: "drift", run: "run-1/importance", other: "run-2/importance" },
  { epoch: 0, since: 12 },
  { ascending: true, fit: false, scale: "all" },
  { fit: true, sort: "change" },
  { methods: ["gradient", "lofo"], states: ["useless"], picked: NASTY },
  ...NASTY.map((text) => ({ search: text, picked: [text], run: `${text}/importance` })),
]) {
  test(`a link opens the state it was made of: ${JSON.stringify(state)}`, () => {
    assert.deepEqual(reopened(state), { ...DEFAULTS, ...state });
  });
}

test("what others keep in the address stays", () => {
  window.parent = pageAt("#keras_importance&p.other.key=1");
  assert.deepEqual(reopened({ epoch: 3 }), { ...DEFAULTS, epoch: 3 });
  assert.equal(
    window.parent.location.hash,
    "#keras_importance&p.other.key=1&p.keras_importance.epoch=3",
  );
});

test("the address of another dashboard is not changed", () => {
  window.parent = pageAt("#scalars");
  toAddress({ ...DEFAULTS, epoch: 3 });
  assert.equal(window.parent.location.hash, "#scalars");
});

test("an address that says the same is not written again", () => {
  reopened({ epoch: 3 });
  reopened({ epoch: 3 });
  assert.equal(window.parent.history.n, 1);
});

test("going back to the default takes it out of the address", () => {
  reopened({ epoch: 3 });
  assert.deepEqual(reopened({}), DEFAULTS);
  assert.equal(window.parent.location.hash, "#keras_importance");
});

test("what can't be read is the default, and what is unknown is left out", () => {
  const parts = ["epoch=two", "since=1.5", "picked=[broken", "methods=1", "unknown=1"];
  window.parent = pageAt(`#${parts.map((part) => `p.keras_importance.${part}`).join("&")}`);
  assert.deepEqual(fromAddress(), DEFAULTS);
});

test("a page of another origin leaves the tab its own address", () => {
  const own = pageAt("#p.keras_importance.epoch=2");
  globalThis.window = own;
  Object.defineProperty(own, "parent", {
    value: Object.defineProperty({}, "document", {
      get() {
        throw new Error("cross-origin");
      },
    }),
  });
  assert.equal(fromAddress().epoch, 2);
  toAddress({ ...DEFAULTS, epoch: 5 });
  assert.equal(own.location.hash, "#p.keras_importance.epoch=5");
});
