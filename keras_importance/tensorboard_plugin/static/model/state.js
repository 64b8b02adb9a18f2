// What is shown, and how it is written into the address so that a link shows the same.

import { addressState, setAddressState } from "./host.js";

export const DEFAULTS = {
  view: "ranking",
  run: null,
  other: null, // the run to compare with
  methods: [], // none: those that the run puts first
  epoch: null, // null: the newest, and the next newest while training goes on
  since: null, // the epoch that changes are counted from; null: the first one
  sort: "importance",
  ascending: false,
  search: "",
  picked: [], // names of features to follow; none: the most important ones
  states: [], // verdicts to list; none: all
  scale: "epoch", // of the bars: of this epoch, or of "all"
  fit: null, // heat maps: all rows at once; null: where there are many
};

const LISTS = ["methods", "picked", "states"];
const NUMBERS = ["epoch", "since"];
const FLAGS = ["ascending", "fit"];

function written(key, value) {
  if (LISTS.includes(key)) return JSON.stringify(value);
  return String(value);
}

function read(key, text) {
  try {
    if (LISTS.includes(key)) return JSON.parse(text).map(String);
    if (NUMBERS.includes(key)) return Number.isInteger(Number(text)) ? Number(text) : DEFAULTS[key];
    if (FLAGS.includes(key)) return text === "true";
    return text;
  } catch {
    return DEFAULTS[key];
  }
}

export function fromAddress() {
  const state = { ...DEFAULTS };
  for (const [key, text] of Object.entries(addressState())) {
    if (key in DEFAULTS) state[key] = read(key, text);
  }
  return state;
}

export function toAddress(state) {
  const values = {};
  for (const key of Object.keys(DEFAULTS)) {
    const text = written(key, state[key]);
    if (text !== written(key, DEFAULTS[key])) values[key] = text;
  }
  setAddressState(values);
}
