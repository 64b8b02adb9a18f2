// Prints what the tab reads in a bundle: node decode.mjs FILE

import { readFileSync } from "node:fs";

import { Run } from "../../keras_importance/tensorboard_plugin/static/model/run.js";

const content = readFileSync(process.argv[2]);
const run = new Run(content.buffer.slice(content.byteOffset, content.byteOffset + content.length));
const rows = [...run.methods.keys()].flatMap((method) =>
  run.epochs.flatMap((epoch, index) =>
    run.names.map((feature, i) => ({
      method,
      epoch,
      feature,
      ...run.importance(method, index, i),
      state: run.state(method, index, i),
    })),
  ),
);
console.log(JSON.stringify(rows));
