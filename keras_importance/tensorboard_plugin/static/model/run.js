// One run as the server bundles it: (n_epochs, n_features) arrays of each method, viewed in place.

// The states of a verdict, in the order in which they are listed and sorted.
export const STATES = ["useful", "useless", "harmful", "redundant", "latent", "undecided"];

// What may be left out of the model together.
export const DROPPABLE = ["useless", "harmful"];

const KINDS = { f4: Float32Array, u1: Uint8Array };

export function runLabel(name) {
  // The callback writes into <log_dir>/importance.
  return name.replace(/\/?importance$/, "") || "this run";
}

export function title(method) {
  return method.replaceAll("_", " ");
}

export function decoded(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = header.arrays.map(
    (one) => new KINDS[one.kind](buffer, 4 + length + one.offset, one.length),
  );
  return { header, arrays };
}

export class Run {
  constructor(buffer) {
    const { header, arrays } = decoded(buffer);
    Object.assign(this, {
      name: header.run,
      version: header.version,
      names: header.names,
      epochs: header.epochs,
      drift: header.drift,
      withSteps: header.with_steps,
      unreadable: header.n_unreadable,
      obtainedNames: header.obtained_names,
    });
    this.width = this.names.length;
    this.lowered = this.names.map((name) => name.toLowerCase());
    this.place = new Map(this.names.map((name, index) => [name, index]));
    this.methods = new Map(
      header.methods.map((one) => [
        one.name,
        {
          ...one,
          mean: arrays[one.mean],
          low: arrays[one.low],
          high: arrays[one.high],
          obtained: arrays[one.obtained],
        },
      ]),
    );
    this.verdicts = header.verdicts.map((one) => ({ ...one, states: arrays[one.states] }));
  }

  // The place of the newest epoch that is not after the one asked for; null asks for the newest.
  row(epoch) {
    if (epoch === null) return this.epochs.length - 1;
    let found = 0;
    for (let i = 0; i < this.epochs.length && this.epochs[i] <= epoch; i += 1) found = i;
    return found;
  }

  // Methods may be evaluated in some epochs only: the newest evaluation that is not later, or -1.
  evaluated(method, row) {
    let found = -1;
    for (const one of this.methods.get(method)?.evaluated ?? []) if (one <= row) found = one;
    return found;
  }

  at(method, row, feature) {
    const one = this.methods.get(method);
    const place = row * this.width + feature;
    if (!one || row < 0) return { mean: NaN, low: NaN, high: NaN, obtained: "" };
    return {
      mean: one.mean[place],
      low: one.low[place],
      high: one.high[place],
      obtained: this.obtainedNames[one.obtained[place]],
    };
  }

  // The verdicts to colour a method by: its own, else those of the method that was judged.
  judged(method) {
    return this.verdicts.find((one) => one.method === method) ?? this.verdicts[0] ?? null;
  }

  state(method, row, feature) {
    const judged = this.judged(method);
    return judged && row >= 0 ? judged.state_names[judged.states[row * this.width + feature]] : "";
  }

  // From the smallest to the largest number that any interval of these rows reaches, 0 included.
  range(method, rows) {
    const one = this.methods.get(method);
    let [low, high] = [0, 0];
    for (const row of rows) {
      for (let i = row * this.width; i < (row + 1) * this.width; i += 1) {
        low = Math.min(low, one.low[i] || 0, one.mean[i] || 0);
        high = Math.max(high, one.high[i] || 0, one.mean[i] || 0);
      }
    }
    return [low, high];
  }

  // The same over all epochs, computed once.
  wholeRange(method) {
    const one = this.methods.get(method);
    one.wholeRange ??= this.range(method, one.evaluated);
    return one.wholeRange;
  }

  // Ranks by importance from 1 on; 0 for features without a number.
  ranks(method, row) {
    const ranks = new Int32Array(this.width);
    if (row < 0) return ranks;
    const mean = this.methods.get(method).mean.subarray(row * this.width, (row + 1) * this.width);
    const known = [...mean.keys()].filter((i) => Number.isFinite(mean[i]));
    known.sort((a, b) => mean[b] - mean[a]);
    known.forEach((feature, index) => (ranks[feature] = index + 1));
    return ranks;
  }
}
