// What a heat map is drawn from and with: codes of 16 bits, a colour for each of them, and the parts of the picture. Every
// part draws on a canvas or on a `Pen`, so that what is saved is what is shown.
const NO_VALUE = 65535;
const FONT = "11px system-ui, sans-serif";

// Codes by place, and the value that a code stands for.
const decode = (matrix) => {
  const raw = bytes(matrix.blob);
  const codes = new Uint16Array(raw.length / 2);
  for (let i = 0; i < codes.length; i++) codes[i] = raw[2 * i] | (raw[2 * i + 1] << 8);
  const { cols, symmetric, lo, hi } = matrix;
  const half = (i, j) => codes[i * cols - (i * (i - 1)) / 2 + (j - i)];
  const code = (i, j) => (!symmetric ? codes[i * cols + j] : j < i ? half(j, i) : half(i, j));
  return { code, value: (code) => (code === NO_VALUE ? null : lo + (code / 65534) * (hi - lo)) };
};

// Opaque, as a canvas stores it on every machine that browsers run on.
const packed = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
const flat = (name) => packed(ramp([theme(name), theme(name)])[0]);

// One pixel a cell: the colour of each code is looked up, so a million cells take milliseconds. `shade` gives a value's
// share of the colour scale. Returns whether a value is missing.
const paintCells = (image, rows, cols, { code, value }, place, shade, own) => {
  const colours = new Uint32Array(NO_VALUE + 1);
  const steps = VIRIDIS.map(packed);
  for (let c = 0; c < NO_VALUE; c++) colours[c] = steps[clamp(Math.round(shade(value(c)) * 255), 0, 255) || 0];
  colours[NO_VALUE] = flat("--none");
  image.width = cols;
  image.height = rows;
  const context = image.getContext("2d");
  const pixels = context.createImageData(cols, rows);
  const cells = new Uint32Array(pixels.data.buffer);
  const across = Array.from({ length: cols }, (_, c) => place(c));
  let missing = false;
  for (let r = 0; r < rows; r++) {
    const i = place(r);
    for (let c = 0; c < cols; c++) {
      const found = code(i, across[c]);
      missing ||= found === NO_VALUE;
      cells[r * cols + c] = colours[found];
    }
    if (own && code(i, i) !== NO_VALUE) cells[r * cols + r] = flat("--self");
  }
  context.putImageData(pixels, 0, 0);
  return missing;
};

// `frame` says where the cells are drawn and which: left, top, width, height; row, col, nr, nc.
const cellSize = (frame) => [frame.width / frame.nc, frame.height / frame.nr];

// Names of rows and columns; texts stand upright below the columns. Where not all can be read, every second, fifth, ... is
// named, or none where `all` of them are needed to make sense of their order.
const axes = (context, frame, rows, cols, { rowName, colName, texts, all }) => {
  const { left, top, width, height, row, col, nr, nc } = frame;
  const step = (count, room) => {
    const every = [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500].find((s) => (s * room) / count >= 1) ?? count;
    return all && every > 1 ? Infinity : every;
  };
  const marked = (from, count, end, every) => every === Infinity ? [] : Array.from({ length: count }, (_, i) => i).filter((i) => from + i < end && (from + i) % every === 0);
  context.fillStyle = theme("--soft");
  context.font = FONT;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const i of marked(row, nr, rows, step(nr, height / 15))) {
    context.fillText(fit(String(rowName(row + i)), FONT, left - 8, true), left - 6, top + ((i + 0.5) * height) / nr);
  }
  if (!texts) {
    context.textAlign = "center";
    context.textBaseline = "top";
  }
  for (const i of marked(col, nc, cols, step(nc, width / (texts ? 15 : 26)))) {
    const x = left + ((i + 0.5) * width) / nc;
    if (!texts) {
      context.fillText(String(colName(col + i)), x, top + height + 5);
      continue;
    }
    context.save();
    context.translate(x, top + height + 6);
    context.rotate(-Math.PI / 2);
    context.fillText(fit(String(colName(col + i)), FONT, frame.bottom - 8, true), 0, 0);
    context.restore();
  }
};

// Few enough cells: the values themselves, dark on light cells and light on dark ones.
const numerals = (context, frame, value, shade, own) => {
  const [w, h] = cellSize(frame);
  context.font = "12px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let r = frame.row; r < frame.row + frame.nr; r++) {
    for (let c = frame.col; c < frame.col + frame.nc; c++) {
      const v = value(r, c);
      if (v === null) continue;
      context.fillStyle = own && r === c ? theme("--soft") : shade(v) > 0.55 ? "#10171a" : "#ffffff";
      context.fillText(number(v), frame.left + (c - frame.col + 0.5) * w, frame.top + (r - frame.row + 0.5) * h);
    }
  }
};

// Squares around groups on the diagonal, where they are large enough to be seen. `block` rows share a cell.
const squares = (context, frame, runs, block) => {
  const [w, h] = cellSize(frame);
  for (const { first, last } of runs) {
    const [from, to] = [first / block, (last + 1) / block];
    if (last === first || (to - from) * w < 5) continue;
    const x = (at) => frame.left + clamp((at - frame.col) * w, 0, frame.width);
    const y = (at) => frame.top + clamp((at - frame.row) * h, 0, frame.height);
    if (x(to) <= x(from) || y(to) <= y(from)) continue;
    context.lineWidth = 1;
    context.strokeStyle = "#ffffff";
    context.strokeRect(x(from) + 0.5, y(from) + 0.5, x(to) - x(from) - 1, y(to) - y(from) - 1);
  }
};

// The cell pointed at, with its row and column.
const outline = (context, frame, r, c) => {
  const [w, h] = cellSize(frame);
  const [x, y] = [frame.left + (c - frame.col) * w, frame.top + (r - frame.row) * h];
  context.fillStyle = "rgb(255 255 255 / .16)";
  context.fillRect(frame.left, y, frame.width, h);
  context.fillRect(x, frame.top, w, frame.height);
  const grow = Math.max(0, 5 - w) / 2;
  for (const [style, line] of [["#000", 3], ["#fff", 1.5]]) {
    context.strokeStyle = style;
    context.lineWidth = line;
    context.strokeRect(x - grow, y - grow, w + 2 * grow, h + 2 * grow);
  }
};

// A row and its column.
const band = (context, frame, at) => {
  const [w, h] = cellSize(frame);
  const [x, y] = [frame.left + (at - frame.col) * w, frame.top + (at - frame.row) * h];
  context.strokeStyle = "#fff";
  context.lineWidth = 1;
  if (at >= frame.row && at < frame.row + frame.nr) context.strokeRect(frame.left, y, frame.width, Math.max(h, 1));
  if (at >= frame.col && at < frame.col + frame.nc) context.strokeRect(x, frame.top, Math.max(w, 1), frame.height);
};
