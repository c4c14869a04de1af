// A matrix of pairs on a canvas: switch measure, scale and order, zoom, point at a cell or use the arrow keys. Over one
// whose rows were clustered stands their tree, and below it the groups at the reader's cut.
const heatmap = (box, fig) => {
  const NARROW = 38, TOP = 4, TREE = 84, BOTTOM = 18;
  const { rows, cols, block, symmetric } = fig.views[0].matrix;
  const order = fig.clusters?.order;
  const own = symmetric && block === 1;
  const state = { view: 0, log: false, sorted: Boolean(order), at: null, row: 0, col: 0, span: 1, picked: null };
  const cache = new Map();
  const values = (view) => {
    const pre = state.sorted && block > 1;
    const key = view + (pre ? "s" : "");
    if (!cache.has(key)) cache.set(key, decode(pre ? fig.views[view].ordered : fig.views[view].matrix));
    return cache.get(key);
  };
  const place = (i) => (state.sorted && block === 1 ? order[i] : i);
  const value = (view, r, c) => {
    const found = values(view);
    return found.value(found.code(place(r), place(c)));
  };
  const label = (i) => (fig.names ? fig.names[i] : i);
  const column = (i) => (fig.columns ? fig.columns[i] : label(i));
  const texts = typeof fig.names?.[0] === "string";
  const members = (i, name = label) => {
    if (block === 1) return String(name(place(i)));
    const count = order?.length ?? Infinity;
    const all = Array.from({ length: Math.min(block, count - i * block) }, (_, k) => i * block + k);
    return all.map((k) => name(state.sorted ? order[k] : k)).join("/");
  };

  const canvas = make("canvas", { class: "map", tabindex: "0", role: "application", "aria-label": fig.label + ". Arrow keys move from pair to pair, plus and minus zoom." });
  const read = make("output", { class: "read", "aria-live": "polite" });
  const hint = rows > 1 ? "Point at a cell, or focus the map and use the arrow keys." : "";
  const bar = make("canvas", { width: "256", height: "1", "aria-hidden": "true" });
  const [barLow, barHigh, barUnit] = [make("span"), make("span"), make("span")];
  const controls = make("div", { class: "controls" });
  if (fig.views.length > 1) controls.append(choice("Measure", fig.views.map((v) => v.name), (i) => set({ view: i })));
  controls.append(choice("Colour scale", ["Linear", "Log"], (i) => set({ log: i === 1 })));
  if (order && rows > 2) controls.append(choice("Order", ["By index", "By similarity"], (i) => set({ sorted: i === 1 }), Number(state.sorted)));
  const zoomable = Math.max(rows, cols) > 48;
  if (zoomable) {
    controls.append(make("div", { class: "seg", role: "group", "aria-label": "Zoom" },
      make("button", { type: "button", "aria-label": "Zoom in", onclick: () => zoom(0.5) }, "+"),
      make("button", { type: "button", "aria-label": "Zoom out", onclick: () => zoom(2) }, "\u2212"),
      make("button", { type: "button", onclick: () => zoom(Infinity) }, "All")));
  }
  const key = make("div", { class: "key" });
  if (own) key.append(make("span", {}, make("i", { class: "self" }), "a " + fig.row + " with itself"));
  const dead = make("span", {}, make("i", { class: "none" }), "no value");
  if (block > 1) key.append(make("span", {}, `a cell is the mean over ${block} \u00d7 ${block} pairs; exact values are in the .npy`));
  const groups = order?.length > 2 && fig.clusters.joins.some((j) => j !== null) ? clusters(box, fig, label, () => render()) : null;
  box.append(controls, canvas, make("div", { class: "scale" }, barLow, bar, barHigh, barUnit), key, read);
  if (groups) box.append(groups.panel);
  read.textContent = hint;

  const set = (change) => {
    Object.assign(state, change);
    paint();
    render();
  };

  const bounds = () => {
    const { range, matrix } = fig.views[state.view];
    const low = range[0] ?? Math.min(matrix.lo, 0);
    const most = range[1] ?? matrix.peak;
    const high = most > low ? most : low + 1;
    return { low, high, least: Math.max(matrix.least, high * 1e-4) };
  };
  // Share of the colour scale, 0 to 1. On the logarithmic one everything below its start gets the start.
  const shades = () => {
    const { low, high, least } = bounds();
    return state.log ? (v) => (v <= least ? 0 : Math.log(v / least) / Math.log(high / least)) : (v) => (v - low) / (high - low);
  };

  const image = document.createElement("canvas");
  const paint = () => {
    const missing = paintCells(image, rows, cols, values(state.view), place, shades(), own);
    if (missing) key.append(dead); else dead.remove();
    const stripe = bar.getContext("2d");
    const colours = stripe.createImageData(256, 1);
    VIRIDIS.forEach((colour, i) => colours.data.set([...colour, 255], 4 * i));
    stripe.putImageData(colours, 0, 0);
    const { low, high, least } = bounds();
    barLow.textContent = state.log ? "\u2264 " + number(least) : short(low);
    barHigh.textContent = number(high);
    barUnit.textContent = fig.views[state.view].unit;
  };

  // Where the cells are, and the part of them that is shown: all, or a window of the same proportions.
  const layout = () => {
    const outer = box.clientWidth;
    const longest = (names) => Math.max(...names.map((name) => wide(name, FONT))) + 10;
    const left = clamp(texts ? longest(fig.names) : 0, NARROW, Math.max(NARROW, outer * 0.34));
    const bottom = texts ? Math.min(longest(fig.columns ?? fig.names), 150) : BOTTOM;
    const top = TOP + (groups && state.sorted ? TREE : 0);
    const width = Math.min(outer - left, 582, cols * 64);
    const height = clamp((width * rows) / cols, Math.min(150, width), width);
    const shown = (count) => Math.max(1, Math.round(count * state.span));
    return { left, top, bottom, width, height, row: state.row, col: state.col, nr: shown(rows), nc: shown(cols) };
  };
  const picture = (context) => {
    const { left, top, width, height, row, col, nr, nc } = frame;
    context.imageSmoothingEnabled = nc > width * (devicePixelRatio || 1);
    context.imageSmoothingQuality = "high";
    context.drawImage(image, col, row, nc, nr, left, top, width, height);
    const name = (of) => (i) => (block === 1 ? of(place(i)) : i * block);
    axes(context, frame, rows, cols, { rowName: name(label), colName: name(column), texts, all: state.sorted });
    if (width / nc >= 40) numerals(context, frame, (r, c) => value(state.view, r, c), shades(), own);
    if (!groups || !state.sorted) return;
    squares(context, frame, groups.runs(), block);
    dendrogram(context, groups, { left, top: TOP, width, height: TREE - 6 }, col * block, nc * block);
  };

  // What does not depend on the pointer is kept, since it takes longer to draw.
  const still = document.createElement("canvas");
  let frame = null;
  const render = () => {
    if (!box.clientWidth) return;
    frame = layout();
    canvas.style.width = frame.left + frame.width + "px";
    picture(size(still, frame.left + frame.width, frame.top + frame.height + frame.bottom));
    show();
  };
  const show = () => {
    const context = size(canvas, frame.left + frame.width, frame.top + frame.height + frame.bottom);
    context.drawImage(still, 0, 0, frame.left + frame.width, frame.top + frame.height + frame.bottom);
    if (state.at) outline(context, frame, ...state.at);
    else if (state.picked !== null && block === 1) {
      const index = fig.names ? fig.names.indexOf(state.picked) : state.picked;
      band(context, frame, state.sorted ? order.indexOf(index) : index);
    }
  };

  const drawing = () => {
    const { left, top, width, height, bottom } = frame;
    const pen = new Pen(left + Math.max(width, 300), top + height + bottom + 30);
    picture(pen);
    const y = top + height + bottom + 12;
    pen.font = FONT;
    pen.fillStyle = theme("--soft");
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    const low = barLow.textContent, from = left + wide(low, FONT) + 8;
    pen.fillText(low, left, y + 5);
    pen.drawImage(bar, 0, 0, 256, 1, from, y, 140, 10);
    pen.fillText([barHigh.textContent, fig.views[state.view].name, barUnit.textContent].filter(Boolean).join(" "), from + 148, y + 5);
    return pen.svg;
  };

  const describe = (r, c) => {
    const [a, b] = [members(r), members(c, column)];
    const where = fig.row !== fig.col || !symmetric ? `${fig.row} ${a}, ${fig.col} ${b}` : r === c && block === 1 ? `${fig.row} ${a} with itself` : `${fig.row}s ${a} and ${b}`;
    const what = fig.views.map((view, i) => `${view.name} ${number(value(i, r, c))}`);
    return where[0].toUpperCase() + where.slice(1) + ": " + what.join(", ");
  };

  const point = (r, c, event) => {
    state.at = [r, c];
    show();
    const text = describe(r, c);
    read.textContent = text;
    if (event) tip.show(text, event.clientX, event.clientY);
    pick(box, block === 1 && fig.row === fig.col ? label(place(c)) : null);
  };
  const leave = () => {
    state.at = null;
    tip.hide();
    read.textContent = hint;
    pick(box, null);
    show();
  };

  const cell = (event) => {
    const area = canvas.getBoundingClientRect();
    const x = (event.clientX - area.left - frame.left) / frame.width;
    const y = (event.clientY - area.top - frame.top) / frame.height;
    if (x < 0 || y < 0 || x >= 1 || y >= 1) return null;
    return [state.row + Math.floor(y * frame.nr), state.col + Math.floor(x * frame.nc)];
  };

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (state.span < 1 && event.pointerType === "mouse") {
      drag = { x: event.clientX, y: event.clientY, row: state.row, col: state.col };
      canvas.setPointerCapture(event.pointerId);
    }
    const at = cell(event);
    if (at) point(...at, event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (drag) {
      const rowStep = Math.round(((drag.y - event.clientY) / frame.height) * frame.nr);
      const colStep = Math.round(((drag.x - event.clientX) / frame.width) * frame.nc);
      scroll(drag.row + rowStep, drag.col + colStep);
      tip.hide();
      render();
      return;
    }
    const at = cell(event);
    if (at) point(...at, event); else if (state.at) leave();
  });
  canvas.addEventListener("pointerup", () => (drag = null));
  canvas.addEventListener("pointerleave", () => !drag && leave());
  canvas.addEventListener("blur", leave);

  const scroll = (row, col) => {
    const { nr, nc } = layout();
    state.row = clamp(row, 0, rows - nr);
    state.col = clamp(col, 0, cols - nc);
  };
  const zoom = (factor) => {
    const smallest = Math.min(1, 8 / Math.max(rows, cols));
    const [r, c] = state.at ?? [state.row + frame.nr / 2, state.col + frame.nc / 2];
    state.span = clamp(state.span * factor, smallest, 1);
    const { nr, nc } = layout();
    scroll(Math.round(r - nr / 2), Math.round(c - nc / 2));
    render();
  };
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    if (move && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const [r, c] = state.at ?? [state.row, state.col - move[1]];
      const step = event.shiftKey ? 10 : 1;
      const next = [clamp(r + step * move[0], 0, rows - 1), clamp(c + step * move[1], 0, cols - 1)];
      const { row, col } = state;
      scroll(clamp(row, next[0] - frame.nr + 1, next[0]), clamp(col, next[1] - frame.nc + 1, next[1]));
      if (row !== state.row || col !== state.col) render();
      point(...next);
    } else if (zoomable && "+=".includes(event.key)) zoom(0.5);
    else if (zoomable && event.key === "-") zoom(2);
    else if (event.key === "Escape") leave();
    else return;
    event.preventDefault();
  });

  return {
    paint() {
      paint();
      render();
    },
    resize: render,
    drawing,
    pick(channel) {
      if (!symmetric || state.at || state.picked === channel || !frame) return;
      state.picked = channel;
      show();
    },
  };
};
