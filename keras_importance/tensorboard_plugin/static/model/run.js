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

// A bundle: the length of its header, the header as JSON, and the arrays that the header lists.
export function decoded(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = header.arrays.map(
    (array) => new KINDS[array.kind](buffer, 4 + length + array.offset, array.length),
  );
  return { header, arrays };
}

// Epochs and features are meant by their indices: of `epochs` and of `names`.
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
      nUnreadable: header.n_unreadable,
      obtainedNames: header.obtained_names,
    });
    this.nFeatures = this.names.length;
    this.lowered = this.names.map((name) => name.toLowerCase());
    this.featureIndex = new Map(this.names.map((name, index) => [name, index]));
    this.methods = new Map(
      header.methods.map((method) => [
        method.name,
        {
          ...method,
          mean: arrays[method.mean],
          low: arrays[method.low],
          high: arrays[method.high],
          obtained: arrays[method.obtained],
        },
      ]),
    );
    this.verdicts = header.verdicts.map((judged) => ({ ...judged, states: arrays[judged.states] }));
  }

  // The newest epoch that is not after the one asked for; null asks for the newest.
  epochIndex(epoch) {
    if (epoch === null) return this.epochs.length - 1;
    let newest = 0;
    for (let i = 0; i < this.epochs.length && this.epochs[i] <= epoch; i += 1) newest = i;
    return newest;
  }

  // Methods may be evaluated in some epochs only: the newest such epoch that is not later, or -1.
  evaluatedIndex(method, epochIndex) {
    let newest = -1;
    for (const index of this.methods.get(method)?.evaluated ?? []) {
      if (index <= epochIndex) newest = index;
    }
    return newest;
  }

  importance(name, epochIndex, feature) {
    const method = this.methods.get(name);
    if (!method || epochIndex < 0) return { mean: NaN, low: NaN, high: NaN, obtained: "" };
    const i = epochIndex * this.nFeatures + feature;
    return {
      mean: method.mean[i],
      low: method.low[i],
      high: method.high[i],
      obtained: this.obtainedNames[method.obtained[i]],
    };
  }

  // The verdicts to colour a method by: its own, else those of the method that was judged.
  judged(method) {
    return this.verdicts.find((judged) => judged.method === method) ?? this.verdicts[0] ?? null;
  }

  state(method, epochIndex, feature) {
    const judged = this.judged(method);
    if (!judged || epochIndex < 0) return "";
    return judged.state_names[judged.states[epochIndex * this.nFeatures + feature]];
  }

  // From the smallest to the largest number that any interval of these epochs reaches, 0 included.
  range(method, epochIndices) {
    const { mean, low, high } = this.methods.get(method);
    let [least, most] = [0, 0];
    for (const index of epochIndices) {
      for (let i = index * this.nFeatures; i < (index + 1) * this.nFeatures; i += 1) {
        least = Math.min(least, low[i] || 0, mean[i] || 0);
        most = Math.max(most, high[i] || 0, mean[i] || 0);
      }
    }
    return [least, most];
  }

  // The same over all epochs, computed once.
  wholeRange(name) {
    const method = this.methods.get(name);
    method.wholeRange ??= this.range(name, method.evaluated);
    return method.wholeRange;
  }

  // Ranks by importance from 1 on; 0 for features without a number.
  ranks(method, epochIndex) {
    const ranks = new Int32Array(this.nFeatures);
    if (epochIndex < 0) return ranks;
    const first = epochIndex * this.nFeatures;
    const mean = this.methods.get(method).mean.subarray(first, first + this.nFeatures);
    const known = [...mean.keys()].filter((i) => Number.isFinite(mean[i]));
    known.sort((a, b) => mean[b] - mean[a]);
    known.forEach((feature, index) => (ranks[feature] = index + 1));
    return ranks;
  }
}
