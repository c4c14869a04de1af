// Cards of a layer's channels, one at a time: the reader chooses a channel by its number, by the buttons beside it, or by
// the channels that a card names.
const cards = (box, fig) => {
  const SIDE = 64, GAP = 10;
  const count = fig.samples.length;
  const name = (i) => (fig.names ? fig.names[i] : i);
  const place = new Map(Array.from({ length: count }, (_, i) => [name(i), i]));
  let at = Math.max(0, fig.samples.findIndex((list) => list.length > 0));

  const options = Array.from({ length: count }, (_, i) => make("option", { value: i }, String(name(i))));
  const select = make("select", { id: "channel-of-" + box.dataset.figure, onchange: () => show(Number(select.value)) }, ...options);
  const step = (text, by) => make("button", { type: "button", onclick: () => show(clamp(at + by, 0, count - 1)) }, text);
  const [back, on] = [step("Previous", -1), step("Next", 1)];
  const parts = make("div", { class: "parts" });
  box.append(make("div", { class: "choose" }, make("label", { for: select.id }, "Channel"), select, make("div", { class: "seg" }, back, on)), parts);

  // Pictures as canvases of their own size.
  const slots = new Map((fig.pictures?.samples ?? []).map((sample, slot) => [sample, slot]));
  const sample = (slot) => {
    const { width, height, planes, blob } = fig.pictures;
    const data = shared(blob), size = width * height, from = slot * planes * size;
    const canvas = make("canvas", { width, height });
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(width, height);
    for (let p = 0; p < size; p++) {
      for (let k = 0; k < 3; k++) pixels.data[4 * p + k] = data[from + (planes === 3 ? k : 0) * size + p];
      pixels.data[4 * p + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  };
  const responses = (i) => (fig.responses ?? []).map((index) => configs[index]).filter((tiles) => i < tiles.count)
    .map((tiles) => signedPicture(shared(tiles.blob), i * tiles.width * tiles.height, tiles.width, tiles.height));

  // What a card holds: titles, and entries of pictures and texts.
  const content = (i) => {
    const found = [];
    const add = (title, entries) => entries.length && found.push({ title, entries });
    add("Strongest samples", fig.samples[i].map((s, rank) => ({
      picture: slots.has(s) ? sample(slots.get(s)) : null, text: `sample ${s}`, value: `mean ${number(fig.means[i][rank])}`,
    })));
    add("Impulse response", responses(i).map((picture, input, all) => ({
      picture, text: all.length > 1 ? `input channel ${input}` : `at ${fig.tap}`, value: "",
    })));
    add("Nearest channels of the layer", fig.nearest[i].map(([c, value]) => ({ text: `channel ${c}`, value: `Jaccard ${number(value)}`, to: c })));
    add("Nearest channels of other layers", (fig.others[i] ?? []).map(([l, c, value]) => ({ text: `${fig.layers[l]} channel ${c}`, value: `Jaccard ${number(value)}` })));
    return found;
  };

  const entry = ({ picture, text, value, to }) => {
    if (picture) {
      picture.setAttribute("role", "img");
      picture.setAttribute("aria-label", text);
      picture.style.width = SIDE + "px";
      picture.style.height = (SIDE * picture.height) / picture.width + "px";
    }
    const label = to === undefined ? make("span", {}, text) : make("button", { type: "button", onclick: () => show(place.get(to), true) }, text);
    return make("li", { class: picture ? "pictured" : null }, picture ?? null, label, value ? make("small", {}, value) : null);
  };

  const render = () => {
    select.value = String(at);
    back.disabled = at === 0;
    on.disabled = at === count - 1;
    const found = content(at);
    parts.replaceChildren(...found.map(({ title, entries }) => make("div", {}, make("h5", {}, title), make("ul", { "aria-label": title }, ...entries.map(entry)))));
    if (!found.length) parts.append(make("p", {}, "Nothing is known of this channel: it is zero on every sample."));
  };

  const show = (i, focus) => {
    at = i;
    render();
    // The button that was pressed is gone.
    if (focus) select.focus();
    pick(box, name(at));
  };

  // The card as one picture.
  const drawing = () => {
    const width = Math.max(240, Math.min(box.clientWidth, 760));
    const pen = new Pen(width, 0);
    let y = 14;
    const write = (text, x, font, colour) => {
      pen.font = font;
      pen.fillStyle = theme(colour);
      pen.fillText(fit(text, font, width - x), x, y);
    };
    write(`Channel ${name(at)}`, 0, "600 13px system-ui, sans-serif", "--ink");
    for (const { title, entries } of content(at)) {
      y += 26;
      write(title, 0, "600 12px system-ui, sans-serif", "--ink");
      y += 8;
      const pictured = entries.some((e) => e.picture);
      const cell = pictured ? 112 : width;
      const columns = Math.max(1, Math.floor((width + GAP) / (cell + GAP)));
      for (let first = 0; first < entries.length; first += columns) {
        const row = entries.slice(first, first + columns);
        const tall = Math.max(0, ...row.map(({ picture }) => (picture ? (SIDE * picture.height) / picture.width : 0)));
        const top = y;
        row.forEach(({ picture, text, value }, k) => {
          const x = k * (cell + GAP);
          if (picture) pen.drawImage(picture, 0, 0, picture.width, picture.height, x, top, SIDE, (SIDE * picture.height) / picture.width);
          y = top + tall + 13;
          write(pictured ? text : `${text}   ${value}`, x, FONT, "--soft");
          y += 13;
          if (pictured) write(value, x, FONT, "--soft");
        });
        y = top + tall + (pictured ? 32 : 16);
      }
    }
    pen.svg.setAttribute("height", y + 6);
    pen.svg.setAttribute("viewBox", `0 0 ${width} ${y + 6}`);
    return pen.svg;
  };

  return { paint: render, resize() {}, drawing, pick() {} };
};
