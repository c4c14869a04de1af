// A signed picture on a canvas of its size: orange below zero, purple above, white at zero.
const signedPicture = (data, from, width, height) => {
  const tile = document.createElement("canvas");
  tile.width = width;
  tile.height = height;
  const context = tile.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let p = 0; p < width * height; p++) {
    const signed = (data[from + p] << 24) >> 24;
    pixels.data.set([...ORANGE_PURPLE[clamp(Math.round(127.5 + signed * (127.5 / 127)), 0, 255)], 255], 4 * p);
  }
  context.putImageData(pixels, 0, 0);
  return tile;
};

// Small signed pictures side by side: orange below zero, purple above, white at zero, each on its own scale.
const tiles = (box, fig) => {
  const GAP = 3;
  const canvas = make("canvas", { role: "img", "aria-label": `${fig.label}: ${fig.count} pictures of ${fig.height} by ${fig.width} pixels` });
  const read = make("output", { class: "read" });
  box.append(canvas, read);
  let data = null;
  let grid = null;

  const picture = (k) => signedPicture(data, k * fig.width * fig.height, fig.width, fig.height);

  const layout = () => {
    const width = Math.min(box.clientWidth, 620);
    // As large as lets all stand within 420 pixels of height, between 14 and 96.
    const fits = (room) => [96, 80, 64, 56, 48, 40, 32, 28, 24, 20, 16].find((s) => Math.ceil(fig.count / Math.floor((width + GAP) / (s + GAP))) * (s + GAP) <= room) ?? 14;
    const side = fig.columns ? Math.max(3, Math.min((width + GAP) / fig.columns - GAP, Math.max(12, 420 / Math.ceil(fig.count / fig.columns) - GAP), 56)) : fits(420);
    const tall = (side * fig.height) / fig.width;
    const columns = fig.columns ?? Math.max(1, Math.min(fig.count, Math.floor((width + GAP) / (side + GAP))));
    return { side, tall, columns, width, height: Math.ceil(fig.count / columns) * (tall + GAP) };
  };
  // On a canvas, or on a `Pen`.
  const pictures = (context) => {
    const { side, tall, columns } = grid;
    context.imageSmoothingEnabled = side < fig.width;
    context.strokeStyle = theme("--line");
    for (let k = 0; k < fig.count; k++) {
      const [x, y] = [(k % columns) * (side + GAP), Math.floor(k / columns) * (tall + GAP)];
      context.drawImage(picture(k), 0, 0, fig.width, fig.height, x, y, side, tall);
      if (side >= 14) context.strokeRect(x + 0.5, y + 0.5, side - 1, tall - 1);
    }
  };
  const render = () => {
    if (box.clientWidth <= 0 || !fig.count) return;
    data ??= bytes(fig.blob);
    grid = layout();
    canvas.style.width = grid.width + "px";
    pictures(size(canvas, grid.width, grid.height));
  };
  const drawing = () => {
    const pen = new Pen(grid.width, grid.height);
    pictures(pen);
    return pen.svg;
  };

  canvas.addEventListener("pointermove", (event) => {
    const area = canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - area.left) / (grid.side + GAP));
    const row = Math.floor((event.clientY - area.top) / (grid.tall + GAP));
    const k = row * grid.columns + column;
    if (column >= grid.columns || k >= fig.count || k < 0) return tip.hide();
    const name = fig.columns ? `${fig.tile} ${row}, input channel ${column}` : `${fig.tile} ${k}`;
    tip.show(`${name[0].toUpperCase() + name.slice(1)}: largest magnitude ${number(fig.peaks[k])}`, event.clientX, event.clientY);
  });
  canvas.addEventListener("pointerleave", () => tip.hide());

  return { paint: render, resize: render, drawing, pick() {} };
};
