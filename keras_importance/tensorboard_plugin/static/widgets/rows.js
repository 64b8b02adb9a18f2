// A list of which only the visible rows exist; rows keep their element, so that they can glide.

import { html, setAttribute } from "./dom.js";

const MARGIN = 6;

export class Rows {
  // make() returns an element, fill(element, item, index) writes into it; items are feature numbers.
  constructor({ height, label, make, fill, onkey }) {
    Object.assign(this, { height, make, fill, onkey });
    this.items = [];
    this.shown = new Map();
    this.spare = [];
    this.active = 0;
    this.space = html("div", { class: "rows-space", role: "rowgroup" });
    this.element = html(
      "div",
      {
        class: "rows",
        role: "table",
        tabindex: "0",
        "aria-label": label,
        onscroll: () => this.draw(false),
        onkeydown: (event) => this.pressed(event),
      },
      this.space,
    );
    new ResizeObserver(() => this.draw(false)).observe(this.element);
  }

  // Drops all elements: rows made for other columns can't be used again.
  clear() {
    this.shown.forEach((element) => element.remove());
    this.shown.clear();
    this.spare = [];
  }

  set(items) {
    this.items = items;
    this.active = Math.max(0, Math.min(this.active, items.length - 1));
    this.space.style.height = `${items.length * this.height}px`;
    setAttribute(this.element, "aria-rowcount", items.length);
    this.draw(true);
  }

  // The rows in view; with isNew, those that were in view before are filled again.
  draw(isNew) {
    const { scrollTop, clientHeight } = this.element;
    const first = Math.max(0, Math.floor(scrollTop / this.height) - MARGIN);
    const last = Math.min(
      this.items.length,
      Math.ceil((scrollTop + clientHeight) / this.height) + MARGIN,
    );
    const wanted = new Map();
    for (let index = first; index < last; index += 1) wanted.set(this.items[index], index);
    for (const [item, element] of this.shown) {
      if (!wanted.has(item)) {
        this.shown.delete(item);
        element.remove();
        this.spare.push(element);
      }
    }
    for (const [item, index] of wanted) {
      const known = this.shown.get(item);
      const element = known ?? this.spare.pop() ?? this.make();
      element.style.transform = `translateY(${index * this.height}px)`;
      setAttribute(element, "aria-rowindex", index + 1);
      element.classList.toggle("active", index === this.active);
      if (!known || isNew) this.fill(element, item, index);
      if (!known) {
        this.shown.set(item, element);
        this.space.append(element);
      }
    }
  }

  pressed(event) {
    if (event.target !== this.element) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.height) - 1);
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -Infinity,
      End: Infinity,
    };
    if (event.key in steps) {
      event.preventDefault();
      this.active = Math.max(0, Math.min(this.items.length - 1, this.active + steps[event.key]));
      this.reveal();
      this.draw(false);
    } else if (this.items.length && this.onkey?.(event.key, this.items[this.active])) {
      event.preventDefault();
    }
  }

  reveal() {
    const top = this.active * this.height;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    if (top + this.height > scrollTop + clientHeight)
      this.element.scrollTop = top + this.height - clientHeight;
  }
}

// The button in the head of a column that sorts the rows by it, with an arrow where they are.
export function sortButton({ key, text, hint = null, isSorted, ascending, onclick }) {
  const arrow = isSorted ? (ascending ? "\u2191" : "\u2193") : "";
  return html(
    "button",
    { class: `sort${isSorted ? " on" : ""}`, "data-sort": key, "data-key": key, title: hint, onclick },
    text,
    html("span", { class: "arrow", "aria-hidden": "true" }, arrow),
  );
}
