// Drives reports in headless Chromium. `scripts/report` runs it, with these variables:
// CHANSCOPE, CHROMIUM: programs; MODULES: a folder with node_modules; WORK: an empty folder.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { averageLinkage, parseCsv, readMatrix, readNpy, run, writeAblation, writeCards, writeDump, writeImages, writeWide } from "./data.mjs";

const { CHANSCOPE, CHROMIUM, MODULES, WORK } = process.env;
const require = createRequire(MODULES + "/");
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const WIDE = 2048;
let browser, results;
const folder = (name) => join(WORK, name);

before(async () => {
  writeDump(folder("activations"));
  writeImages(folder("images.npy"));
  run(CHANSCOPE, "redundancy", folder("activations"), "--images", folder("images.npy"), "--across", "--device", "cpu", "-k", "12", "--queries", "90", "--quiet", "--out", folder("dump"));
  for (const epoch of [2, 3]) {
    writeDump(folder(`activations-${epoch}`), epoch);
    run(CHANSCOPE, "redundancy", folder(`activations-${epoch}`), "--device", "cpu", "-k", "12", "--queries", "90", "--quiet", "--out", folder(`epochs/${epoch}`));
  }
  run(CHANSCOPE, "compare", folder("dump"), folder("epochs/2"), folder("epochs/3"), "--device", "cpu", "--quiet", "--out", folder("compare"));
  run(CHANSCOPE, "rank", folder("dump"), "--quiet", "--out", folder("rank"));
  run(CHANSCOPE, "filters", "assets/lenet5.safetensors", "--quiet", "--out", folder("filters"));
  writeAblation(folder("ablation"));
  writeCards(folder("cards"));
  writeWide(folder("wide"), WIDE);
  for (const name of ["ablation", "cards", "wide"]) run(CHANSCOPE, "report", folder(name));
  results = JSON.parse(readFileSync(folder("dump/results.json"), "utf8"));
  // Chromium's sandbox does not start as root.
  browser = await chromium.launch({ executablePath: CHROMIUM, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
});
after(() => browser?.close());

/** A page of a report. What its script or the browser complain about, and requests, fail the test at its end. */
const open = async (t, name, options = {}) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const complaints = [];
  t.after(async () => {
    await context.close();
    assert.deepEqual(complaints, []);
  });
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(error.stack));
  page.on("console", (message) => complaints.push(message.text().slice(0, 200)));
  page.on("request", (request) => request.url().match(/^(file|blob):/) || complaints.push(request.url().slice(0, 200)));
  await page.goto("file://" + join(folder(name), "report.html"));
  return page;
};

const card = (page, layer) => page.locator("article.card", { has: page.locator("h3", { hasText: layer }) });
const layerOf = (name) => results.redundancy.layers.find((layer) => layer.name === name);
const live = (layer) => Array.from(layer.neighbors_mean.keys()).filter((c) => !layer.dead_channels.includes(c));
/** `0, 3–5` as numbers. */
const channels = (text) => text.split(", ").flatMap((part) => {
  const [from, to = from] = part.split("\u2013").map(Number);
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
});
const sorted = (groups) => groups.map((g) => g.join(" ")).sort();

test("the cut is moved by keys, and the groups are those of average linkage", async (t) => {
  const page = await open(t, "dump");
  const name = "layer2.0.downsample.relu";
  const jaccard = readMatrix(folder(`dump/layers/${name}/jaccard.npy`));
  const input = card(page, name).locator("input[type=range]");
  await input.focus();
  const seen = new Set();
  let compared = 0;
  for (const key of ["", ..."RRRRRRRR", "PageUp", "PageUp", "PageUp", ..."LLLL", "Home", "End", "PageDown", "PageDown"]) {
    if (key) await page.keyboard.press({ R: "ArrowRight", L: "ArrowLeft" }[key] ?? key);
    const cut = Number(await input.inputValue());
    const rows = await card(page, name).locator("table.groups tbody tr").evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
    const shown = rows.flatMap(([head, , , members]) => (head === "alone" ? channels(members).map((c) => [c]) : [channels(members)]));
    const { groups, margin } = averageLinkage(jaccard, live(layerOf(name)), cut);
    // The page's joins are float32: where one is equal to the cut but for rounding, either side is right.
    if (margin < 1e-6) continue;
    assert.deepEqual(sorted(shown), sorted(groups), `at ${cut}`);
    for (const [head, size, , members] of rows) assert.equal(Number(size), channels(members).length, head);
    const text = await input.getAttribute("aria-valuetext");
    const several = groups.filter((g) => g.length > 1).length;
    assert.match(text, new RegExp(`, ${several} groups?, ${groups.length - several} alone$`));
    seen.add(groups.length);
    compared++;
  }
  assert.ok(compared >= 15 && seen.size >= 4, `${compared} positions, ${[...seen]}`);
  assert.ok(seen.has(1) && seen.has(live(layerOf(name)).length), "from one group to all alone");
});

/** Presses a button and returns the name and the content of the file that it saves. */
const saved = async (page, button) => {
  // Chromium drops downloads beyond ten a second.
  await page.waitForTimeout(110);
  const [download] = await Promise.all([page.waitForEvent("download"), button.click()]);
  return { name: download.suggestedFilename(), content: readFileSync(await download.path()) };
};

/** What a browser makes of an SVG or PNG file by itself: its size and the number of its colours. */
const look = (page, type, content) => page.evaluate(async ([type, base64]) => {
  const image = new Image();
  image.src = `data:${type};base64,${base64}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const pixels = new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  const colours = new Set(pixels.filter((_, i) => i % 7 === 0));
  return { width: canvas.width, height: canvas.height, colours: colours.size };
}, [type, content.toString("base64")]);

const openAll = (page) => page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));

const PAGES = ["dump", "rank", "filters", "ablation", "compare", "cards"];
for (const name of PAGES) {
  test(`every figure of ${name} is saved as SVG and PNG`, async (t) => {
    const page = await open(t, name);
    await openAll(page);
    const viewer = await (await browser.newContext()).newPage();
    t.after(() => viewer.context().close());
    const figures = await page.locator("[data-figure]").all();
    assert.ok(figures.length >= 3);
    const names = new Set();
    for (const figure of figures) {
      const svg = await saved(page, figure.getByRole("button", { name: / as SVG$/ }));
      const png = await saved(page, figure.getByRole("button", { name: / as PNG$/ }));
      assert.match(svg.name, /^[a-z0-9.-]+\.svg$/);
      assert.equal(png.name, svg.name.replace(/svg$/, "png"));
      names.add(svg.name);
      const text = svg.content.toString();
      const wrong = await viewer.evaluate((text) => {
        const root = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
        return root.localName !== "svg" || root.querySelector("parsererror") ? root.outerHTML.slice(0, 300) : "";
      }, text);
      assert.equal(wrong, "", svg.name);
      assert.doesNotMatch(text, /var\(|class=|https?:\/\/(?!www\.w3\.org\/)/, svg.name);
      const vector = await look(viewer, "image/svg+xml", svg.content);
      const pixels = await look(viewer, "image/png", png.content);
      assert.deepEqual([pixels.width, pixels.height], [2 * vector.width, 2 * vector.height], svg.name);
      assert.ok(vector.colours > 8 && pixels.colours > 8, `${svg.name} is empty: ${vector.colours} and ${pixels.colours} colours`);
    }
    assert.equal(names.size, figures.length, "every figure has a name of its own");
  });
}

test("every table is saved as CSV with its numbers", async (t) => {
  const page = await open(t, "dump");
  await openAll(page);
  const tables = await page.locator("table").count();
  const buttons = await page.getByRole("button", { name: / as CSV$/ }).all();
  assert.equal(buttons.length, tables);
  const files = new Map();
  for (const button of buttons) {
    const { name, content } = await saved(page, button);
    assert.match(name, /^[a-z0-9.-]+\.csv$/);
    const rows = parseCsv(content.toString());
    assert.ok(rows.length > 1 && rows.every((row) => row.length === rows[0].length), name);
    files.set(name, rows);
  }
  assert.equal(files.size, tables, "every table has a name of its own");

  // Three digits are shown.
  const close = (text, value) => assert.ok(value === null ? text === "" : Math.abs(Number(text) - value) <= 0.006 * Math.abs(value) + 5e-7, `${text} for ${value}`);
  for (const layer of results.redundancy.layers) {
    const [head, ...rows] = files.get(`redundancy-numbers-per-channel-of-${layer.name.toLowerCase()}.csv`);
    assert.deepEqual(head.slice(0, 3), ["Channel", "Neighbours", "Neighbours, standard error"]);
    assert.equal(rows.length, layer.neighbors_mean.length);
    rows.forEach((row, c) => {
      const cell = (name) => row[head.indexOf(name)];
      assert.equal(Number.parseInt(row[0], 10), c);
      close(cell("Neighbours"), layer.neighbors_mean[c]);
      // Two digits of an error are shown, and as many decimals of the value.
      const se = layer.neighbors_mean_se[c];
      if (se === null) assert.equal(cell("Neighbours, standard error"), "");
      else assert.equal(Number(cell("Neighbours, standard error")), Number(se.toPrecision(2)));
      assert.equal(Number(cell("Degenerate")), layer.degenerate_queries[c]);
      const error = cell("Label error");
      if (layer.loo_error[c] === null) assert.equal(error, "");
      else assert.ok(Math.abs(Number(error) - layer.loo_error[c]) < 0.0051, error);
    });
  }
  const { layers, best_match: best } = results.redundancy.across;
  const [, ...rows] = files.get("redundancy-best-match-between-layers.csv");
  rows.forEach((row, l) => {
    assert.equal(row[0], layers[l]);
    row.slice(1).forEach((text, m) => close(text, best[l][m]));
  });
});

test("cells become what programs read, and names what file systems take", async (t) => {
  const page = await open(t, "dump");
  const [text, names] = await page.evaluate(() => {
    const table = document.createElement("table");
    const add = (part, cells) => {
      const row = part.insertRow();
      for (const cell of cells) row.insertCell().textContent = cell;
    };
    add(table.createTHead(), ["Neigh\u00adbours", "Value", "Share", "Error"]);
    const body = table.createTBody();
    add(body, ["=HYPERLINK(\"https://a\")", "12\u202f345", "12.5\u00a0%", "5.43 \u00b1 0.02"]);
    add(body, ["say \"no\", twice", "-3e-5", "\u2013", "\u2013"]);
    add(body, ["-1 and more", "layer 1 200", "under 0.1\u00a0%", "7"]);
    add(body, ["", "", "", "71.3 \u00b1 2.6\u00a0%"]);
    return [csv(table), [["a/../b", "<script>\u202e", ".x"], ["\u00e9t\u00e9"], ["///"], ["x".repeat(300)]].map((parts) => fileName(parts, "svg"))];
  });
  assert.deepEqual(parseCsv(text), [
    ["Neighbours", "Value", "Share", "Error", "Error, standard error"],
    ["'=HYPERLINK(\"https://a\")", "12345", "0.125", "5.43", "0.02"],
    ['say "no", twice', "-3e-5", "", "", ""],
    ["'-1 and more", "layer 1 200", "under 0.1 %", "7", ""],
    ["", "", "", "0.713", "0.026"],
  ]);
  assert.deepEqual(names, ["a-..-b-script-.x.svg", "ete.svg", "chanscope.svg", "x".repeat(100) + ".svg"]);
});

test("each channel's match in another layer is the largest Jaccard index of all", async (t) => {
  const page = await open(t, "dump");
  await openAll(page);
  const jaccard = readMatrix(folder("dump/across/jaccard.npy"));
  const all = results.redundancy.across.layers.flatMap((name) => live(layerOf(name)).map((channel) => ({ name, channel })));
  for (const layer of results.redundancy.layers) {
    const rows = await card(page, layer.name).locator("table:not(.groups) tbody tr").evaluateAll((rows) => rows.map((row) => [...row.cells].slice(-2).map((cell) => cell.textContent)));
    rows.forEach(([match, value], channel) => {
      const at = all.findIndex((place) => place.name === layer.name && place.channel === channel);
      if (at < 0) return assert.deepEqual([match, value], ["\u2013", "\u2013"]);
      let best = { value: -1 };
      all.forEach((place, i) => {
        if (place.name !== layer.name && jaccard[at][i] > best.value) best = { value: jaccard[at][i], place };
      });
      assert.equal(match, `${best.place.name} channel ${best.place.channel}`);
      assert.ok(Math.abs(Number(value) - best.value) <= 0.006 * best.value);
    });
  }
});

test("a phone shows the first column of a table beside the others, however long its names are", async (t) => {
  const page = await open(t, "dump", { viewport: { width: 375, height: 900 } });
  await openAll(page);
  const boxes = await page.locator(".scroll:has(table.numbers)").all();
  assert.ok(boxes.length >= 4);
  let moved = 0;
  for (const box of boxes) {
    const [width, left, scrolled] = await box.evaluate((box) => {
      // A name longer than the page is wide, without a place to break it.
      box.querySelector("tbody th").textContent = "layer".repeat(30);
      box.scrollLeft = 10000;
      const th = box.querySelector("tbody th").getBoundingClientRect();
      return [th.width, th.left - box.getBoundingClientRect().left, box.scrollLeft];
    });
    assert.ok(width > 100 && width < 0.45 * 375, `${width} pixels`);
    assert.ok(Math.abs(left) < 2, `${left} pixels from the edge`);
    moved += scrolled > 0;
  }
  assert.ok(moved >= 2, `${moved} tables are wider than the page`);
});

test("more than six lines of a chart differ by their dashes, in the picture, its key and what is saved", async (t) => {
  const page = await open(t, "compare");
  const looks = await page.evaluate(() => {
    const box = document.querySelector("[data-figure]").parentElement.appendChild(document.createElement("div"));
    box.className = "figure";
    const series = Array.from({ length: 14 }, (_, i) => ({ name: `layer ${i}`, style: "line", values: [i, i + 1] }));
    const figure = chart(box, { label: "", x: "run", names: null, percent: false, log: false, sortable: false, range: [null, null], references: [], series });
    figure.paint();
    const lines = [...box.querySelectorAll("path.line")].map((line) => [getComputedStyle(line).stroke, getComputedStyle(line).strokeDasharray].join());
    const marks = [...box.querySelectorAll(".key i")].map((mark) => [getComputedStyle(mark).getPropertyValue("--c"), getComputedStyle(mark).backgroundImage].join());
    const saved = [...figure.drawing().querySelectorAll("path[stroke-dasharray][fill=none]")].map((path) => path.getAttribute("stroke-dasharray"));
    box.remove();
    return { lines, marks, saved };
  });
  assert.equal(new Set(looks.lines).size, 14);
  assert.equal(new Set(looks.marks).size, 14);
  assert.ok(looks.saved.filter((dashes) => dashes === "5 3").length >= 6 && looks.saved.filter((dashes) => dashes === "2 3").length >= 2, looks.saved.join("; "));
});

test("the cut begins among the joins that differ, where most are equal", async (t) => {
  const page = await open(t, "dump");
  const [cut, text] = await page.evaluate(() => {
    const joins = [0.9, 0.6, 0, 0, 0, 0, 0];
    const { panel } = clusters(document.querySelector("[data-figure]"), { row: "channel", clusters: { order: [0, 1, 2, 3, 4, 5, 6, 7], joins, by: "NCC" } }, (i) => i, () => {});
    return [Number(panel.querySelector("input").value), panel.textContent];
  });
  assert.ok(cut > 0.5 && cut <= 0.9, String(cut));
  assert.match(text, /at an NCC of/);
});

/** The places of the largest values, of equal ones the first. */
const largest = (values, count) => values.map((value, i) => ({ value, i })).filter(({ value }) => Number.isFinite(value)).sort((a, b) => b.value - a.value || a.i - b.i).slice(0, count);

test("a card holds the strongest samples of a channel, its responses and the nearest channels", async (t) => {
  const page = await open(t, "cards");
  const layers = results.redundancy.across.layers;
  const places = layers.flatMap((name) => live(layerOf(name)).map((channel) => ({ name, channel })));
  const across = readMatrix(folder("dump/across/jaccard.npy"));
  const images = readNpy(folder("images.npy"));
  const each = images.values.length / images.shape[0];
  const pictured = readNpy(folder("dump/images/samples.npy")).values.flatMap((s) => images.values.slice(s * each, (s + 1) * each));
  const [low, high] = [Math.min(...pictured), Math.max(...pictured)];
  const close = (text, value) => assert.ok(Math.abs(Number(text.split(" ").at(-1)) - value) <= 0.006 * Math.abs(value) + 5e-7, `${text} for ${value}`);
  for (const [l, layer] of results.redundancy.layers.entries()) {
    const figure = page.locator("section#redundancy article.card").nth(l).locator("figure.cards");
    const { shape: [samples, channels, height, width], values } = readNpy(folder(`activations/${layer.name}.npy`));
    const jaccard = readMatrix(folder(`dump/layers/${layer.name}/jaccard.npy`));
    const select = figure.getByLabel("Channel", { exact: true });
    const list = (title) => figure.getByRole("list", { name: title, exact: true }).locator("li");
    const texts = (title) => list(title).evaluateAll((items) => items.map((item) => [...item.children].filter((c) => c.tagName !== "CANVAS").map((c) => c.textContent)));
    for (let c = 0; c < channels; c++) {
      await select.selectOption(String(c));
      if (layer.dead_channels.includes(c)) {
        // A network without biases may respond to an impulse where no sample excites a channel.
        if (l > 0) assert.equal(await figure.locator(".parts").textContent(), "Nothing is known of this channel: it is zero on every sample.");
        assert.deepEqual(await texts("Strongest samples"), []);
        continue;
      }
      const size = height * width;
      const means = Array.from({ length: samples }, (_, s) => values.slice((s * channels + c) * size, (s * channels + c + 1) * size).reduce((sum, v) => sum + v, 0) / size);
      const strongest = largest(means.map((m) => (m > 0 ? m : NaN)), 8);
      const shown = await texts("Strongest samples");
      assert.deepEqual(shown.map(([sample]) => sample), strongest.map(({ i }) => `sample ${i}`));
      shown.forEach(([, mean], rank) => close(mean, strongest[rank].value));
      const near = largest(jaccard[c].map((v, e) => (e === c ? NaN : v)), 5);
      const listed = await texts("Nearest channels of the layer");
      assert.deepEqual(listed.map(([name]) => name), near.map(({ i }) => `channel ${i}`));
      listed.forEach(([, value], rank) => close(value, near[rank].value));
      const at = places.findIndex((place) => place.name === layer.name && place.channel === c);
      const others = largest(across[at].map((v, e) => (places[e].name === layer.name ? NaN : v)), 5);
      const elsewhere = await texts("Nearest channels of other layers");
      assert.deepEqual(elsewhere.map(([name]) => name), others.map(({ i }) => `${places[i].name} channel ${places[i].channel}`));
      elsewhere.forEach(([, value], rank) => close(value, others[rank].value));
      assert.equal(await list("Impulse response").locator("canvas").count(), l === 0 ? 2 : 0);
    }
    // Pictures are the images, on one scale.
    const first = live(layer)[0];
    await select.selectOption(String(first));
    const [sample] = (await texts("Strongest samples"))[0][0].match(/\d+$/).map(Number);
    const pixels = await list("Strongest samples").locator("canvas").first().evaluate((canvas) => [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]);
    const image = images.values.slice(sample * each, (sample + 1) * each);
    assert.equal(pixels.length, (each / 3) * 4);
    for (let p = 0; p < each / 3; p++) for (let k = 0; k < 3; k++) {
      const expected = (255 * (image[(k * each) / 3 + p] - low)) / (high - low);
      assert.ok(Math.abs(pixels[4 * p + k] - expected) <= 0.51, `${pixels[4 * p + k]} for ${expected}`);
    }
  }
});

test("the channel of a card is chosen by keys, and a channel that it names is one press away", async (t) => {
  const page = await open(t, "cards");
  const figure = page.locator("figure.cards").nth(1);
  const select = figure.getByLabel("Channel", { exact: true });
  const [back, on] = ["Previous", "Next"].map((name) => figure.getByRole("button", { name, exact: true }));
  assert.equal(await select.inputValue(), "0");
  assert.ok(await back.isDisabled());
  await on.focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  assert.equal(await select.inputValue(), "2");
  await back.focus();
  await page.keyboard.press("Space");
  assert.equal(await select.inputValue(), "1");
  const near = figure.getByRole("list", { name: "Nearest channels of the layer" }).getByRole("button").first();
  const name = (await near.textContent()).match(/^channel (\d+)$/)[1];
  await near.focus();
  await page.keyboard.press("Enter");
  assert.equal(await select.inputValue(), name);
  assert.ok(await select.evaluate((node) => node === document.activeElement));
  await select.selectOption({ index: results.redundancy.layers[1].shape[1] - 1 });
  assert.ok(await on.isDisabled());
});

test("trends over runs name the runs by their folders, on the axis and where they are pointed at", async (t) => {
  const page = await open(t, "compare");
  const { runs, pairs } = JSON.parse(readFileSync(folder("compare/results.json"), "utf8")).compare;
  const names = ["dump", "2", "3"];
  assert.deepEqual(runs.map((run) => run.path.split("/").at(-1)), names);
  const close = (text, value) => assert.ok(Math.abs(Number(text) - value) <= 0.006 * Math.abs(value) + 5e-7, `${text} for ${value}`);
  const charts = card(page, "All runs").locator("figure");
  const measures = { Redundancy: "redundancy", "Mean Jaccard index of different channels": "jaccard_mean", "Neighbours of a channel, mean": "neighbors_mean", "Label error of a channel, mean": "loo_error" };
  assert.deepEqual(await charts.locator("h4").allTextContents(), Object.keys(measures));
  for (const [title, field] of Object.entries(measures)) {
    const chart = charts.filter({ has: page.getByRole("heading", { name: title, exact: true }) });
    const svg = chart.locator("svg[role=application]");
    const texts = await svg.locator("text").allTextContents();
    assert.deepEqual(texts.slice(-names.length), names);
    await svg.focus();
    for (const [at, name] of names.entries()) {
      await page.keyboard.press("ArrowRight");
      const said = await chart.locator("output").textContent();
      const shown = said.match(/^Run ([^:]*): (.*)$/);
      assert.equal(shown[1], name);
      const lines = shown[2].split(", ");
      assert.equal(lines.length, runs[at].layers.length);
      lines.forEach((line, l) => {
        const [layer, value] = line.split(" ");
        assert.equal(layer, runs[at].layers[l].name);
        const [, digits, unit] = value.match(/^(.*?)(\u00a0%)?$/);
        if (runs[at].layers[l][field] === null) assert.equal(value, "\u2013");
        else close(unit ? Number(digits) / 100 : digits, runs[at].layers[l][field]);
        assert.equal(unit !== undefined, field === "loo_error" && value !== "\u2013");
      });
    }
  }
  // The picture of each pair names the layers of both runs.
  const map = card(page, `${runs[0].path} and ${runs[1].path}`).locator("figure").first();
  await map.locator("canvas.map").focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  assert.match(await map.locator("output").first().textContent(), new RegExp(`^Layer ${runs[0].layers[0].name}, layer ${runs[1].layers[1].name}: Best match `));
  // The tables of each pair hold what the run found, both ways.
  await openAll(page);
  for (const pair of pairs) {
    const tables = card(page, `${runs[pair.a].path} and ${runs[pair.b].path}`).locator("table");
    for (const [at, values] of [pair.best_match, pair.best_match_back, pair.mean].entries()) {
      const cells = await tables.nth(at).locator("tbody tr").evaluateAll((rows) => rows.map((row) => [...row.cells].slice(1).map((cell) => cell.textContent)));
      assert.equal(cells.length, values.length);
      cells.forEach((row, l) => row.forEach((text, m) => close(text, values[l][m])));
    }
  }
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 390]) {
    test(`no barrier and no sideways scroll: ${colorScheme}, ${width} pixels`, async (t) => {
      // What differs by theme or width is in the style sheet that all reports share.
      const names = (colorScheme === "light") === (width === 1280) ? PAGES : ["dump"];
      for (const name of names) {
        const page = await open(t, name, { colorScheme, viewport: { width, height: 900 } });
        await openAll(page);
        await page.evaluate(axe);
        const found = await page.evaluate(() => axe.run());
        assert.ok(found.passes.length > 15, "axe looked at the page");
        assert.deepEqual(found.violations.map((v) => [name, v.id, v.nodes.map((n) => n.html)]), []);
        const [needed, there] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(needed <= there, `${name} is ${needed} pixels wide`);
      }
    });
  }
}

test(`a page of ${WIDE} channels opens in three seconds and stays smooth`, async (t) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  t.after(() => context.close());
  const page = await context.newPage();
  const opening = async () => {
    const start = performance.now();
    await page.goto("file://" + folder("wide/report.html"));
    // The first figure is painted, and the page answers.
    await page.locator("canvas.map").first().hover();
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    return performance.now() - start;
  };
  // The quickest of three: other programs of the machine only add to it.
  const opened = Math.min(await opening(), await opening(), await opening());

  await browser.startTracing(page, { categories: ["toplevel", "devtools.timeline"] });
  const map = await page.locator("canvas.map").boundingBox();
  for (let i = 0; i < 60; i++) await page.mouse.move(map.x + 60 + 6 * i, map.y + 120 + 5 * i);
  const input = page.locator("input[type=range]");
  await input.focus();
  for (let i = 0; i < 30; i++) await page.keyboard.press(i % 2 ? "ArrowRight" : "ArrowLeft");
  const bars = page.locator("svg[role=application]").first();
  await bars.scrollIntoViewIfNeeded();
  const box = await bars.boundingBox();
  for (let i = 0; i < 60; i++) await page.mouse.move(box.x + 60 + 5 * i, box.y + 80);
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
  const main = traceEvents.find((e) => e.name === "thread_name" && e.args.name === "CrRendererMain" && traceEvents.some((f) => f.name === "EventDispatch" && f.tid === e.tid && f.pid === e.pid));
  const tasks = traceEvents.filter((e) => e.pid === main.pid && e.tid === main.tid && e.name === "EventDispatch" && /^(pointermove|keydown|input)$/.test(e.args.data.type)).map((e) => e.dur / 1000).sort((a, b) => a - b);
  const typical = tasks[tasks.length >> 1], most = tasks.at(-1);
  t.diagnostic(`opened in ${opened.toFixed(0)} ms; ${tasks.length} moves and keys, ${typical.toFixed(1)} ms each, at most ${most.toFixed(1)} ms`);
  assert.ok(opened < 3000, `${opened} ms`);
  assert.ok(tasks.length >= 100, `${tasks.length} events traced`);
  // A tenth of a second is what people take for at once.
  assert.ok(typical < 16 && most < 100, `${typical} and ${most} ms`);

  // The list of groups follows when the cut rests.
  const [, several, alone] = (await input.getAttribute("aria-valuetext")).match(/, (\d+) groups?, (\d+) alone$/).map(Number);
  assert.ok(several > 100, `${several} groups`);
  await page.waitForFunction((rows) => document.querySelectorAll("table.groups tbody tr").length === rows, several + (alone > 0 ? 1 : 0));
});
