// Input of the tests, and readers of what chanscope writes.

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A generator of numbers in 0..1 that is the same everywhere (mulberry32). */
export const generator = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};

const normal = (draw) => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());

/** Writes a .npy file of an array of little-endian numbers. */
export const writeNpy = (path, descr, shape, values) => {
  const open = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.join(", ")}${shape.length === 1 ? "," : ""}), }`;
  const header = open + " ".repeat((64 - ((open.length + 11) % 64)) % 64) + "\n";
  const start = Buffer.alloc(10);
  start.write("\x93NUMPY\x01\x00", "latin1");
  start.writeUInt16LE(header.length, 8);
  writeFileSync(path, Buffer.concat([start, Buffer.from(header, "latin1"), Buffer.from(values.buffer, values.byteOffset, values.byteLength)]));
};

/** Reads a square matrix of float64. */
export const readMatrix = (path) => {
  const file = readFileSync(path);
  const start = 10 + file.readUInt16LE(8);
  const n = Math.sqrt((file.length - start) / 8);
  return Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => file.readDoubleLE(start + 8 * (i * n + j))));
};

const LAYERS = { "layer1.conv": [12, 3], "layer2.0.downsample.relu": [30, 2], head: [5, 1] };
const SAMPLES = 120;

/**
 * A dump of three layers whose channels come in families; one channel is dead. With labels. Other `epoch`s have other
 * weights, and the same samples.
 */
export const writeDump = (folder, epoch) => {
  let draw = generator(18);
  const hidden = Array.from({ length: SAMPLES }, () => Array.from({ length: 8 }, () => normal(draw)));
  if (epoch) draw = generator(epoch);
  mkdirSync(folder, { recursive: true });
  for (const [name, [channels, side]] of Object.entries(LAYERS)) {
    const size = side * side;
    const weights = Array.from({ length: channels }, (_, c) => Array.from({ length: size }, () =>
      Array.from({ length: 8 }, (_, h) => (h === c % 4 ? 1 : 0) + 0.15 * (1 + (c % 3)) * normal(draw))));
    const values = new Float32Array(SAMPLES * channels * size);
    for (let s = 0, at = 0; s < SAMPLES; s++) for (let c = 0; c < channels; c++) for (let p = 0; p < size; p++, at++) {
      values[at] = name !== "head" && c === 7 ? 0 : Math.max(0, weights[c][p].reduce((sum, w, h) => sum + w * hidden[s][h], 0.5));
    }
    writeNpy(join(folder, name + ".npy"), "<f4", [SAMPLES, channels, side, side], values);
  }
  writeNpy(join(folder, "labels.npy"), "<i4", [SAMPLES], Int32Array.from(hidden, (h) => (h[0] > 0 ? 1 : 0) + (h[1] > 0 ? 2 : 0)));
};

/** Images of the dump's samples, red, green and blue. */
export const writeImages = (path) => {
  const draw = generator(3);
  writeNpy(path, "<f4", [SAMPLES, 3, 6, 9], Float32Array.from({ length: SAMPLES * 3 * 6 * 9 }, () => draw() - 0.3));
};

/** Reads an array of float32, float64, int64 or bytes. */
export const readNpy = (path) => {
  const file = readFileSync(path);
  const header = file.subarray(10, 10 + file.readUInt16LE(8)).toString("latin1");
  const [, descr] = header.match(/'descr': '(.*?)'/);
  const shape = header.match(/'shape': \((.*?)\)/)[1].split(",").filter((d) => d.trim()).map(Number);
  const content = file.subarray(10 + header.length);
  const kinds = { "<f4": [4, (at) => content.readFloatLE(at)], "<f8": [8, (at) => content.readDoubleLE(at)], "<i8": [8, (at) => Number(content.readBigInt64LE(at))], "|u1": [1, (at) => content[at]] };
  const [size, value] = kinds[descr];
  return { shape, values: Array.from({ length: content.length / size }, (_, i) => value(i * size)) };
};

/** The results of `dump`, and impulse responses of its first layer in two input channels. */
export const writeCards = (folder) => {
  cpSync(join(folder, "../dump"), folder, { recursive: true });
  const results = JSON.parse(readFileSync(join(folder, "results.json"), "utf8"));
  const { name, shape: [, channels] } = results.redundancy.layers[0];
  const draw = generator(5);
  const at = join(folder, "impulse", name);
  mkdirSync(at, { recursive: true });
  writeNpy(join(at, "response.npy"), "<f8", [2, channels, 7, 5], Float64Array.from({ length: 2 * channels * 35 }, () => draw() - 0.5));
  const same = Float64Array.from({ length: channels ** 2 }, (_, i) => (i % (channels + 1) === 0 ? 1 : 0.2));
  for (const file of ["ncc", "ncc_abs"]) writeNpy(join(at, file + ".npy"), "<f8", [channels, channels], same);
  const impulse = { layers: [{ name, tap: "activation", channels, ncc_mean: 0.2, zero_channels: [] }], match_threshold: 0.95 };
  writeFileSync(join(folder, "results.json"), JSON.stringify({ ...results, impulse }));
};

/** A folder of results of one layer of `n` channels, in families of about eight. */
export const writeWide = (folder, n) => {
  const draw = generator(2048);
  mkdirSync(join(folder, "layers/wide"), { recursive: true });
  const family = Array.from({ length: n }, () => Math.floor(draw() * (n / 8)));
  const jaccard = new Float64Array(n * n), overlap = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) {
    const value = i === j ? 1 : (family[i] === family[j] ? 0.3 : 0.02) + 0.05 * draw();
    jaccard[i * n + j] = jaccard[j * n + i] = value;
    overlap[i * n + j] = overlap[j * n + i] = 12 * value;
  }
  writeNpy(join(folder, "layers/wide/jaccard.npy"), "<f8", [n, n], jaccard);
  writeNpy(join(folder, "layers/wide/overlap.npy"), "<f8", [n, n], overlap);
  const channel = (low, high) => Array.from({ length: n }, () => low + (high - low) * draw());
  const results = JSON.parse(readFileSync(join(folder, "../dump/results.json"), "utf8"));
  const layer = {
    ...results.redundancy.layers[0], name: "wide", shape: [1000, n, 7, 7], dead_channels: [],
    degenerate_queries: channel(0, 20).map(Math.floor), not_unique_queries: Array(n).fill(0),
    neighbors_mean: channel(4, 9), pca_dimension_mean: channel(2, 5), loo_error: channel(0, 1), loo_soft_error: channel(0, 1), baselines: null,
  };
  writeFileSync(join(folder, "results.json"), JSON.stringify({ ...results, redundancy: { layers: [layer] } }));
};

/** A folder of results of an ablation of two layers by three rankings. */
export const writeAblation = (folder) => {
  mkdirSync(folder, { recursive: true });
  const results = JSON.parse(readFileSync(join(folder, "../dump/results.json"), "utf8"));
  delete results.redundancy;
  const point = (share, lost) => ({
    share, kept: Math.round(share * 20), accuracy: 0.97 - lost * (1 - share) ** 2, standard_error: 0.004, change: -lost * (1 - share) ** 2, change_error: 0.003,
  });
  const curves = { jaccard: 0.5, l1: 0.6, random: 0.9 };
  const shares = [0.9, 0.7, 0.5, 0.3, 0.1];
  const all = Object.entries(curves).map(([ranking, lost]) => ({ ranking, points: shares.map((share) => point(share, lost)) }));
  const ablation = { dropped: "mean", samples: 900, calibration_samples: 300, accuracy: 0.97, standard_error: 0.003, layers: ["conv1", "conv2"].map((name) => ({ name, channels: 20, curves: all })), together: all };
  writeFileSync(join(folder, "results.json"), JSON.stringify({ ...results, command: "ablate", ablation }));
};

/** Runs a command line. */
export const run = (program, ...words) => execFileSync(program, words, { stdio: ["ignore", "ignore", "inherit"] });

/**
 * Clusters by average linkage, straight from its definition: joins the two clusters with the largest mean similarity
 * until it is below the cut. `known` lists the rows that count. Also returns how far the nearest join was from the cut.
 */
export const averageLinkage = (similarity, known, cut) => {
  let groups = known.map((i) => [i]);
  let margin = Infinity;
  const mean = (a, b) => a.reduce((sum, i) => sum + b.reduce((t, j) => t + (Number.isFinite(similarity[i][j]) ? similarity[i][j] : 0), 0), 0) / (a.length * b.length);
  while (groups.length > 1) {
    let best = { value: -Infinity };
    for (let b = 1; b < groups.length; b++) for (let a = 0; a < b; a++) {
      const value = mean(groups[a], groups[b]);
      if (value > best.value) best = { value, a, b };
    }
    margin = Math.min(margin, Math.abs(best.value - cut));
    if (best.value < cut) break;
    const joined = [...groups[best.a], ...groups[best.b]].sort((x, y) => x - y);
    groups = [...groups.filter((_, k) => k !== best.a && k !== best.b), joined];
  }
  return { groups, margin };
};

/** The rows of a CSV (RFC 4180). */
export const parseCsv = (text) => {
  const rows = [[""]];
  let inside = false;
  for (let i = 0; i < text.length; i++) {
    const [c, row] = [text[i], rows.at(-1)];
    if (inside && c === '"' && text[i + 1] === '"') row[row.length - 1] += text[++i];
    else if (c === '"') inside = !inside;
    else if (!inside && c === ",") row.push("");
    else if (!inside && c === "\r" && text[i + 1] === "\n") { rows.push([""]); i++; }
    else row[row.length - 1] += c;
  }
  rows.pop();
  return rows;
};
