// Numbers as people read them: short, aligned, with a true minus sign.

const MINUS = "\u2212";

function withMinus(text) {
  return text.replaceAll("-", MINUS);
}

// Formats the numbers of a column alike: three digits of the largest one.
export function formatter(largest) {
  if (!(largest > 0) || !Number.isFinite(largest)) return (value) => short(value);
  const exponent = Math.floor(Math.log10(largest));
  if (exponent < -5 || exponent > 6) {
    return (value) => (Number.isFinite(value) ? withMinus(value.toExponential(1)) : "\u2013");
  }
  const digits = Math.max(0, Math.min(8, 2 - exponent));
  return (value) => {
    if (!Number.isFinite(value)) return "\u2013";
    // What rounds to 0 has no sign.
    const text = value.toFixed(digits);
    return withMinus(Number(text) === 0 ? text.replace("-", "") : text);
  };
}

// One number that stands alone: four significant digits.
export function short(value) {
  if (value === null || !Number.isFinite(value)) return "\u2013";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e6) return withMinus(value.toExponential(2));
  return withMinus(String(Number(value.toPrecision(4))));
}

// An interval in words; a dash where it is unknown.
export function interval(low, high, format = short) {
  return Number.isFinite(low) ? `${format(low)} to ${format(high)}` : "\u2013";
}

// An importance with its interval, where there is one.
export function withInterval({ mean, low, high }) {
  return Number.isFinite(low) ? `${short(mean)} (${interval(low, high)})` : short(mean);
}

export function signed(text) {
  return text.startsWith(MINUS) || text === "\u2013" ? text : `+${text}`;
}

// From the smallest to the largest of the known numbers, 0 included.
export function extent(values) {
  let [low, high] = [0, 0];
  for (const value of values.filter(Number.isFinite)) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}

// Round numbers within a range, about as many as asked for.
export function ticks(low, high, count) {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const levels = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) {
    levels.push(Number((i * step).toPrecision(12)));
  }
  return levels;
}

export function wholeTicks(low, high, count) {
  return ticks(low, high, count).filter(Number.isInteger);
}

export function rankCorrelation(first, second) {
  const ranksOf = (values) => {
    const order = [...values.keys()].sort((a, b) => values[a] - values[b]);
    const ranks = new Array(values.length);
    for (let i = 0; i < order.length;) {
      let j = i;
      while (j < order.length && values[order[j]] === values[order[i]]) j += 1;
      for (let k = i; k < j; k += 1) ranks[order[k]] = (i + j - 1) / 2;
      i = j;
    }
    return ranks;
  };
  const [a, b] = [ranksOf(first), ranksOf(second)];
  const middle = (a.length - 1) / 2;
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i += 1) {
    ab += (a[i] - middle) * (b[i] - middle);
    aa += (a[i] - middle) ** 2;
    bb += (b[i] - middle) ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}
