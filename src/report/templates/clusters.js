// Clusters of the rows of a heat map: a tree over it, a cut through the tree that the reader moves, and the groups that
// are left below it. `order` holds the leaves from left to right, and `joins` the similarity at which each leaf's
// cluster was joined with the next one's (null: never). So the groups at a cut are the runs of leaves between joins
// below it.
const clusters = (box, fig, label, moved) => {
  const { order, joins, by } = fig.clusters;
  const known = joins.filter((j) => j !== null);
  const [lowest, highest] = known.reduce(([a, b], j) => [Math.min(a, j), Math.max(b, j)], [Infinity, -Infinity]);
  // The cut moves in some 200 round steps, from where all are one group to where all are alone.
  const step = roundStep(highest > lowest ? highest - lowest : 1, 200);
  const places = Math.max(0, Math.ceil(-Math.log10(step) + 1e-9));
  const [low, high] = [Math.floor(lowest / step) * step, (Math.floor(highest / step) + 1) * step].map((x) => Number(x.toFixed(places)));
  // Half way up the joins. Where most of them are equal, as those of filters that share nothing, only the others count.
  const above = known.filter((j) => j > lowest);
  const middle = (above.length ? above : [...known]).sort((a, b) => a - b)[(above.length || known.length) >> 1];

  const input = make("input", { type: "range", min: low, max: high, step, value: Number((Math.round(middle / step) * step).toFixed(places)) });
  const output = make("output");
  const body = make("tbody");
  const table = make("table", { class: "groups" },
    make("thead", {}, make("tr", {}, ...["Group", "Size", "Joined at", fig.row[0].toUpperCase() + fig.row.slice(1) + "s"].map((h) => make("th", { scope: "col" }, h)))), body);
  const layer = whereabouts(box, "")[1];
  const name = `Groups of ${fig.row}s${layer ? " of " + layer : ""} by ${by}`;
  const list = make("div", { class: "scroll groups", tabindex: "0", role: "region", "aria-label": name }, table);
  const panel = make("div", { class: "cut" }, make("label", {}, make("span", {}, `Cut the tree at ${by === "NCC" ? "an" : "a"} ${by} of`), input), output, list);
  const cut = () => Number(input.value);

  // Runs of leaves [first, last], and the similarity of a run's last join.
  const runs = () => {
    const found = [];
    const least = cut();
    let first = 0, weakest = Infinity;
    for (let i = 0; i < order.length; i++) {
      const join = joins[i] ?? -Infinity;
      if (i < order.length - 1 && join >= least) {
        weakest = Math.min(weakest, join);
        continue;
      }
      found.push({ first, last: i, weakest });
      [first, weakest] = [i + 1, Infinity];
    }
    return found;
  };

  const members = (run) => order.slice(run.first, run.last + 1).sort((a, b) => a - b);
  const row = (head, run, found) => {
    const all = found.map(label);
    return make("tr", {}, make("th", { scope: "row" }, head), make("td", {}, String(found.length)), make("td", {}, run ? number(run.weakest) : "\u2013"),
      make("td", { "data-value": all.join(" ") }, ranges(all)));
  };
  const fill = (groups, alone) => {
    groups.sort((a, b) => b.last - b.first - (a.last - a.first) || b.weakest - a.weakest || a.first - b.first);
    const rows = groups.map((run, i) => row(String(i + 1), run, members(run)));
    if (alone.length) rows.push(row("alone", null, alone));
    body.replaceChildren(...rows);
  };
  // A long list is filled once the cut rests for a moment: laying it out would make the cut stick.
  let later = null;
  const update = () => {
    const all = runs();
    const groups = all.filter((run) => run.last > run.first);
    const alone = all.filter((run) => run.last === run.first).map((run) => order[run.first]).sort((a, b) => a - b);
    const text = `${groups.length} ${groups.length === 1 ? "group" : "groups"}, ${alone.length} alone`;
    output.textContent = `${cut().toFixed(places)}: ${text}`;
    input.setAttribute("aria-valuetext", `${cut().toFixed(places)}, ${text}`);
    clearTimeout(later);
    if (order.length > 500) later = setTimeout(fill, 120, groups, alone); else fill(groups, alone);
  };
  input.addEventListener("input", () => {
    update();
    moved();
  });
  update();

  return { panel, runs, cut, tree: tree(order.length, joins), ends: [lowest, highest] };
};

// Numbers as ranges: 3, 8–10.
const ranges = (all) => {
  const out = [];
  for (let i = 0; i < all.length; ) {
    let end = i;
    while (Number.isInteger(all[i]) && all[end + 1] === all[end] + 1) end++;
    if (end - i < 2) end = i;
    out.push(end > i ? `${all[i]}\u2013${all[end]}` : all[i]);
    i = end + 1;
  }
  return out.join(", ");
};

// The joins from the most similar on, as brackets: two arms at places x (in leaves), from the similarities where they
// begin (null at a leaf) up to that of the join.
const tree = (leaves, joins) => {
  const gaps = joins.map((join, gap) => ({ join, gap })).filter((g) => g.join !== null);
  gaps.sort((a, b) => b.join - a.join || a.gap - b.gap);
  // At both ends of a run of joined leaves: its other end, its place and its last join.
  const run = Array.from({ length: leaves }, (_, i) => ({ first: i, last: i, x: i + 0.5, join: null }));
  return gaps.map(({ join, gap }) => {
    const [a, b] = [run[gap], run[gap + 1]];
    run[a.first] = run[b.last] = { first: a.first, last: b.last, x: (a.x + b.x) / 2, join };
    return { a: a.x, b: b.x, fromA: a.join, fromB: b.join, join };
  });
};

// Draws a tree, leaves down, in a frame that shows `count` leaves from `from` on.
const dendrogram = (context, found, { left, top, width, height }, from, count) => {
  const [least, most] = found.ends;
  const room = (most - least || 1) * 0.06;
  const y = (s) => top + ((s - least + room) / (most - least + 2 * room)) * height;
  const x = (leaf) => left + clamp((leaf - from) / count, 0, 1) * width;
  const cut = found.cut();
  const arms = (below, colour) => {
    context.strokeStyle = colour;
    context.lineWidth = 1;
    context.beginPath();
    for (const { a, b, fromA, fromB, join } of found.tree) {
      if (join >= cut !== below || b < from || a > from + count) continue;
      const foot = (s) => (s === null ? top + height : y(s));
      const inside = (leaf) => leaf >= from && leaf <= from + count;
      context.moveTo(x(a), inside(a) ? foot(fromA) : y(join));
      context.lineTo(x(a), y(join));
      context.lineTo(x(b), y(join));
      context.lineTo(x(b), inside(b) ? foot(fromB) : y(join));
    }
    context.stroke();
  };
  arms(false, theme("--soft"));
  arms(true, theme("--accent"));
  context.strokeStyle = theme("--second");
  context.lineWidth = 1.5;
  context.setLineDash([5, 4]);
  context.beginPath();
  context.moveTo(left, clamp(y(cut), top, top + height));
  context.lineTo(left + width, clamp(y(cut), top, top + height));
  context.stroke();
  context.setLineDash([]);
  context.fillStyle = theme("--soft");
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const t of ticks(least, most, 3)) context.fillText(short(t), left - 6, y(t));
};
