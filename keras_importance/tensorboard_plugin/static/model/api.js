// What the server is asked for. All addresses are relative: the tab works behind any path prefix.

import { Run, decoded } from "./run.js";

async function get(path, query = {}) {
  const response = await fetch(`./${path}?${new URLSearchParams(query)}`);
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response;
}

export async function listRuns() {
  return (await (await get("runs")).json()).runs;
}

export async function readRun(run) {
  return new Run(await (await get("run", { run })).arrayBuffer());
}

export async function readEvidence(run, epoch) {
  return (await get("evidence", { run, epoch })).json();
}

export async function readSteps(run, method, epoch) {
  const { header, arrays } = decoded(await (await get("steps", { run, method, epoch })).arrayBuffer());
  return { ...header, values: arrays[header.values] };
}
