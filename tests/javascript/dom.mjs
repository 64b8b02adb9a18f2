// As much of a document as the widgets need: elements with attributes, children and listeners, without layout.
// Where it is imported first, `document` and `ResizeObserver` are there for what is imported after it.

class Text {
  constructor(text) {
    this.textContent = text;
  }
}

class Element {
  constructor(tag, namespace = null) {
    Object.assign(this, { tag, namespace, children: [], parent: null, listeners: {} });
    this.attributes = new Map();
    this.writes = 0; // how often text or an attribute was written
    this.style = {
      setProperty(name, value) {
        this[name] = value;
      },
    };
    const attributes = this.attributes;
    this.dataset = new Proxy({}, { get: (_, key) => attributes.get(`data-${key}`) });
    const classes = () => new Set((attributes.get("class") ?? "").split(" ").filter(Boolean));
    this.classList = {
      contains: (name) => classes().has(name),
      toggle: (name, isOn) => {
        const names = classes();
        if (isOn) names.add(name);
        else names.delete(name);
        attributes.set("class", [...names].join(" "));
      },
    };
  }

  getAttribute(name) {
    return this.attributes.get(name) ?? null;
  }

  setAttribute(name, value) {
    this.writes += 1;
    this.attributes.set(name, String(value));
  }

  removeAttribute(name) {
    this.attributes.delete(name);
  }

  addEventListener(kind, listener) {
    this.listeners[kind] = listener;
  }

  append(...children) {
    for (const child of children) {
      const node = child instanceof Element ? child : new Text(String(child));
      node.parent = this;
      this.children.push(node);
    }
  }

  replaceChildren(...children) {
    this.children = [];
    this.append(...children);
  }

  remove() {
    if (this.parent) this.parent.children = this.parent.children.filter((child) => child !== this);
    this.parent = null;
  }

  contains(other) {
    return other === this || this.children.some((child) => child.contains?.(other));
  }

  // Of all selectors the widgets use this one alone: [name].
  querySelectorAll(selector) {
    const name = selector.slice(1, -1);
    return this.children
      .filter((child) => child instanceof Element)
      .flatMap((child) => [
        ...(child.attributes.has(name) ? [child] : []),
        ...child.querySelectorAll(selector),
      ]);
  }

  focus() {
    document.activeElement = this;
  }

  get firstChild() {
    return this.children[0];
  }

  get lastChild() {
    return this.children[this.children.length - 1];
  }

  get textContent() {
    return this.children.map((child) => child.textContent).join("");
  }

  set textContent(text) {
    this.writes += 1;
    this.replaceChildren(text);
  }
}

globalThis.document = {
  activeElement: null,
  createElement: (tag) => new Element(tag),
  createElementNS: (namespace, tag) => new Element(tag, namespace),
};

globalThis.ResizeObserver = class {
  observe() {}
};
