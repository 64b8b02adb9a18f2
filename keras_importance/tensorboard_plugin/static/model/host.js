// The page around the tab: its theme, its address and its reloads. It may be absent, or another origin's.

const PREFIX = "p.keras_importance.";

function page() {
  try {
    return window.parent.document ? window.parent : window;
  } catch {
    return window;
  }
}

export function watchTheme(changed) {
  const host = page();
  const isDark = () =>
    host === window
      ? window.matchMedia("(prefers-color-scheme: dark)").matches
      : host.document.body.classList.contains("dark-mode");
  const apply = () => {
    document.documentElement.dataset.theme = isDark() ? "dark" : "light";
    changed();
  };
  if (host !== window) {
    new host.MutationObserver(apply).observe(host.document.body, { attributeFilter: ["class"] });
  }
  apply();
}

// TensorBoard's frame protocol: a port handed over once; each message wants a reply.
export function watchReloads(reloaded) {
  if (window.parent === window) return;
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.isReply) return;
    if (message.type === "experimental.DataReloaded") reloaded();
    port1.postMessage(JSON.stringify({ ...message, payload: null, error: null, isReply: true }));
  };
  window.parent.postMessage("experimental.bootstrap", "*", [port2]);
}

function entries() {
  return page().location.hash.slice(1).split("&").filter(Boolean);
}

export function addressState() {
  const values = {};
  for (const entry of entries()) {
    const [key, value] = entry.split("=").map(decodeURIComponent);
    if (key.startsWith(PREFIX) && value !== undefined) values[key.slice(PREFIX.length)] = value;
  }
  return values;
}

export function setAddressState(values) {
  const others = entries().filter((entry) => !decodeURIComponent(entry).startsWith(PREFIX));
  // Another dashboard is open: its address is not ours to change.
  if (page() !== window && others.length && !others.includes("keras_importance")) return;
  const ours = Object.entries(values).map(
    ([key, value]) => `${encodeURIComponent(PREFIX + key)}=${encodeURIComponent(value)}`,
  );
  const hash = [...others, ...ours].join("&");
  const { history, location } = page();
  if (location.hash.slice(1) !== hash) {
    history.replaceState(history.state, "", `${location.pathname}${location.search}#${hash}`);
  }
}

export function watchAddress(changed) {
  page().addEventListener("hashchange", changed);
}
