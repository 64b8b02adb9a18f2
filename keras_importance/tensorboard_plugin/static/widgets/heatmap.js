// Numbers as colours on a canvas: features down, epochs or time steps across; only what is in view is drawn.

import { html, setText } from "./dom.js";
import { short } from "./numbers.js";
import { hideTooltip, showTooltip } from "./tooltip.js";

const READABLE = 20;
const MOST_HEIGHT = 30;
const MAX_READABLE = 60;
const LEAST_HEIGHT = 3;
const LETTERS_FROM = 11;
const FOOT = 26;
const GAP = 10;
const MAX_LABEL = 220;
const STEPS = 256;

const RAMPS = {
  light: {
    up: ["#f3f7fa", "#cfe3f1", "#7fb7da", "#2c82be", "#0b4a7f", "#06264a"],
    down: ["#f3f7fa", "#fbd9c3", "#f0a06c", "#d55e00", "#7f3500"],
    none: [226, 220, 208],
  },
  dark: {
    up: ["#383d41", "#1f4a69", "#2a79ad", "#5aaee6", "#a9d7f5", "#eef8ff"],
    down: ["#383d41", "#6d3a1c", "#c2601f", "#ff9a5e", "#ffd9c0"],
    none: [84, 78, 68],
  },
};

export class HeatMap {
  // describe(row, column) says what a cell is; onpick(row) is asked for by Enter, Space and clicks.
  constructor({ label, describe, onpick }) {
    Object.assign(this, { describe, onpick });
    this.cell = null;
    this.canvas = html("canvas", { "aria-hidden": "true" });
    this.space = html("div");
    this.space.append(this.canvas);
    this.element = html(
      "div",
      { class: "map", tabindex: "0", role: "application", "aria-label": label },
      this.space,
    );
    this.readout = html("div", { class: "readout number", "aria-live": "polite" });
    this.key = html("canvas", { width: "140", height: "1", "aria-hidden": "true" });
    this.keyLow = html("span", { class: "number" });
    this.keyHigh = html("span", { class: "number" });
    this.foot = html(
      "div",
      { class: "map-foot" },
      this.readout,
      html("div", { class: "colour-key" }, this.keyLow, this.key, this.keyHigh),
    );
    this.element.addEventListener("scroll", () => this.paint());
    this.canvas.addEventListener("mousemove", (event) => this.hovered(event));
    this.canvas.addEventListener("mouseleave", () => this.left());
    this.canvas.addEventListener("click", () => this.cell && this.onpick(this.cell[0]));
    this.element.addEventListener("keydown", (event) => this.pressed(event));
    new ResizeObserver(() => this.content && this.paint()).observe(this.element);
  }

  // content: rows (names), columns (labels), values (row, column), isMarked (row), column (marked), fit.
  set(content) {
    this.content = content;
    const { rows, columns, value } = content;
    let [low, high] = [0, 0];
    for (let i = 0; i < rows.length; i += 1) {
      for (let j = 0; j < columns.length; j += 1) {
        const importance = value(i, j);
        if (importance > high) high = importance;
        if (importance < low) low = importance;
      }
    }
    const reach = Math.max(high, -low) || 1;
    this.ramp = ramp(document.documentElement.dataset.theme ?? "light");
    const picture = new ImageData(Math.max(1, columns.length), Math.max(1, rows.length));
    const pixels = new Uint32Array(picture.data.buffer);
    for (let i = 0; i < rows.length; i += 1) {
      for (let j = 0; j < columns.length; j += 1)
        pixels[i * columns.length + j] = this.ramp(value(i, j) / reach);
    }
    this.cells = new OffscreenCanvas(picture.width, picture.height);
    this.cells.getContext("2d").putImageData(picture, 0, 0);
    this.paintKey(low, high, reach);
    if (this.cell && (this.cell[0] >= rows.length || this.cell[1] >= columns.length)) this.cell = null;
    this.paint();
    this.tell();
  }

  paintKey(low, high, reach) {
    const width = this.key.width;
    const picture = new ImageData(width, 1);
    const pixels = new Uint32Array(picture.data.buffer);
    for (let i = 0; i < width; i += 1)
      pixels[i] = this.ramp((low + ((high - low) * i) / (width - 1)) / reach);
    this.key.getContext("2d").putImageData(picture, 0, 0);
    setText(this.keyLow, short(low));
    setText(this.keyHigh, short(high));
  }

  layout() {
    const { rows, columns, fit } = this.content;
    const { clientWidth: width, clientHeight: height } = this.element;
    const isAtOnce = isFit(fit, rows.length);
    const fitting = Math.min(MOST_HEIGHT, (height - FOOT) / Math.max(1, rows.length));
    const rowHeight = Math.max(isAtOnce ? LEAST_HEIGHT : READABLE, fitting);
    const withNames = rowHeight >= LETTERS_FROM;
    const context = this.canvas.getContext("2d");
    context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const first = Math.floor(this.element.scrollTop / rowHeight);
    const inView = Math.ceil((height - FOOT) / rowHeight) + 1;
    let label = 0;
    if (withNames) {
      // Of all names, so that nothing jumps while scrolling; measuring a thousand takes a millisecond.
      for (const name of rows) label = Math.max(label, context.measureText(name).width);
    }
    const left = withNames ? Math.min(MAX_LABEL, Math.ceil(label)) + GAP : 0;
    const cellWidth = Math.min(64, Math.max(1, width - left - 4) / Math.max(1, columns.length));
    return { width, height, rowHeight, withNames, left, cellWidth, first, inView, context };
  }

  paint() {
    if (!this.element.clientHeight) return;
    const { rows, columns, column, isMarked } = this.content;
    const at = this.layout();
    this.at = at;
    this.space.style.height = `${rows.length * at.rowHeight + FOOT}px`;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(at.width * scale), Math.round(at.height * scale)];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.canvas.style.width = `${at.width}px`;
      this.canvas.style.height = `${at.height}px`;
    }
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const { context } = at;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, at.width, at.height);
    context.imageSmoothingEnabled = false;
    context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    context.textBaseline = "middle";
    const top = -this.element.scrollTop;
    context.save();
    context.beginPath();
    context.rect(0, 0, at.width, at.height - FOOT);
    context.clip();
    context.drawImage(
      this.cells,
      0,
      0,
      columns.length,
      rows.length,
      at.left,
      top,
      columns.length * at.cellWidth,
      rows.length * at.rowHeight,
    );
    if (at.withNames) {
      context.textAlign = "right";
      for (let i = at.first; i < Math.min(rows.length, at.first + at.inView); i += 1) {
        context.fillStyle = isMarked(i) ? colour("--accent") : colour("--ink");
        const y = top + (i + 0.5) * at.rowHeight;
        context.fillText(fitted(context, rows[i], at.left - GAP), at.left - GAP, y);
        context.fillStyle = colour("--back");
        context.fillRect(at.left, top + (i + 1) * at.rowHeight - 0.5, columns.length * at.cellWidth, 1);
      }
    }
    if (column !== null) {
      context.strokeStyle = colour("--accent");
      context.lineWidth = 1.5;
      context.strokeRect(
        at.left + column * at.cellWidth,
        top + 1,
        at.cellWidth,
        rows.length * at.rowHeight - 2,
      );
    }
    if (this.cell) {
      context.strokeStyle = colour("--ink");
      context.lineWidth = 2;
      const cellHeight = Math.max(at.rowHeight, 3);
      context.strokeRect(
        at.left + this.cell[1] * at.cellWidth,
        top + this.cell[0] * at.rowHeight,
        at.cellWidth,
        cellHeight,
      );
    }
    context.restore();
    this.paintFoot(at, top, colour("--faint"));
  }

  paintFoot(at, top, colour) {
    const { context } = at;
    const { columns, rows } = this.content;
    const y = Math.min(at.height - FOOT, top + rows.length * at.rowHeight) + FOOT / 2;
    context.fillStyle = colour;
    context.textAlign = "center";
    const every = Math.max(1, Math.ceil(44 / at.cellWidth));
    const step = [1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000].find((size) => size >= every) ?? every;
    for (let j = 0; j < columns.length; j += step) {
      context.fillText(String(columns[j]), at.left + (j + 0.5) * at.cellWidth, y);
    }
  }

  cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - this.at.left) / this.at.cellWidth);
    const row = Math.floor((event.clientY - box.top + this.element.scrollTop) / this.at.rowHeight);
    const isFoot = event.clientY - box.top > this.at.height - FOOT;
    const { rows, columns } = this.content;
    return isFoot || column < 0 || column >= columns.length || row < 0 || row >= rows.length
      ? null
      : [row, column];
  }

  hovered(event) {
    this.cell = this.cellAt(event);
    if (this.cell) {
      const [title, lines] = this.describe(...this.cell);
      showTooltip(event.clientX, event.clientY, title, lines);
    } else {
      hideTooltip();
    }
    this.paint();
    this.tell();
  }

  left() {
    this.cell = null;
    hideTooltip();
    this.paint();
    this.tell();
  }

  tell() {
    if (!this.cell) {
      setText(this.readout, "");
      return;
    }
    const [title, lines] = this.describe(...this.cell);
    setText(this.readout, `${title}: ${lines.map(([, name, value]) => `${name} ${value}`).join(", ")}`);
  }

  pressed(event) {
    const { rows, columns } = this.content;
    const step = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[
      event.key
    ];
    if (step) {
      event.preventDefault();
      const [i, j] = this.cell ?? [-step[0], columns.length - 1 - step[1]];
      this.cell = [
        Math.max(0, Math.min(rows.length - 1, i + step[0])),
        Math.max(0, Math.min(columns.length - 1, j + step[1])),
      ];
      const top = this.cell[0] * this.at.rowHeight;
      if (top < this.element.scrollTop) this.element.scrollTop = top;
      const below = top + this.at.rowHeight - (this.at.height - FOOT);
      if (below > this.element.scrollTop) this.element.scrollTop = below;
      this.paint();
      this.tell();
    } else if (this.cell && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      this.onpick(this.cell[0]);
    }
  }
}

// Whether all rows are shown at once: as asked for, else where there are too many to read.
export function isFit(fit, nRows) {
  return fit ?? nRows > MAX_READABLE;
}

function fitted(context, name, width) {
  if (context.measureText(name).width <= width) return name;
  const letters = [...name];
  while (letters.length > 1 && context.measureText(`${letters.join("")}\u2026`).width > width)
    letters.pop();
  return `${letters.join("")}\u2026`;
}

// From -1..1 to a pixel; small numbers are spread by a square root, so that they are told from 0.
export function ramp(theme) {
  const { up, down, none } = RAMPS[theme];
  const [rising, falling] = [shades(up), shades(down)];
  const missing = pixel(none);
  return (fraction) => {
    if (!Number.isFinite(fraction)) return missing;
    const index = Math.round(Math.sqrt(Math.min(1, Math.abs(fraction))) * (STEPS - 1));
    return (fraction < 0 ? falling : rising)[index];
  };
}

function shades(stops) {
  const colours = stops.map((stop) => [1, 3, 5].map((i) => parseInt(stop.slice(i, i + 2), 16)));
  return Array.from({ length: STEPS }, (_, i) => {
    const place = (i / (STEPS - 1)) * (colours.length - 1);
    const first = Math.min(colours.length - 2, Math.floor(place));
    return pixel(
      colours[first].map((from, k) =>
        Math.round(from + (place - first) * (colours[first + 1][k] - from)),
      ),
    );
  });
}

// As canvases keep it on little-endian machines, which all browsers run on.
function pixel([red, green, blue]) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}
