"use strict";
// Small helpers every figure uses. Text always goes in as text, never as markup.
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
};

const draw = (tag, attributes = {}, text) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
};

const bytes = (blob) => unpack(document.getElementById("blob-" + blob).textContent);
// The same of a blob that several figures show.
const unpacked = new Map();
const shared = (blob) => {
  if (!unpacked.has(blob)) unpacked.set(blob, bytes(blob));
  return unpacked.get(blob);
};
const unpack = (base64) => {
  const text = atob(base64);
  const out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  return out;
};

// Three significant digits, as in the tables.
const number = (x) => {
  if (x === null || !Number.isFinite(x)) return "\u2013";
  if (x === 0) return "0";
  const size = Number(x.toExponential(2).split("e")[1]);
  if (size < -3 || size > 6) return x.toExponential(2);
  return x.toFixed(Math.min(6, Math.max(0, 2 - size)));
};
const percent = (x) => (x === null || !Number.isFinite(x) ? "\u2013" : number(x * 100) + "\u00a0%");
// A value with its standard error as in the tables: two digits of the error, and as many decimals of the value.
const withError = (x, error, share) => {
  if (x === null || error === null) return (share ? percent : number)(x);
  const [value, e] = share ? [100 * x, 100 * error] : [x, error];
  const two = clamp(1 - Number(e.toExponential(1).split("e")[1]), 0, 6);
  const places = share && (e >= 0.1 || e === 0) ? 1 : e === 0 ? 2 : two;
  return `${value.toFixed(places)} \u00b1 ${e.toFixed(places)}${share ? "\u00a0%" : ""}`;
};

// For axes, where the zeros at the end say nothing.
const short = (x, share) => (share ? Number((x * 100).toPrecision(6)) + "\u00a0%" : Math.abs(x) >= 1e6 ? number(x) : String(Number(x.toPrecision(6))));

const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

// Piecewise linear through the given colours, 256 steps of [r, g, b].
const ramp = (stops) => {
  const colours = stops.map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  return Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (colours.length - 1);
    const low = Math.min(Math.floor(at), colours.length - 2);
    return [0, 1, 2].map((k) => Math.round(colours[low][k] + (at - low) * (colours[low + 1][k] - colours[low][k])));
  });
};
const VIRIDIS = ramp(["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"]);
const ORANGE_PURPLE = ramp(["#7f3b08", "#b35806", "#e08214", "#fdb863", "#fee0b6", "#f7f7f7", "#d8daeb", "#b2abd2", "#8073ac", "#542788", "#2d004b"]);

// One tooltip for the page; what it says also reaches screen readers through the figure's output.
const tip = {
  node: document.getElementById("tip"),
  show(text, x, y) {
    this.node.textContent = text;
    this.node.hidden = false;
    const { width, height } = this.node.getBoundingClientRect();
    const left = clamp(x + 14, 4, Math.max(4, innerWidth - width - 8));
    const above = y - height - 14;
    this.node.style.left = left + "px";
    this.node.style.top = (above > 4 ? above : y + 20) + "px";
  },
  hide() {
    this.node.hidden = true;
  },
};

// A row of buttons of which one is pressed.
const choice = (label, names, chosen, first = 0) => {
  const buttons = names.map((name, i) =>
    make("button", { type: "button", "aria-pressed": String(i === first), onclick: () => press(i) }, name));
  const press = (i) => {
    buttons.forEach((button, j) => button.setAttribute("aria-pressed", String(i === j)));
    chosen(i);
  };
  return make("div", { class: "seg", role: "group", "aria-label": label }, ...buttons);
};

// Sharp canvas of a size in CSS pixels.
const size = (canvas, width, height) => {
  const ratio = Math.max(1, Math.min(3, devicePixelRatio || 1));
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = height + "px";
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
};

// The least of 1, 2, 5, 10, 20, ... (or a tenth of them, ...) that divides a span into at most so many steps.
const roundStep = (span, wanted) => {
  const raw = span / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(raw));
  return Number(([1, 2, 5, 10].find((m) => m * power >= raw * 0.999) * power).toPrecision(12));
};

// Round steps for an axis from low to high.
const ticks = (low, high, wanted) => {
  if (!(high > low)) return [low];
  const step = roundStep(high - low, wanted);
  const out = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-9; t += step) out.push(Number(t.toPrecision(12)));
  return out;
};
