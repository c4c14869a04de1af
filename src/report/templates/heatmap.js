// A matrix of pairs on a canvas: switch measure, scale and order, zoom, point at a cell or use the arrow keys.
const NO_VALUE = 65535;

const decode = (matrix) => {
  const raw = bytes(matrix.blob);
  const codes = new Uint16Array(raw.length / 2);
  for (let i = 0; i < codes.length; i++) codes[i] = raw[2 * i] | (raw[2 * i + 1] << 8);
  const { cols, symmetric, lo, hi } = matrix;
  return (i, j) => {
    if (symmetric && j < i) [i, j] = [j, i];
    const code = codes[symmetric ? i * cols - (i * (i - 1)) / 2 + (j - i) : i * cols + j];
    return code === NO_VALUE ? null : lo + (code / 65534) * (hi - lo);
  };
};

const heatmap = (box, fig) => {
  const LEFT = 38, TOP = 4, BOTTOM = 18;
  const first = fig.views[0].matrix;
  const { rows, cols, block, symmetric } = first;
  // In the order of their numbers, many channels look like noise.
  const state = { view: 0, log: false, sorted: Boolean(fig.order) && rows > 24, at: null, row: 0, col: 0, span: 1, picked: null };
  const cache = new Map();
  const values = (view) => {
    const pre = state.sorted && block > 1;
    const key = view + (pre ? "s" : "");
    if (!cache.has(key)) cache.set(key, decode(pre ? fig.views[view].ordered : fig.views[view].matrix));
    return cache.get(key);
  };
  const place = (i) => (state.sorted && block === 1 ? fig.order[i] : i);
  const value = (view, r, c) => values(view)(place(r), place(c));
  const label = (i) => (fig.names ? fig.names[i] : i);
  const members = (i, count) => {
    if (block === 1) return String(label(place(i)));
    const all = Array.from({ length: Math.min(block, count - i * block) }, (_, k) => i * block + k);
    return all.map((k) => label(state.sorted ? fig.order[k] : k)).join("/");
  };

  const canvas = make("canvas", { class: "map", tabindex: "0", role: "application", "aria-label": fig.label + ". Arrow keys move from pair to pair, plus and minus zoom." });
  const read = make("output", { class: "read", "aria-live": "polite" });
  const hint = rows > 1 ? "Point at a cell, or focus the map and use the arrow keys." : "";
  const bar = make("canvas", { width: "256", height: "1", "aria-hidden": "true" });
  const [barLow, barHigh, barUnit] = [make("span"), make("span"), make("span")];
  const controls = make("div", { class: "controls" });
  if (fig.views.length > 1) controls.append(choice("Measure", fig.views.map((v) => v.name), (i) => set({ view: i })));
  controls.append(choice("Colour scale", ["Linear", "Log"], (i) => set({ log: i === 1 })));
  if (fig.order && rows > 2) controls.append(choice("Order", ["By index", "By similarity"], (i) => set({ sorted: i === 1 }), Number(state.sorted)));
  const zoomable = Math.max(rows, cols) > 48;
  if (zoomable) {
    controls.append(make("div", { class: "seg", role: "group", "aria-label": "Zoom" },
      make("button", { type: "button", "aria-label": "Zoom in", onclick: () => zoom(0.5) }, "+"),
      make("button", { type: "button", "aria-label": "Zoom out", onclick: () => zoom(2) }, "\u2212"),
      make("button", { type: "button", onclick: () => zoom(Infinity) }, "All")));
  }
  const key = make("div", { class: "key" });
  if (symmetric && block === 1) key.append(make("span", {}, make("i", { class: "self" }), "a " + fig.row + " with itself"));
  const dead = make("span", {}, make("i", { class: "none" }), "no value");
  if (block > 1) key.append(make("span", {}, `a cell is the mean over ${block} \u00d7 ${block} pairs; exact values are in the .npy`));
  const scale = make("div", { class: "scale" }, barLow, bar, barHigh, barUnit);
  box.append(controls, canvas, scale, key, read);
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
  const shade = (v, { low, high, least }) =>
    state.log ? (v <= least ? 0 : Math.log(v / least) / Math.log(high / least)) : (v - low) / (high - low);

  const image = document.createElement("canvas");
  const paint = () => {
    image.width = cols;
    image.height = rows;
    const context = image.getContext("2d");
    const pixels = context.createImageData(cols, rows);
    const flat = (name) => ramp([theme(name), theme(name)])[0];
    const [none, self] = [flat("--none"), flat("--self")];
    const limits = bounds();
    let missing = false;
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < cols; c++) {
        const v = value(state.view, r, c);
        missing ||= v === null;
        const own = symmetric && block === 1 && r === c;
        const colour = v === null ? none : own ? self : VIRIDIS[clamp(Math.round(shade(v, limits) * 255), 0, 255) || 0];
        pixels.data.set([...colour, 255], 4 * (r * cols + c));
      }
    }
    context.putImageData(pixels, 0, 0);
    if (missing) key.append(dead); else dead.remove();
    const stripe = bar.getContext("2d");
    const colours = stripe.createImageData(256, 1);
    VIRIDIS.forEach((colour, i) => colours.data.set([...colour, 255], 4 * i));
    stripe.putImageData(colours, 0, 0);
    barLow.textContent = state.log ? "\u2264 " + number(limits.least) : short(limits.low);
    barHigh.textContent = number(limits.high);
    barUnit.textContent = fig.views[state.view].unit;
  };

  // The part shown: all of it, or a window of the same proportions.
  const shownRows = () => Math.max(1, Math.round(rows * state.span));
  const shownCols = () => Math.max(1, Math.round(cols * state.span));
  let frame = { width: 0, height: 0 };
  const render = () => {
    const outer = box.clientWidth;
    if (!outer) return;
    const width = Math.min(outer - LEFT, 582, cols * 64);
    const height = clamp((width * rows) / cols, Math.min(150, width), width);
    frame = { width, height };
    canvas.style.width = width + LEFT + "px";
    const context = size(canvas, width + LEFT, height + TOP + BOTTOM);
    const [nr, nc] = [shownRows(), shownCols()];
    context.imageSmoothingEnabled = nc > width * (devicePixelRatio || 1);
    context.imageSmoothingQuality = "high";
    context.drawImage(image, state.col, state.row, nc, nr, LEFT, TOP, width, height);
    axes(context, nr, nc);
    if (width / nc >= 40) numbers(context, nr, nc);
    if (state.at) outline(context, ...state.at, nr, nc);
    else if (state.picked !== null) band(context, nr, nc);
  };

  // Few enough channels: the values themselves, dark on light cells and light on dark ones.
  const numbers = (context, nr, nc) => {
    const [w, h] = [frame.width / nc, frame.height / nr];
    const limits = bounds();
    context.font = "12px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (let r = state.row; r < state.row + nr; r++) {
      for (let c = state.col; c < state.col + nc; c++) {
        const v = value(state.view, r, c);
        if (v === null) continue;
        const own = symmetric && block === 1 && r === c;
        context.fillStyle = own ? theme("--soft") : shade(v, limits) > 0.55 ? "#10171a" : "#ffffff";
        context.fillText(number(v), LEFT + (c - state.col + 0.5) * w, TOP + (r - state.row + 0.5) * h);
      }
    }
  };

  const axes = (context, nr, nc) => {
    context.fillStyle = theme("--soft");
    context.font = "11px system-ui, sans-serif";
    const { width, height } = frame;
    const name = (i) => (block === 1 ? String(label(place(i))) : String(i * block));
    // In the order of similarity labels only help when every one of them can be read.
    const step = (count, room) => {
      const every = [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500].find((s) => (s * room) / count >= 1) ?? count;
      return state.sorted && every > 1 ? count : every;
    };
    context.textAlign = "right";
    context.textBaseline = "middle";
    const sy = step(nr, height / 15);
    for (let i = 0; i < nr; i++) {
      const at = state.row + i;
      if (at % sy === 0 && at < rows && !(state.sorted && sy > 1)) context.fillText(name(at), LEFT - 6, TOP + ((i + 0.5) * height) / nr);
    }
    context.textAlign = "center";
    context.textBaseline = "top";
    const sx = step(nc, width / 26);
    for (let i = 0; i < nc; i++) {
      const at = state.col + i;
      if (at % sx === 0 && at < cols && !(state.sorted && sx > 1)) context.fillText(name(at), LEFT + ((i + 0.5) * width) / nc, TOP + height + 5);
    }
  };

  const outline = (context, r, c, nr, nc) => {
    const [w, h] = [frame.width / nc, frame.height / nr];
    const [x, y] = [LEFT + (c - state.col) * w, TOP + (r - state.row) * h];
    context.fillStyle = "rgb(255 255 255 / .16)";
    context.fillRect(LEFT, y, frame.width, h);
    context.fillRect(x, TOP, w, frame.height);
    const grow = Math.max(0, 5 - w) / 2;
    for (const [style, line] of [["#000", 3], ["#fff", 1.5]]) {
      context.strokeStyle = style;
      context.lineWidth = line;
      context.strokeRect(x - grow, y - grow, w + 2 * grow, h + 2 * grow);
    }
  };

  // A channel pointed at in another figure of the layer.
  const band = (context, nr, nc) => {
    if (block > 1) return;
    const index = fig.names ? fig.names.indexOf(state.picked) : state.picked;
    const at = state.sorted ? fig.order.indexOf(index) : index;
    if (at < 0) return;
    const [w, h] = [frame.width / nc, frame.height / nr];
    const [x, y] = [LEFT + (at - state.col) * w, TOP + (at - state.row) * h];
    context.strokeStyle = "#fff";
    context.lineWidth = 1;
    if (at >= state.row && at < state.row + nr) context.strokeRect(LEFT, y, frame.width, Math.max(h, 1));
    if (at >= state.col && at < state.col + nc) context.strokeRect(x, TOP, Math.max(w, 1), frame.height);
  };

  const describe = (r, c) => {
    const [a, b] = [members(r, fig.names?.length ?? Infinity), members(c, fig.names?.length ?? Infinity)];
    const where = fig.row !== fig.col ? `${fig.row} ${a}, ${fig.col} ${b}` : r === c && block === 1 ? `${fig.row} ${a} with itself` : `${fig.row}s ${a} and ${b}`;
    const what = fig.views.map((view, i) => `${view.name} ${number(value(i, r, c))}`);
    return where[0].toUpperCase() + where.slice(1) + ": " + what.join(", ");
  };

  const point = (r, c, event) => {
    state.at = [r, c];
    render();
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
    render();
  };

  const cell = (event) => {
    const area = canvas.getBoundingClientRect();
    const x = (event.clientX - area.left - LEFT) / frame.width;
    const y = (event.clientY - area.top - TOP) / frame.height;
    if (x < 0 || y < 0 || x >= 1 || y >= 1) return null;
    return [state.row + Math.floor(y * shownRows()), state.col + Math.floor(x * shownCols())];
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
      const rowStep = Math.round(((drag.y - event.clientY) / frame.height) * shownRows());
      const colStep = Math.round(((drag.x - event.clientX) / frame.width) * shownCols());
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
    state.row = clamp(row, 0, rows - shownRows());
    state.col = clamp(col, 0, cols - shownCols());
  };
  const zoom = (factor) => {
    const smallest = Math.min(1, 8 / Math.max(rows, cols));
    const [r, c] = state.at ?? [state.row + shownRows() / 2, state.col + shownCols() / 2];
    state.span = clamp(state.span * factor, smallest, 1);
    scroll(Math.round(r - shownRows() / 2), Math.round(c - shownCols() / 2));
    render();
  };
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    if (move && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const [r, c] = state.at ?? [state.row, state.col - move[1]];
      const step = event.shiftKey ? 10 : 1;
      const next = [clamp(r + step * move[0], 0, rows - 1), clamp(c + step * move[1], 0, cols - 1)];
      scroll(clamp(state.row, next[0] - shownRows() + 1, next[0]), clamp(state.col, next[1] - shownCols() + 1, next[1]));
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
    pick(channel) {
      if (!symmetric || state.at || state.picked === channel) return;
      state.picked = channel;
      render();
    },
  };
};
