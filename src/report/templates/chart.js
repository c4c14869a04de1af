// Bars, dots and lines over channels or steps, as SVG drawn at the width there is.
const chart = (box, fig) => {
  const MANY = 200;
  const LEFT = 44, RIGHT = 8, TOP = 8, BOTTOM = 20, HEIGHT = 176;
  const count = Math.max(0, ...fig.series.map((s) => s.values.length));
  const show = fig.percent ? percent : number;
  const state = { sorted: false, log: false, at: null, picked: null };
  const index = Array.from({ length: count }, (_, i) => i);
  const lead = fig.series[0].values;
  const bySize = [...index].sort((a, b) => (lead[b] ?? -Infinity) - (lead[a] ?? -Infinity) || a - b);
  const order = () => (state.sorted ? bySize : index);
  const label = (i) => (fig.names ? fig.names[i] : i);
  // Six colours; the lines of a second and third round are dashed and dotted.
  const colour = (k) => `c${k % 6} d${Math.floor(k / 6) % 3}`;
  // Texts on the axis are the ends of long names, which tell runs apart; pointing tells the whole name.
  const named = typeof fig.names?.[0] === "string";
  const MOST = 22;
  const onAxis = (i) => {
    const text = String(label(i));
    return text.length > MOST ? "\u2026" + text.slice(1 - MOST) : text;
  };
  const length = (i) => wide(onAxis(i), FONT);
  const apart = named ? index.reduce((most, i) => Math.max(most, length(i) + 10), 28) : 28;

  const svg = draw("svg", { role: "application", tabindex: "0", "aria-label": fig.label + ". Left and right arrow keys move along." });
  const read = make("output", { class: "hidden", "aria-live": "polite" });
  const controls = make("div", { class: "controls" });
  if (fig.sortable && count > 2) controls.append(choice("Order", ["By index", "By value"], (i) => set({ sorted: i === 1 })));
  if (fig.log) controls.append(choice("Scale", ["Linear", "Log"], (i) => set({ log: i === 1 })));
  const key = make("div", { class: "key" });
  fig.series.forEach((s, i) => key.append(make("span", {}, make("i", { class: `${s.style} ${colour(i)}` }), s.name)));
  // A line to compare with must not flatten what it is compared to: far away it is only named.
  const values = fig.series.flatMap((s) => s.values.flatMap((v, i) => (v === null || !s.errors?.[i] ? [v] : [v, v + s.errors[i], Math.max(0, v - s.errors[i])]))).filter((v) => v !== null);
  const most = values.reduce((a, b) => Math.max(a, b), 0);
  const drawn = fig.references.map(([, v]) => v <= most * 2.5);
  fig.references.forEach(([name, v], i) => key.append(make("span", {}, make("i", { class: "reference r" + i }), `${name} ${show(v)}${drawn[i] ? "" : ", above the scale"}`)));
  if (fig.series.length + fig.references.length < 2) key.hidden = true;
  (box.parentElement.querySelector("figcaption") ?? box).append(controls);
  box.append(key, svg, read);

  const set = (change) => {
    Object.assign(state, change);
    render();
  };

  const range = () => {
    const known = [...values, ...fig.references.map((r) => r[1]).filter((_, i) => drawn[i])].filter((v) => !state.log || v > 0);
    if (!known.length) return [0, 1];
    const [least, most] = known.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
    if (state.log) return [least, most > least ? most : least * 10];
    // Without a fixed end, leave the data some room, inside 0 to 1 for shares.
    const room = Math.max((most - least) * 0.12, Math.abs(most) * 1e-3, 1e-9);
    const low = fig.range[0] ?? (fig.percent ? Math.max(0, least - room) : least - room);
    const high = fig.range[1] ?? (fig.percent ? Math.min(Math.max(1, most), most + room) : most + room * 0.5);
    return [Math.min(low, least), Math.max(high, most, low + 1e-9)];
  };

  let frame = null;
  const render = () => {
    const width = box.clientWidth;
    if (!width) return;
    const [low, high] = range();
    const inner = width - LEFT - RIGHT, tall = HEIGHT - TOP - BOTTOM;
    const x = (i) => LEFT + ((i + 0.5) * inner) / count;
    const y = (v) => TOP + tall * (1 - clamp(state.log ? Math.log(Math.max(v, low) / low) / Math.log(high / low) : (v - low) / (high - low), 0, 1));
    frame = { inner, x };
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute("height", HEIGHT);
    const marks = state.log ? decades(low, high) : ticks(low, high, 4);
    for (const t of marks) {
      svg.append(draw("path", { class: "axis", d: `M${LEFT} ${y(t)}H${width - RIGHT}` }));
      svg.append(draw("text", { x: LEFT - 6, y: y(t) + 4, "text-anchor": "end" }, short(t, fig.percent)));
    }
    xAxis(inner, x);
    fig.series.forEach((s, k) => series(s, k, inner, x, y, low));
    fig.references.forEach(([, v], k) => drawn[k] && svg.append(draw("path", { class: "reference r" + k, d: `M${LEFT} ${y(v)}H${width - RIGHT}` })));
    mark();
  };

  // The position pointed at, here or in another figure. The rest of the picture stays.
  const hit = draw("rect", { class: "hit", y: TOP, height: HEIGHT - TOP - BOTTOM });
  const mark = () => {
    const at = state.at ?? (state.picked === null ? -1 : order().findIndex((i) => label(i) === state.picked));
    if (at < 0) return hit.remove();
    const w = Math.max(frame.inner / count, 3);
    hit.setAttribute("x", frame.x(at) - w / 2);
    hit.setAttribute("width", w);
    svg.append(hit);
  };

  const drawing = () => {
    const width = box.clientWidth;
    const pen = new Pen(width, HEIGHT);
    const top = key.hidden ? 0 : legend(pen, key, width);
    pen.put("g", { transform: `translate(0 ${top})` }).append(...flatten(svg).children);
    pen.svg.setAttribute("height", top + HEIGHT);
    return pen.svg;
  };

  const decades = (low, high) => {
    const out = [];
    for (let e = Math.ceil(Math.log10(low) - 1e-9); 10 ** e <= high * (1 + 1e-9); e++) out.push(10 ** e);
    return out.length > 1 ? out : [low, high];
  };

  const xAxis = (inner, x) => {
    const every = [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000].find((s) => (s * inner) / count >= apart) ?? count;
    if (state.sorted && every > 1) {
      svg.append(draw("text", { x: LEFT, y: HEIGHT - 4 }, `${fig.x}s, largest first`));
      return;
    }
    order().forEach((i, at) => {
      if (at % every !== 0) return;
      const half = named ? length(i) / 2 : 0;
      svg.append(draw("text", { x: clamp(x(at), half, LEFT + inner + RIGHT - half), y: HEIGHT - 4, "text-anchor": "middle" }, onAxis(i)));
    });
  };

  const series = (s, k, inner, x, y, low) => {
    const places = order().map((i, at) => [x(at), s.values[i] ?? null]).filter(([, v]) => v !== null && (!state.log || v > 0));
    const look = colour(k);
    if (s.style === "bar") {
      const width = clamp((inner / count) * 0.72, 0.8, 34);
      svg.append(draw("path", { class: "bar", "stroke-width": width, d: places.map(([px, v]) => `M${px} ${y(low)}V${y(v)}`).join("") }));
    } else if (s.style === "line" && !state.sorted) {
      svg.append(draw("path", { class: "line " + look, d: places.map(([px, v], i) => `${i ? "L" : "M"}${px} ${y(v)}`).join("") }));
    }
    const radius = clamp((inner / count) * 0.3, 1.4, 4.5);
    // Error bars lie over bars and under dots.
    const bars = order().map((i, at) => [x(at), s.values[i] ?? null, s.errors?.[i] ?? null]).filter(([, v, e]) => v !== null && e !== null);
    if (bars.length) {
      const cap = clamp((inner / count) * 0.2, 0, 4);
      svg.append(draw("path", { class: "whisker", d: bars.map(([px, v, e]) => `M${px - cap} ${y(v + e)}h${2 * cap}M${px} ${y(v + e)}V${y(v - e)}M${px - cap} ${y(v - e)}h${2 * cap}`).join("") }));
    }
    if (s.style === "dot" && count > MANY) {
      // Lines of no length with round ends: one element in place of thousands.
      svg.append(draw("path", { class: "dots " + look, "stroke-width": 2 * radius, d: places.map(([px, v]) => `M${px} ${y(v)}h0`).join("") }));
    } else if (s.style === "dot" || (s.style === "line" && (state.sorted || count <= 60))) {
      for (const [px, v] of places) svg.append(draw("circle", { class: "dot " + look, cx: px, cy: y(v), r: s.style === "dot" ? radius : Math.min(radius, 3), "stroke-width": radius > 2.5 ? 1 : 0 }));
    }
  };

  const describe = (at) => {
    const i = order()[at];
    const what = fig.series.map((s) => `${s.name} ${withError(s.values[i] ?? null, s.errors?.[i] ?? null, fig.percent)}`);
    const none = fig.series.every((s) => (s.values[i] ?? null) === null);
    return `${fig.x[0].toUpperCase() + fig.x.slice(1)} ${label(i)}: ${none ? "no value" : what.join(", ")}`;
  };
  const point = (at, event) => {
    state.at = at;
    mark();
    const text = describe(at);
    read.textContent = text;
    if (event) tip.show(text, event.clientX, event.clientY);
    pick(box, fig.x === "channel" ? label(order()[at]) : null);
  };
  const leave = () => {
    state.at = null;
    tip.hide();
    read.textContent = "";
    pick(box, null);
    mark();
  };
  const move = (event) => {
    const at = Math.floor(((event.clientX - svg.getBoundingClientRect().left - LEFT) / frame.inner) * count);
    if (at >= 0 && at < count) point(at, event); else if (state.at !== null) leave();
  };
  svg.addEventListener("pointermove", move);
  svg.addEventListener("pointerdown", move);
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") leave();
    else if (step && count) point(clamp((state.at ?? (step > 0 ? -1 : count)) + step * (event.shiftKey ? 10 : 1), 0, count - 1));
    else return;
    event.preventDefault();
  });

  return {
    paint: render,
    resize: render,
    drawing,
    pick(channel) {
      if (fig.x !== "channel" || state.at !== null || state.picked === channel || !frame) return;
      state.picked = channel;
      mark();
    },
  };
};
