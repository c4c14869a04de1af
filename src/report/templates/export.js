// Buttons that save every figure as SVG and PNG, as it is shown, and every table as CSV.

// A file name from texts: letters, digits, dots and hyphens.
const fileName = (parts, extension) => {
  const name = parts.filter(Boolean).join("-").normalize("NFKD").replace(/[\u00ad\p{M}]/gu, "").replace(/[^A-Za-z0-9.]+/g, "-");
  return (name.toLowerCase().slice(0, 100).replace(/^[-.]+|[-.]+$/g, "") || "chanscope") + "." + extension;
};

const save = (name, content, type) => {
  const url = URL.createObjectURL(new Blob([content], { type }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
};

// Where on the page something stands: section, layer (the heading's text without its small print), and its own title.
const whereabouts = (node, title) => {
  const heading = node.closest("article")?.querySelector("h3");
  const layer = heading?.firstChild?.textContent.trim();
  return [node.closest("section")?.id, layer === title ? "" : layer, title];
};

// The figure with its title, on the page's background.
const framed = (drawing, title) => {
  const MARGIN = 14, HEAD = 34;
  const font = "600 14px system-ui, sans-serif";
  const width = Math.ceil(Math.max(drawing.getAttribute("width"), wide(title, font)) + 2 * MARGIN);
  const pen = new Pen(width, Math.ceil(Number(drawing.getAttribute("height")) + HEAD + MARGIN));
  pen.fillStyle = theme("--card");
  pen.fillRect(0, 0, width, pen.svg.getAttribute("height"));
  pen.fillStyle = theme("--ink");
  pen.font = font;
  pen.fillText(title, MARGIN, MARGIN + 12);
  pen.put("g", { transform: `translate(${MARGIN} ${HEAD})` }).append(...drawing.children);
  return pen.svg;
};

const PNG_SCALE = 2;
const figureButtons = (box, fig, figure) => {
  const title = box.closest("figure")?.querySelector("h4")?.textContent.trim() || fig.label;
  const where = whereabouts(box, title);
  const shown = () => framed(figure.drawing(), where.slice(1).filter(Boolean).join(": "));
  const svg = () => save(fileName(where, "svg"), new XMLSerializer().serializeToString(shown()), "image/svg+xml");
  const png = () => {
    const drawing = shown();
    const canvas = document.createElement("canvas");
    canvas.width = drawing.getAttribute("width") * PNG_SCALE;
    canvas.height = drawing.getAttribute("height") * PNG_SCALE;
    const context = canvas.getContext("2d");
    context.scale(PNG_SCALE, PNG_SCALE);
    rasterise(drawing, context);
    // Not `toBlob`: it waits for the browser to be idle, for seconds if need be.
    save(fileName(where, "png"), unpack(canvas.toDataURL("image/png").split(",")[1]), "image/png");
  };
  const named = where.slice(1).filter(Boolean).join(", ");
  const button = (kind, press) => make("button", { type: "button", "aria-label": `Save ${named} as ${kind}`, onclick: press }, kind);
  return make("div", { class: "save" }, button("SVG", svg), button("PNG", png));
};

// A cell as a program reads it: no thousands separators, shares in place of percentages, nothing where there is no value.
const plain = (text) => {
  const bare = text.replace(/\u00ad/g, "").replace(/(\d)\u202f(?=\d{3})/g, "$1").replace(/\s+/g, " ").trim();
  if (bare === "\u2013") return "";
  const share = bare.match(/^(-?[\d.]+) %$/);
  return share ? String(Number((Number(share[1]) / 100).toPrecision(12))) : bare;
};

// Quoted where CSV needs it. Spreadsheets take a text that begins like a formula for one, so it gets an apostrophe.
const quoted = (value) => {
  const harmless = /^[=+@\t\r-]/.test(value) && !Number.isFinite(Number(value)) ? "'" + value : value;
  return /[",\n\r]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
};

const csv = (table) => {
  const rows = [...table.rows].map((row) => [...row.cells].flatMap((cell) => [cell.dataset.value ?? cell.textContent, ...Array(cell.colSpan - 1).fill("")]));
  const head = table.tHead?.rows.length ?? 0;
  const columns = Math.max(0, ...rows.map((row) => row.length));
  // A value with its standard error takes two columns.
  const errors = Array.from({ length: columns }, (_, c) => rows.some((row, r) => r >= head && /^[^\u00b1]+ \u00b1 [^\u00b1]+$/.test(row[c] ?? "")));
  const line = (row, r) => Array.from({ length: columns }, (_, c) => {
    const text = row[c] ?? "";
    if (!errors[c]) return [plain(text)];
    if (r < head) return [plain(text), plain(text) + ", standard error"];
    const [value, error] = text.split(" \u00b1 ");
    const unit = error?.match(/\s*%$/)?.[0] ?? "";
    return [plain(value + unit), plain(error ?? "")];
  }).flat().map(quoted).join(",");
  return rows.map(line).join("\r\n") + "\r\n";
};

// Tables are in a box that scrolls, whose label names them.
const tableButton = (table) => {
  const box = table.closest(".scroll") ?? table;
  const title = box.getAttribute("aria-label") ?? "Table";
  const press = () => save(fileName([box.closest("section")?.id, title], "csv"), csv(table), "text/csv");
  box.before(make("div", { class: "save" }, make("button", { type: "button", "aria-label": `Save ${title} as CSV`, onclick: press }, "CSV")));
};
