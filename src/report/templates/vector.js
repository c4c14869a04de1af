// Figures as SVG, and SVG as pixels: what the export buttons need. The page's security policy lets no image be loaded,
// so an SVG is painted on a canvas element by element.

// Elements of a document that is not shown load nothing.
const paper = document.implementation.createHTMLDocument("");

// Turns the part of a canvas's drawing interface that our figures use into SVG elements.
class Pen {
  constructor(width, height) {
    this.svg = paper.adoptNode(draw("svg", { width, height, viewBox: `0 0 ${width} ${height}` }));
    Object.assign(this, { fillStyle: "#000", strokeStyle: "#000", lineWidth: 1, font: "11px sans-serif", textAlign: "left", textBaseline: "alphabetic", path: "", at: null });
  }

  put(tag, attributes, text) {
    const node = draw(tag, attributes, text);
    this.svg.append(node);
    return node;
  }

  setLineDash(lengths) {
    this.dash = lengths.join(" ") || "none";
  }

  beginPath() {
    this.path = "";
  }

  moveTo(x, y) {
    this.path += `M${tidy(x)} ${tidy(y)}`;
  }

  lineTo(x, y) {
    this.path += `L${tidy(x)} ${tidy(y)}`;
  }

  stroke() {
    this.put("path", { d: this.path, fill: "none", stroke: this.strokeStyle, "stroke-width": this.lineWidth, "stroke-dasharray": this.dash ?? "none" });
  }

  fillRect(x, y, width, height) {
    this.put("rect", { x, y, width, height, fill: this.fillStyle });
  }

  strokeRect(x, y, width, height) {
    this.put("rect", { x, y, width, height, fill: "none", stroke: this.strokeStyle, "stroke-width": this.lineWidth });
  }

  // One turned text at a time is all that is needed: its place, until `restore`.
  save() {}

  translate(x, y) {
    this.at = `translate(${tidy(x)} ${tidy(y)})`;
  }

  rotate(angle) {
    this.at += ` rotate(${tidy((angle * 180) / Math.PI)})`;
  }

  restore() {
    this.at = null;
  }

  fillText(text, x, y) {
    const [, weight, size, family] = this.font.match(/^(\d+ )?(\d+)px (.*)$/);
    const down = { middle: 0.35, top: 0.85, alphabetic: 0 }[this.textBaseline] * size;
    const node = this.put("text", {
      x: tidy(x), y: tidy(y + down), fill: this.fillStyle, "font-size": size, "font-family": family, "font-weight": (weight ?? "400").trim(),
      "text-anchor": { left: "start", center: "middle", right: "end" }[this.textAlign],
    }, text);
    if (this.at) node.setAttribute("transform", this.at);
  }

  // The part (sx, sy, sw, sh) of a canvas; the page's own pixels, whatever they are scaled to.
  drawImage(canvas, sx, sy, sw, sh, x, y, width, height) {
    const part = document.createElement("canvas");
    part.width = sw;
    part.height = sh;
    part.getContext("2d").drawImage(canvas, sx, sy, sw, sh, 0, 0, sw, sh);
    const scaling = sw > width ? "auto" : "pixelated";
    const node = this.put("image", { x, y, width, height, preserveAspectRatio: "none", "image-rendering": scaling });
    node.setAttribute("href", part.toDataURL());
    node.canvas = part;
  }
}

const tidy = (x) => Number(x.toFixed(2));

// A copy of an SVG of the page that carries the look the style sheet gives it.
const LOOKS = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity", "font-size", "font-family", "font-weight", "text-anchor"];
const flatten = (svg) => {
  const copy = svg.cloneNode(true);
  const originals = svg.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((node, i) => {
    const style = getComputedStyle(originals[i]);
    for (const look of LOOKS) node.setAttribute(look, style.getPropertyValue(look));
    node.removeAttribute("class");
  });
  return copy;
};

// Paints what `Pen` and `flatten` make.
const rasterise = (svg, context) => {
  for (const node of svg.children) {
    const text = (name) => node.getAttribute(name);
    const value = (name) => Number.parseFloat(text(name) ?? 0);
    context.save();
    const { matrix } = node.transform.baseVal.consolidate() ?? { matrix: null };
    if (matrix) context.transform(matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f);
    context.globalAlpha = Number(text("opacity") ?? 1);
    context.fillStyle = text("fill") ?? "none";
    context.strokeStyle = text("stroke") ?? "none";
    context.lineWidth = value("stroke-width");
    context.lineCap = text("stroke-linecap") ?? "butt";
    context.lineJoin = text("stroke-linejoin") ?? "miter";
    context.setLineDash((text("stroke-dasharray") ?? "").match(/[\d.]+/g)?.map(Number) ?? []);
    if (node.tagName === "g") rasterise(node, context);
    else if (node.tagName === "text") letter(node, context, text, value);
    else if (node.tagName === "image") {
      context.imageSmoothingEnabled = text("image-rendering") !== "pixelated";
      context.imageSmoothingQuality = "high";
      context.drawImage(node.canvas, value("x"), value("y"), value("width"), value("height"));
    } else {
      const shape = new Path2D(node.tagName === "path" ? text("d") : undefined);
      if (node.tagName === "rect") shape.rect(value("x"), value("y"), value("width"), value("height"));
      if (node.tagName === "circle") shape.arc(value("cx"), value("cy"), value("r"), 0, 2 * Math.PI);
      if (text("fill") !== "none") context.fill(shape);
      if ((text("stroke") ?? "none") !== "none" && context.lineWidth > 0) context.stroke(shape);
    }
    context.restore();
  }
};

const letter = (node, context, text, value) => {
  context.font = `${text("font-weight")} ${value("font-size")}px ${text("font-family")}`;
  context.textAlign = { start: "left", middle: "center", end: "right" }[text("text-anchor")];
  context.fillText(node.textContent, value("x"), value("y"));
};

// Width of a text in pixels.
const measure = document.createElement("canvas").getContext("2d");
const wide = (text, font) => {
  measure.font = font;
  return measure.measureText(text).width;
};
// As much of a text as fits: its beginning, or its end, which tells the names of layers apart.
const fit = (text, font, room, end) => {
  if (wide(text, font) <= room) return text;
  const part = (kept) => (end ? "\u2026" + text.slice(text.length - kept) : text.slice(0, kept) + "\u2026");
  let kept = text.length;
  while (kept > 1 && wide(part(kept), font) > room) kept--;
  return part(kept);
};

// Marks of a key that are dashed or dotted, as the style sheet has them.
const DASHES = [[".reference.r1, .line.d2", "2 3"], [".reference, .line.d1", "5 3"]];

// Draws the entries of a figure's key in rows of a width, from the top left; returns their height.
const legend = (pen, key, width) => {
  let [x, y] = [0, 0];
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  for (const entry of key.children) {
    const mark = entry.querySelector("i");
    const text = entry.textContent;
    const needed = (mark ? 20 : 0) + wide(text, pen.font) + 18;
    if (x > 0 && x + needed > width) [x, y] = [0, y + 18];
    if (mark) {
      const style = getComputedStyle(mark);
      const line = mark.classList.contains("line");
      const dashes = DASHES.find(([name]) => mark.matches(name))?.[1];
      pen.fillStyle = dashes ? style.borderTopColor : style.backgroundColor;
      if (mark.classList.contains("dot")) pen.put("circle", { cx: x + 7, cy: y + 9, r: 4, fill: pen.fillStyle });
      else if (dashes) pen.put("path", { d: `M${x} ${y + 9}h14`, fill: "none", stroke: pen.fillStyle, "stroke-width": 2, "stroke-dasharray": dashes });
      else pen.fillRect(x, y + (line ? 7 : 4), 14, line ? 2 : 10);
    }
    pen.fillStyle = theme("--soft");
    pen.fillText(text, x + (mark ? 20 : 0), y + 9);
    x += needed;
  }
  return key.childElementCount ? y + 24 : 0;
};
