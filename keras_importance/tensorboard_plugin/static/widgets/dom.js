// Elements from names, attributes and children. Strings become text nodes: names are data, never markup.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  setAll(element, attributes);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function setAll(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (value === null || value === undefined || value === false) {
      element.removeAttribute(name);
    } else {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
}

export function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

// Puts new children in the place of the old ones; who used one of them by keyboard stays there.
export function replaceChildren(element, ...children) {
  const focused = element.contains(document.activeElement)
    ? document.activeElement.getAttribute("data-key")
    : null;
  element.replaceChildren(...children);
  if (focused !== null)
    [...element.querySelectorAll("[data-key]")].find(({ dataset }) => dataset.key === focused)?.focus();
}

// Writing what is there already would make the browser lay out and paint for nothing.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  const text = String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}
